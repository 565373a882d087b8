//! Changes of membership, as small safe steps: learner first, then voter; an old self
//! leaves in the same step in which its replacement becomes a voter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, RaftError};

use super::Consensus;
use super::types::{MemberNode, TypeConfig};
use crate::ident::RaftId;
use crate::view::Member;

/// How long a new node may take to receive the ledger before the attempt is given up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// Why the membership is as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MembersError {
    #[error("this node is not the leader")]
    NotLeader,
    #[error("another change of membership is under way")]
    Busy,
    #[error("{name} did not catch up within {} s", CATCH_UP_MAX.as_secs())]
    TooSlow { name: String },
    #[error("the change of membership failed: {0}")]
    Failed(String),
}

type WriteError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

impl From<WriteError> for MembersError {
    fn from(error: WriteError) -> Self {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Self::NotLeader,
            other => Self::Failed(other.to_string()),
        }
    }
}

pub(super) fn node_of(member: &Member) -> MemberNode {
    MemberNode {
        name: member.name.clone(),
        http_addr: member.http_addr.clone(),
        raft_addr: member.raft_addr.clone(),
    }
}

impl Consensus {
    /// Makes `member` a voter at its present addresses, in place of any other member of
    /// the same name. Does nothing where that is so already.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub async fn admit(&self, member: &Member) -> Result<(), MembersError> {
        let Ok(_slot) = self.members_slot.try_lock() else { return Err(MembersError::Busy) };
        let view = self.view();
        if !view.i_lead() {
            return Err(MembersError::NotLeader);
        }
        let id = member.raft_id.0;
        match view.member(member.raft_id) {
            Some(known) if node_of(known) != node_of(member) => {
                let nodes = BTreeMap::from([(id, node_of(member))]);
                self.raft.change_membership(ChangeMembers::SetNodes(nodes), true).await?;
            }
            Some(_) => {}
            None => {
                tracing::info!(peer = %member.name, "adding the node as a learner");
                let adding = self.raft.add_learner(id, node_of(member), true);
                match tokio::time::timeout(CATCH_UP_MAX, adding).await {
                    Ok(added) => drop(added?),
                    Err(_) => {
                        return Err(MembersError::TooSlow { name: member.name.to_string() });
                    }
                }
            }
        }
        let view = self.view();
        if view.member(member.raft_id).is_some_and(|known| known.voter) {
            return Ok(());
        }
        let former = |other: &&Member| other.name == member.name && other.raft_id != member.raft_id;
        let replaced: BTreeSet<RaftId> =
            view.members.iter().filter(former).map(|other| other.raft_id).collect();
        let mut voters: BTreeSet<u64> = view.voters().map(|voter| voter.raft_id.0).collect();
        voters.retain(|voter| !replaced.contains(&RaftId(*voter)));
        voters.insert(id);
        tracing::info!(peer = %member.name, replaces = ?replaced, "making the learner a voter");
        // A member that is not a voter afterwards leaves, and its number with it.
        self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await?;
        Ok(())
    }
}
