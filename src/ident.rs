//! Names and numbers that identify nodes, clusters, terms and records.
//!
//! Distinct things get distinct types, so that a term can never be passed where
//! a node id is meant. Nothing here does I/O.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is no valid [`NodeName`] or [`RecordId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    #[error(
        "node name {0:?} must be 1 to {max} characters of a-z, A-Z, 0-9, '-', '_' or '.'",
        max = NodeName::LENGTH_MAX
    )]
    NodeName(String),
    #[error(
        "record id must be 1 to {max} visible ASCII characters, without quotes, slashes or spaces",
        max = RecordId::LENGTH_MAX
    )]
    RecordId,
}

/// The name a user gives a node, such as `n1`. Unique within a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = IdentError;

    fn from_str(text: &str) -> Result<Self, IdentError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && text.len() <= Self::LENGTH_MAX && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentError::NodeName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for NodeName {
    type Error = IdentError;

    fn try_from(text: String) -> Result<Self, IdentError> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A voter's or learner's number in Raft. Given out by the ledger, never reused.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RaftId(pub u64);

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Raft's logical time: at most one leader is elected in each.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a log ends. Ordered as Raft compares logs: by term, then by index
/// (Raft dissertation, section 3.6.1).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct LogPosition {
    pub term: u64,
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// Made once when a cluster forms; every message between its nodes carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterUuid(pub Uuid);

impl fmt::Display for ClusterUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Made once when a data directory is created: a wiped disk is another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceUuid(pub Uuid);

impl fmt::Display for InstanceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A ledger entry's key: a UUIDv7, or the client's `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(String);

impl RecordId {
    /// Longest id, in bytes.
    pub const LENGTH_MAX: usize = 128;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for RecordId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.to_string())
    }
}

impl FromStr for RecordId {
    type Err = IdentError;

    fn from_str(text: &str) -> Result<Self, IdentError> {
        let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'/' | b'\\');
        if (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentError::RecordId)
        }
    }
}

impl TryFrom<String> for RecordId {
    type Error = IdentError;

    fn try_from(text: String) -> Result<Self, IdentError> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> String {
        id.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_checked() {
        for good in ["n1", "N-2", "rack1.host_3"] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", "-n1", "n 1", "n/1", "é", &"x".repeat(65)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn record_ids_are_checked() {
        assert!("0190-abc:x".parse::<RecordId>().is_ok());
        for bad in ["", "a b", "a/b", "a\"b", "a\nb", &"x".repeat(129)] {
            assert!(bad.parse::<RecordId>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_later_term_beats_a_longer_log() {
        let older = LogPosition { term: 1, index: 9 };
        let newer = LogPosition { term: 2, index: 1 };
        assert!(newer > older);
    }
}
