//! Is this picture in the ledger?

use bytes::Bytes;

use super::{Permit, Service, ServiceError, cost};
use crate::api::codec::Consistency;
use crate::record::{Digest, Record};

/// What the ledger knows of a picture.
#[derive(Debug, Clone)]
pub struct Verified {
    /// SHA-256 of the picture.
    pub sha256: Digest,
    /// The first record, by id, of exactly this picture.
    pub record: Option<Record>,
}

impl Service {
    /// Looks the picture up by digest: one changed byte makes it another picture.
    ///
    /// # Errors
    /// Of the pool, of the ledger's barrier and of the store.
    pub async fn verify(
        &self,
        picture: Bytes,
        consistency: Consistency,
        permit: Permit,
    ) -> Result<Verified, ServiceError> {
        // A record without a picture has the digest of nothing, which is no picture.
        let nothing = picture.is_empty();
        let cost = cost::of_bytes(picture.len() as u64);
        let sha256 = self.on_codec(cost, move || Digest::of(&picture)).await?;
        let record = match nothing {
            true => None,
            false => self.read(consistency, move |books| books.by_stego_digest(&sha256)).await?,
        };
        drop(permit);
        Ok(Verified { sha256, record })
    }
}
