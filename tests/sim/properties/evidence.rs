//! A voter lets a vote pass a leader's lease only on evidence of its own: one that hears
//! the leader, and does not hold it dead, grants nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use stegcluster::config::Timings;
use stegcluster::ident::{RaftId, Term};
use stegcluster::sim::witness;

/// Counts the votes that were weighed.
#[derive(Default)]
pub struct Evidence {
    pub granted: u32,
    /// The newest term that each voter voted in.
    voted: BTreeMap<RaftId, Term>,
}

impl Evidence {
    /// Weighs the votes granted since the last call.
    pub fn weigh_votes(&mut self) -> Option<String> {
        let mut found = None;
        for vote in witness::granted() {
            self.granted += 1;
            let lease = Duration::from_millis(Timings::default().election_timeout_min_ms);
            let heard = vote.heard.map(|heard| vote.asked - heard);
            let leader = vote.leader.filter(|leader| Some(*leader) != vote.voter);
            // Who voted in a newer term, and still writes that down, has no leader any more,
            // whatever it has told of itself so far.
            let voted = self.voted.entry(vote.voter.unwrap_or_default()).or_default();
            let leader = leader.filter(|_| *voted <= vote.term);
            *voted = vote.for_term.max(*voted);
            if let (false, Some(leader), Some(heard)) = (vote.excused, leader, heard)
                && heard < lease
            {
                let (voter, ms) = (vote.voter.unwrap_or_default(), heard.as_millis());
                found = Some(format!(
                    "voter {voter} granted a vote against leader {leader} of term {}, which it \
                     had heard {ms} ms before and did not hold dead",
                    vote.term
                ));
            }
        }
        found
    }
}
