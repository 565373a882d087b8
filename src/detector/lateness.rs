//! How late this node's own runtime runs. A starved machine hears answers late and would
//! take that for the leader's silence, so it first becomes more patient with others.

use std::time::Duration;

use crate::clock::Instant;

/// Timers and threads are late by this much on a healthy machine too.
const TOLERATED: Duration = Duration::from_millis(5);
/// How long the worst lateness is remembered: a machine that was starved may be again.
const REMEMBERED: Duration = Duration::from_secs(2);
/// One late wake-up delays the probe, another one its answer.
const FACTOR: u32 = 2;

/// The worst lateness of the recent past. Two halves of the time remembered, so that old
/// observations fade without keeping each of them.
#[derive(Debug, Clone, Copy)]
pub struct Lateness {
    /// Never wait longer than this for the machine's own sake.
    patience_max: Duration,
    current: Duration,
    previous: Duration,
    half_began: Instant,
}

impl Lateness {
    pub fn new(patience_max: Duration, now: Instant) -> Self {
        Self { patience_max, current: Duration::ZERO, previous: Duration::ZERO, half_began: now }
    }

    /// A wake-up that was due at `due` happened at `now`.
    pub fn woke(&mut self, due: Instant, now: Instant) {
        self.fade(now);
        self.current = self.current.max(now.saturating_duration_since(due));
    }

    /// What to add to the time that others have to answer.
    pub fn patience(&mut self, now: Instant) -> Duration {
        self.fade(now);
        let worst = self.current.max(self.previous);
        if worst <= TOLERATED { Duration::ZERO } else { (worst * FACTOR).min(self.patience_max) }
    }

    fn fade(&mut self, now: Instant) {
        let half = REMEMBERED / 2;
        let halves = now.saturating_duration_since(self.half_began).as_millis() / half.as_millis();
        if halves == 0 {
            return;
        }
        self.previous = if halves == 1 { self.current } else { Duration::ZERO };
        self.current = Duration::ZERO;
        self.half_began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_punctual_machine_adds_no_patience() {
        let start = crate::clock::now();
        let mut lateness = Lateness::new(MAX, start);
        for tick in 1..400 {
            let due = start + ms(25 * tick);
            lateness.woke(due, due + ms(tick % 5));
            assert_eq!(lateness.patience(due), Duration::ZERO);
        }
    }

    #[test]
    fn a_starved_machine_is_patient_and_later_forgets() {
        let start = crate::clock::now();
        let mut lateness = Lateness::new(MAX, start);
        lateness.woke(start + ms(25), start + ms(65));
        assert_eq!(lateness.patience(start + ms(65)), ms(80));
        // Punctual since, but it happened a moment ago.
        for tick in 3..40 {
            lateness.woke(start + ms(25 * tick), start + ms(25 * tick));
            assert_eq!(lateness.patience(start + ms(25 * tick)), ms(80), "{tick}");
        }
        for tick in 41..=120 {
            lateness.woke(start + ms(25 * tick), start + ms(25 * tick));
        }
        assert_eq!(lateness.patience(start + ms(3000)), Duration::ZERO);
    }

    #[test]
    fn patience_has_an_end() {
        let start = crate::clock::now();
        let mut lateness = Lateness::new(MAX, start);
        lateness.woke(start, start + ms(60_000));
        assert_eq!(lateness.patience(start + ms(60_000)), MAX);
    }
}
