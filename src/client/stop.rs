//! A way to end waits early: Ctrl-C, the end of a load, a time limit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;

type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    tripped: bool,
    callbacks: Vec<Callback>,
}

/// Tripped once, by anyone; every clone sees it. Waits on it end at once when it is.
#[derive(Clone, Default)]
pub struct Stop {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Stop {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The critical sections below cannot panic half-way, so a poisoned state is whole.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every wait, now and later, and runs what [`Stop::when_tripped`] left here.
    pub fn trip(&self) {
        let callbacks = {
            let mut state = self.state();
            state.tripped = true;
            std::mem::take(&mut state.callbacks)
        };
        self.shared.1.notify_all();
        callbacks.into_iter().for_each(|callback| callback());
    }

    pub fn is_tripped(&self) -> bool {
        self.state().tripped
    }

    /// Waits for `duration`, or until tripped. True if tripped.
    pub fn wait(&self, duration: Duration) -> bool {
        let until = clock::now() + duration;
        let mut state = self.state();
        loop {
            let left = until.saturating_duration_since(clock::now());
            if state.tripped || left.is_zero() {
                return state.tripped;
            }
            state =
                self.shared.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Runs `callback` when tripped, in the thread that trips; at once if that was before.
    pub fn when_tripped(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.tripped {
            drop(state);
            callback();
        } else {
            state.callbacks.push(Box::new(callback));
        }
    }

    /// Trips when the guard goes, also by a panic, so that threads which wait for this
    /// never outlive the one that would have stopped them.
    pub fn trip_on_drop(&self) -> TripOnDrop {
        TripOnDrop(self.clone())
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stop").field(&self.is_tripped()).finish()
    }
}

/// See [`Stop::trip_on_drop`].
#[derive(Debug)]
pub struct TripOnDrop(Stop);

impl Drop for TripOnDrop {
    fn drop(&mut self) {
        self.0.trip();
    }
}

/// What Ctrl-C means: the first asks for a clean end, the second for one at once.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    pub clean: Stop,
    pub at_once: Stop,
}

impl Interrupt {
    /// One more Ctrl-C.
    pub fn press(&self) {
        if self.clean.is_tripped() {
            self.at_once.trip();
        } else {
            self.clean.trip();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_wait_ends_when_another_thread_trips() {
        let stop = Stop::new();
        std::thread::scope(|scope| {
            scope.spawn(|| stop.trip());
            assert!(stop.wait(Duration::from_secs(60)));
        });
        assert!(!Stop::new().wait(Duration::from_millis(1)));
    }

    #[test]
    fn the_guard_trips_also_by_a_panic() {
        let stop = Stop::new();
        let guard = stop.trip_on_drop();
        let panicked = std::thread::spawn(move || {
            let _guard = guard;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(stop.is_tripped());
    }

    #[test]
    fn callbacks_run_once_whether_left_before_or_after() {
        let stop = Stop::new();
        let ran = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let (first, second) = (ran.clone(), ran.clone());
        stop.when_tripped(move || assert!(!first[0].swap(true, Ordering::SeqCst)));
        stop.trip();
        stop.trip();
        stop.when_tripped(move || assert!(!second[1].swap(true, Ordering::SeqCst)));
        assert!(ran.iter().all(|flag| flag.load(Ordering::SeqCst)));
    }

    #[test]
    fn the_second_ctrl_c_ends_at_once() {
        let interrupt = Interrupt::default();
        interrupt.press();
        assert!(interrupt.clean.is_tripped() && !interrupt.at_once.is_tripped());
        interrupt.press();
        assert!(interrupt.at_once.is_tripped());
    }
}
