//! Every way a use case can fail, as situations a client can act on.

use std::time::Duration;

use super::BenchError;
use super::operate::OperateError;
use super::submit::SubmitError;
use crate::ident::RecordId;
use crate::pool::PoolError;
use crate::stego::StegoError;
use crate::store::StoreError;

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Why a use case gave no answer. `http::error` maps each to a status.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    #[error("{requests_max} requests are in progress already; try again shortly")]
    Busy { requests_max: usize },
    /// Others hold what it needs; it was not begun.
    #[error("this takes {} MiB, and other requests hold the memory; try again shortly", mib(*bytes))]
    NoMemory { bytes: u64 },
    /// Not even an idle node has so much for one request.
    #[error(
        "this takes some {} MiB of memory, and a request may have {} MiB here: send a smaller \
         picture, or raise memory_mib", mib(*bytes), mib(*max_bytes)
    )]
    TooCostly { bytes: u64, max_bytes: u64 },
    /// Too much work waits already; nothing of it was begun.
    #[error("this node has work for {:.1} s waiting; try again then", wait.as_secs_f64())]
    Overloaded { wait: Duration },
    #[error("the id {id} belongs to another embed; use a new Idempotency-Key")]
    IdempotencyConflict { id: RecordId },
    #[error("there is no record {id}")]
    RecordNotFound { id: RecordId },
    #[error("there are {count} built-in pictures, numbered from 0; there is no {index}")]
    NoSuchPicture { index: String, count: u8 },
    #[error(transparent)]
    Stego(#[from] StegoError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Where a record was submitted its outcome is unknown; a retry under its id is safe.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("this node's ledger cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Operate(#[from] OperateError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("this node is stopping")]
    Stopping,
    #[error("this request hit a bug in the service; its log has the place")]
    Panicked,
}
