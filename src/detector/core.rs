//! The rules, without I/O: events and the time in, actions out.
//!
//! A leader is held dead only if nothing was heard of it since the evidence began, by
//! any way: an append, an answered probe or an accepted connection clears it.

use crate::clock::Instant;

/// Why a leader is held dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The held connection closed and reconnects are refused: the kernel says that
    /// the process is gone.
    Crashed,
    /// It answers nothing.
    Silent,
}

/// What was seen of the leader that is being watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    WatchOpened,
    WatchClosed {
        at: Instant,
    },
    /// A reconnect was refused.
    Refused,
    ProbeAnswered {
        sent: Instant,
    },
    /// A probe was not answered in time.
    ProbeMissed,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Tell the operator: evidence number `attempt` of `cause`.
    Report { attempt: u32, cause: Cause },
    /// Ask the others whether they also hold the leader dead.
    Accuse(Cause),
}

/// Evidence about one leader of one term. A new leader or term gets a new one.
#[derive(Debug, Clone)]
pub struct Core {
    /// Pieces of evidence in a row that make a leader dead.
    misses_max: u32,
    /// The watch was held and has closed, at this time.
    closed: Option<Instant>,
    watched: bool,
    refusals: u32,
    misses: u32,
    /// When the first of the present misses was sent.
    first_miss: Option<Instant>,
    dead: Option<Cause>,
}

impl Core {
    pub fn new(misses_max: u32) -> Self {
        Self {
            misses_max,
            closed: None,
            watched: false,
            refusals: 0,
            misses: 0,
            first_miss: None,
            dead: None,
        }
    }

    pub fn dead(&self) -> Option<Cause> {
        self.dead
    }

    pub fn suspected(&self) -> bool {
        self.closed.is_some() || self.misses > 0
    }

    /// `heard` is when Raft last heard of this leader, if ever.
    pub fn step(&mut self, event: Event, now: Instant, heard: Option<Instant>) -> Option<Action> {
        match event {
            Event::WatchOpened => {
                *self = Self { watched: true, ..Self::new(self.misses_max) };
                None
            }
            Event::ProbeAnswered { sent } => {
                // An answer to an earlier probe may have been under way when the process died:
                // it clears the silence, and the closed watch still speaks.
                if self.closed.is_some_and(|closed| sent >= closed) {
                    self.lives(now);
                }
                self.misses = 0;
                self.first_miss = None;
                if self.dead == Some(Cause::Silent) {
                    self.dead = None;
                }
                None
            }
            Event::WatchClosed { at } => {
                if self.watched && self.closed.is_none() {
                    self.closed = Some(at);
                    self.refusals = 0;
                }
                None
            }
            Event::Refused => self.refused(heard),
            Event::ProbeMissed => self.missed(now, heard),
        }
    }

    fn refused(&mut self, heard: Option<Instant>) -> Option<Action> {
        // Without a watch that was held, a refusal may be a listener that is late or closed.
        let closed = self.closed?;
        if let Some(heard) = heard.filter(|heard| *heard > closed) {
            // It spoke after that.
            self.lives(heard);
            return None;
        }
        self.refusals += 1;
        self.conclude(self.refusals, Cause::Crashed)
    }

    /// It was alive at `at`, though its watch had closed. Its last words may only have lain in a
    /// buffer, so the evidence begins anew and is not dropped.
    fn lives(&mut self, at: Instant) {
        self.closed = Some(at);
        self.refusals = 0;
        if self.dead == Some(Cause::Crashed) {
            self.dead = None;
        }
    }

    fn missed(&mut self, now: Instant, heard: Option<Instant>) -> Option<Action> {
        let first = *self.first_miss.get_or_insert(now);
        if heard.is_some_and(|heard| heard > first) {
            self.misses = 0;
            self.first_miss = Some(now);
            if self.dead == Some(Cause::Silent) {
                self.dead = None;
            }
            return None;
        }
        self.misses += 1;
        self.conclude(self.misses, Cause::Silent)
    }

