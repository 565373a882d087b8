//! Watches the cluster during a load: who leads, and how often that changed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::meter::Meter;
use crate::api::cluster::ClusterStatus;
use crate::client::{Client, Stop};

/// Often enough to put each second of the timeline down to the right leader.
const INTERVAL: Duration = Duration::from_millis(250);
/// A node that takes longer says nothing this time.
const WITHIN: Duration = Duration::from_secs(1);

/// What was learned of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// The name of each server's node, in their order, where known.
    pub names: Vec<Option<String>>,
    pub first_term: Option<u64>,
    pub last_term: Option<u64>,
    pub leader: Option<String>,
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
    fn take_in(&mut self, statuses: &[Option<ClusterStatus>]) {
        self.names.resize(statuses.len(), None);
        for (name, status) in self.names.iter_mut().zip(statuses) {
            if let Some(node) = status.as_ref().and_then(|status| status.node.as_ref()) {
                *name = Some(node.to_string());
            }
        }
        let said = || statuses.iter().flatten();
        if let Some(term) = said().map(|status| status.term).max() {
            self.first_term.get_or_insert(term);
            self.last_term = self.last_term.max(Some(term));
        }
        // Of two that claim different leaders, the later term is right.
        let latest = said().filter(|status| status.leader_id.is_some()).max_by_key(|s| s.term);
        if let Some(leader) = latest.and_then(|status| status.leader_id.as_ref()) {
            self.leader = Some(leader.to_string());
        }
    }
}

/// Asks every server for its status, now and then.
#[derive(Debug, Default)]
pub struct Monitor {
    learned: Mutex<Learned>,
}

impl Monitor {
    /// Asks once.
    pub fn look(&self, client: &Client, meter: Option<&Meter>) {
        let statuses: Vec<Option<ClusterStatus>> =
            client.statuses(WITHIN).into_iter().map(Result::ok).collect();
        let leader = {
            let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
            learned.take_in(&statuses);
            learned.leader.clone()
        };
        if let Some(meter) = meter {
            meter.set_leader(leader);
        }
    }

    /// Asks until stopped, and once more then. Run it on its own thread.
    pub fn watch(&self, client: &Client, meter: &Meter, stop: &Stop) {
        loop {
            self.look(client, Some(meter));
            if stop.wait(INTERVAL) {
                return;
            }
        }
    }

    pub fn learned(&self) -> Learned {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_are_rises_of_the_highest_term() {
        let status = |node: &str, leader: &str, term| {
            Some(ClusterStatus {
                node: node.parse().ok(),
                leader_id: leader.parse().ok(),
                term,
                ..ClusterStatus::default()
            })
        };
        let mut learned = Learned::default();
        learned.take_in(&[status("n1", "n1", 3), None]);
        learned.take_in(&[None, status("n2", "n2", 4)]);
        learned.take_in(&[status("n1", "n1", 3), status("n2", "n2", 4)]);
        assert_eq!(learned.elections(), 1);
        assert_eq!(learned.leader.as_deref(), Some("n2"));
        assert_eq!(learned.names, [Some("n1".to_owned()), Some("n2".to_owned())]);
        assert_eq!(Learned::default().elections(), 0);
    }
}
