//! Errors as clients see them: a sentence, a stable code, and the numbers needed.

use serde::{Deserialize, Serialize};

use super::codec::MethodCapacity;
use crate::ident::NodeName;

/// Stable names of what went wrong. `http::error` alone maps them to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    IdempotencyConflict,
    CoverTooSmall,
    TooLarge,
    NotAPicture,
    NoPayload,
    BenchRunning,
    Busy,
    NotReady,
    NoQuorum,
    JournalFull,
    NotLeader,
    Faulted,
    Internal,
}

/// Sides of a cover, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverSize {
    pub width: u32,
    pub height: u32,
}

/// Body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What failed and what to do, for people.
    pub error: String,
    pub code: Code,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    /// Ways in which the cover would hold the secret, the best hidden first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<Vec<MethodCapacity>>,
    /// A cover in the same proportion that would hold it the way it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cover_size_needed: Option<CoverSize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_leader: Option<NodeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_address: Option<String>,
}

impl Problem {
    pub fn new(code: Code, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            code,
            needed_bytes: None,
            available_bytes: None,
            fits: None,
            cover_size_needed: None,
            current_leader: None,
            leader_address: None,
        }
    }
}