    fn conclude(&mut self, attempt: u32, cause: Cause) -> Option<Action> {
        if attempt < self.misses_max {
            return Some(Action::Report { attempt, cause });
        }
        self.dead = Some(cause);
        Some(Action::Accuse(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(ms: u64) -> Instant {
        // One origin for all: an `Instant` has no zero.
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *ORIGIN.get_or_init(crate::clock::now) + Duration::from_millis(ms)
    }

    fn closed(ms: u64) -> Event {
        Event::WatchClosed { at: at(ms) }
    }

    fn run(events: &[Event], heard: Option<Instant>) -> (Core, Vec<Action>) {
        let mut core = Core::new(3);
        let step = |(ms, event): (usize, &Event)| core.step(*event, at(ms as u64 + 1), heard);
        let actions = events.iter().enumerate().filter_map(step).collect();
        (core, actions)
    }

    #[test]
    fn a_closed_watch_and_three_refusals_are_a_crash() {
        use Event::*;
        let (core, actions) = run(&[WatchOpened, closed(2), Refused, Refused, Refused], None);
        assert_eq!(core.dead(), Some(Cause::Crashed));
        assert_eq!(actions.last(), Some(&Action::Accuse(Cause::Crashed)));
        assert_eq!(actions.len(), 3);
    }

    #[test]
    fn refusals_without_a_watch_prove_nothing() {
        use Event::*;
        let (core, actions) = run(&[Refused, Refused, Refused, Refused], None);
        assert_eq!((core.dead(), actions.len()), (None, 0));
    }

    #[test]
    fn last_words_from_a_buffer_only_begin_the_evidence_anew() {
        use Event::*;
        // Heard 1 ms after the watch closed.
        let events = [WatchOpened, closed(2), Refused, Refused, Refused, Refused, Refused];
        let (core, actions) = run(&events, Some(at(3)));
        assert_eq!(core.dead(), Some(Cause::Crashed));
        assert!(actions.contains(&Action::Accuse(Cause::Crashed)));
    }

    #[test]
    fn a_leader_that_still_appends_is_not_dead_though_its_listener_closed() {
        let mut core = Core::new(3);
        core.step(Event::WatchOpened, at(0), None);
        core.step(closed(1), at(1), None);
        for ms in (2..40).step_by(4) {
            // An append arrives after every second refusal.
            core.step(Event::Refused, at(ms), Some(at(ms)));
            core.step(Event::Refused, at(ms + 2), Some(at(ms)));
            assert_eq!(core.dead(), None);
        }
    }

    #[test]
    fn three_silent_probes_in_a_row_are_silence_and_an_answer_clears_it() {
        use Event::*;
        let missed = [WatchOpened, ProbeMissed, ProbeMissed, ProbeMissed];
        assert_eq!(run(&missed, None).0.dead(), Some(Cause::Silent));
        let answer = ProbeAnswered { sent: at(0) };
        let answered = [ProbeMissed, ProbeMissed, answer, ProbeMissed, ProbeMissed];
        assert_eq!(run(&answered, None).0.dead(), None);
        let late = [ProbeMissed, ProbeMissed, ProbeMissed, answer];
        assert_eq!(run(&late, None).0.dead(), None);
    }

    #[test]
    fn only_the_answer_to_a_probe_sent_after_the_close_shows_that_it_lives() {
        use Event::*;
        // The watch closes at 2.
        let [before, after] = [1, 3].map(|ms| ProbeAnswered { sent: at(ms) });
        let events = |answer| [WatchOpened, closed(2), Refused, Refused, answer, Refused];
        assert_eq!(run(&events(before), None).0.dead(), Some(Cause::Crashed));
        let (mut core, _) = run(&events(after), None);
        assert_eq!(core.dead(), None);
        // If it dies then, that shows as well.
        core.step(Refused, at(9), None);
        core.step(Refused, at(10), None);
        assert_eq!(core.dead(), Some(Cause::Crashed));
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::WatchOpened),
            Just(closed(0)),
            Just(Event::Refused),
            Just(Event::ProbeAnswered { sent: at(0) }),
            Just(Event::ProbeMissed),
        ]
    }

    proptest! {
        /// Whatever happens, a leader that Raft hears after each event is never accused.
        #[test]
        fn no_order_of_events_accuses_a_leader_that_is_heard(
            events in proptest::collection::vec(any_event(), 0..60)
        ) {
            let mut core = Core::new(3);
            for (ms, event) in events.iter().enumerate() {
                let now = at(ms as u64 * 10 + 1);
                let event = match event {
                    Event::WatchClosed { .. } => &Event::WatchClosed { at: now },
                    other => other,
                };
                let action = core.step(*event, now, Some(now + Duration::from_millis(5)));
                prop_assert!(!matches!(action, Some(Action::Accuse(_))), "{events:?}");
                prop_assert_eq!(core.dead(), None);
            }
        }

        /// Fewer than three pieces of evidence in a row are never enough.
        #[test]
        fn an_accusation_follows_three_misses_or_three_refusals(
            events in proptest::collection::vec(any_event(), 0..60)
        ) {
            let mut core = Core::new(3);
            let (mut misses, mut refusals) = (0, 0);
            for (ms, event) in events.iter().enumerate() {
                match event {
                    Event::ProbeMissed => misses += 1,
                    Event::ProbeAnswered { .. } => misses = 0,
                    Event::Refused => refusals += 1,
                    Event::WatchOpened => (misses, refusals) = (0, 0),
                    Event::WatchClosed { .. } => {}
                }
                match core.step(*event, at(ms as u64 + 1), None) {
                    Some(Action::Accuse(Cause::Silent)) => prop_assert!(misses >= 3),
                    Some(Action::Accuse(Cause::Crashed)) => prop_assert!(refusals >= 3),
                    _ => {}
                }
            }
        }
    }
}
