//! Who led in which term, by the word of every node that was asked or that told: there may be one
//! leader a term.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::cluster::ClusterStatus;
use crate::client::events::Seen;
use crate::observe::events::Change;

/// Shared by all who watch.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    by_term: Mutex<BTreeMap<u64, BTreeSet<String>>>,
}

impl Leaders {
    fn by_term(&self) -> MutexGuard<'_, BTreeMap<u64, BTreeSet<String>>> {
        self.by_term.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, term: u64, leader: &str) {
        let mut by_term = self.by_term();
        let leaders = by_term.entry(term).or_default();
        if !leaders.contains(leader) {
            leaders.insert(leader.to_owned());
        }
    }

    /// What a node says of who leads.
    pub fn said(&self, status: &ClusterStatus) {
        if let Some(leader) = &status.leader_id {
            self.note(status.term, leader.as_str());
        }
    }

    /// What nodes told as it happened.
    pub fn told(&self, seen: &[Seen]) {
        for Seen { event, .. } in seen {
            if let Change::LeaderChanged { leader: Some(leader) } = &event.change {
                self.note(event.term.0, leader.as_str());
            }
        }
    }

    /// The highest term that anybody spoke of.
    pub fn highest_term(&self) -> u64 {
        self.by_term().last_key_value().map_or(0, |(term, _)| *term)
    }

    /// Terms that had a leader.
    pub fn terms(&self) -> u64 {
        self.by_term().len() as u64
    }

    /// A sentence for each term that had several.
    pub fn conflicts(&self) -> Vec<String> {
        let by_term = self.by_term();
        let several = by_term.iter().filter(|(_, leaders)| leaders.len() > 1);
        let sentence = |(term, leaders): (&u64, &BTreeSet<String>)| {
            let leaders: Vec<&str> = leaders.iter().map(String::as_str).collect();
            format!("term {term} had {} leaders: {}", leaders.len(), leaders.join(", "))
        };
        several.map(sentence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(term: u64, leader: Option<&str>) -> ClusterStatus {
        let leader_id = leader.and_then(|leader| leader.parse().ok());
        ClusterStatus { term, leader_id, ..ClusterStatus::default() }
    }

    #[test]
    fn a_planted_second_leader_of_one_term_is_caught() {
        let leaders = Leaders::default();
        for (term, leader) in [(1, Some("n1")), (2, None), (2, Some("n2")), (2, Some("n2"))] {
            leaders.said(&status(term, leader));
        }
        assert_eq!(leaders.conflicts(), Vec::<String>::new());
        assert_eq!((leaders.highest_term(), leaders.terms()), (2, 2));
        leaders.said(&status(2, Some("n3")));
        assert_eq!(leaders.conflicts(), ["term 2 had 2 leaders: n2, n3"]);
    }
}
