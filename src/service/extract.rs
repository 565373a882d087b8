//! Find the secret in a picture. The ledger plays no part: a picture can be opened by
//! whoever has it, on any node, with or without a quorum.

use std::sync::Arc;

use bytes::Bytes;

use super::cost::{self, Estimate};
use super::{Permit, Service, ServiceError};
use crate::stego::{self, Passphrase};

/// A secret found. `Debug` does not show it.
pub struct Extracted {
    pub secret: Bytes,
    /// Guessed from the first bytes.
    pub mime: &'static str,
    /// Holds the memory of the answer.
    pub permit: Permit,
}

impl std::fmt::Debug for Extracted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extracted").field("mime", &self.mime).finish_non_exhaustive()
    }
}

impl Service {
    /// # Errors
    /// Of admission, of the pool, and of the picture.
    ///
    /// # Cancel safety
    /// Safe: it changes nothing.
    pub async fn extract(
        &self,
        picture: Bytes,
        passphrase: Option<Passphrase>,
        mut permit: Permit,
    ) -> Result<Extracted, ServiceError> {
        let looked_at = picture.clone();
        let appraisal = self.look(looked_at.len(), move || stego::appraise(&looked_at)).await??;
        let Estimate { working_bytes, cost } = cost::of_extract(&appraisal, passphrase.is_some());
        self.inner.experience.learn(picture.len() as u64, cost);
        self.hold(&mut permit, picture.len() as u64 + working_bytes)?;
        let codec = Arc::clone(&self.inner.codec);
        let job = move || {
            let mut room = |bytes| permit.grow(bytes).is_ok();
            let secret = codec.extract_within(&picture, passphrase.as_ref(), &mut room)?;
            let mime = stego::sniff_mime(&secret);
            drop(picture);
            // In JSON it is there twice while it is written. Where there is no room for that, the
            // rest of what was held for the search may be.
            permit.shrink(cost::answer_bytes(secret.len() as u64, true));
            Ok(Extracted { secret: secret.into(), mime, permit })
        };
        self.on_codec(cost, job).await?
    }
}
