//! A node on itself, without I/O: is its disk stuck, does a quorum still acknowledge it?
//!
//! What counts is the age of the oldest *unfinished* write, so that a stuck disk is seen
//! while it is stuck. Past one limit a leader hands over, past a second any node ends. Time
//! in which this process itself did not run (stopped, starved) is no evidence against the
//! disk and does not count.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Instant;
use crate::config::Timings;

/// Between two looks, at the most.
const TICK_MAX: Duration = Duration::from_millis(100);
/// Looks that were due while this process did not run count as so many.
const LATE_TICKS: u32 = 3;
/// Between two orders to hand over while the same write is stuck.
const HAND_OVER_AGAIN: Duration = Duration::from_secs(2);

/// How a node finds itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Well,
    /// A write takes longer than the first limit: a leader is handing over.
    SlowDisk,
    /// It takes longer than twice that. Whatever needs this disk should go elsewhere.
    StuckDisk,
    /// Its disk has no room, or little: what can be done elsewhere should be.
    FullDisk,
    /// It leads, and no quorum has acknowledged it for a whole lease.
    NoQuorum,
    /// A write to its disk failed: it is ending.
    FailedDisk,
    /// What its disk holds is damaged: it is ending, to come back as a new member.
    DamagedDisk,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Well => "well",
            Self::SlowDisk => "slow disk",
            Self::StuckDisk => "stuck disk",
            Self::FullDisk => "full disk",
            Self::NoQuorum => "no quorum",
            Self::FailedDisk => "failed disk",
            Self::DamagedDisk => "damaged disk",
        })
    }
}

/// The present [`Condition`], for those who answer clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health {
    condition: Arc<watch::Sender<Condition>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { condition: Arc::new(watch::Sender::new(Condition::default())) }
    }
}

impl Health {
    pub fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// What it was before, where it is another now.
    pub fn set(&self, condition: Condition) -> Option<Condition> {
        let mut before = None;
        self.condition.send_if_modified(|current| {
            if *current != condition {
                before = Some(std::mem::replace(current, condition));
            }
            before.is_some()
        });
        before
    }
}

/// When to act.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A write that takes longer makes a leader hand over.
    pub hand_over: Duration,
    /// A write that takes longer ends the node.
    pub exit: Duration,
    /// A leader that no quorum acknowledged for longer stops serving.
    pub quorum: Duration,
}

impl Limits {
    pub fn of(timings: &Timings) -> Self {
        Self {
            hand_over: Duration::from_millis(timings.fsync_handover_ms),
            exit: Duration::from_millis(timings.fsync_exit_ms),
            // The lease: until its end a missing answer may only be late; after it another
            // node may lead, and Raft itself takes no more entries.
            quorum: Duration::from_millis(timings.election_timeout_max_ms),
        }
    }

    /// Between two looks.
    pub fn tick(&self) -> Duration {
        (self.hand_over / 5).clamp(Duration::from_millis(1), TICK_MAX)
    }

    /// Between two looks at a node that is well and asked nothing. A write that began since the last
    /// one is found in time, and with its whole age: see [`LATE_TICKS`].
    pub fn calm_tick(&self) -> Duration {
        self.tick() * 5 / 2
    }
}

/// What a node sees of itself at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sight {
    pub leads: bool,
    /// It is the only voter: there is no other to acknowledge it, or to lead.
    pub alone: bool,
    /// Its disk has little room, or none.
    pub full: bool,
    /// When the write under way began.
    pub writing_since: Option<Instant>,
    /// When a quorum last acknowledged this leader.
    pub acked: Option<Instant>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Because of a write that was seen not to end for so long.
    HandOver { stalled: Duration },
    /// Because its disk is full, before a write fails.
    HandOverFull,
    /// End the process, whatever hangs.
    Exit { stalled: Duration },
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Core {
    limits: Limits,
    looked: Option<Instant>,
    /// The write under way by its beginning, and for how long it was seen stuck.
    write: Option<(Instant, Duration)>,
    leads_since: Option<Instant>,
    handed_over: Option<Instant>,
}

impl Core {
    pub fn new(limits: Limits) -> Self {
        Self { limits, looked: None, write: None, leads_since: None, handed_over: None }
    }

