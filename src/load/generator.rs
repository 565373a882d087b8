//! Clients, a thread each. In a closed loop each asks, waits for the answer, and asks again; in
//! an open loop requests are due at a steady rate, and whichever client is free makes the next.
//!
//! Threads and not tasks, because our client blocks, and because a machine carries them: see
//! `docs/BENCH.md` for the measure of 2,000.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::material::Material;
use super::meter::Meter;
use super::mix::{Mix, Mode};
use super::random::Random;
use super::request::{Context, Prepared, one, prepare};
use super::schedule::Schedule;
use crate::client::{CallError, Client, Stop};
use crate::clock::{self, Instant};
use crate::ident::RecordId;
use crate::record::Digest;

/// Of each client. Its calls touch some 32 KiB, measured with 2,000; the default of 2 MiB would be
/// address space that thousands of threads only reserve.
const STACK_BYTES: usize = 128 * 1024;
/// More clients than this have connections of their own each, and few of them: one pool for all
/// is searched from end to end for each request.
const SHARED_POOL_MAX: usize = 64;
/// How long after the end of an open loop requests that are overdue are still made. Beyond it
/// they count as failed.
const OVERDUE_MAX: Duration = Duration::from_secs(10);

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

/// Whether a result was read back and compared with what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    Not,
    Right,
    Wrong,
}

/// One finished request.
#[derive(Debug, Clone)]
pub struct Done {
    /// The record's id.
    pub id: RecordId,
    pub mode: Mode,
    /// When it was due; in a closed loop, when it was sent.
    pub started: Instant,
    pub sent: Instant,
    /// When it was answered. Reading the result back comes after it.
    pub ended: Instant,
    pub outcome: Outcome,
    pub checked: Checked,
    /// Number of the server that answered, or that was asked last.
    pub server: Option<usize>,
    /// 0 if it was never sent.
    pub attempts: u32,
}

/// What to do, how much and how fast.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    pub mix: Mix,
    /// Threads.
    pub clients: usize,
    /// For each client of a closed loop, warm-up aside; `None`: until stopped.
    pub requests: Option<u64>,
    /// After the warm-up. `None`: no limit. An open loop has one.
    pub duration: Option<Duration>,
    /// `Some`: the meter starts again when all clients are there and this has passed; what is due
    /// before is made but not counted. `None`: the meter is left alone, as others report to it.
    pub warm_up: Option<Duration>,
    /// Least time between the starts of two requests of one client of a closed loop; `None`: none.
    pub pace: Option<Duration>,
    /// `Some`: an open loop of this many requests a second by all clients together.
    pub rate_rps: Option<f64>,
    /// Each client begins with a server of its own each time, as one behind a name or a load
    /// balancer does; else every request begins with another, or with one less busy.
    pub sticky: bool,
    /// Read each result back, through another server, and compare it. Not part of the latency.
    pub verify: bool,
    /// Where `material` has no secrets.
    pub secret_bytes: usize,
    pub material: Material,
    pub seed: u64,
    /// Begins every record id of this load, which no other load may share.
    pub id_prefix: String,
}

impl Default for LoadPlan {
    /// One client embeds until it is stopped.
    fn default() -> Self {
        Self {
            mix: Mode::Embed.into(),
            clients: 1,
            requests: None,
            duration: None,
            warm_up: None,
            pace: None,
            rate_rps: None,
            sticky: false,
            verify: false,
            secret_bytes: 1024,
            material: Material::default(),
            seed: 0,
            id_prefix: fresh_prefix("load"),
        }
    }
}

/// The load could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no stego picture to extract from: {0}")]
    Preparation(#[source] Box<CallError>),
    #[error("record ids cannot begin with {0:?}")]
    Prefix(String),
    #[error("an open loop needs a duration")]
    Endless,
    #[error("only {started} of {wanted} clients could be started: {cause}")]
    Threads { started: usize, wanted: usize, cause: io::Error },
}

/// What every client of a load shares.
struct Common<'a> {
    client: &'a Client,
    plan: &'a LoadPlan,
    stop: &'a Stop,
    meter: &'a Meter,
    observe: &'a (dyn Fn(&Done) + Sync),
    pictures: Vec<Prepared>,
}

