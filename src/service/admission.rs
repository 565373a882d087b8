//! Who is let in: requests count by the memory that they hold, from before their bodies are
//! read until their answers are taken, against what `memory_mib` leaves for them. Beyond it
//! they are turned away at once, so that whatever is let in can finish.
//!
//! Requests that need much share a part of the memory only: however many of them come, small
//! ones find room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServiceError;
use crate::limits::{LARGE_FRACTION, LARGE_PERCENT};

/// Gives out [`Permit`]s.
#[derive(Debug)]
pub(crate) struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests_max: usize,
    memory_bytes: u64,
    held: Mutex<Held>,
}

/// What all permits hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub requests: usize,
    pub bytes: u64,
    /// Of `bytes`, those of large requests.
    pub large_bytes: u64,
}

/// A place among the requests in progress, and the memory that it holds. Both are given back
/// when it is dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Admission {
    /// For `requests_max` requests at once, and `memory_bytes` for all of them.
    pub(crate) fn new(requests_max: usize, memory_bytes: u64) -> Self {
        Self { shared: Arc::new(Shared { requests_max, memory_bytes, held: Mutex::default() }) }
    }

    /// Never waits: a client that is told to come again can go to another node.
    ///
    /// # Errors
    /// [`ServiceError::Busy`], and those of [`Permit::hold`].
    pub(crate) fn admit(&self, bytes: u64) -> Result<Permit, ServiceError> {
        {
            let mut held = self.shared.lock();
            if held.requests >= self.shared.requests_max {
                return Err(ServiceError::Busy { requests_max: self.shared.requests_max });
            }
            held.requests += 1;
        }
        let mut permit = Permit { shared: Arc::clone(&self.shared), bytes: 0 };
        permit.hold(bytes)?;
        Ok(permit)
    }

    pub(crate) fn held(&self) -> Held {
        *self.shared.lock()
    }
}

impl Permit {
    /// Holds `bytes` from now on, instead of what it held before. Where there is no room it
    /// still holds that.
    ///
    /// # Errors
    /// [`ServiceError::NoMemory`] where others hold too much now, and
    /// [`ServiceError::TooCostly`] where not even an idle node has so much.
    pub fn hold(&mut self, bytes: u64) -> Result<(), ServiceError> {
        let shared = &self.shared;
        let max_bytes = shared.one_max();
        if bytes > max_bytes && bytes > self.bytes {
            return Err(ServiceError::TooCostly { bytes, max_bytes });
        }
        let mut held = shared.lock();
        let all = held.bytes - self.bytes + bytes;
        let large_before = held.large_bytes - shared.large(self.bytes);
        let large = large_before + shared.large(bytes);
        // One alone may have more than the share of all of them.
        let crowded = shared.is_large(bytes)
            && large_before > 0
            && large > shared.memory_bytes / 100 * LARGE_PERCENT;
        if bytes > self.bytes && (all > shared.memory_bytes || crowded) {
            return Err(ServiceError::NoMemory { bytes });
        }
        (held.bytes, held.large_bytes) = (all, large);
        drop(held);
        self.bytes = bytes;
        Ok(())
    }

    /// Holds so much more.
    ///
    /// # Errors
    /// Those of [`Self::hold`].
    pub fn grow(&mut self, bytes: u64) -> Result<(), ServiceError> {
        self.hold(self.bytes.saturating_add(bytes))
    }

    /// Holds `bytes`, if it held more.
    pub fn shrink(&mut self, bytes: u64) {
        let less = self.hold(bytes.min(self.bytes));
        debug_assert!(less.is_ok(), "there is always room for less");
    }

    /// What it holds, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.shared.lock();
        held.requests -= 1;
        held.bytes -= self.bytes;
        held.large_bytes -= self.shared.large(self.bytes);
    }
}

impl Shared {
    /// The critical sections only count, so a poisoned count is right.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_large(&self, bytes: u64) -> bool {
        bytes > self.memory_bytes / LARGE_FRACTION
    }

    /// `bytes`, if they are large.
    fn large(&self, bytes: u64) -> u64 {
        if self.is_large(bytes) { bytes } else { 0 }
    }

    /// What one request may hold: the rest is for small ones.
    fn one_max(&self) -> u64 {
        self.memory_bytes - self.memory_bytes / LARGE_FRACTION * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_requests_are_turned_away_until_one_ends() {
        let admission = Admission::new(2, 1 << 20);
        let first = admission.admit(0).unwrap();
        let _second = admission.admit(0).unwrap();
        assert!(matches!(admission.admit(0), Err(ServiceError::Busy { requests_max: 2 })));
        drop(first);
        assert!(admission.admit(0).is_ok());
    }

    #[test]
    fn memory_is_never_given_twice_and_given_back() {
        let admission = Admission::new(100, 1600);
        let mut first = admission.admit(100).unwrap();
        let rest: Vec<_> = std::iter::from_fn(|| admission.admit(100).ok()).collect();
        assert_eq!((rest.len(), admission.held().bytes), (15, 1600));
        assert!(matches!(first.grow(1), Err(ServiceError::NoMemory { bytes: 101 })));
        assert_eq!((first.bytes(), admission.held().requests), (100, 16));
        first.shrink(20);
        first.shrink(50);
        assert_eq!(first.bytes(), 20);
        assert!(admission.admit(80).is_ok());
        drop((first, rest));
        assert_eq!(admission.held(), Held::default());
    }

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let admission = Admission::new(1000, 1600);
        // One alone may have nearly everything, but not all.
        assert!(matches!(
            admission.admit(1401),
            Err(ServiceError::TooCostly { bytes: 1401, max_bytes: 1400 })
        ));
        let alone = admission.admit(1400).unwrap();
        assert!(matches!(admission.admit(101), Err(ServiceError::NoMemory { .. })));
        assert!(admission.admit(100).is_ok());
        drop(alone);
        // Several share three quarters.
        let several: Vec<_> = std::iter::from_fn(|| admission.admit(200).ok()).collect();
        assert_eq!((several.len(), admission.held().large_bytes), (6, 1200));
        let small: Vec<_> = std::iter::from_fn(|| admission.admit(100).ok()).collect();
        assert_eq!(small.len(), 4);
        drop((several, small));
        assert_eq!(admission.held(), Held::default());
    }

    #[test]
    fn a_permit_may_become_large_and_small_again() {
        let admission = Admission::new(9, 1600);
        let mut permit = admission.admit(50).unwrap();
        permit.hold(900).unwrap();
        assert_eq!(admission.held(), Held { requests: 1, bytes: 900, large_bytes: 900 });
        permit.shrink(60);
        assert_eq!(admission.held(), Held { requests: 1, bytes: 60, large_bytes: 0 });
    }
}
