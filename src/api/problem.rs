//! Errors as clients see them: a sentence, a stable code, and the numbers needed.

use serde::{Deserialize, Serialize};

use crate::ident::NodeName;

/// Stable names of what went wrong. `http::error` alone maps them to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    IdempotencyConflict,
    CoverTooSmall,
    TooLarge,
    NotAPicture,
    NoPayload,
    Busy,
    NotReady,
    NoQuorum,
    JournalFull,
    NotLeader,
    Faulted,
    Internal,
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
            current_leader: None,
            leader_address: None,
        }
    }
}