/// When a load is what. One for all clients, told when all of them are there.
#[derive(Debug)]
struct Start {
    begin: Instant,
    /// Requests due from here on count.
    counted_from: Instant,
    until: Option<Instant>,
    /// In an open loop.
    schedule: Option<Schedule>,
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
    if plan.rate_rps.is_some() && plan.duration.is_none() {
        return Err(LoadError::Endless);
    }
    let pictures = prepare(client, plan)?;
    let common = &Common { client, plan, stop, meter, observe, pictures };
    // Clients wait at the gate until all are there. If they cannot be, they find no start.
    let (gate, start) = (&Mutex::new(()), &OnceLock::new());
    std::thread::scope(|scope| {
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for number in 0..plan.clients {
            let client = move || {
                drop(gate.lock());
                if let Some(start) = start.get() {
                    run_client(common, number, start);
                }
            };
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            if let Err(cause) = thread.spawn_scoped(scope, client) {
                let wanted = plan.clients;
                return Err(LoadError::Threads { started: number, wanted, cause });
            }
        }
        let now = Start::now(plan);
        if plan.warm_up.is_some() {
            meter.restart(now.counted_from);
        }
        start.get_or_init(|| now);
        drop(closed);
        Ok(())
    })
}

fn run_client(common: &Common<'_>, number: usize, start: &Start) {
    keep_time_well();
    let own = (common.plan.clients > SHARED_POOL_MAX).then(|| common.client.with_own_connections());
    let client = own.as_ref().unwrap_or(common.client);
    let context = Context { client, plan: common.plan, pictures: &common.pictures };
    match &start.schedule {
        None => run_closed(common, &context, number, start),
        Some(schedule) => run_open(common, &context, number, start, schedule),
    }
}

fn run_closed(common: &Common<'_>, context: &Context<'_>, number: usize, start: &Start) {
    let plan = common.plan;
    let mut random = Random::stream(plan.seed, number as u64);
    let mut next_start = start.begin;
    let mut counted = 0;
    for sequence in 0.. {
        if plan.requests.is_some_and(|most| counted >= most) {
            return;
        }
        let now = clock::now();
        let wait = next_start.saturating_duration_since(now);
        if start.until.is_some_and(|until| now + wait >= until) || common.stop.wait(wait) {
            return;
        }
        if let Some(pace) = plan.pace {
            // A late request does not make the next ones hurry: a burst after a failover would
            // hide how the service behaves at the steady rate.
            next_start = clock::now().max(next_start + pace);
        }
        // The prefix was checked before the threads were started.
        let Ok(id) = record_id(plan, number, sequence) else { return };
        let first = number + sequence as usize;
        let first = if plan.sticky { number } else { context.client.less_busy(first) };
        let done = one(context, first, id, &mut random, None);
        counted += u64::from(done.started >= start.counted_from);
        common.report(&done);
    }
}

fn run_open(
    common: &Common<'_>,
    context: &Context<'_>,
    number: usize,
    start: &Start,
    schedule: &Schedule,
) {
    let plan = common.plan;
    let mut random = Random::stream(plan.seed, number as u64);
    let give_up = start.until.map(|until| until + OVERDUE_MAX);
    for sequence in 0.. {
        let Some((ticket, due)) = schedule.take() else { return };
        let now = clock::now();
        if common.stop.wait(due.saturating_duration_since(now)) {
            return;
        }
        let Ok(id) = record_id(plan, number, sequence) else { return };
        let first = if plan.sticky { number } else { context.client.less_busy(ticket as usize) };
        let done = if give_up.is_some_and(|give_up| now > give_up) {
            never_sent(plan, id, due, now)
        } else {
            one(context, first, id, &mut random, Some(due))
        };
        common.report(&done);
    }
}

/// A request that stayed overdue for so long that the load ended without it.
fn never_sent(plan: &LoadPlan, id: RecordId, due: Instant, now: Instant) -> Done {
    let cause = format!("overdue and never sent: all {} clients were busy", plan.clients);
    Done {
        id,
        mode: plan.mix.modes().next().unwrap_or(Mode::Embed),
        started: due,
        sent: now,
        ended: now,
        outcome: Outcome::Failed(cause),
        checked: Checked::Not,
        server: None,
        attempts: 0,
    }
}

