//! What the replicated log means: commands in, outcomes out, and how to read the
//! result. Knows nothing of Raft or the network. Begin with [`Command`], then
//! `apply`, which is pure: it reads no clock, no random number, no environment.

pub mod apply;
pub mod backup;
mod command;
pub mod query;
pub mod transfer;

pub use self::command::{Command, Outcome, VERSION};

use crate::ident::RecordId;
use crate::record::Digest;

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
