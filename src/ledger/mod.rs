//! What the replicated log means: commands in, outcomes out, and how to read the
//! result. Knows nothing of Raft or the network. Begin with [`Command`], then
//! `apply`, which is pure: it reads no clock, no random number, no environment.

pub mod apply;
pub mod backup;
pub mod query;
pub mod transfer;

use serde::{Deserialize, Serialize};

use crate::ident::{InstanceUuid, NodeName, RaftId, RecordId};
use crate::record::{Digest, Record};

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
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put { record } => write!(f, "put {}", record.id),
            Self::Assign { name, .. } => write!(f, "assign a number to {name}"),
            Self::Retire { raft_id } => write!(f, "retire member {raft_id}"),
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

/// Keys in [`crate::store::Column::Ledger`].
///
/// All keys of one copy of the ledger start with its *generation*. A snapshot from
/// the leader is loaded into the next generation, which then becomes current in one
/// batch: a crash at any moment leaves one whole ledger.
pub(crate) mod keys {
    use super::{Digest, RecordId};

    const RECORD: u8 = b'r';
    const DIGEST: u8 = b'd';

    pub fn generation(generation: u32) -> Vec<u8> {
        generation.to_be_bytes().to_vec()
    }

    pub fn records(generation: u32) -> Vec<u8> {
        let mut key = self::generation(generation);
        key.push(RECORD);
        key
    }

    pub fn record(generation: u32, id: &RecordId) -> Vec<u8> {
        let mut key = records(generation);
        key.extend_from_slice(id.as_str().as_bytes());
        key
    }

    pub fn digests(generation: u32, digest: &Digest) -> Vec<u8> {
        let mut key = self::generation(generation);
        key.push(DIGEST);
        key.extend_from_slice(&digest.0);
        key
    }

    pub fn digest(generation: u32, digest: &Digest, id: &RecordId) -> Vec<u8> {
        let mut key = digests(generation, digest);
        key.extend_from_slice(id.as_str().as_bytes());
        key
    }
}
