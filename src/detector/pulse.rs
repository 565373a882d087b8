//! Pulses: what a leader says by the connections that its watchers hold, and what they make of it.
//!
//! A pulse says how soon the next one comes. A *calm* leader, that nobody asked anything for a
//! while, sends fewer; the first request makes it quick again from the next pulse on.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::{self, Instant};
use crate::config::Timings;
use crate::observe::recent::Recent;

/// For so long after a request that consensus had to answer a leader is not calm.
pub const BUSY_FOR: Duration = Duration::from_secs(2);

/// When a leader's pulses come: at the same moments for all who watch it, so that it wakes up once
/// for all of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pulses {
    begun: Instant,
    quick: Duration,
    calm: Duration,
    /// Requests that consensus had to answer.
    requests: Recent,
}

impl Pulses {
    pub fn new(timings: &Timings, requests: Recent) -> Self {
        let begun = clock::now();
        Self { begun, quick: quick(timings), calm: calm(timings), requests }
    }

    fn period(&self) -> Duration {
        if self.requests.is() { self.quick } else { self.calm }
    }

    /// The first moment after `now` for a pulse of the present rhythm.
    pub fn first(&self, now: Instant) -> Instant {
        self.after(now, self.period())
    }

    /// What a pulse says now, and when the next one is due: then or sooner.
    pub fn beat(&self, now: Instant) -> (Bytes, Instant) {
        let period = self.period();
        (frame(period), self.after(now, period))
    }

    fn after(&self, now: Instant, period: Duration) -> Instant {
        let into = now.saturating_duration_since(self.begun).as_nanos() % period.as_nanos();
        now + period.saturating_sub(Duration::from_nanos(into as u64))
    }
}

fn quick(timings: &Timings) -> Duration {
    Duration::from_millis(timings.probe_interval_ms.max(1))
}

fn calm(timings: &Timings) -> Duration {
    Duration::from_millis(timings.calm_pulse_ms().max(1))
}

/// Milliseconds until the next pulse, as a line of decimal digits.
fn frame(next: Duration) -> Bytes {
    format!("{}\n", next.as_millis()).into()
}

/// How long the next pulse after this one may take. A leader that says nothing of it (an earlier
/// version's pulse is a dot), or what nobody should believe, is held to the watcher's own `timings`.
pub(super) fn promised(frame: &[u8], timings: &Timings) -> Duration {
    let text = std::str::from_utf8(frame).unwrap_or_default();
    // Several may come together: the last counts.
    let said = text.lines().next_back().and_then(|line| line.parse().ok());
    let quick = quick(timings);
    said.map_or(quick, Duration::from_millis).clamp(quick, calm(timings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_a_believable_promise_is_believed() {
        let timings = Timings::default();
        for (frame, ms) in [
            ("100\n", 100),
            ("25\n", 25),
            ("50\n", 50),
            ("100\n25\n", 25),
            ("25\n100\n", 100),
            (".", 25),
            ("..", 25),
            ("", 25),
            ("0\n", 25),
            ("-1\n", 25),
            ("1e3\n", 25),
            ("3600000\n", 100),
            ("99999999999999999999999\n", 25),
        ] {
            assert_eq!(promised(frame.as_bytes(), &timings), self::ms(ms), "{frame:?}");
        }
        assert_eq!(promised(&[0xff, b'9'], &timings), ms(25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_calm_when_nobody_asked_it_for_a_while() {
        let requests = Recent::new(BUSY_FOR);
        let pulses = Pulses::new(&Timings::default(), requests.clone());
        let begun = clock::now();
        tokio::time::advance(ms(10)).await;
        assert_eq!(pulses.first(clock::now()), begun + ms(25));
        let mut calm = Vec::new();
        let mut next = pulses.first(clock::now());
        while begun.elapsed() < ms(3000) {
            tokio::time::advance(next - clock::now()).await;
            let now = clock::now();
            // The first request comes while it is calm.
            if begun.elapsed() >= ms(2600) && calm.len() == 6 {
                requests.note();
            }
            let (said, due) = pulses.beat(now);
            let promise = promised(&said, &Timings::default());
            assert!(due > now && due <= now + promise, "never later than it said");
            assert_eq!((due - begun).as_millis() % promise.as_millis(), 0, "all at one moment");
            if promise == ms(100) {
                calm.push((now - begun).as_millis());
            }
            next = due;
        }
        assert_eq!(calm, [2000, 2100, 2200, 2300, 2400, 2500]);
        // One that could not run for a while goes on in step.
        tokio::time::advance(ms(33)).await;
        let (_, due) = pulses.beat(clock::now());
        assert_eq!((due - begun).as_millis() % 25, 0);
    }
}
