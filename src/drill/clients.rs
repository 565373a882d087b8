//! The clients of a drill: some embed, some enter small records, some read what the others write.
//! Each is a thread, asks, waits for the answer, and asks again at its pace; each operation goes
//! into the history with how it ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::history::{Act, Call, Ended, History, Part};
use super::plan::DrillPlan;
use crate::client::{Answer, CallError, Client, ClientError, EmbedRequest, Server, Stop};
use crate::clock::{self, Instant};
use crate::ident::RecordId;
use crate::load::Gaps;
use crate::load::histogram::Latencies;
use crate::load::random::Random;
use crate::record::{Digest, Durability};

/// Between two reads of one node's reader.
const READ_EVERY: Duration = Duration::from_millis(25);
/// The same where there is no load: enough for the check, too few to disturb what is measured.
const READ_IDLE_EVERY: Duration = Duration::from_millis(250);

/// When the load's writes succeeded, and how long they took.
pub(super) struct Pulse(Mutex<Beats>);

struct Beats {
    gaps: Gaps,
    latencies: Latencies,
    successes: u64,
    last_done: Instant,
}

impl Pulse {
    /// Begins now.
    pub fn start() -> Self {
        let now = clock::now();
        let beats = Beats {
            gaps: Gaps::new(now),
            latencies: Latencies::new(3),
            successes: 0,
            last_done: now,
        };
        Self(Mutex::new(beats))
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, called: Instant, ended: Instant, ok: bool) {
        let mut beats = self.beats();
        beats.last_done = beats.last_done.max(ended);
        if ok {
            beats.successes += 1;
            beats.gaps.success(ended);
            beats.latencies.record(ended.saturating_duration_since(called));
        }
    }

    /// See [`Gaps::open_window`].
    pub fn open_gap_window(&self) {
        self.beats().gaps.open_window(clock::now());
    }

    /// See [`Gaps::close_window`].
    pub fn close_gap_window(&self) -> Option<Duration> {
        self.beats().gaps.close_window(clock::now())
    }

    pub fn successes(&self) -> u64 {
        self.beats().successes
    }

    /// Until the last request that ended: what comes after it is no gap, as nobody asked.
    pub fn longest_gap(&self) -> Duration {
        let beats = self.beats();
        beats.gaps.longest(beats.last_done)
    }

    /// Of the writes that succeeded.
    pub fn p99_ms(&self) -> Option<f64> {
        self.beats().latencies.quantile_ms(0.99)
    }
}

/// What all clients of a drill share.
pub(super) struct Clients<'a> {
    pub client: &'a Client,
    pub plan: &'a DrillPlan,
    pub history: &'a History,
    pub pulse: &'a Pulse,
    pub stop: &'a Stop,
}

