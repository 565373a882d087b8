//! When a node begins to serve alone, and when it stops: a state machine without I/O.
//!
//! It is told two kinds of evidence. *Hearing* from a quorum costs nothing and is told all
//! the time: a leader was acknowledged, a follower heard its leader. A *proof* is asked for: a
//! question that only a leader with a quorum answers. Hearing shows a cut at once; a proof also
//! shows a leader that itself has no quorum, or that is heard but does not hear.

use std::time::Duration;

use crate::clock::Instant;

/// Between two proofs while all is well, and while it is not.
const PROOF_INTERVAL: Duration = Duration::from_secs(1);
const PROOF_AGAIN: Duration = Duration::from_millis(100);
/// Between two looks while a proof is missing or the node is alone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Between two looks at the most: more than [`LATE`] means that this process did not run.
const LOOK_MAX: Duration = Duration::from_millis(400);
const LATE: Duration = Duration::from_secs(1);

/// How long is long.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Time without a quorum until solo begins.
    pub after: Duration,
    /// How far two pieces of hearing are apart while all is well: the leader's heartbeat.
    pub heartbeat: Duration,
    /// Hearing older than this is no reason to ask for a proof.
    pub fresh: Duration,
}

/// What a node sees of its quorum at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// When it last heard from a quorum; `None` if it never did.
    pub heard: Option<Instant>,
    /// Whether hearing is a round trip, as on a leader: then no proof is needed.
    pub both_ways: bool,
    /// Its disk takes writes: a node that cannot keep a record must not acknowledge one.
    pub able: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Serve alone from now on.
    Begin { alone: Duration },
    /// A quorum is back.
    End,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    rules: Rules,
    started: Instant,
    /// The latest evidence.
    reached: Option<Instant>,
    /// When the first of the proofs was asked for that failed since the last that held.
    failing: Option<Instant>,
    asked: Option<Instant>,
    looked: Instant,
    /// Time in which this process did not run, and could not have heard anybody.
    absent: Duration,
    solo: bool,
}

