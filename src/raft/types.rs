//! Our instance of openraft's types. Named nowhere outside this room.

use std::fmt;

use openraft::vote::RaftLeaderId;
use serde::{Deserialize, Serialize};

use crate::ident::{LogPosition, NodeName};
use crate::ledger::{Command, Outcome};

/// A member as Raft's membership entries keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberNode {
    pub name: NodeName,
    /// `HOST:PORT` for clients.
    pub http_addr: String,
    /// `HOST:PORT` for peers.
    pub raft_addr: String,
}

impl Default for MemberNode {
    /// Demanded by openraft, and never seen by a peer.
    fn default() -> Self {
        Self {
            name: "unknown".parse().expect("a valid name"),
            http_addr: String::new(),
            raft_addr: String::new(),
        }
    }
}

impl fmt::Display for MemberNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.raft_addr)
    }
}

openraft::declare_raft_types!(
    /// Commands of the ledger, standard terms with one leader each.
    pub TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = u64,
        Node = MemberNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

#[cfg(not(sim))]
type Runtime = openraft_rt_tokio::TokioRuntime;
#[cfg(sim)]
type Runtime = super::sim_runtime::SimRuntime;

type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
type CommittedLeaderId = <LeaderId as RaftLeaderId>::Committed;

pub type LogId = openraft::LogId<CommittedLeaderId>;
pub type Vote = openraft::Vote<LeaderId>;
pub type Entry =
    openraft::Entry<CommittedLeaderId, openraft::EntryPayload<Command, u64, MemberNode>>;
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, MemberNode>;
pub type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, MemberNode>;
pub type Snapshot<D> = openraft::Snapshot<CommittedLeaderId, u64, MemberNode, D>;

/// First line of a snapshot's stream; the ledger follows.
#[derive(Serialize, Deserialize)]
pub struct SnapshotHead {
    pub vote: Vote,
    pub meta: SnapshotMeta,
}

/// A log id in our own words; nothing is index 0 of term 0.
pub fn position(log_id: Option<&LogId>) -> LogPosition {
    log_id.map_or_else(LogPosition::default, |id| LogPosition {
        term: id.committed_leader_id().term,
        index: id.index(),
    })
}
