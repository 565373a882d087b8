//! Changes of membership, as small safe steps: learner first, then voter; an old self
//! leaves in the same step in which its replacement becomes a voter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, ServerState};

use super::hand_over::{FITNESS, Fitness};
use super::types::{MemberNode, TypeConfig};
use super::{Consensus, ProposeError};
use crate::ident::{NodeName, RaftId};
use crate::ledger::Command;
use crate::peer::link::{Lane, Links};
use crate::view::{LeaderView, Member};

/// How long a new node may take to receive the ledger before the attempt is given up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// How long the voters that stay may take to answer before one is removed.
const ALIVE_WITHIN: Duration = Duration::from_millis(500);

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
    #[error("{name} is not a member of this cluster; the members are {members}")]
    NoSuchMember { name: NodeName, members: String },
    #[error("{name} leads; hand leadership over first")]
    Leads { name: NodeName },
    /// The rest could neither commit this change nor anything after it.
    #[error(
        "without {name} there would be {voters} voters, and only {alive} of them answer; \
         bring the others back, or remove those first"
    )]
    WouldStop { name: NodeName, voters: usize, alive: usize },
    #[error("the change of membership failed: {0}")]
    Failed(String),
}

fn no_such_member(name: &NodeName, view: &LeaderView) -> MembersError {
    let members: Vec<&str> = view.members.iter().map(|member| member.name.as_str()).collect();
    MembersError::NoSuchMember { name: name.clone(), members: members.join(", ") }
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

    /// Takes every member called `name` out of the cluster, for good: its number is never let in
    /// again. The change is refused where the voters that would be left and that answer now are
    /// no majority.
    ///
    /// # Errors
    /// See [`MembersError`]. After `Failed` it may still take place.
    pub async fn remove(&self, name: &NodeName, links: &Links) -> Result<(), MembersError> {
        let Ok(_slot) = self.members_slot.try_lock() else { return Err(MembersError::Busy) };
        self.finish_change().await?;
        let view = self.view();
        if !view.i_lead() {
            return Err(MembersError::NotLeader);
        }
        let leaving: Vec<&Member> = view.members.iter().filter(|m| m.name == *name).collect();
        if leaving.is_empty() {
            return Err(no_such_member(name, &view));
        }
        if leaving.iter().any(|member| member.raft_id == self.me) {
            return Err(MembersError::Leads { name: name.clone() });
        }
        let staying: Vec<&Member> = view.voters().filter(|voter| voter.name != *name).collect();
        let alive = self.alive(&staying, links).await;
        if alive <= staying.len() / 2 {
            let voters = staying.len();
            return Err(MembersError::WouldStop { name: name.clone(), voters, alive });
        }
        for member in &leaving {
            // First, or it would ask to be let in again as soon as it is out.
            let retire = Command::Retire { raft_id: member.raft_id };
            self.propose(retire).await.map_err(|error| match error {
                // So does a new leader before its first entry is committed.
                ProposeError::NotLeader { .. } => MembersError::NotLeader,
                ProposeError::Stopped(cause) => MembersError::Failed(cause),
            })?;
        }
        let ids = |voter: bool| -> BTreeSet<u64> {
            leaving.iter().filter(|m| m.voter == voter).map(|m| m.raft_id.0).collect()
        };
        tracing::info!(peer = %name, "removing the node, as an operator asked");
        let (voters, learners) = (ids(true), ids(false));
        if !voters.is_empty() {
            self.raft.change_membership(ChangeMembers::RemoveVoters(voters), false).await?;
        }
        if !learners.is_empty() {
            self.raft.change_membership(ChangeMembers::RemoveNodes(learners), false).await?;
        }
        Ok(())
    }

    /// Makes the learner called `name` a voter. Does nothing where it is one.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub async fn promote(&self, name: &NodeName) -> Result<(), MembersError> {
        let view = self.view();
        if !view.i_lead() {
            return Err(MembersError::NotLeader);
        }
        match view.members.iter().find(|member| member.name == *name) {
            Some(member) => self.admit(member).await,
            None => Err(no_such_member(name, &view)),
        }
    }

    /// How many of `voters` answer now, this node included.
    async fn alive(&self, voters: &[&Member], links: &Links) -> usize {
        let asking = voters.iter().map(|voter| async {
            if voter.raft_id == self.me {
                return true;
            }
            let link = links.to_member(voter.raft_id, &voter.raft_addr, Lane::Vote);
            link.call::<_, Fitness>(FITNESS, &(), ALIVE_WITHIN).await.is_ok()
        });
        futures_util::future::join_all(asking).await.into_iter().filter(|alive| *alive).count()
    }

    /// Finishes, whenever this node leads, what a former leader left half done, until Raft
    /// stops. A change of voters takes two entries, and between them both sets of voters
    /// must agree; a leader that is lost there would leave a member that is gone for good
    /// in every quorum.
    pub(super) async fn keep_changes_finished(self) {
        // Changed by whatever may begin such a state, and by no record or heartbeat.
        let mut server = self.raft.server_metrics();
        loop {
            while self.is_half_changed() {
                {
                    // A change of this node's own holds the slot until it is done.
                    let _slot = self.members_slot.lock().await;
                    if let Err(error) = self.finish_change().await {
                        tracing::debug!(cause = %error, "the change of membership cannot be finished yet");
                    }
                }
                if self.is_half_changed() {
                    tokio::time::sleep(FINISH_INTERVAL).await;
                }
            }
            if server.changed().await.is_err() {
                return;
            }
        }
    }

    /// True where this node leads, and the voters are between two sets.
    fn is_half_changed(&self) -> bool {
        let metrics = self.raft.server_metrics();
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
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.membership().get_joint_config().last().cloned()
        };
        let Some(newer) = newer else { return Ok(()) };
        tracing::info!(voters = ?newer, "finishing a change of membership that was left half done");
        self.raft.change_membership(ChangeMembers::ReplaceAllVoters(newer), false).await?;
        Ok(())
    }
}
