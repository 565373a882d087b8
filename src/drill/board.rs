//! What survivors showed, put together. Pure but for a lock: it is told the time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ground::Timing;
use crate::api::cluster::{ClusterStatus, Role};
use crate::client::{Stop, shows_new_leader};
use crate::clock::Instant;
use crate::ident::Term;

/// Who leads before the fault.
#[derive(Debug, Clone)]
pub(super) struct Old {
    pub leader: String,
    pub term: Term,
}

/// What survivors showed. Each is the first moment seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// A survivor no longer takes the old leader for alive.
    pub detected: Option<Instant>,
    pub elected: Option<Instant>,
    pub new_leader: Option<String>,
    /// The highest that was shown.
    pub term: u64,
    /// A write that was offered after the fault was acknowledged.
    pub first_commit: Option<Instant>,
    /// All survivors show that the new leader leads, and that the old one does not.
    pub viewed: Option<Instant>,
    /// The longest time, from the last acknowledgement before the fault on, without one.
    pub longest_gap: Option<Duration>,
}

/// Shared by all watchers of one fault.
pub(super) struct Board<'a> {
    old: &'a Old,
    notes: Mutex<Notes>,
    complete: Stop,
}

impl<'a> Board<'a> {
    pub fn new(old: &'a Old, survivors: usize) -> Self {
        let notes = Notes { right: vec![None; survivors], ..Notes::default() };
        Self { old, notes: Mutex::new(notes), complete: Stop::new() }
    }

    /// Tripped when there is nothing more to see.
    pub fn complete(&self) -> &Stop {
        &self.complete
    }

    /// From now on statuses may show the fault.
    pub fn begin(&self, now: Instant) {
        self.note(|notes| notes.since = Some(now));
    }

    pub fn happened(&self, timing: Timing) {
        self.note(|notes| notes.timing = Some(timing));
    }

    pub fn has_happened(&self) -> bool {
        self.notes().timing.is_some()
    }

    /// Survivor `number`, asked at `asked`, said `status` at `at`.
    pub fn said(&self, number: usize, asked: Instant, at: Instant, status: &ClusterStatus) {
        self.note(|notes| {
            if notes.since.is_some_and(|since| asked >= since) {
                notes.take_in(self.old, number, at, status);
            }
        });
    }

    /// A write that was offered at `offered` was acknowledged at `at`.
    pub fn acked(&self, offered: Instant, at: Instant) {
        self.note(|notes| notes.acks.push((offered, at)));
    }

    pub fn seen(&self) -> Seen {
        self.notes().seen()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, write: impl FnOnce(&mut Notes)) {
        let complete = {
            let mut notes = self.notes();
            write(&mut notes);
            notes.is_complete()
        };
        if complete {
            self.complete.trip();
        }
    }
}

#[derive(Debug, Default)]
struct Notes {
    since: Option<Instant>,
    timing: Option<Timing>,
    detected: Option<Instant>,
    elected: Option<Instant>,
    /// The new leader of the latest term.
    leader: Option<(u64, String)>,
    term: u64,
    /// Since when each survivor has the right view.
    right: Vec<Option<Instant>>,
    /// When writes were offered, and when acknowledged.
    acks: Vec<(Instant, Instant)>,
}

impl Notes {
    fn take_in(&mut self, old: &Old, number: usize, at: Instant, status: &ClusterStatus) {
        self.term = self.term.max(status.term);
        let elected = shows_new_leader(status, &old.leader, old.term);
        if self.detected.is_none() && (elected || holds_dead(status, &old.leader)) {
            self.detected = Some(at);
        }
        if !elected {
            return;
        }
        self.elected.get_or_insert(at);
        let known = self.leader.as_ref().map_or(0, |(term, _)| *term);
        if status.term > known {
            let name = status.leader_id.as_ref().map(ToString::to_string);
            self.leader = name.map(|name| (status.term, name));
            self.right.fill(None);
        }
        if let Some((term, leader)) = &self.leader
            && *term == status.term
            && calls_only(status, leader)
        {
            self.right[number].get_or_insert(at);
        }
    }

    fn first_commit(&self) -> Option<Instant> {
        let effective = self.timing?.effective;
        self.acks.iter().filter(|(offered, _)| *offered >= effective).map(|(_, at)| *at).min()
    }

