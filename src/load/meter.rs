//! Counts what all clients of a load report, second by second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::gap::Gaps;
use super::generator::{Done, Outcome};
use super::histogram::{Latencies, Percentiles};
use crate::clock::{self, Instant, millis};

/// Different failures that are remembered, for people; the rest are only counted.
const FAILURES_KEPT_MAX: usize = 8;
/// Seconds of timeline that are kept: a day. Later seconds are in the totals only.
const TIMELINE_MAX: usize = 24 * 3600;

/// One second of a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Second {
    /// Seconds since the load began, at the start of this one.
    pub t_s: f64,
    pub ok: u64,
    pub failed: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// The last leader known in this second.
    pub leader: Option<String>,
}

/// Requests answered by, or failed at, one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PerNode {
    pub ok: u64,
    pub failed: u64,
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
    pub duration: Duration,
    pub latency: Percentiles,
    pub max_gap: Duration,
    /// By number in the list of servers.
    pub per_server: BTreeMap<usize, PerNode>,
    pub timeline: Vec<Second>,
    /// What failed and how often, the first few kinds.
    pub failures: Vec<(String, u64)>,
}

#[derive(Debug)]
struct Sheet {
    ok: u64,
    failed: u64,
    unknown: u64,
    retried: u64,
    latency: Latencies,
    gaps: Gaps,
    per_server: BTreeMap<usize, PerNode>,
    timeline: Vec<Second>,
    second: Second,
    second_latency: Latencies,
    leader: Option<String>,
    failures: Vec<(String, u64)>,
    last_done: Instant,
}

/// Shared by all clients of a load. Cheap: a short lock a request.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    sheet: Mutex<Sheet>,
}

impl Meter {
    /// Begins now.
    pub fn start() -> Self {
        let started = clock::now();
        let sheet = Sheet {
            ok: 0,
            failed: 0,
            unknown: 0,
            retried: 0,
            latency: Latencies::new(3),
            gaps: Gaps::new(started),
            per_server: BTreeMap::new(),
            timeline: Vec::new(),
            second: empty_second(0, None),
            second_latency: Latencies::new(2),
            leader: None,
            failures: Vec::new(),
            last_done: started,
        };
        Self { started, sheet: Mutex::new(sheet) }
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one finished request.
    pub fn record(&self, done: &Done) {
        let mut sheet = self.sheet();
        sheet.advance(done.ended.saturating_duration_since(self.started));
        sheet.last_done = sheet.last_done.max(done.ended);
        sheet.retried += u64::from(done.attempts > 1);
        let server = done.server.unwrap_or(usize::MAX);
        let ok = matches!(done.outcome, Outcome::Ok { .. });
        if done.server.is_some() {
            let per_server = sheet.per_server.entry(server).or_default();
            per_server.ok += u64::from(ok);
            per_server.failed += u64::from(!ok);
        }
        match &done.outcome {
            Outcome::Ok { .. } => {
                let latency = done.ended.saturating_duration_since(done.started);
                sheet.ok += 1;
                sheet.second.ok += 1;
                sheet.latency.record(latency);
                sheet.second_latency.record(latency);
                sheet.gaps.success(done.ended);
            }
            Outcome::Failed(cause) | Outcome::Unknown(cause) => {
                sheet.failed += 1;
                sheet.second.failed += 1;
                sheet.unknown += u64::from(matches!(done.outcome, Outcome::Unknown(_)));
                sheet.remember(cause);
            }
        }
    }

    /// Told by whoever watches the cluster.
    pub fn set_leader(&self, leader: Option<String>) {
        let mut sheet = self.sheet();
        sheet.advance(clock::now().saturating_duration_since(self.started));
        if leader.is_some() {
            sheet.second.leader.clone_from(&leader);
            sheet.leader = leader;
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

    /// The totals until the last finished request: what comes after it is no gap, as nobody asked.
    pub fn finish(&self) -> Totals {
        let mut sheet = self.sheet();
        let until = sheet.last_done;
        let mut timeline = sheet.timeline.clone();
        if sheet.second.ok + sheet.second.failed > 0 {
            sheet.close_second();
            timeline.push(sheet.second.clone());
        }
        Totals {
            ok: sheet.ok,
            failed: sheet.failed,
            unknown: sheet.unknown,
            retried: sheet.retried,
            duration: until - self.started,
            latency: sheet.latency.percentiles(),
            max_gap: sheet.gaps.longest(until),
            per_server: sheet.per_server.clone(),
            timeline,
            failures: sheet.failures.clone(),
        }
    }
}

impl Sheet {
    /// Closes the seconds that are over at `elapsed`.
    fn advance(&mut self, elapsed: Duration) {
        let current = elapsed.as_secs();
        while (self.second.t_s as u64) < current && self.timeline.len() < TIMELINE_MAX {
            self.close_second();
            let next = empty_second(self.second.t_s as u64 + 1, self.leader.clone());
            self.timeline.push(std::mem::replace(&mut self.second, next));
            self.second_latency.clear();
        }
    }

    fn close_second(&mut self) {
        self.second.p50_ms = self.second_latency.quantile_ms(0.5);
        self.second.p99_ms = self.second_latency.quantile_ms(0.99);
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

fn empty_second(second: u64, leader: Option<String>) -> Second {
    Second { t_s: second as f64, ok: 0, failed: 0, p50_ms: None, p99_ms: None, leader }
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
        Done {
            id: "x".parse().unwrap(),
            started: ended - Duration::from_millis(took_ms),
            ended,
            outcome,
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
        assert_eq!(totals.per_server[&1], PerNode { ok: 1, failed: 1 });
        assert!((totals.error_rate() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(totals.failures, [("down".to_owned(), 1)]);
    }

    #[test]
    fn an_unknown_outcome_counts_as_failed_and_apart() {
        let meter = Meter::start();
        meter.record(&done(&meter, 5, 1, Outcome::Unknown("lost".into()), 0));
        let totals = meter.finish();
        assert_eq!((totals.ok, totals.failed, totals.unknown), (0, 1, 1));
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