    /// To be called every [`Limits::tick`], or every [`Limits::calm_tick`] where no write is under way.
    pub fn look(&mut self, now: Instant, sight: &Sight) -> (Condition, Option<Step>) {
        let stalled = self.stalled(now, sight.writing_since);
        let unacked = self.unacked(now, sight);
        let limits = self.limits;
        let condition = if stalled >= limits.hand_over * 2 {
            Condition::StuckDisk
        } else if unacked > limits.quorum {
            Condition::NoQuorum
        } else if sight.full {
            Condition::FullDisk
        } else if stalled >= limits.hand_over {
            Condition::SlowDisk
        } else {
            Condition::Well
        };
        if stalled >= limits.exit {
            return (condition, Some(Step::Exit { stalled }));
        }
        if stalled < limits.hand_over && !sight.full {
            self.handed_over = None;
            return (condition, None);
        }
        let lately = self.handed_over.is_some_and(|at| now - at < HAND_OVER_AGAIN);
        if !sight.leads || sight.alone || lately {
            return (condition, None);
        }
        self.handed_over = Some(now);
        let full = stalled < limits.hand_over;
        (condition, Some(if full { Step::HandOverFull } else { Step::HandOver { stalled } }))
    }

    /// For how long the write under way was seen not to end.
    fn stalled(&mut self, now: Instant, since: Option<Instant>) -> Duration {
        let tick = self.limits.tick();
        let ran = self.looked.map_or(tick, |looked| now - looked).min(tick * LATE_TICKS);
        self.looked = Some(now);
        self.write = since.map(|since| match self.write {
            Some((known, stalled)) if known == since => (since, stalled + ran),
            _ => (since, (now - since).min(ran)),
        });
        self.write.map_or(Duration::ZERO, |(_, stalled)| stalled)
    }

