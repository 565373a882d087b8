//! Counts what all clients of a load report, second by second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gap::Gaps;
use super::generator::{Checked, Done, Outcome};
use super::histogram::{Latencies, Percentiles};
use super::mix::Mode;
use super::timeline::{Second, Timeline};
use crate::clock::{self, Instant, millis};

/// Different failures that are remembered, for people; the rest are only counted.
const FAILURES_KEPT_MAX: usize = 8;
/// Seconds of timeline that are kept: a day. Later seconds are in the totals only.
const TIMELINE_MAX: usize = 24 * 3600;
/// Finer slices, so that the picture of a short run shows something. Later ones are in the
/// seconds only.
const SLICE: Duration = Duration::from_millis(100);
const SLICES_MAX: usize = 1200;

/// Requests of one kind, or answered by, or failed at, one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub ok: u64,
    pub failed: u64,
    pub latency: Latencies,
}

impl Default for Part {
    fn default() -> Self {
        Self { ok: 0, failed: 0, latency: Latencies::new(2) }
    }
}

impl Part {
    fn record(&mut self, ok: bool, latency: Duration) {
        if ok {
            self.ok += 1;
            self.latency.record(latency);
        } else {
            self.failed += 1;
        }
    }
}

/// Everything counted, at the end of a load.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    pub ok: u64,
    /// With those whose outcome is unknown.
    pub failed: u64,
    pub unknown: u64,
    /// Requests that needed more than one attempt.
    pub retried: u64,
    /// Results that were read back and were what they should be, and that were not.
    pub verified: u64,
    pub mismatched: u64,
    pub duration: Duration,
    /// From when a request was due.
    pub latency: Percentiles,
    /// The same, with every value.
    pub distribution: Latencies,
    /// From when a request was sent: without the time it waited for a free client.
    pub service: Percentiles,
    /// From when a request was due until it was sent.
    pub send_delay: Percentiles,
    pub max_gap: Duration,
    pub by_mode: BTreeMap<Mode, Part>,
    /// By number in the list of servers.
    pub per_server: BTreeMap<usize, Part>,
    pub timeline: Vec<Second>,
    /// The first two minutes in slices of 100 ms.
    pub slices: Vec<Second>,
    /// What failed and how often, the first few kinds.
    pub failures: Vec<(String, u64)>,
}

/// How a load is going.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    pub ok: u64,
    pub failed: u64,
    /// The last whole second; its successes are the rate.
    pub last: Option<Second>,
    /// Since counting began; zero during the warm-up.
    pub elapsed: Duration,
}

#[derive(Debug)]
struct Sheet {
    started: Instant,
    ok: u64,
    failed: u64,
    unknown: u64,
    retried: u64,
    verified: u64,
    mismatched: u64,
    latency: Latencies,
    service: Latencies,
    send_delay: Latencies,
    gaps: Gaps,
    by_mode: BTreeMap<Mode, Part>,
    per_server: BTreeMap<usize, Part>,
    seconds: Timeline,
    slices: Timeline,
    failures: Vec<(String, u64)>,
    last_done: Instant,
}

/// Shared by all clients of a load. Cheap: a short lock a request.
#[derive(Debug)]
pub struct Meter {
    sheet: Mutex<Sheet>,
}

impl Meter {
    /// Begins now.
    pub fn start() -> Self {
        Self { sheet: Mutex::new(Sheet::new(clock::now())) }
    }

    /// Forgets everything but who leads, and counts requests that are due from `started` on.
    pub fn restart(&self, started: Instant) {
        let mut sheet = self.sheet();
        let leader = sheet.seconds.leader();
        *sheet = Sheet::new(started);
        if let Some(leader) = leader {
            sheet.set_leader(leader);
        }
    }

