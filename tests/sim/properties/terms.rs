//! Nobody is deposed while healthy: without a fault that concerns a majority, neither the
//! leader nor the term changes.

use stegcluster::ident::{NodeName, RaftId, Term};
use stegcluster::view::LeaderView;

/// The leader that may not be deposed at present.
#[derive(Default)]
pub struct Terms {
    calm: Option<(RaftId, Term)>,
    /// How often a calm time began, so that a test can tell that it was checked.
    pub calm_times: u32,
}

impl Terms {
    /// All is well, and must remain so.
    pub fn begin_calm(&mut self, leader: RaftId, term: Term) {
        self.calm = Some((leader, term));
        self.calm_times += 1;
    }

    pub fn end_calm(&mut self) {
        self.calm = None;
    }

    pub fn saw(&mut self, node: &NodeName, view: &LeaderView) -> Option<String> {
        let (leader, term) = self.calm?;
        // A node that was away may still know an earlier term.
        let changed =
            view.term > term || (view.term == term && view.leader.is_some_and(|l| l != leader));
        changed.then(|| {
            let now = view.leader.map_or("nobody".into(), |leader| leader.to_string());
            format!(
                "the healthy leader {leader} of term {term} was deposed: {node} sees {now} in term {}",
                view.term
            )
        })
    }
}
