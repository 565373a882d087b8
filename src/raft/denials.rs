//! Why this node was not elected, by the voters' own answers: for people who ask why there is
//! no leader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::raft::{VoteRequest, VoteResponse};

use super::types::{TypeConfig, position};
use crate::api::cluster::Denial;
use crate::ident::NodeName;
use crate::peer::PeerError;

/// The last answer of each voter, where it was no. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Denials {
    by_voter: Arc<Mutex<BTreeMap<NodeName, Denial>>>,
}

impl Denials {
    /// Notes what `voter` answered to a vote or a pre-vote.
    pub fn note(
        &self,
        voter: &NodeName,
        request: &VoteRequest<TypeConfig>,
        answer: &Result<VoteResponse<TypeConfig>, PeerError>,
    ) {
        let cause = match answer {
            Ok(answer) if answer.vote_granted => None,
            Ok(answer) => Some(cause(request, answer)),
            Err(error) => Some(error.to_string()),
        };
        let mut by_voter = self.by_voter.lock().unwrap_or_else(PoisonError::into_inner);
        match cause {
            None => drop(by_voter.remove(voter)),
            Some(cause) => {
                let term = request.vote.leader_id.term;
                let answered = answer.is_ok();
                let denial = Denial { by: voter.clone(), term, answered, cause };
                by_voter.insert(voter.clone(), denial);
            }
        }
    }

    /// In the order of the voters' names.
    pub fn list(&self) -> Vec<Denial> {
        let by_voter = self.by_voter.lock().unwrap_or_else(PoisonError::into_inner);
        by_voter.values().cloned().collect()
    }
}

/// The reasons that a voter has, in the order in which it looks at them but for the last, which
/// its answer does not tell apart.
fn cause(request: &VoteRequest<TypeConfig>, answer: &VoteResponse<TypeConfig>) -> String {
    let theirs = position(answer.last_log_id.as_ref());
    let ours = position(request.last_log_id.as_ref());
    let (asked, known) = (request.vote.leader_id.term, answer.vote.leader_id.term);
    if theirs > ours {
        format!(
            "its log is newer (it ends with entry {} of term {}, here with entry {} of term {})",
            theirs.index, theirs.term, ours.index, ours.term
        )
    } else if known > asked {
        format!("it is in term {known} already")
    } else if known == asked && answer.vote.leader_id != request.vote.leader_id {
        "it gave its vote of this term to another node".to_owned()
    } else {
        "it has heard from a leader lately".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::raft::types::{LogId, Vote};

    fn leader(term: u64, node: u64) -> openraft::impls::leader_id_std::LeaderId<u64, u64> {
        openraft::impls::leader_id_std::LeaderId::new(term, node)
    }

    fn log(term: u64, index: u64) -> Option<LogId> {
        Some(LogId::new(leader(term, 1).to_committed(), index))
    }

    #[test]
    fn the_cause_is_told_from_the_answer() {
        let request = VoteRequest::new(Vote::new(3, 1), log(2, 9));
        let answer = |vote, log| {
            let vote = Vote { leader_id: vote, committed: false };
            Ok(VoteResponse { vote, vote_granted: false, last_log_id: log })
        };
        let cases = [
            (answer(leader(2, 2), log(2, 12)), "its log is newer (it ends with entry 12 of term 2"),
            (answer(leader(5, 2), log(2, 9)), "it is in term 5 already"),
            (answer(leader(3, 2), log(2, 9)), "it gave its vote of this term to another node"),
            (answer(leader(2, 2), log(1, 4)), "it has heard from a leader lately"),
        ];
        let denials = Denials::default();
        let voter: NodeName = "n2".parse().unwrap();
        for (answer, expected) in cases {
            denials.note(&voter, &request, &answer);
            let listed = denials.list();
            assert_eq!((listed.len(), listed[0].term), (1, 3));
            assert!(listed[0].cause.starts_with(expected), "{}", listed[0].cause);
        }
        let vote = Vote::new(3, 1);
        let granted = VoteResponse { vote, vote_granted: true, last_log_id: None };
        denials.note(&voter, &request, &Ok(granted));
        assert_eq!(denials.list(), []);
    }
}
