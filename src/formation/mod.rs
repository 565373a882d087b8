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
mod message;
mod propose;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use acceptor::{FormationError, Mounts, mount};
pub use join::{Newcomer, ask_for_number, keep_joined};
pub use message::{Ballot, Charter, Founder};
pub use propose::Formation;

use crate::clock;
use crate::datadir::{DataDir, DataDirError};
use crate::ident::{ClusterUuid, RaftId};
use crate::view::Member;

/// The file in the data folder that keeps promises.
const FILE: &str = crate::datadir::PROMISES_FILE;

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
