//! How a node becomes part of a cluster: it joins one that exists, or forms one with a
//! majority of the configured nodes.
//!
//! Forming is one decision, made once, by single-decree Paxos (L. Lamport, "Paxos Made
//! Simple", 2001) among the configured nodes: *which* cluster, with *which* founders.
//! Promises and acceptances are fsynced, so that no crash or partition lets two
//! clusters form. A wiped disk has forgotten its promises and is a new node; forming
//! again while the rest is away is then prevented only by the nodes that remember.
//!
//! Begin with [`Formation::run`]; `acceptor` is what the others ask, `propose` what
//! this node asks, `join` the way into a cluster that exists.

mod acceptor;
mod join;
mod propose;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use acceptor::{FormationError, Mounts, mount};
pub use join::keep_joined;
pub use propose::Formation;

use crate::clock;
use crate::datadir::{DataDir, DataDirError};
use crate::ident::{ClusterUuid, InstanceUuid, NodeName, RaftId};
use crate::view::Member;

/// The file in the data folder that keeps promises.
const FILE: &str = "formation.json";

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

/// What an acceptor must never forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    pub promised: Option<Ballot>,
    pub accepted: Option<(Ballot, Charter)>,
    /// The decision, once known.
    pub charter: Option<Charter>,
}

/// Makes the folder's node the founder, and the only one, of a new cluster. Offline; durable
/// once it returns.
///
/// # Errors
/// The disk failed.
pub fn refound(datadir: &DataDir, member: &Member) -> Result<ClusterUuid, DataDirError> {
    let mut identity = datadir.identity();
    let cluster = ClusterUuid(clock::fresh_uuid());
    let founder = Founder {
        raft_id: member.raft_id,
        name: member.name.clone(),
        instance: identity.instance,
        http_addr: member.http_addr.clone(),
        raft_addr: member.raft_addr.clone(),
    };
    let charter = Some(Charter { cluster, founders: vec![founder] });
    datadir.save(FILE, &Promises { charter, ..Promises::default() })?;
    identity.cluster_uuid = Some(cluster);
    datadir.save_identity(&identity)?;
    Ok(cluster)
}

/// What this node is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub cluster: ClusterUuid,
    pub raft_id: RaftId,
    /// With whom to initialise Raft; empty for a node that joined later.
    pub founders: Arc<[Founder]>,
}
