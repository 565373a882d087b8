//! Changes of membership, as small safe steps: learner first, then voter; an old self
//! leaves in the same step in which its replacement becomes a voter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, ServerState};

use super::Consensus;
use super::types::{MemberNode, TypeConfig};
use crate::ident::RaftId;
use crate::view::Member;

/// How long a new node may take to receive the ledger before the attempt is given up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// Between two attempts to finish a change of membership.
const FINISH_INTERVAL: Duration = Duration::from_millis(100);

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
        self.finish_change().await?;
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

    /// Finishes, whenever this node leads, what a former leader left half done, until Raft
    /// stops. A change of voters takes two entries, and between them both sets of voters
    /// must agree; a leader that is lost there would leave a member that is gone for good
    /// in every quorum.
    pub(super) async fn keep_changes_finished(self) {
        let mut metrics = self.raft.metrics();
        loop {
            if self.is_half_changed() {
                // A change of this node's own holds the slot until it is done.
                let _slot = self.members_slot.lock().await;
                if let Err(error) = self.finish_change().await {
                    tracing::debug!(cause = %error, "the change of membership cannot be finished yet");
                    tokio::time::sleep(FINISH_INTERVAL).await;
                }
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// True where this node leads, and the voters are between two sets.
    fn is_half_changed(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        metrics.state == ServerState::Leader && membership.get_joint_config().len() > 1
    }

    /// Makes the newer of two sets of voters the only one. The caller holds the slot.
    async fn finish_change(&self) -> Result<(), MembersError> {
        if !self.is_half_changed() {
            return Ok(());
        }
        let newer = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.membership().get_joint_config().last().cloned()
        };
        let Some(newer) = newer else { return Ok(()) };
        tracing::info!(voters = ?newer, "finishing a change of membership that was left half done");
        self.raft.change_membership(ChangeMembers::ReplaceAllVoters(newer), false).await?;
        Ok(())
    }
}
