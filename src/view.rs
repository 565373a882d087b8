//! Who leads, as one node sees it: the value that travels on a watch channel
//! from Raft to everyone who waits for a leader.

use crate::ident::{LogPosition, NodeName, RaftId, Term};

/// A member's addresses as other nodes and clients reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub raft_id: RaftId,
    pub name: NodeName,
    /// `HOST:PORT` for clients.
    pub http_addr: String,
    /// `HOST:PORT` for peers.
    pub raft_addr: String,
    pub voter: bool,
}

/// One node's view of consensus at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderView {
    /// This node's own number; `None` until it belongs to a cluster.
    pub me: Option<RaftId>,
    pub leader: Option<RaftId>,
    pub term: Term,
    /// A leader that a quorum acknowledged recently, or a follower with a known leader.
    pub quorum: bool,
    pub last_log: LogPosition,
    pub committed: u64,
    pub applied: u64,
    pub members: Vec<Member>,
}

impl LeaderView {
    pub fn member(&self, id: RaftId) -> Option<&Member> {
        self.members.iter().find(|member| member.raft_id == id)
    }

    /// True also where nothing differs.
    pub fn differs_in_positions_only(&self, other: &Self) -> bool {
        let who = |view: &Self| (view.me, view.leader, view.term, view.quorum);
        who(self) == who(other) && self.members == other.members
    }

    pub fn leader_member(&self) -> Option<&Member> {
        self.member(self.leader?)
    }

    pub fn i_lead(&self) -> bool {
        self.me.is_some() && self.leader == self.me
    }

    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.voter)
    }

    /// Voters that must agree: more than half.
    pub fn quorum_size(&self) -> usize {
        self.voters().count() / 2 + 1
    }
}
