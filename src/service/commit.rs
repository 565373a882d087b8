//! A ledger record without a picture: what a drill's probe and `bench --mode commit`
//! measure the ledger with.

use super::submit::Submitted;
use super::{Permit, Service, ServiceError};
use crate::clock;
use crate::ident::RecordId;
use crate::record::{Digest, Durability, Method, Record};

/// An acknowledged record.
#[derive(Debug, Clone)]
pub struct Committed {
    pub record: Record,
    /// True where the ledger had the record before.
    pub replayed: bool,
    /// How far this acknowledgement reaches.
    pub durability: Durability,
}

impl Service {
    /// `least` is the least durability to be acknowledged with. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// Of the ledger, with the outcome unknown: a retry under the same id is safe.
    pub async fn commit(
        &self,
        id: Option<RecordId>,
        least: Durability,
        permit: Permit,
    ) -> Result<Committed, ServiceError> {
        let record = Record {
            id: id.unwrap_or_else(|| clock::fresh_time_ordered_uuid().into()),
            time_ms: clock::unix_ms(),
            node: self.parts().node.clone(),
            method: Method::None,
            secret_bytes: 0,
            cover_bytes: 0,
            stego_bytes: 0,
            cover_sha256: Digest::of(b""),
            stego_sha256: Digest::of(b""),
            durability: Durability::Quorum,
        };
        let service = self.clone();
        let submitted = self
            .detached("commit", async move {
                let submitted = service.parts().ledger.put(record, least).await;
                drop(permit);
                Ok(submitted?)
            })
            .await?;
        if submitted.record.method != Method::None {
            return Err(ServiceError::IdempotencyConflict { id: submitted.record.id });
        }
        let Submitted { record, replayed, durability } = submitted;
        Ok(Committed { record, replayed, durability })
    }
}
