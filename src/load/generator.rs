//! Closed-loop clients, a thread each: ask, wait for the answer, ask again.
//!
//! Threads and not tasks, because our client blocks (and a closed loop needs no more threads
//! than it has clients).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::meter::Meter;
use super::random::Random;
use crate::client::{Answer, CallError, Client, EmbedRequest, Stop};
use crate::clock::{self, Instant};
use crate::ident::RecordId;
use crate::record::Digest;

/// Stego pictures that extract mode prepares; clients share them. A few, because each is held in
/// memory and one is as good as another.
const PREPARED_MAX: usize = 8;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Hide a secret in the node's default cover.
    Embed,
    /// Find one again.
    Extract,
    /// Hide one, find it again, compare.
    Roundtrip,
    /// Enter a record without a picture.
    Commit,
}

impl Mode {
    /// Every mode, for help texts.
    pub const ALL: [Self; 4] = [Self::Embed, Self::Extract, Self::Roundtrip, Self::Commit];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Embed => "embed",
            Self::Extract => "extract",
            Self::Roundtrip => "roundtrip",
            Self::Commit => "commit",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mode| mode.to_string() == text);
        known.ok_or_else(|| {
            format!("unknown mode {text:?}; known: embed, extract, roundtrip, commit")
        })
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged. For a write, `digest` is the SHA-256 of the picture that came back, which
    /// the ledger must hold.
    Ok { digest: Option<Digest> },
    /// Refused, or never sent: nothing was done.
    Failed(String),
    /// The client never learned whether it was done.
    Unknown(String),
}

/// One finished request.
#[derive(Debug, Clone)]
pub struct Done {
    /// The record's id.
    pub id: RecordId,
    pub started: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
    /// Number of the server that answered, or that was asked last.
    pub server: Option<usize>,
    pub attempts: u32,
}

/// What to do, how much and how fast.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    pub mode: Mode,
    /// Threads.
    pub clients: usize,
    /// For each client; `None`: until stopped.
    pub requests: Option<u64>,
    /// `None`: no limit.
    pub duration: Option<Duration>,
    /// Least time between the starts of two requests of one client; `None`: none.
    pub pace: Option<Duration>,
    /// Each client begins with a server of its own each time, as one behind a name or a load
    /// balancer does; else every request begins with another.
    pub sticky: bool,
    pub secret_bytes: usize,
    pub seed: u64,
    /// Begins every record id of this load, which no other load may share.
    pub id_prefix: String,
}

/// The load could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no stego picture to extract from: {0}")]
    Preparation(#[source] Box<CallError>),
    #[error("record ids cannot begin with {0:?}")]
    Prefix(String),
}

/// What every client of a load shares.
struct Common<'a> {
    client: &'a Client,
    plan: &'a LoadPlan,
    stop: &'a Stop,
    until: Option<Instant>,
    pictures: Vec<Prepared>,
}

struct Prepared {
    secret: Vec<u8>,
    picture: Vec<u8>,
}

/// Runs the whole load on `plan.clients` threads and returns when it is done or stopped.
/// `observe` sees every request right after `meter`; it is called from all threads.
///
/// # Errors
/// See [`LoadError`]. Requests that fail are counted, not returned.
pub fn run(
    client: &Client,
    plan: &LoadPlan,
    stop: &Stop,
    meter: &Meter,
    observe: &(dyn Fn(&Done) + Sync),
) -> Result<(), LoadError> {
    record_id(plan, 0, 0)?;
    let pictures = if plan.mode == Mode::Extract { prepare(client, plan)? } else { Vec::new() };
    let until = plan.duration.map(|duration| clock::now() + duration);
    let common = Common { client, plan, stop, until, pictures };
    std::thread::scope(|scope| {
        for number in 0..plan.clients {
            let common = &common;
            scope.spawn(move || run_client(common, number, meter, observe));
        }
    });
    Ok(())
}

fn run_client(common: &Common<'_>, number: usize, meter: &Meter, observe: &(dyn Fn(&Done) + Sync)) {
    let plan = common.plan;
    let mut random = Random::stream(plan.seed, number as u64);
    let mut next_start = clock::now();
    for sequence in 0..plan.requests.unwrap_or(u64::MAX) {
        let now = clock::now();
        let wait = next_start.saturating_duration_since(now);
        if common.until.is_some_and(|until| now + wait >= until) || common.stop.wait(wait) {
            return;
        }
        if let Some(pace) = plan.pace {
            // A late request does not make the next ones hurry: a burst after a failover would
            // hide how the service behaves at the steady rate.
            next_start = clock::now().max(next_start + pace);
        }
        // The prefix was checked before the threads were started.
        let Ok(id) = record_id(plan, number, sequence) else { return };
        let first = if plan.sticky { number } else { number + sequence as usize };
        let done = one(common, first, id, &mut random);
        meter.record(&done);
        observe(&done);
    }
}

/// Ids are unique across clients and requests of one prefix.
fn record_id(plan: &LoadPlan, client: usize, sequence: u64) -> Result<RecordId, LoadError> {
    let text = format!("{}-{client:03}-{sequence:07}", plan.id_prefix);
    text.parse().map_err(|_| LoadError::Prefix(plan.id_prefix.clone()))
}

/// A prefix that no other load has, and that sorts by time.
pub fn fresh_prefix(word: &str) -> String {
    format!("{word}-{}", clock::fresh_time_ordered_uuid().simple())
}

