//! Find the secret in a picture. The ledger plays no part: a picture can be opened by
//! whoever has it, on any node, with or without a quorum.

use std::sync::Arc;

use bytes::Bytes;

use super::{Permit, Service, ServiceError};
use crate::stego::{self, Passphrase};

/// A secret found.
#[derive(Debug, Clone)]
pub struct Extracted {
    pub secret: Bytes,
    /// Guessed from the first bytes.
    pub mime: &'static str,
}

impl Service {
    /// # Errors
    /// Of the pool, and of the picture.
    ///
    /// # Cancel safety
    /// Safe: it changes nothing.
    pub async fn extract(
        &self,
        picture: Bytes,
        passphrase: Option<Passphrase>,
        permit: Permit,
    ) -> Result<Extracted, ServiceError> {
        let codec = Arc::clone(&self.inner.codec);
        let job = move || {
            let secret = codec.extract(&picture, passphrase.as_ref())?;
            let mime = stego::sniff_mime(&secret);
            drop(permit);
            Ok(Extracted { secret: secret.into(), mime })
        };
        self.parts().pool.run(job).await?
    }
}
