//! The client gap: the longest time in which no request of any client succeeded.

use std::time::Duration;

use crate::clock::Instant;

/// Follows the successes of all clients of one load. Pure: it is told the time.
#[derive(Debug, Clone)]
pub struct Gaps {
    last_success: Instant,
    longest: Duration,
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    from: Instant,
    longest: Duration,
}

impl Gaps {
    /// The time until the first success counts as a gap too.
    pub fn new(started: Instant) -> Self {
        Self { last_success: started, longest: Duration::ZERO, window: None }
    }

    /// A request succeeded at `at`. Successes may be reported a little out of order.
    pub fn success(&mut self, at: Instant) {
        self.stretch(at);
        self.last_success = self.last_success.max(at);
    }

    /// Counts the gap that is still open at `at`.
    fn stretch(&mut self, at: Instant) {
        let gap = at.saturating_duration_since(self.last_success);
        self.longest = self.longest.max(gap);
        if let Some(window) = &mut self.window
            && at > window.from
        {
            window.longest = window.longest.max(gap);
        }
    }

    /// From here on, gaps count for the window too: one that began before, in full.
    pub fn open_window(&mut self, from: Instant) {
        self.window = Some(Window { from, longest: Duration::ZERO });
    }

    /// The longest gap that touched the window, one still open at `at` included; `None` if no
    /// window was open.
    pub fn close_window(&mut self, at: Instant) -> Option<Duration> {
        self.stretch(at);
        self.window.take().map(|window| window.longest)
    }

    /// The longest gap until `at`, while requests were made.
    pub fn longest(&self, at: Instant) -> Duration {
        self.longest.max(at.saturating_duration_since(self.last_success))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_gap_around_a_fault_counts_from_the_last_success_before_it() {
        let start = clock::now();
        let mut gaps = Gaps::new(start);
        for ms in [90, 100, 110] {
            gaps.success(start + ms * MS);
        }
        gaps.open_window(start + 115 * MS);
        gaps.success(start + 150 * MS);
        gaps.success(start + 155 * MS);
        assert_eq!(gaps.close_window(start + 160 * MS), Some(40 * MS));
        assert_eq!(gaps.close_window(start + 160 * MS), None);
        assert_eq!(gaps.longest(start + 160 * MS), 90 * MS);
    }

    #[test]
    fn a_gap_that_has_not_ended_counts() {
        let start = clock::now();
        let mut gaps = Gaps::new(start);
        gaps.success(start + MS);
        gaps.open_window(start + 2 * MS);
        assert_eq!(gaps.longest(start + 50 * MS), 49 * MS);
        assert_eq!(gaps.close_window(start + 31 * MS), Some(30 * MS));
    }

    #[test]
    fn late_reports_do_not_turn_time_back() {
        let start = clock::now();
        let mut gaps = Gaps::new(start);
        gaps.success(start + 20 * MS);
        gaps.success(start + 10 * MS);
        gaps.success(start + 25 * MS);
        assert_eq!(gaps.longest(start + 25 * MS), 20 * MS);
    }
}
