//! The built-in test pictures, made when first asked for and kept.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{Service, ServiceError};
use crate::pool::Cost;
use crate::stego;

/// How many pictures there are.
pub const PICTURES: usize = 50;

/// What making one takes.
const MAKING: Cost = Cost(500_000);

/// Bounded by its length: all fifty take some 30 MB.
#[derive(Debug)]
pub(super) struct Dataset {
    pictures: [OnceLock<Bytes>; PICTURES],
}

impl Default for Dataset {
    fn default() -> Self {
        Self { pictures: [const { OnceLock::new() }; PICTURES] }
    }
}

impl Service {
    /// Built-in picture `index`, a PNG.
    ///
    /// # Errors
    /// [`ServiceError::NoSuchPicture`], and those of the pool.
    pub async fn dataset(&self, index: &str) -> Result<Bytes, ServiceError> {
        let missing = || ServiceError::NoSuchPicture {
            index: index.chars().take(20).collect(),
            count: PICTURES as u8,
        };
        let number: u8 = index.parse().map_err(|_| missing())?;
        let place = self.inner.dataset.pictures.get(usize::from(number)).ok_or_else(missing)?;
        if let Some(picture) = place.get() {
            return Ok(picture.clone());
        }
        // Two that come at once both make it, and it is the same picture.
        let made = self.on_codec(MAKING, move || stego::dataset(number)).await?;
        let picture = made.ok_or_else(missing)?;
        Ok(place.get_or_init(|| picture).clone())
    }
}
