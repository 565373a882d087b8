//! Commands and outcomes: what the log of every node holds, and peers send.

use serde::{Deserialize, Serialize};

use crate::ident::{InstanceUuid, NodeName, RaftId};
use crate::record::Record;

/// One entry of the replicated log. New variants may be added; old ones are never
/// given another meaning, because old logs hold them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Command {
    /// Enter a record, unless its id is there already.
    Put { record: Record },
    /// Give a node's instance a number, unless it has one.
    Assign {
        name: NodeName,
        instance: InstanceUuid,
        /// The number must be at least this: above every number that the cluster was
        /// formed with, which the ledger has not seen.
        at_least: RaftId,
    },
    /// Never let the member with this number in again: an operator removed it.
    Retire { raft_id: RaftId },
    /// From here on every member can read what this version writes; since version 2. Proposed
    /// once all have said so, since one that cannot would stop at this entry for ever.
    Upgrade { version: u32 },
}

/// The newest version that a cluster can have: the wire format and the format of the data folder
/// that all its members read. 1 is that of clusters that know of none.
pub const VERSION: u32 = 2;

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put { record } => write!(f, "put {}", record.id),
            Self::Assign { name, .. } => write!(f, "assign a number to {name}"),
            Self::Retire { raft_id } => write!(f, "retire member {raft_id}"),
            Self::Upgrade { version } => write!(f, "upgrade the cluster to version {version}"),
        }
    }
}

/// What a command did; the same on every replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Blank and membership entries.
    #[default]
    Nothing,
    /// The record that the ledger now holds under the id.
    Put {
        record: Record,
        replayed: bool,
    },
    Assigned {
        raft_id: RaftId,
    },
    Retired,
}
