//! Bodies of embed, extract, verify, capacity and records.

use serde::{Deserialize, Serialize};

use super::analysis::Quality;
use crate::ident::{NodeName, RecordId};
use crate::record::{Digest, Durability, Method, Record};

/// The request header that carries a client's own record id.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The request header that refuses local durability, with the value `quorum`.
pub const DURABILITY: &str = "x-durability";

/// The answer header that says how busy the node is: for how many milliseconds a large job that came
/// now would wait for a codec thread. On answers that took one.
pub const BUSY_MS: &str = "x-busy-ms";

/// Shape of a cover and what it can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverInfo {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Colour channels that carry payload (alpha never does).
    pub channels: u8,
    pub lsb_per_channel: u8,
    /// Largest secret that certainly fits, in bytes, before compression.
    pub capacity_bytes: u64,
}

/// What a cover can carry by one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodCapacity {
    pub method: Method,
    /// Low bits of each colour sample that are used.
    pub bits: u8,
    /// Largest secret that certainly fits, in bytes, before compression.
    pub capacity_bytes: u64,
}

/// Answer to `GET` and `POST /api/capacity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityResponse {
    /// For the method and the bits that were asked for.
    #[serde(flatten)]
    pub cover: CoverInfo,
    pub method: Method,
    /// True where this is for a secret with a passphrase.
    pub encrypted: bool,
    /// By each method, the best hidden first.
    pub methods: Vec<MethodCapacity>,
}

/// Answer to `POST /api/embed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbedResponse {
    /// The record's id.
    pub request_id: RecordId,
    /// The node that did the work.
    pub node: NodeName,
    pub method: Method,
    pub cover_info: CoverInfo,
    pub secret_size_bytes: u64,
    /// Size of the PNG.
    pub payload_size_bytes: u64,
    /// The PNG, in standard base64. Absent where the client asked for the PNG itself
    /// or for the record alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stego_image_b64: Option<String>,
    pub durability: Durability,
    /// SHA-256 of the PNG.
    pub sha256: Digest,
    /// True where this id was in the ledger already.
    pub replayed: bool,
    /// Where the client asked for a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// Answer to `POST /api/extract`. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractResponse {
    pub request_id: RecordId,
    pub recovered_size_bytes: u64,
    /// Guessed from the first bytes.
    pub recovered_mime: String,
    /// Standard base64.
    pub recovered_b64: String,
}

impl std::fmt::Debug for ExtractResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtractResponse")
            .field("request_id", &self.request_id)
            .field("recovered_size_bytes", &self.recovered_size_bytes)
            .finish_non_exhaustive()
    }
}

/// A ledger record as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    #[serde(flatten)]
    pub record: Record,
    /// `record.time_ms` as RFC 3339, in UTC.
    pub time: String,
}

impl From<Record> for RecordView {
    fn from(record: Record) -> Self {
        let since_epoch = std::time::Duration::from_millis(record.time_ms);
        let time = humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since_epoch);
        Self { time: time.to_string(), record }
    }
}

/// Answer to `POST /api/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyResponse {
    /// SHA-256 of the picture that was sent.
    pub sha256: Digest,
    pub known: bool,
    pub record: Option<RecordView>,
}

/// Answer to `GET /api/records`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsResponse {
    /// Ordered by id, which for ids made by the service is by time.
    pub records: Vec<RecordView>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RecordId>,
    /// All records on this node at the moment of the read.
    pub total: u64,
    /// `linearizable` or `stale`.
    pub consistency: Consistency,
}

/// How fresh a read of the ledger must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Sees every record acknowledged before the read began (ReadIndex, Raft
    /// dissertation section 6.4).
    #[default]
    Linearizable,
    /// Whatever this node has.
    Stale,
}