    /// For how long this leader has gone without a quorum.
    fn unacked(&mut self, now: Instant, sight: &Sight) -> Duration {
        if !sight.leads || sight.alone {
            self.leads_since = None;
            return Duration::ZERO;
        }
        // A new leader has a lease's time to be acknowledged.
        let since = *self.leads_since.get_or_insert(now);
        now - sight.acked.map_or(since, |acked| acked.max(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        hand_over: Duration::from_millis(500),
        exit: Duration::from_millis(5000),
        quorum: Duration::from_millis(2000),
    };

    fn at(ms: u64) -> Instant {
        // One origin for all: an `Instant` has no zero.
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *ORIGIN.get_or_init(crate::clock::now) + Duration::from_millis(ms)
    }

    fn leader(writing_since: Option<u64>, acked: u64) -> Sight {
        Sight {
            leads: true,
            writing_since: writing_since.map(at),
            acked: Some(at(acked)),
            ..Sight::default()
        }
    }

    type Told = (Vec<(u64, Condition)>, Vec<(u64, Step)>);

    /// Looks every tick from `from` to `to`; every change of condition and every step, with
    /// its time.
    fn run(core: &mut Core, from: u64, to: u64, sight: impl Fn(u64) -> Sight) -> Told {
        let (mut conditions, mut steps) = (Vec::new(), Vec::new());
        for ms in (from..=to).step_by(50) {
            let (condition, step) = core.look(at(ms), &sight(ms));
            if conditions.last().is_none_or(|(_, last)| *last != condition) {
                conditions.push((ms, condition));
            }
            steps.extend(step.map(|step| (ms, step)));
        }
        (conditions, steps)
    }

    #[test]
    fn a_leader_with_a_stuck_disk_hands_over_again_and_again_and_then_exits() {
        use Condition::*;
        let mut core = Core::new(LIMITS);
        let (conditions, steps) =
            run(&mut core, 0, 5100, |ms| leader((ms >= 100).then_some(100), ms));
        assert_eq!(conditions, [(0, Well), (600, SlowDisk), (1100, StuckDisk)]);
        let when: Vec<u64> = steps.iter().map(|(ms, _)| *ms).collect();
        assert_eq!(when, [600, 2600, 4600, 5100], "{steps:?}");
        assert!(matches!(steps[0].1, Step::HandOver { .. }));
        assert_eq!(steps[3].1, Step::Exit { stalled: Duration::from_millis(5000) });
    }

    #[test]
    fn a_leader_whose_disk_is_full_hands_over_at_once_and_a_follower_only_says_so() {
        use Condition::*;
        let mut core = Core::new(LIMITS);
        let full = |ms| Sight { full: (100..3000).contains(&ms), ..leader(None, ms) };
        let (conditions, steps) = run(&mut core, 0, 4000, full);
        assert_eq!(conditions, [(0, Well), (100, FullDisk), (3000, Well)]);
        assert_eq!(steps, [(100, Step::HandOverFull), (2100, Step::HandOverFull)]);
        let follower = Sight { full: true, ..Sight::default() };
        assert_eq!(Core::new(LIMITS).look(at(0), &follower), (FullDisk, None));
    }

    #[test]
    fn many_writes_below_the_limit_are_no_stall() {
        let mut core = Core::new(LIMITS);
        // Each takes 450 ms, and the next begins at once.
        let (conditions, steps) = run(&mut core, 0, 20_000, |ms| leader(Some(ms / 450 * 450), ms));
        assert_eq!((conditions, steps), (vec![(0, Condition::Well)], vec![]));
    }

    #[test]
    fn a_write_that_begins_between_two_calm_looks_counts_from_its_beginning() {
        let mut core = Core::new(LIMITS);
        let (calm, tick) =
            (LIMITS.calm_tick().as_millis() as u64, LIMITS.tick().as_millis() as u64);
        core.look(at(0), &leader(None, 0));
        let (mut now, mut handed_over) = (calm, None);
        while handed_over.is_none() {
            let (_, step) = core.look(at(now), &leader(Some(1), now));
            handed_over = step.map(|step| (now, step));
            now += tick;
        }
        let (when, step) = handed_over.unwrap();
        assert!(matches!(step, Step::HandOver { .. }), "{step:?}");
        assert!((500..=500 + tick).contains(&when), "{when}");
    }

    #[test]
    fn a_follower_and_a_lone_node_do_not_hand_over_but_exit() {
        for sight in [
            Sight { writing_since: Some(at(0)), ..Sight::default() },
            Sight { alone: true, ..leader(Some(0), 0) },
        ] {
            let mut core = Core::new(LIMITS);
            let (_, steps) = run(&mut core, 0, 5000, |_| sight);
            assert!(matches!(steps[..], [(_, Step::Exit { .. })]), "{steps:?}");
        }
    }

    #[test]
    fn a_process_that_was_stopped_does_not_blame_its_disk() {
        let mut core = Core::new(LIMITS);
        assert_eq!(core.look(at(0), &leader(Some(0), 0)), (Condition::Well, None));
        // SIGSTOP for a minute with a write under way, which ends after it.
        let (condition, step) = core.look(at(60_000), &leader(Some(0), 60_000));
        assert_eq!((condition, step), (Condition::Well, None));
        assert_eq!(core.look(at(60_050), &leader(None, 60_050)), (Condition::Well, None));
    }

    #[test]
    fn a_leader_without_a_quorum_stops_serving_after_a_lease_and_serves_again() {
        use Condition::*;
        let mut core = Core::new(LIMITS);
        let acked = |ms: u64| if (1000..6000).contains(&ms) { 1000 } else { ms };
        let (conditions, steps) = run(&mut core, 0, 7000, |ms| leader(None, acked(ms)));
        assert_eq!(conditions, [(0, Well), (3050, NoQuorum), (6000, Well)]);
        assert_eq!(steps, []);
    }

    #[test]
    fn a_new_leader_has_a_lease_of_time_and_a_lone_one_for_ever() {
        let mut core = Core::new(LIMITS);
        let never = Sight { leads: true, ..Sight::default() };
        let (conditions, _) = run(&mut core, 10_000, 13_000, |_| never);
        assert_eq!(conditions, [(10_000, Condition::Well), (12_050, Condition::NoQuorum)]);
        // It lost and won again: the old acknowledgement is not held against it.
        core.look(at(13_050), &Sight::default());
        assert_eq!(core.look(at(13_100), &leader(None, 0)).0, Condition::Well);
        let alone = Sight { alone: true, ..never };
        assert_eq!(core.look(at(90_000), &alone).0, Condition::Well);
    }

    #[test]
    fn a_change_is_told_once() {
        let health = Health::default();
        assert_eq!(health.set(Condition::SlowDisk), Some(Condition::Well));
        assert_eq!(health.set(Condition::SlowDisk), None);
        assert_eq!(health.condition(), Condition::SlowDisk);
    }

    proptest! {
        /// However late the looks come, nobody acts on a write before it is that old.
        #[test]
        fn no_step_comes_before_its_limit(
            gaps in proptest::collection::vec((0_u64..3000, any::<bool>()), 1..200)
        ) {
            let mut core = Core::new(LIMITS);
            let (mut now, mut since) = (0, 0);
            for (gap, ended) in gaps {
                now += gap;
                if ended {
                    since = now;
                }
                let (_, step) = core.look(at(now), &leader(Some(since), now));
                let age = Duration::from_millis(now - since);
                match step {
                    Some(Step::HandOver { stalled }) => {
                        prop_assert!(stalled >= LIMITS.hand_over && age >= stalled);
                    }
                    Some(Step::HandOverFull) => prop_assert!(false, "there is room"),
                    Some(Step::Exit { stalled }) => {
                        prop_assert!(stalled >= LIMITS.exit && age >= stalled);
                    }
                    None => {}
                }
            }
        }
    }
}
