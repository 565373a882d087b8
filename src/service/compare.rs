//! Where a picture differs from its cover.

use bytes::Bytes;

use super::cost::{self, Estimate};
use super::{Permit, Service, ServiceError};
use crate::stego::{self, Changes};

impl Service {
    /// Where `picture` differs from `cover`, or from the node's own cover; `None` where they have
    /// not the same shape. The permit comes back with the map, which is held until it is sent.
    ///
    /// # Errors
    /// Of admission and the pool, and what is wrong with either picture.
    pub async fn compare(
        &self,
        cover: Option<Bytes>,
        picture: Bytes,
        mut permit: Permit,
    ) -> Result<(Option<Changes>, Permit), ServiceError> {
        let sent = picture.len() + cover.as_ref().map_or(0, Bytes::len);
        let cover = cover.unwrap_or_else(|| self.parts().default_cover.clone());
        let looked_at = (cover.clone(), picture.clone());
        let look = move || {
            let (cover, picture) = looked_at;
            Ok::<_, ServiceError>((stego::appraise(&cover)?, stego::appraise(&picture)?))
        };
        let (before, after) = self.look(sent, look).await??;
        let Estimate { working_bytes, cost } = cost::of_compare(&before, &after);
        self.inner.experience.learn(sent as u64, cost);
        self.hold(&mut permit, sent as u64 + working_bytes)?;
        let changes = self.on_codec(cost, move || stego::changes(&cover, &picture)).await??;
        Ok((changes, permit))
    }
}
