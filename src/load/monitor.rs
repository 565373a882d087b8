//! Watches the cluster during a load: who leads, since when, and how often that changed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::meter::Meter;
use crate::api::cluster::ClusterStatus;
use crate::client::events::{EventWatch, Seen};
use crate::client::{Client, Stop};
use crate::clock::{self, Instant};
use crate::observe::events::Change;

/// Often enough to put each second of the timeline down to the right leader, where events do not
/// tell at once.
const INTERVAL: Duration = Duration::from_millis(250);
/// A node that takes longer says nothing this time.
const WITHIN: Duration = Duration::from_secs(1);
/// Changes of leader that are kept. Beyond it they are only counted, by the term.
const CHANGES_MAX: usize = 1000;

/// A node became leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderChange {
    /// When the first node said so.
    pub at: Instant,
    pub leader: String,
    pub term: u64,
}

/// What was learned of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// The name of each server's node, in their order, where known.
    pub names: Vec<Option<String>>,
    pub first_term: Option<u64>,
    pub last_term: Option<u64>,
    pub leader: Option<String>,
    /// Without the leader that was there at first.
    pub changes: Vec<LeaderChange>,
}

impl Learned {
    /// Rises of the term that were seen.
    pub fn elections(&self) -> u64 {
        self.last_term.unwrap_or(0).saturating_sub(self.first_term.unwrap_or(0))
    }

    /// A node's name, or its address where it never told.
    pub fn name(&self, client: &Client, server: usize) -> String {
        let known = self.names.get(server).cloned().flatten();
        known.unwrap_or_else(|| client.servers().nth(server).address().to_owned())
    }

    /// Takes in what each server said, in their order; `None` said nothing.
    fn take_in(&mut self, statuses: &[Option<ClusterStatus>], at: Instant) {
        self.names.resize(statuses.len(), None);
        for (name, status) in self.names.iter_mut().zip(statuses) {
            if let Some(node) = status.as_ref().and_then(|status| status.node.as_ref()) {
                *name = Some(node.to_string());
            }
        }
        let said = || statuses.iter().flatten();
        // Of two that claim different leaders, the later term is right.
        let latest = said().filter(|status| status.leader_id.is_some()).max_by_key(|s| s.term);
        if let Some((status, leader)) = latest.and_then(|s| Some((s, s.leader_id.as_ref()?))) {
            self.leads(leader.as_str(), status.term, at);
        }
        if let Some(term) = said().map(|status| status.term).max() {
            self.first_term.get_or_insert(term);
            self.last_term = self.last_term.max(Some(term));
        }
    }

    /// Takes in what nodes told as it happened.
    fn hear(&mut self, seen: &[Seen]) {
        for seen in seen {
            if let Change::LeaderChanged { leader: Some(leader) } = &seen.event.change {
                self.leads(leader.as_str(), seen.event.term.0, seen.at);
            }
        }
    }

    fn leads(&mut self, leader: &str, term: u64, at: Instant) {
        let before = self.last_term;
        if before.is_some_and(|known| term < known) {
            return;
        }
        let first = self.leader.is_none();
        let same = self.leader.as_deref() == Some(leader) && before == Some(term);
        let told = self.changes.iter().any(|change| change.term == term);
        // A term has one leader, so whoever tells of it second tells nothing new. Where only the
        // term is new, a status was heard of before its leader was known.
        if !first && !same && !told && self.changes.len() < CHANGES_MAX {
            self.changes.push(LeaderChange { at, leader: leader.to_owned(), term });
        }
        self.leader = Some(leader.to_owned());
        self.first_term.get_or_insert(term);
        self.last_term = Some(term);
    }
}

/// Asks every server for its status, now and then, and listens to their events.
#[derive(Debug, Default)]
pub struct Monitor {
    learned: Mutex<Learned>,
}

impl Monitor {
    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks once.
    pub fn look(&self, client: &Client, meter: Option<&Meter>) {
        let statuses: Vec<Option<ClusterStatus>> =
            client.statuses(WITHIN).into_iter().map(Result::ok).collect();
        let mut learned = self.lock();
        learned.take_in(&statuses, clock::now());
        let leader = learned.leader.clone();
        drop(learned);
        if let Some(meter) = meter {
            meter.set_leader(leader);
        }
    }

    /// Asks until stopped, and once more then. Run it on its own thread.
    pub fn watch(&self, client: &Client, meter: &Meter, stop: &Stop) {
        let events = EventWatch::open(client.servers());
        let mut heard_until = clock::now();
        loop {
            let seen = events.since(heard_until);
            if let Some(last) = seen.last() {
                heard_until = last.at;
            }
            // First, because events know when it was.
            self.lock().hear(&seen);
            self.look(client, Some(meter));
            if stop.wait(INTERVAL) {
                return;
            }
        }
    }

    pub fn learned(&self) -> Learned {
        self.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Term;
    use crate::observe::events::Event;

    fn status(node: &str, leader: &str, term: u64) -> Option<ClusterStatus> {
        Some(ClusterStatus {
            node: node.parse().ok(),
            leader_id: leader.parse().ok(),
            term,
            ..ClusterStatus::default()
        })
    }

    #[test]
    fn elections_are_rises_of_the_highest_term() {
        let now = clock::now();
        let mut learned = Learned::default();
        learned.take_in(&[status("n1", "n1", 3), None], now);
        learned.take_in(&[None, status("n2", "n2", 4)], now);
        learned.take_in(&[status("n1", "n1", 3), status("n2", "n2", 4)], now);
        assert_eq!(learned.elections(), 1);
        assert_eq!(learned.leader.as_deref(), Some("n2"));
        assert_eq!(learned.names, [Some("n1".to_owned()), Some("n2".to_owned())]);
        let change = LeaderChange { at: now, leader: "n2".into(), term: 4 };
        assert_eq!(learned.changes, [change]);
        assert_eq!(Learned::default().elections(), 0);
    }

    #[test]
    fn a_change_is_when_the_first_node_told_of_it() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let told = |ms, term| Seen {
            server: 0,
            at: at(ms),
            event: Event {
                time_ms: 0,
                reporter: "n3".parse().unwrap(),
                term: Term(term),
                change: Change::LeaderChanged { leader: "n2".parse().ok() },
            },
        };
        let mut learned = Learned::default();
        learned.take_in(&[status("n1", "n1", 3)], start);
        learned.hear(&[told(10, 4), told(12, 4)]);
        learned.take_in(&[status("n3", "n2", 4), status("n1", "n1", 3)], at(200));
        let times: Vec<Instant> = learned.changes.iter().map(|change| change.at).collect();
        assert_eq!(times, [at(10)]);
        assert_eq!(learned.elections(), 1);
        // The same node, elected anew.
        learned.hear(&[told(300, 6), told(301, 5)]);
        assert_eq!((learned.changes.len(), learned.elections()), (2, 3));
    }
}
