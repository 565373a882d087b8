//! When the requests of an open loop are due: at a steady rate, whatever became of the others.
//!
//! Latency is counted from the moment a request is *due*, not from when a client was free to send
//! it. Otherwise a server that stops for a second delays one request of each client and keeps the
//! others from being made, and the second all but vanishes from the percentiles: "coordinated
//! omission" (G. Tene, "How NOT to Measure Latency", 2013; his `wrk2` does the same as this).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Instant;

/// Requests by number, each given to one client.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Instant,
    rate_rps: f64,
    total: u64,
    next: AtomicU64,
}

impl Schedule {
    /// `rate_rps` requests a second, evenly spaced, for `length`.
    pub fn new(begin: Instant, rate_rps: f64, length: Duration) -> Self {
        let total = (rate_rps * length.as_secs_f64()).round() as u64;
        Self { begin, rate_rps, total, next: AtomicU64::new(0) }
    }

    /// The next request's number, and when it is due; `None` after the last.
    pub fn take(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then(|| (number, self.due(number)))
    }

    /// Counted from the beginning each time: added up, roundings would make the rate drift.
    fn due(&self, number: u64) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / self.rate_rps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn requests_are_due_at_a_steady_rate_and_each_is_given_once() {
        let begin = clock::now();
        let schedule = Schedule::new(begin, 400.0, Duration::from_millis(2500));
        let taken: Vec<(u64, Instant)> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(taken.len(), 1000);
        assert_eq!(taken[0], (0, begin));
        assert_eq!(taken[999].1 - begin, Duration::from_micros(2_497_500));
        assert!(schedule.take().is_none());
    }
}
