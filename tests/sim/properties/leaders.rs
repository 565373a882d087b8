//! One leader a term (Raft dissertation, section 3.2.1: election safety).

use std::collections::BTreeMap;

use stegcluster::ident::{NodeName, RaftId, Term};
use stegcluster::view::LeaderView;

/// Who led each term, by anyone's view.
#[derive(Default)]
pub struct Leaders {
    of_term: BTreeMap<Term, (RaftId, NodeName)>,
}

impl Leaders {
    pub fn saw(&mut self, node: &NodeName, view: &LeaderView) -> Option<String> {
        let leader = view.leader?;
        let (first, by) = self.of_term.entry(view.term).or_insert_with(|| (leader, node.clone()));
        (*first != leader).then(|| {
            format!(
                "two leaders of term {}: {first} as {by} saw it, {leader} as {node} sees it",
                view.term
            )
        })
    }

    /// Terms that had a leader.
    pub fn elections(&self) -> usize {
        self.of_term.len()
    }
}
