//! Wall time and fresh ids. The only place that reads the clock or draws an id.
//!
//! In simulation (`--cfg sim`) time comes from tokio's paused clock, counted from
//! a fixed epoch, and ids from a counter, so that one seed gives one run.

use std::time::Duration;

use uuid::Uuid;

#[cfg(sim)]
pub(crate) use imp::begin;
pub use imp::{fresh_uuid, unix_ms};

/// A monotonic moment. Under simulation it is simulated time.
pub type Instant = tokio::time::Instant;

/// The present, on the monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// A new time-ordered id (UUIDv7, RFC 9562 section 5.7).
pub fn fresh_time_ordered_uuid() -> Uuid {
    imp::fresh_time_ordered_uuid()
}

/// Milliseconds of `duration` as a float, the unit of every report.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(not(sim))]
mod imp {
    use std::time::{SystemTime, UNIX_EPOCH};

    use uuid::Uuid;

    /// Milliseconds since the Unix epoch.
    #[allow(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
    pub fn unix_ms() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
    }

    /// A random id (UUIDv4).
    pub fn fresh_uuid() -> Uuid {
        Uuid::new_v4()
    }

    pub fn fresh_time_ordered_uuid() -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(sim)]
mod imp {
    use std::cell::Cell;

    use uuid::Uuid;

    /// 2024-01-01T00:00:00Z, where every simulation begins.
    const EPOCH_MS: u64 = 1_704_067_200_000;

    thread_local! {
        static START: Cell<Option<super::Instant>> = const { Cell::new(None) };
        static DRAWN: Cell<u128> = const { Cell::new(0) };
    }

    /// Begins a run: the clock at the epoch, the ids at one.
    pub(crate) fn begin() {
        START.set(None);
        DRAWN.set(0);
    }

    pub fn unix_ms() -> u64 {
        let now = super::now();
        let start = START.get().unwrap_or(now);
        START.set(Some(start));
        let ms = EPOCH_MS + (now - start).as_millis() as u64;
        ms.saturating_add_signed(crate::sim::process::clock_ahead_ms())
    }

    pub fn fresh_uuid() -> Uuid {
        DRAWN.set(DRAWN.get() + 1);
        Uuid::from_u128(DRAWN.get())
    }

    pub fn fresh_time_ordered_uuid() -> Uuid {
        Uuid::from_u128((u128::from(unix_ms()) << 80) | fresh_uuid().as_u128())
    }
}