impl Clients<'_> {
    /// Runs until stopped.
    pub fn run(&self) {
        let prefix = format!("drill-{}", clock::fresh_time_ordered_uuid().simple());
        let servers = self.client.servers().len();
        // One more for each server enters small records, whose short pace makes the gap
        // fine-grained. Each begins with a server of its own, as one behind a load balancer does:
        // a silent server holds up only its own clients.
        let committers = if self.plan.clients > 0 { servers } else { 0 };
        std::thread::scope(|scope| {
            for number in 0..self.plan.clients {
                let prefix = format!("{prefix}-e{number}");
                scope.spawn(move || self.write(Act::Embed, number, &prefix));
            }
            for number in 0..committers {
                let prefix = format!("{prefix}-c{number}");
                scope.spawn(move || self.write(Act::Commit, number, &prefix));
            }
            for (number, server) in self.client.servers().iter().enumerate() {
                scope.spawn(move || self.read(number, server));
            }
        });
    }

    fn write(&self, act: Act, number: usize, prefix: &str) {
        let pace = Duration::from_millis(self.plan.pace_ms);
        let mut random = Random::stream(self.plan.seed, 16 + number as u64);
        let mut next = clock::now();
        for sequence in 0_u64.. {
            if self.stop.wait(next.saturating_duration_since(clock::now())) {
                return;
            }
            // A late request does not make the next ones hurry: a burst after a failover would
            // hide how the service behaves at the steady rate.
            next = clock::now().max(next + pace);
            // The prefix is made of letters, digits and dashes, which ids may be made of.
            let Ok(id) = format!("{prefix}-{sequence}").parse::<RecordId>() else { return };
            self.write_one(act, number, id, &mut random);
        }
    }

    fn write_one(&self, act: Act, first: usize, id: RecordId, random: &mut Random) {
        let client = self.client;
        let secret = if act == Act::Embed { random.bytes(self.plan.secret_bytes) } else { vec![] };
        let call = self.history.call(Part::Load, act, id.clone());
        let called = call.called;
        let (server, attempts, result) = if act == Act::Embed {
            let request = EmbedRequest { secret: &secret, ..EmbedRequest::default() };
            told(first, client.embed_picture(first, &id, &request), |picture| {
                let local = picture.durability == Some(Durability::Local);
                Ended::Ok { digest: Digest::of(&picture.png), local }
            })
        } else {
            told(first, client.commit(first, &id), |record| {
                let local = record.durability == Durability::Local;
                Ended::Ok { digest: record.stego_sha256, local }
            })
        };
        let ok = matches!(result, Ended::Ok { .. });
        let ended = self.history.end(call, server, attempts, result);
        self.pulse.done(called, ended, ok);
    }

    /// Reads at `server` and no other: any node must show what any other acknowledged.
    fn read(&self, number: usize, server: &Server) {
        let every = if self.plan.clients > 0 { READ_EVERY } else { READ_IDLE_EVERY };
        let mut random = Random::stream(self.plan.seed, 4096 + number as u64);
        while !self.stop.wait(every) {
            let Some(id) = self.history.recent(|many| random.below(many)) else { continue };
            let call = self.history.call(Part::Reader, Act::Read, id.clone());
            let result = match self.client.record_of(server, &id) {
                Ok(view) => Ended::Found { digest: Some(view.record.stego_sha256) },
                Err(ClientError::Refused { status: 404, .. }) => Ended::Found { digest: None },
                Err(error) => Ended::Failed { cause: error.to_string() },
            };
            self.history.end(call, Some(number), 1, result);
        }
    }
}

/// Who answered, after how many attempts, and what it means.
fn told<T>(
    first: usize,
    called: Result<Answer<T>, CallError>,
    acknowledged: impl FnOnce(T) -> Ended,
) -> (Option<usize>, u32, Ended) {
    match called {
        Ok(answer) => {
            (answer.server_index.or(Some(first)), answer.attempts, acknowledged(answer.value))
        }
        Err(error) => {
            let cause = error.last.to_string();
            let result = if error.outcome_unknown {
                Ended::Unknown { cause }
            } else {
                Ended::Failed { cause }
            };
            (None, error.attempts, result)
        }
    }
}

/// Enters a small record at `server`, once. Says whether it was acknowledged, and by how many.
pub(super) fn commit(
    client: &Client,
    history: &History,
    number: Option<usize>,
    server: &Server,
    within: Duration,
) -> Option<Durability> {
    let id = RecordId::from(clock::fresh_time_ordered_uuid());
    let call: Call = history.call(Part::Probe, Act::Commit, id.clone());
    let (durability, result) = match client.commit_once(server, &id, within) {
        Ok(record) => {
            let local = record.durability == Durability::Local;
            (Some(record.durability), Ended::Ok { digest: record.stego_sha256, local })
        }
        Err(error) => {
            let cause = error.to_string();
            let unknown = error.outcome_unknown();
            (None, if unknown { Ended::Unknown { cause } } else { Ended::Failed { cause } })
        }
    };
    history.end(call, number, 1, result);
    durability
}