    fn viewed(&self) -> Option<Instant> {
        self.right.iter().copied().collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn is_complete(&self) -> bool {
        let (Some(elected), Some(_), Some(_)) = (self.elected, self.first_commit(), self.viewed())
        else {
            return false;
        };
        // A gap that the hand-over makes is over when a write begun after it was acknowledged.
        self.acks.iter().any(|(offered, _)| *offered >= elected)
    }

    fn longest_gap(&self) -> Option<Duration> {
        let at = self.timing?.at;
        let (mut before, mut after) = (at, Vec::new());
        let earlier = self.acks.iter().map(|(_, acked)| *acked).filter(|acked| *acked <= at);
        if let Some(last) = earlier.max() {
            before = last;
        }
        after.extend(self.acks.iter().map(|(_, acked)| *acked).filter(|acked| *acked > at));
        after.sort_unstable();
        let gap = |acked: Instant| acked - std::mem::replace(&mut before, acked);
        after.into_iter().map(gap).max()
    }

    fn seen(&self) -> Seen {
        Seen {
            detected: self.detected,
            elected: self.elected,
            new_leader: self.leader.as_ref().map(|(_, name)| name.clone()),
            term: self.term,
            first_commit: self.first_commit(),
            viewed: self.viewed(),
            longest_gap: self.longest_gap(),
        }
    }
}

/// True where `status` calls `leader` and nobody else the leader.
fn calls_only(status: &ClusterStatus, leader: &str) -> bool {
    let leads = |node: &&crate::api::cluster::NodeStatus| node.role == Role::Leader;
    let mut leaders = status.nodes.iter().filter(leads).map(|node| node.id.as_str());
    leaders.next() == Some(leader) && leaders.next().is_none()
}

/// True where the node that answers no longer takes the old leader for alive: it follows nobody,
/// or its detector's words say so.
fn holds_dead(status: &ClusterStatus, old_leader: &str) -> bool {
    if status.leader_id.as_ref().is_none_or(|leader| leader.as_str() != old_leader) {
        return true;
    }
    let own = status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref());
    own.is_some_and(|own| {
        let words = own.detector.to_ascii_lowercase();
        ["suspected", "crashed", "silent"].iter().any(|word| words.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::cluster::NodeStatus;
    use crate::clock;

    fn status(
        leader: Option<&str>,
        term: u64,
        detector: &str,
        roles: &[(&str, Role)],
    ) -> ClusterStatus {
        let node = |(name, role): &(&str, Role)| {
            let mut node = NodeStatus::unknown(name.parse().unwrap(), "", "");
            detector.clone_into(&mut node.detector);
            node.role = *role;
            node
        };
        ClusterStatus {
            node: "n2".parse().ok(),
            leader_id: leader.and_then(|leader| leader.parse().ok()),
            term,
            nodes: roles.iter().map(node).collect(),
            ..ClusterStatus::default()
        }
    }

    struct Scene {
        notes: Notes,
        old: Old,
        start: Instant,
    }

    impl Scene {
        /// The fault happens at 10 ms.
        fn new() -> Self {
            let start = clock::now();
            let at = start + Duration::from_millis(10);
            let timing = Some(Timing { at, effective: at + Duration::from_millis(1) });
            let notes = Notes { timing, right: vec![None; 2], ..Notes::default() };
            Self { notes, old: Old { leader: "n1".into(), term: Term(3) }, start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn said(&mut self, number: usize, ms: u64, status: &ClusterStatus) {
            let at = self.at(ms);
            self.notes.take_in(&self.old, number, at, status);
        }

        fn acked(&mut self, offered: u64, acked: u64) {
            self.notes.acks.push((self.at(offered), self.at(acked)));
        }
    }

    const FOLLOWS: (&str, Role) = ("n2", Role::Follower);

    #[test]
    fn detection_comes_before_election_and_a_live_leader_is_neither() {
        let mut scene = Scene::new();
        scene.said(0, 11, &status(Some("n1"), 3, "leader alive", &[FOLLOWS]));
        assert_eq!((scene.notes.detected, scene.notes.elected), (None, None));
        scene.said(0, 17, &status(Some("n1"), 3, "leader crashed", &[FOLLOWS]));
        scene.said(0, 19, &status(None, 4, "", &[FOLLOWS]));
        assert_eq!((scene.notes.detected, scene.notes.elected), (Some(scene.at(17)), None));
        scene.said(0, 30, &status(Some("n2"), 4, "leader alive", &[("n2", Role::Leader)]));
        scene.said(0, 40, &status(Some("n2"), 4, "leader alive", &[("n2", Role::Leader)]));
        let seen = scene.notes.seen();
        assert_eq!((seen.elected, seen.new_leader.as_deref()), (Some(scene.at(30)), Some("n2")));
        assert!(!scene.notes.is_complete());
    }

    #[test]
    fn the_view_is_right_when_every_survivor_calls_one_node_leader_and_the_old_one_not() {
        let mut scene = Scene::new();
        let right = status(Some("n2"), 4, "", &[("n1", Role::Unknown), ("n2", Role::Leader)]);
        let wrong = status(Some("n2"), 4, "", &[("n1", Role::Leader), ("n2", Role::Leader)]);
        scene.said(0, 20, &right);
        scene.said(1, 22, &wrong);
        assert_eq!(scene.notes.viewed(), None);
        scene.said(1, 30, &right);
        scene.said(0, 35, &right);
        assert_eq!(scene.notes.viewed(), Some(scene.at(30)));
        // Another election makes every view old.
        let later = status(Some("n3"), 5, "", &[("n3", Role::Leader)]);
        scene.said(0, 40, &later);
        assert_eq!(scene.notes.viewed(), None);
        scene.said(1, 41, &right);
        assert_eq!(scene.notes.viewed(), None, "term 4 is over");
        scene.said(1, 50, &later);
        assert_eq!(scene.notes.viewed(), Some(scene.at(50)));
        assert_eq!(scene.notes.seen().new_leader.as_deref(), Some("n3"));
    }

    #[test]
    fn only_writes_offered_after_the_fault_are_first_commits_and_all_end_gaps() {
        let mut scene = Scene::new();
        scene.acked(4, 5);
        scene.acked(8, 9);
        assert_eq!(scene.notes.longest_gap(), None);
        // Offered before the fault: the old leader may have had a part in it.
        scene.acked(9, 21);
        assert_eq!(scene.notes.first_commit(), None);
        scene.acked(15, 24);
        scene.acked(12, 23);
        assert_eq!(scene.notes.first_commit(), Some(scene.at(23)));
        assert_eq!(scene.notes.longest_gap(), Some(Duration::from_millis(12)));
        let right = status(Some("n2"), 4, "", &[("n2", Role::Leader)]);
        scene.said(0, 20, &right);
        scene.said(1, 20, &right);
        assert!(!scene.notes.is_complete(), "nothing was offered since the election");
        scene.acked(20, 26);
        assert!(scene.notes.is_complete());
    }
}
