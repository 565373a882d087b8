//! How many client requests a second, and how fast, over the last minute.
//!
//! Sixty slots of one second, each a count by latency class. Memory is fixed, at some
//! 50 KB, and a quantile is right within 5 %.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Instant};

const SLOTS: usize = 60;
/// Latency classes in a doubling.
const CLASSES_PER_OCTAVE: usize = 8;
/// From 1 us to 2^26 us (67 s), which is longer than any request may take.
const CLASSES: usize = 26 * CLASSES_PER_OCTAVE;

/// Counts requests; a clone counts into the same figures.
#[derive(Debug, Clone)]
pub struct RequestStats {
    minute: Arc<Mutex<Minute>>,
}

#[derive(Debug)]
struct Minute {
    started: Instant,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Slot {
    /// Seconds since `started`, plus one; 0 while never used.
    second: u64,
    classes: [u32; CLASSES],
}

impl Default for RequestStats {
    fn default() -> Self {
        Self { minute: Arc::new(Mutex::new(Minute::new(clock::now()))) }
    }
}

impl RequestStats {
    pub fn record(&self, took: Duration) {
        self.lock().record(clock::now(), took);
    }

    /// Requests a second over the last minute, or since the start if that is less.
    pub fn qps_1m(&self) -> f64 {
        self.lock().qps(clock::now())
    }

    /// The latency that 95 % of the last minute's requests kept, in milliseconds; 0
    /// where there was none.
    pub fn p95_ms(&self) -> f64 {
        self.lock().p95_ms(clock::now())
    }

    /// A panic cannot happen while it is held, so a poisoned lock is as good as another.
    fn lock(&self) -> std::sync::MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn new(started: Instant) -> Self {
        Self { started, slots: vec![Slot { second: 0, classes: [0; CLASSES] }; SLOTS] }
    }

    fn record(&mut self, now: Instant, took: Duration) {
        let second = self.second(now);
        let slot = &mut self.slots[(second % SLOTS as u64) as usize];
        if slot.second != second {
            *slot = Slot { second, classes: [0; CLASSES] };
        }
        slot.classes[class(took)] += 1;
    }

    fn qps(&self, now: Instant) -> f64 {
        let requests: u64 = self.recent(now).map(u64::from).sum();
        let span_s = (now - self.started).as_secs_f64().clamp(1.0, SLOTS as f64);
        requests as f64 / span_s
    }

    fn p95_ms(&self, now: Instant) -> f64 {
        let mut totals = [0_u64; CLASSES];
        for (index, count) in self.recent(now).enumerate() {
            totals[index % CLASSES] += u64::from(count);
        }
        let requests: u64 = totals.iter().sum();
        let rank = (requests * 95).div_ceil(100);
        let mut seen = 0;
        for (class, count) in totals.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return middle_ms(class);
            }
        }
        0.0
    }

    fn second(&self, now: Instant) -> u64 {
        (now - self.started).as_secs() + 1
    }

    /// The classes of every slot of the last minute, one slot after the other.
    fn recent(&self, now: Instant) -> impl Iterator<Item = u32> {
        let second = self.second(now);
        let recent = move |slot: &&Slot| slot.second > 0 && slot.second + SLOTS as u64 > second;
        self.slots.iter().filter(recent).flat_map(|slot| slot.classes)
    }
}

fn class(took: Duration) -> usize {
    let us = took.as_secs_f64() * 1e6;
    let class = (us.max(1.0).log2() * CLASSES_PER_OCTAVE as f64) as usize;
    class.min(CLASSES - 1)
}

/// The geometric middle of a class, in milliseconds.
fn middle_ms(class: usize) -> f64 {
    f64::exp2((class as f64 + 0.5) / CLASSES_PER_OCTAVE as f64) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_and_rate_cover_the_last_minute_only() {
        let start = clock::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut minute = Minute::new(start);
        assert_eq!((minute.qps(start), minute.p95_ms(start)), (0.0, 0.0));
        for _ in 0..10 {
            minute.record(start, Duration::from_secs(2));
        }
        for ms in 1..=1000 {
            minute.record(at(59), Duration::from_micros(ms * 100));
        }
        let p95_ms = minute.p95_ms(at(59));
        assert!((p95_ms - 96.0).abs() < 8.0, "p95 was {p95_ms}");
        assert!((minute.qps(at(59)) - 1010.0 / 59.0).abs() < 0.1);
        assert!((minute.qps(at(90)) - 1000.0 / 60.0).abs() < 0.1, "the first ten are too old");
        assert_eq!((minute.qps(at(119)), minute.p95_ms(at(119))), (0.0, 0.0));
        minute.record(at(120), Duration::from_millis(1));
        assert!(minute.p95_ms(at(120)) < 2.0, "a slot of an earlier minute is emptied");
    }

    #[test]
    fn every_duration_has_a_class() {
        assert_eq!(class(Duration::ZERO), 0);
        assert_eq!(class(Duration::MAX), CLASSES - 1);
        for us in [1, 10, 999, 1_000_000, 60_000_000] {
            let middle_us = middle_ms(class(Duration::from_micros(us))) * 1e3;
            let off = middle_us / us as f64;
            assert!((0.95..1.1).contains(&off), "{us} us became {middle_us}");
        }
    }
}
