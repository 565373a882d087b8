//! Every way a use case can fail, as situations a client can act on.

use super::operate::OperateError;
use super::submit::SubmitError;
use crate::ident::RecordId;
use crate::pool::PoolError;
use crate::stego::StegoError;
use crate::store::StoreError;

/// Why a use case gave no answer. `http::error` maps each to a status.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    #[error("{requests_max} requests are in progress already; try again shortly")]
    Busy { requests_max: usize },
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
    #[error("this node is stopping")]
    Stopping,
    #[error("this request hit a bug in the service; its log has the place")]
    Panicked,
}
