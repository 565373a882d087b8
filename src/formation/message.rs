//! What nodes say to each other while a cluster forms or a node joins.

use serde::{Deserialize, Serialize};

use crate::ident::{ClusterUuid, InstanceUuid, NodeName, RaftId};
use crate::view::Member;

/// One founder of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    pub raft_id: RaftId,
    pub name: NodeName,
    pub instance: InstanceUuid,
    pub http_addr: String,
    pub raft_addr: String,
}

impl Founder {
    pub fn member(&self) -> Member {
        Member {
            raft_id: self.raft_id,
            name: self.name.clone(),
            http_addr: self.http_addr.clone(),
            raft_addr: self.raft_addr.clone(),
            voter: true,
        }
    }
}

/// The decision: which cluster, with which founders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    pub cluster: ClusterUuid,
    pub founders: Vec<Founder>,
}

impl Charter {
    /// This instance's number, if it is a founder.
    pub fn founder(&self, instance: InstanceUuid) -> Option<&Founder> {
        self.founders.iter().find(|founder| founder.instance == instance)
    }
}

/// Paxos ballots: rounds, made unique by the proposer's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ballot {
    pub round: u64,
    pub proposer: NodeName,
}

/// Answer to a hello: who a node is, and of which cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    pub name: NodeName,
    pub instance: InstanceUuid,
    pub http_addr: String,
    pub raft_addr: String,
    /// Set once it belongs to a cluster.
    pub cluster: Option<ClusterUuid>,
    /// The decision, if it knows it.
    pub charter: Option<Charter>,
}

/// Paxos phase 2a.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accept {
    pub ballot: Ballot,
    pub charter: Charter,
}

/// Answer of an acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Vote {
    Yes {
        accepted: Option<(Ballot, Charter)>,
    },
    /// It promised a higher ballot.
    No {
        promised: Ballot,
    },
    /// It is past forming.
    Decided {
        charter: Option<Charter>,
    },
}

/// A node that asks to be let in, or that its addresses be known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    pub name: NodeName,
    pub instance: InstanceUuid,
    pub http_addr: String,
    pub raft_addr: String,
    /// Set once the node listens as this member, and may be sent entries.
    pub raft_id: Option<RaftId>,
}

/// Answer to [`Join`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Joined {
    /// The number to start as.
    Number { cluster: ClusterUuid, raft_id: RaftId },
    /// It is, or is on the way to be, a voter.
    Admitted,
    /// An operator removed it: it shall not come back with this data folder.
    Removed,
    /// Ask there.
    Elsewhere { leader: Option<String> },
}