impl Common<'_> {
    fn report(&self, done: &Done) {
        self.meter.record(done);
        (self.observe)(done);
    }
}

impl Start {
    fn now(plan: &LoadPlan) -> Self {
        let begin = clock::now();
        let warm_up = plan.warm_up.unwrap_or_default();
        let schedule = plan.rate_rps.zip(plan.duration);
        let schedule =
            schedule.map(|(rate_rps, duration)| Schedule::new(begin, rate_rps, warm_up + duration));
        let counted_from = begin + warm_up;
        let until = plan.duration.map(|duration| counted_from + duration);
        Self { begin, counted_from, until, schedule }
    }
}

/// Waits of this thread end within a microsecond or so of when they should, and not within
/// Linux's usual 50: in an open loop that would be added to each latency.
fn keep_time_well() {
    #[cfg(target_os = "linux")]
    {
        // Where it is not allowed, times are a little longer, and honest.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000));
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::client::{Patience, Servers};

    fn plan() -> LoadPlan {
        LoadPlan {
            mix: Mode::Commit.into(),
            clients: 3,
            requests: Some(4),
            secret_bytes: 16,
            seed: 1,
            id_prefix: fresh_prefix("test"),
            ..LoadPlan::default()
        }
    }

    /// A client of a port that refuses, with little patience.
    fn client_of_nobody() -> Client {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string().parse().unwrap();
        let patience = Patience { deadline: Duration::from_millis(20), ..Patience::default() };
        Client::new(Servers::new([server]).unwrap(), patience, Stop::new())
    }

    fn run_and_count(plan: &LoadPlan) -> (usize, super::super::meter::Totals) {
        let client = client_of_nobody();
        let (meter, seen) = (Meter::start(), Mutex::new(Vec::new()));
        let observe = |done: &Done| seen.lock().unwrap().push(done.id.clone());
        run(&client, plan, &Stop::new(), &meter, &observe).unwrap();
        let mut ids = seen.into_inner().unwrap();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "an id was used twice");
        (all, meter.finish())
    }

    #[test]
    fn every_client_makes_every_request_under_its_own_id() {
        let (made, totals) = run_and_count(&plan());
        assert_eq!(made, 12);
        assert_eq!((totals.ok, totals.failed, totals.unknown), (0, 12, 0));
        assert!(totals.failures[0].0.contains("connection refused"), "{:?}", totals.failures);
    }

    #[test]
    fn an_open_loop_makes_as_many_requests_as_were_due_however_slow_they_are() {
        // Each takes 20 ms, so two clients fall behind 200 a second.
        let rate_rps = Some(200.0);
        let duration = Some(Duration::from_millis(300));
        let warm_up = Some(Duration::from_millis(100));
        let clients = 2;
        let open = LoadPlan { rate_rps, duration, warm_up, clients, requests: None, ..plan() };
        let (made, totals) = run_and_count(&open);
        assert_eq!((made, totals.failed), (80, 60));
        assert!(totals.send_delay.max.unwrap() > 100.0, "{totals:?}");
        let endless = LoadPlan { duration: None, ..open };
        let refused =
            run(&client_of_nobody(), &endless, &Stop::new(), &Meter::start(), &|_: &Done| {});
        assert!(matches!(refused, Err(LoadError::Endless)));
    }

    #[test]
    fn requests_of_the_warm_up_are_made_and_not_counted() {
        let warm_up = Some(Duration::from_millis(60));
        let (made, totals) = run_and_count(&LoadPlan { warm_up, ..plan() });
        assert_eq!(totals.failed, 12);
        assert!(made > 12, "{made}");
    }

    #[test]
    fn many_clients_have_connections_of_their_own() {
        let clients = SHARED_POOL_MAX + 1;
        let (made, _) = run_and_count(&LoadPlan { clients, requests: Some(1), ..plan() });
        assert_eq!(made, clients);
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
}