impl Core {
    pub fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            started: now,
            reached: None,
            failing: None,
            asked: None,
            looked: now,
            absent: Duration::ZERO,
            solo: false,
        }
    }

    /// To be called often: see [`Core::next_look`].
    pub fn look(&mut self, now: Instant, sight: &Sight) -> Option<Step> {
        let gap = now.saturating_duration_since(self.looked);
        self.looked = now;
        if gap > LATE {
            self.absent += gap;
        }
        if sight.heard > self.reached {
            self.reached = sight.heard;
            if self.failing.is_none() {
                self.absent = Duration::ZERO;
            }
        }
        if self.solo || !sight.able || now < self.due() {
            return None;
        }
        self.solo = true;
        Some(Step::Begin { alone: now.saturating_duration_since(self.since()) })
    }

    /// Whether to ask for a proof now. If so, [`Core::proof`] must be told how it ended
    /// before the next is asked for.
    pub fn wants_proof(&mut self, now: Instant, sight: &Sight) -> bool {
        let fresh = sight
            .heard
            .is_some_and(|heard| now.saturating_duration_since(heard) < self.rules.fresh);
        let troubled = self.is_troubled();
        let interval = if troubled { PROOF_AGAIN } else { PROOF_INTERVAL };
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= interval);
        let wants = fresh && due && (troubled || !sight.both_ways);
        if wants {
            self.asked = Some(now);
        }
        wants
    }

    /// A proof that was asked for at `asked` held or failed.
    pub fn proof(&mut self, asked: Instant, held: bool) -> Option<Step> {
        if !held {
            self.failing.get_or_insert(asked);
            return None;
        }
        self.failing = None;
        self.absent = Duration::ZERO;
        self.reached = self.reached.max(Some(asked));
        std::mem::take(&mut self.solo).then_some(Step::End)
    }

    /// When to look again at the latest.
    ///
    /// What was heard since the last look is forgotten where the leader is held dead meanwhile.
    /// That is less than a heartbeat's time, which [`Core::since`] allows for: solo does not begin
    /// before its time.
    pub fn next_look(&self, now: Instant) -> Instant {
        let calm = (self.rules.heartbeat * 4 / 5).clamp(LOOK_AGAIN, LOOK_MAX);
        let soon = now + if self.is_troubled() { LOOK_AGAIN } else { calm };
        let due = self.due();
        if self.solo || due <= now { soon } else { due.min(soon) }
    }

    /// Alone, or without the proof that it asked for.
    fn is_troubled(&self) -> bool {
        self.solo || self.failing.is_some()
    }

    /// Since when the node has been without a quorum, as far as it knows. Until the next
    /// heartbeat is due, nothing is missing.
    fn since(&self) -> Instant {
        let heard = self.reached.map_or(self.started, |at| at + self.rules.heartbeat);
        self.failing.map_or(heard, |failing| failing.min(heard))
    }

    fn due(&self) -> Instant {
        self.since() + self.rules.after + self.absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AFTER: Duration = Duration::from_secs(5);
    const HEARTBEAT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A node on a simulated clock, looked at as often as it asks for.
    struct Run {
        core: Core,
        began: Instant,
        now: Instant,
        steps: Vec<(Duration, Step)>,
    }

    impl Run {
        fn new() -> Self {
            let now = crate::clock::now();
            let rules = Rules { after: AFTER, heartbeat: HEARTBEAT, fresh: ms(2000) };
            Self { core: Core::new(rules, now), began: now, now, steps: Vec::new() }
        }

        fn note(&mut self, step: Option<Step>) {
            self.steps.extend(step.map(|step| (self.now - self.began, step)));
        }

        /// Until `until` after the start; `heard` and `proof` say what there is at a moment.
        fn until(
            &mut self,
            until: Duration,
            heard: impl Fn(Duration) -> Option<Duration>,
            proof: impl Fn(Duration) -> bool,
        ) {
            while self.now - self.began < until {
                let at = self.now - self.began;
                let heard = heard(at).map(|heard| self.began + heard);
                let sight = Sight { heard, both_ways: false, able: true };
                let step = self.core.look(self.now, &sight);
                self.note(step);
                if self.core.wants_proof(self.now, &sight) {
                    let step = self.core.proof(self.now, proof(at));
                    self.note(step);
                }
                self.now = self.core.next_look(self.now);
            }
        }

        fn begins(&self) -> Vec<u128> {
            let begin = |(at, step): &(Duration, Step)| {
                matches!(step, Step::Begin { .. }).then(|| at.as_millis())
            };
            self.steps.iter().filter_map(begin).collect()
        }
    }

    /// The last heartbeat before a moment.
    fn beat(at: Duration) -> Duration {
        ms((at.as_millis() / 100 * 100) as u64)
    }

    #[test]
    fn a_fresh_lone_node_is_solo_after_exactly_its_patience() {
        let mut run = Run::new();
        run.until(ms(20_000), |_| None, |_| true);
        assert_eq!(run.steps, [(AFTER, Step::Begin { alone: AFTER })]);
    }

    #[test]
    fn a_node_with_a_quorum_never_is() {
        let mut run = Run::new();
        run.until(ms(60_000), |at| Some(beat(at)), |_| true);
        assert_eq!(run.steps, []);
    }

    #[test]
    fn a_member_cut_off_at_any_moment_is_solo_within_the_promise() {
        for cut in (10_000..10_200).step_by(7) {
            let mut run = Run::new();
            let heard = |at: Duration| Some(beat(at.min(ms(cut))));
            run.until(ms(20_000), heard, |at| at < ms(cut));
            let begins = run.begins();
            assert_eq!(begins.len(), 1);
            let late = begins[0] as i128 - i128::from(cut);
            assert!((5000..=5300).contains(&late), "cut at {cut}: {late}");
        }
    }

    #[test]
    fn a_leader_that_is_heard_but_has_no_quorum_is_none() {
        let mut run = Run::new();
        run.until(ms(30_000), |at| Some(beat(at)), |at| at < ms(10_000) || at > ms(20_000));
        let [(begin, Step::Begin { .. }), (end, Step::End)] = run.steps[..] else {
            panic!("{:?}", run.steps);
        };
        assert!((ms(15_000)..ms(16_100)).contains(&begin), "{begin:?}");
        assert!((ms(20_000)..ms(20_200)).contains(&end), "{end:?}");
    }

    #[test]
    fn one_failed_proof_during_an_election_is_forgotten() {
        let mut run = Run::new();
        run.until(ms(60_000), |at| Some(beat(at)), |at| at.as_millis() % 7000 > 400);
        assert_eq!(run.steps, []);
    }

    #[test]
    fn hearing_alone_does_not_end_solo() {
        let mut run = Run::new();
        let heard = |at: Duration| (at > ms(8000)).then(|| beat(at));
        run.until(ms(12_000), heard, |_| false);
        assert_eq!(run.begins(), [5000]);
        run.until(ms(13_000), heard, |_| true);
        assert_eq!(run.steps.last().map(|(_, step)| *step), Some(Step::End));
    }

    #[test]
    fn a_process_that_was_frozen_does_not_count_the_time() {
        let mut run = Run::new();
        run.until(ms(10_000), |at| Some(beat(at)), |_| true);
        run.now += ms(60_000);
        // The first heartbeat after the thaw comes a little later than the first look.
        run.until(ms(90_000), |at| (at > ms(70_200)).then(|| beat(at)), |_| true);
        assert_eq!(run.steps, []);
    }

    #[test]
    fn a_node_whose_disk_hangs_acknowledges_nothing_alone() {
        let mut run = Run::new();
        let mut sight = Sight { heard: None, both_ways: false, able: false };
        assert_eq!(run.core.look(run.now + AFTER, &sight), None);
        sight.able = true;
        // It did not run for five seconds, as the core sees it: those are not counted.
        assert_eq!(run.core.look(run.now + AFTER + ms(900), &sight), None);
        run.now += AFTER + ms(900);
        run.until(ms(30_000), |_| None, |_| true);
        assert_eq!(run.begins(), [10_000]);
    }

    proptest! {
        /// Whatever is heard and proved: solo and not solo alternate, solo begins only after
        /// the patience without a proof and ends only by one.
        #[test]
        fn solo_begins_only_after_its_patience_and_ends_only_by_proof(
            quorum in prop::collection::vec((any::<bool>(), any::<bool>(), 1_u64..4000), 1..40),
        ) {
            let mut run = Run::new();
            let mut end = 0;
            for (hears, proves, length) in quorum {
                let from = end;
                end += length;
                let before = run.steps.len();
                let heard = |at: Duration| hears.then(|| beat(at).max(ms(from)));
                run.until(ms(end), heard, |_| proves);
                for (_, step) in &run.steps[before..] {
                    if *step == Step::End {
                        prop_assert!(proves && hears);
                    }
                }
            }
            let mut last_end = Duration::ZERO;
            for (place, (at, step)) in run.steps.iter().enumerate() {
                match step {
                    Step::Begin { alone } => {
                        prop_assert_eq!(place % 2, 0);
                        prop_assert!(*alone >= AFTER && *at >= last_end + AFTER);
                    }
                    Step::End => {
                        prop_assert_eq!(place % 2, 1);
                        last_end = *at;
                    }
                }
            }
        }
    }
}
