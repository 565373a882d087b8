//! Whether something happened lately: what a node does less often while nobody needs it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{self, Instant};

/// Notes of one kind of event, and how long one is recent. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Recent {
    within: Duration,
    last: Arc<Mutex<Instant>>,
    /// Counts the notes that came when there was no recent one.
    begun: watch::Sender<u64>,
}

impl Recent {
    /// Begins as if one had just been noted.
    pub fn new(within: Duration) -> Self {
        Self { within, last: Arc::new(Mutex::new(clock::now())), begun: watch::Sender::new(0) }
    }

    /// It happened now.
    pub fn note(&self) {
        let now = clock::now();
        let before = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, now)
        };
        if now.saturating_duration_since(before) >= self.within {
            self.begun.send_modify(|begun| *begun += 1);
        }
    }

    /// True where one was noted lately.
    pub fn is(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < self.within
    }

    /// Told of each note that came when there was no recent one.
    pub fn beginnings(&self) -> watch::Receiver<u64> {
        self.begun.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_beginning_is_told_once_and_a_pause_ends_it() {
        let recent = Recent::new(Duration::from_secs(2));
        let mut beginnings = recent.beginnings();
        let noted = recent.clone();
        assert!(recent.is());
        for _ in 0..3 {
            tokio::time::advance(Duration::from_millis(1900)).await;
            assert!(recent.is());
            noted.note();
        }
        assert!(!beginnings.has_changed().unwrap());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!recent.is());
        noted.note();
        noted.note();
        assert!(recent.is());
        assert_eq!(*beginnings.borrow_and_update(), 1);
    }
}
