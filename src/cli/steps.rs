//! Steps of something that takes time, each said with the milliseconds since the first.

use std::time::Duration;

use super::output;
use crate::clock::{self, Instant};

/// Since when.
pub(super) struct Steps {
    begun: Instant,
}

impl Steps {
    pub fn begin() -> Self {
        Self { begun: clock::now() }
    }

    /// What happened just now.
    pub fn say(&self, text: &str) {
        output::print(&line(self.begun.elapsed(), text));
    }
}

/// One line, the time to the right of its column.
pub(super) fn line(since: Duration, text: &str) -> String {
    format!("{:>9.1} ms  {text}\n", clock::millis(since))
}