    pub fn started(&self) -> Instant {
        self.sheet().started
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one finished request, unless it is from before the beginning.
    pub fn record(&self, done: &Done) {
        let mut sheet = self.sheet();
        if done.started >= sheet.started {
            sheet.record(done);
        }
    }

    /// Told by whoever watches the cluster.
    pub fn set_leader(&self, leader: Option<String>) {
        let mut sheet = self.sheet();
        sheet.advance(clock::now());
        if let Some(leader) = leader {
            sheet.set_leader(leader);
        }
    }

    /// See [`Gaps::open_window`].
    pub fn open_gap_window(&self, from: Instant) {
        self.sheet().gaps.open_window(from);
    }

    /// See [`Gaps::close_window`].
    pub fn close_gap_window(&self, at: Instant) -> Option<Duration> {
        self.sheet().gaps.close_window(at)
    }

    /// Requests that are done: successful, failed.
    pub fn counts(&self) -> (u64, u64) {
        let sheet = self.sheet();
        (sheet.ok, sheet.failed)
    }

    pub fn live(&self) -> Live {
        let mut sheet = self.sheet();
        let now = clock::now();
        sheet.advance(now);
        Live {
            ok: sheet.ok,
            failed: sheet.failed,
            last: sheet.seconds.last_closed().cloned(),
            elapsed: now.saturating_duration_since(sheet.started),
        }
    }

    /// The totals until the last finished request: what comes after it is no gap, as nobody asked.
    pub fn finish(&self) -> Totals {
        let sheet = self.sheet();
        let until = sheet.last_done;
        Totals {
            ok: sheet.ok,
            failed: sheet.failed,
            unknown: sheet.unknown,
            retried: sheet.retried,
            verified: sheet.verified,
            mismatched: sheet.mismatched,
            duration: until - sheet.started,
            latency: sheet.latency.percentiles(),
            distribution: sheet.latency.clone(),
            service: sheet.service.percentiles(),
            send_delay: sheet.send_delay.percentiles(),
            max_gap: sheet.gaps.longest(until),
            by_mode: sheet.by_mode.clone(),
            per_server: sheet.per_server.clone(),
            timeline: sheet.seconds.rows(),
            slices: sheet.slices.rows(),
            failures: sheet.failures.clone(),
        }
    }
}

impl Sheet {
    fn new(started: Instant) -> Self {
        Self {
            started,
            ok: 0,
            failed: 0,
            unknown: 0,
            retried: 0,
            verified: 0,
            mismatched: 0,
            latency: Latencies::new(3),
            service: Latencies::new(3),
            send_delay: Latencies::new(3),
            gaps: Gaps::new(started),
            by_mode: BTreeMap::new(),
            per_server: BTreeMap::new(),
            seconds: Timeline::new(Duration::from_secs(1), TIMELINE_MAX),
            slices: Timeline::new(SLICE, SLICES_MAX),
            failures: Vec::new(),
            last_done: started,
        }
    }

    fn set_leader(&mut self, leader: String) {
        self.seconds.set_leader(leader.clone());
        self.slices.set_leader(leader);
    }

    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.started);
        self.seconds.advance(elapsed);
        self.slices.advance(elapsed);
    }

    fn record(&mut self, done: &Done) {
        self.advance(done.ended);
        self.last_done = self.last_done.max(done.ended);
        self.retried += u64::from(done.attempts > 1);
        match done.checked {
            Checked::Not => {}
            Checked::Right => self.verified += 1,
            Checked::Wrong => self.mismatched += 1,
        }
        let latency = done.ended.saturating_duration_since(done.started);
        let ok = matches!(done.outcome, Outcome::Ok { .. });
        if let Some(server) = done.server {
            self.per_server.entry(server).or_default().record(ok, latency);
        }
        self.by_mode.entry(done.mode).or_default().record(ok, latency);
        if done.attempts > 0 {
            self.send_delay.record(done.sent.saturating_duration_since(done.started));
        }
        match &done.outcome {
            Outcome::Ok { .. } => {
                self.ok += 1;
                self.latency.record(latency);
                self.service.record(done.ended.saturating_duration_since(done.sent));
                self.seconds.success(latency);
                self.slices.success(latency);
                self.gaps.success(done.ended);
            }
            Outcome::Failed(cause) | Outcome::Unknown(cause) => {
                self.failed += 1;
                self.seconds.failure();
                self.slices.failure();
                self.unknown += u64::from(matches!(done.outcome, Outcome::Unknown(_)));
                self.remember(cause);
            }
        }
    }

    fn remember(&mut self, cause: &str) {
        let room = self.failures.len() < FAILURES_KEPT_MAX;
        match self.failures.iter_mut().find(|(known, _)| known == cause) {
            Some((_, count)) => *count += 1,
            None if room => self.failures.push((cause.to_owned(), 1)),
            None => {}
        }
    }
}

