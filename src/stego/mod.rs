//! Hiding bytes in pictures and finding them again: bytes in, bytes out.
//!
//! No async, no files, no network, and nothing of clusters: whoever calls runs this on
//! a codec thread (`pool`). Begin with [`Codec`]; the layout is in `docs/FORMAT.md`.

mod adaptive;
mod analysis;
mod cover;
mod dataset;
mod envelope;
mod error;
mod field;
mod find;
mod header_v1;
mod hide;
mod keys;
mod lsb;
mod pack;
mod passphrase;
mod patch;
mod png;
mod room;
mod rows;
mod sealed_v1;
mod sniff;
mod spread;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::analysis::{analyze, compare};
pub use self::dataset::dataset;
pub use self::error::StegoError;
pub use self::passphrase::Passphrase;
pub use self::sniff::sniff_mime;

use self::cover::{Shape, Source};
use self::keys::{KeyCache, Master};
use self::room::{Plan, Room};
use self::rows::RowReader;
use crate::api::codec::{CapacityResponse, CoverInfo};
use crate::limits;
use crate::record::Method;

/// What to hide, in what, and how.
#[derive(Debug, Clone, Copy)]
pub struct EmbedParams<'a> {
    /// A whole PNG, JPEG, WebP or BMP file.
    pub cover: &'a [u8],
    /// At most [`limits::SECRET_BYTES_MAX`] bytes; may be empty.
    pub secret: &'a [u8],
    /// Encrypts and authenticates where given, and then says where in the picture the
    /// payload is.
    pub passphrase: Option<&'a Passphrase>,
    /// `None`: `adaptive` with a passphrase, `lsb` without.
    pub method: Option<Method>,
    /// Low bits of each colour sample to use: 1 to 4 for `lsb`, 1 for the others. `None`: 1.
    pub bits: Option<u8>,
    /// The record's id. With equal parameters the result is equal, byte for byte, on
    /// any node; another seed gives other encryption keys.
    pub seed: &'a [u8],
}

/// A finished embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stego {
    /// The stego image, a PNG of the cover's depth and channels.
    pub png: Vec<u8>,
    /// The method that was used.
    pub method: Method,
    /// The cover as embedded into; its capacity is for a secret hidden as this one was.
    pub cover_info: CoverInfo,
}

/// Hides and finds. Keeps what is worth keeping from one request to the next.
#[derive(Debug, Default)]
pub struct Codec {
    keys: KeyCache,
}

impl Codec {
    /// Hides `params.secret` in `params.cover`. Alpha samples stay as they are. With a
    /// passphrase that was not used with this cover lately it takes some 20 ms and 19 MiB
    /// for Argon2 alone.
    ///
    /// # Errors
    /// Any [`StegoError`] but [`StegoError::NoPayload`] and
    /// [`StegoError::UnsupportedVersion`]. A secret that does not fit is refused before
    /// the cover is decoded.
    pub fn embed(&self, params: &EmbedParams<'_>) -> Result<Stego, StegoError> {
        let plan = Plan::new(params.method, params.bits, params.passphrase.is_some())?;
        let bytes = params.secret.len() as u64;
        if bytes > limits::SECRET_BYTES_MAX {
            return Err(StegoError::SecretTooLarge { bytes, max_bytes: limits::SECRET_BYTES_MAX });
        }
        let source = Source::open(params.cover)?;
        let shape = source.upright_shape();
        let room = Room::new(&shape, &plan);
        let packed = pack::pack(params.secret, room.capacity_bytes());
        room.check(packed.bytes.len(), &shape, &plan)?;
        let mut picture = source.decode_upright()?;
        let patch = if plan.is_plain() {
            hide::plainly(&picture, plan.bits, &packed)
        } else {
            let cleared = hide::without_version_1(&picture);
            let cover = cleared.as_ref().unwrap_or(&picture);
            let master = self.master(&shape, &cover.raster, params.passphrase);
            let costs = || Arc::new(adaptive::costs(cover));
            hide::keyed(cover, costs, &plan, &master, params.seed, &packed)
        };
        let begin = patch.first_row as usize * shape.row_bytes();
        picture.raster[begin..begin + patch.rows.len()].copy_from_slice(&patch.rows);
        Ok(Stego {
            png: png::encode(&picture),
            method: plan.method,
            cover_info: cover_info(&shape, &plan, &room),
        })
    }

    /// Finds what [`Self::embed`] hid, by whatever method. A payload sealed with a passphrase
    /// opens with no other, and one without a passphrase opens only where none is given: who
    /// asks with a passphrase wants to know that the bytes come from someone who has it.
    ///
    /// # Errors
    /// [`StegoError::NoPayload`] for no payload, a damaged one, and a wrong or missing
    /// passphrase alike; otherwise what is wrong with the picture.
    pub fn extract(
        &self,
        picture: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Result<Vec<u8>, StegoError> {
        find::payload(&mut RowReader::open(picture)?, passphrase, &self.keys)
    }

    /// Forgets keys that are too old. To be called now and then: a node that nobody uses
    /// shall not keep them.
    pub fn sweep(&self) {
        self.keys.sweep();
    }

    fn master(&self, shape: &Shape, raster: &[u8], passphrase: Option<&Passphrase>) -> Arc<Master> {
        match passphrase {
            Some(passphrase) => self.keys.master(passphrase, &hide::salt(shape, raster)),
            None => Master::open().into(),
        }
    }
}

/// What `cover` can carry by each method, with or without a passphrase, and above all by
/// the one that is asked for. Reads its header only: a cover damaged further on is found
/// out by [`Codec::embed`].
///
/// # Errors
/// No such method or bits, or what is wrong with the picture.
pub fn capacity(
    cover: &[u8],
    method: Option<Method>,
    bits: Option<u8>,
    encrypted: bool,
) -> Result<CapacityResponse, StegoError> {
    let plan = Plan::new(method, bits, encrypted)?;
    let shape = Source::open(cover)?.upright_shape();
    Ok(CapacityResponse {
        cover: cover_info(&shape, &plan, &Room::new(&shape, &plan)),
        method: plan.method,
        encrypted,
        methods: room::capacities(&shape, encrypted).collect(),
    })
}

/// The photograph used where neither the request nor the node brings a cover. Its
/// origin is in `assets/SOURCES.md`.
pub fn default_cover() -> &'static [u8] {
    include_bytes!("../../assets/astronaut.png")
}

fn cover_info(shape: &Shape, plan: &Plan, room: &Room) -> CoverInfo {
    CoverInfo {
        width: shape.width,
        height: shape.height,
        channels: shape.colours,
        lsb_per_channel: plan.bits.get(),
        // What compresses to this size fits as well, but cannot be promised.
        capacity_bytes: room.capacity_bytes().min(limits::SECRET_BYTES_MAX),
    }
}