fn one(common: &Common<'_>, first: usize, id: RecordId, random: &mut Random) -> Done {
    let (client, plan) = (common.client, common.plan);
    let started = clock::now();
    let mut tally = Tally { server: Some(first % client.servers().len()), attempts: 0 };
    let outcome = match plan.mode {
        Mode::Commit => tally
            .count(client.commit(first, &id))
            .map(|record| Outcome::Ok { digest: Some(record.stego_sha256) }),
        Mode::Embed => {
            let secret = random.bytes(plan.secret_bytes);
            embed(client, first, &id, &secret, &mut tally)
                .map(|picture| Outcome::Ok { digest: Some(Digest::of(&picture)) })
        }
        Mode::Extract => {
            let prepared = &common.pictures[random.below(common.pictures.len() as u64) as usize];
            tally
                .count(client.extract_bytes(first, &prepared.picture, None))
                .map(|found| compare(&found, &prepared.secret, None))
        }
        Mode::Roundtrip => {
            let secret = random.bytes(plan.secret_bytes);
            embed(client, first, &id, &secret, &mut tally).and_then(|picture| {
                let found = tally.count(client.extract_bytes(first + 1, &picture, None))?;
                Ok(compare(&found, &secret, Some(Digest::of(&picture))))
            })
        }
    };
    let outcome = outcome.unwrap_or_else(|failed| failed);
    Done {
        id,
        started,
        ended: clock::now(),
        outcome,
        server: tally.server,
        attempts: tally.attempts,
    }
}

fn embed(
    client: &Client,
    first: usize,
    id: &RecordId,
    secret: &[u8],
    tally: &mut Tally,
) -> Result<Vec<u8>, Outcome> {
    tally.count(client.embed_png(first, id, &EmbedRequest { secret, ..EmbedRequest::default() }))
}

fn compare(found: &[u8], secret: &[u8], digest: Option<Digest>) -> Outcome {
    if found == secret {
        Outcome::Ok { digest }
    } else {
        let (found, hidden) = (found.len(), secret.len());
        Outcome::Failed(format!("extract gave {found} bytes that are not the {hidden} hidden"))
    }
}

/// Who answered, and after how many attempts.
struct Tally {
    server: Option<usize>,
    attempts: u32,
}

impl Tally {
    fn count<T>(&mut self, called: Result<Answer<T>, CallError>) -> Result<T, Outcome> {
        match called {
            Ok(answer) => {
                self.server = answer.server_index.or(self.server);
                self.attempts = self.attempts.max(answer.attempts);
                Ok(answer.value)
            }
            Err(error) => {
                self.attempts = self.attempts.max(error.attempts);
                let cause = error.last.to_string();
                Err(if error.outcome_unknown {
                    Outcome::Unknown(cause)
                } else {
                    Outcome::Failed(cause)
                })
            }
        }
    }
}

fn prepare(client: &Client, plan: &LoadPlan) -> Result<Vec<Prepared>, LoadError> {
    let count = plan.clients.clamp(1, PREPARED_MAX);
    let mut random = Random::stream(plan.seed, u64::MAX);
    (0..count)
        .map(|number| {
            let text = format!("{}-prepared-{number}", plan.id_prefix);
            let id = text.parse().map_err(|_| LoadError::Prefix(plan.id_prefix.clone()))?;
            let secret = random.bytes(plan.secret_bytes);
            let request = EmbedRequest { secret: &secret, ..EmbedRequest::default() };
            let answer = client.embed_png(number, &id, &request);
            let picture = answer.map_err(|error| LoadError::Preparation(Box::new(error)))?.value;
            Ok(Prepared { secret, picture })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::client::{Patience, Servers};

    fn plan() -> LoadPlan {
        LoadPlan {
            mode: Mode::Commit,
            clients: 3,
            requests: Some(4),
            duration: None,
            pace: None,
            sticky: false,
            secret_bytes: 16,
            seed: 1,
            id_prefix: fresh_prefix("test"),
        }
    }

    /// A client of a port that refuses, with little patience.
    fn client_of_nobody() -> Client {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string().parse().unwrap();
        let patience = Patience { deadline: Duration::from_millis(20), ..Patience::default() };
        Client::new(Servers::new([server]).unwrap(), patience, Stop::new())
    }

    #[test]
    fn every_client_makes_every_request_under_its_own_id() {
        let client = client_of_nobody();
        let (meter, seen) = (Meter::start(), std::sync::Mutex::new(Vec::new()));
        let observe = |done: &Done| seen.lock().unwrap().push(done.id.clone());
        run(&client, &plan(), &Stop::new(), &meter, &observe).unwrap();
        let mut ids = seen.into_inner().unwrap();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 12);
        let totals = meter.finish();
        assert_eq!((totals.ok, totals.failed, totals.unknown), (0, 12, 0));
        assert!(totals.failures[0].0.contains("connection refused"), "{:?}", totals.failures);
    }

    #[test]
    fn a_stopped_load_makes_no_more_requests() {
        let client = client_of_nobody();
        let (stop, made) = (Stop::new(), AtomicU64::new(0));
        let observe = |_: &Done| {
            made.fetch_add(1, Ordering::SeqCst);
            stop.trip();
        };
        let endless = LoadPlan {
            clients: 1,
            requests: None,
            pace: Some(Duration::from_secs(3600)),
            ..plan()
        };
        run(&client, &endless, &stop, &Meter::start(), &observe).unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_prefix_that_is_no_id_is_refused_at_once() {
        let bad = LoadPlan { id_prefix: "a b".into(), ..plan() };
        let refused = run(&client_of_nobody(), &bad, &Stop::new(), &Meter::start(), &|_: &Done| {});
        assert!(matches!(refused, Err(LoadError::Prefix(_))));
    }

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("flood".parse::<Mode>().unwrap_err().contains("known"));
    }
}