impl Totals {
    /// Share of requests that failed, 0 to 1.
    pub fn error_rate(&self) -> f64 {
        let all = self.ok + self.failed;
        if all == 0 { 0.0 } else { self.failed as f64 / all as f64 }
    }

    /// Successful requests a second.
    pub fn throughput_rps(&self) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 { self.ok as f64 / seconds } else { 0.0 }
    }

    pub fn max_gap_ms(&self) -> f64 {
        millis(self.max_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Digest;

    fn done(meter: &Meter, at_ms: u64, took_ms: u64, outcome: Outcome, server: usize) -> Done {
        let ended = meter.started() + Duration::from_millis(at_ms);
        let started = ended - Duration::from_millis(took_ms);
        Done {
            id: "x".parse().unwrap(),
            mode: Mode::Commit,
            started,
            sent: started,
            ended,
            outcome,
            checked: Checked::Not,
            server: Some(server),
            attempts: 1,
        }
    }

    fn ok() -> Outcome {
        Outcome::Ok { digest: Some(Digest::of(b"")) }
    }

    #[test]
    fn seconds_without_requests_are_in_the_timeline() {
        let meter = Meter::start();
        meter.record(&done(&meter, 100, 10, ok(), 0));
        meter.record(&done(&meter, 2500, 20, ok(), 1));
        meter.record(&done(&meter, 2600, 20, Outcome::Failed("down".into()), 1));
        let totals = meter.finish();
        let counts: Vec<(f64, u64, u64)> =
            totals.timeline.iter().map(|second| (second.t_s, second.ok, second.failed)).collect();
        assert_eq!(counts, [(0.0, 1, 0), (1.0, 0, 0), (2.0, 1, 1)]);
        assert_eq!(totals.timeline[1].p50_ms, None);
        assert_eq!(totals.max_gap, Duration::from_millis(2400));
        assert_eq!(totals.duration, Duration::from_millis(2600));
        assert_eq!((totals.per_server[&1].ok, totals.per_server[&1].failed), (1, 1));
        assert_eq!(totals.slices.len(), 27);
        assert!((totals.error_rate() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(totals.failures, [("down".to_owned(), 1)]);
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due_and_service_from_when_it_was_sent() {
        let meter = Meter::start();
        let late = done(&meter, 1000, 900, ok(), 0);
        meter.record(&Done { sent: late.ended - Duration::from_millis(5), ..late });
        let totals = meter.finish();
        let near = |found: Option<f64>, ms: f64| (found.unwrap() - ms).abs() < 1.0;
        assert!(near(totals.latency.p50, 900.0) && near(totals.service.p50, 5.0), "{totals:?}");
        assert!(near(totals.send_delay.max, 895.0), "{totals:?}");
    }

    #[test]
    fn what_was_due_before_the_beginning_does_not_count() {
        let meter = Meter::start();
        meter.record(&done(&meter, 300, 10, ok(), 0));
        meter.restart(meter.started() + Duration::from_secs(2));
        meter.record(&done(&meter, 5, 10, ok(), 0));
        meter.record(&done(&meter, 50, 10, ok(), 0));
        let totals = meter.finish();
        assert_eq!((totals.ok, totals.max_gap), (1, Duration::from_millis(50)));
        assert_eq!(totals.duration, Duration::from_millis(50));
    }

    #[test]
    fn an_unknown_outcome_counts_as_failed_and_apart() {
        let meter = Meter::start();
        let unknown = done(&meter, 5, 1, Outcome::Unknown("lost".into()), 0);
        meter.record(&Done { checked: Checked::Wrong, ..unknown });
        let totals = meter.finish();
        assert_eq!((totals.ok, totals.failed, totals.unknown), (0, 1, 1));
        assert_eq!((totals.verified, totals.mismatched), (0, 1));
        assert_eq!(totals.by_mode[&Mode::Commit].failed, 1);
    }

    #[test]
    fn few_kinds_of_failure_are_kept() {
        let meter = Meter::start();
        for number in 0..100 {
            let cause = Outcome::Failed(format!("cause {}", number % 20));
            meter.record(&done(&meter, 1, 1, cause, 0));
        }
        let totals = meter.finish();
        assert_eq!(totals.failures.len(), FAILURES_KEPT_MAX);
        assert_eq!((totals.failures[0].1, totals.failed), (5, 100));
    }
}
