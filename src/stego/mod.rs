//! Hiding bytes in pictures and finding them again: bytes in, bytes out.
//!
//! No async, no files, no network, and nothing of clusters: whoever calls runs this on
//! a codec thread (`pool`). Begin with [`Codec`]; the layout is in `docs/FORMAT.md`.

pub(crate) mod adaptive;
mod analysis;
pub(crate) mod chunks;
pub(crate) mod cover;
mod covers;
mod dataset;
pub(crate) mod envelope;
mod error;
mod field;
mod filter;
mod find;
pub(crate) mod header_v1;
pub(crate) mod hide;
#[cfg(test)]
mod hostile_tests;
mod huffman;
pub(crate) mod keys;
pub(crate) mod lsb;
mod pack;
mod passphrase;
pub(crate) mod patch;
pub(crate) mod png;
pub(crate) mod prepared;
pub(crate) mod room;
pub(crate) mod rows;
mod scans;
mod sealed_v1;
mod sniff;
mod spare;
mod spread;
#[cfg(test)]
mod strip_tests;
pub(crate) mod strips;
#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::analysis::{Changes, analyze, changes, compare};
pub use self::covers::{CoverFile, Covers, CoversReport};
pub use self::dataset::dataset;
pub use self::error::StegoError;
pub use self::passphrase::Passphrase;
pub use self::png::Png;
pub use self::prepared::Metadata;
pub use self::sniff::sniff_mime;

use self::cover::{Shape, Source};
use self::keys::{KeyCache, Master};
use self::room::{Plan, Room};
use self::rows::RowReader;
use self::spare::Spare;
use crate::api::codec::{CapacityResponse, CoverInfo};
use crate::limits;
use crate::record::Method;

/// What to hide, in what, and how.
#[derive(Debug, Clone, Copy)]
pub struct EmbedParams<'a> {
    pub cover: CoverFile<'a>,
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
    pub metadata: Metadata,
}

/// A finished embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stego {
    /// The stego image, a PNG of the cover's depth and channels.
    pub png: Png,
    /// The method that was used.
    pub method: Method,
    /// The cover as embedded into; its capacity is for a secret hidden as this one was.
    pub cover_info: CoverInfo,
}

/// Hides and finds. Keeps what is worth keeping from one request to the next: covers and
/// keys.
#[derive(Debug)]
pub struct Codec {
    covers: Covers,
    keys: KeyCache,
    spare: Spare,
}

impl Codec {
    pub fn new(covers: Covers) -> Self {
        Self { covers, keys: KeyCache::default(), spare: Spare::default() }
    }

    pub fn covers(&self) -> &Covers {
        &self.covers
    }

    /// Hides `params.secret` in `params.cover`. Alpha samples stay as they are. A cover that
    /// was seen before is not read again, and a passphrase that was used with it lately not
    /// stretched again, which else takes some 20 ms and 19 MiB; the result is the same, byte
    /// for byte.
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
        let shape = self.covers.shape(&params.cover)?;
        let room = Room::new(&shape, &plan);
        let packed = pack::pack(params.secret, room.capacity_bytes());
        room.check(packed.bytes.len(), &shape, &plan)?;
        let cover = self.covers.prepared(&params.cover)?;
        let patch = if plan.is_plain() {
            hide::plainly(cover.picture(), plan.bits, &packed, self.spare.take())
        } else {
            let cleared = hide::without_version_1(cover.picture());
            let picture = cleared.as_ref().unwrap_or(cover.picture());
            let master = self.master(&shape, &picture.raster, params.passphrase);
            // The low bit that may have been cleared does not change what changes cost.
            let costs = || {
                let made = || Arc::new(adaptive::costs(cover.picture()));
                Arc::clone(cover.costs().get_or_init(made))
            };
            let key = hide::Key { master: &master, seed: params.seed };
            hide::keyed(picture, costs, &plan, &key, &packed, self.spare.take())
        };
        let png = cover.encode(&patch, params.metadata);
        self.spare.give(patch.rows);
        Ok(Stego { png, method: plan.method, cover_info: cover_info(&shape, &plan, &room) })
    }

    /// Finds what [`Self::embed`] hid, by whatever method. A payload sealed with a passphrase
    /// opens with no other, and one without a passphrase opens only where none is given: who
    /// asks with a passphrase wants to know that the bytes come from someone who has it.
    ///
    /// # Errors
    /// [`StegoError::NoPayload`] for no payload, a damaged one, and a wrong or missing
    /// passphrase alike; otherwise what is wrong with the picture, as far as it was read:
    /// it is read as far as its payload goes.
    pub fn extract(
        &self,
        picture: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Result<Vec<u8>, StegoError> {
        self.extract_within(picture, passphrase, &mut |_| true)
    }

    /// [`Self::extract`], that asks `room` before a secret takes so many bytes more as it is
    /// inflated.
    ///
    /// # Errors
    /// Also [`StegoError::NoRoom`], where `room` says no.
    pub fn extract_within(
        &self,
        picture: &[u8],
        passphrase: Option<&Passphrase>,
        room: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<u8>, StegoError> {
        find::payload(&mut RowReader::open(picture)?, passphrase, &self.keys, room)
    }

    /// What reading `cover` and embedding into it will take. Reads its header only.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub fn appraise(&self, cover: &CoverFile<'_>) -> Result<Appraisal, StegoError> {
        match self.covers.held(&cover.sha256) {
            Some(shape) => Ok(Appraisal { is_held: true, ..Appraisal::new(&shape, true) }),
            None => appraise(cover.bytes),
        }
    }

    /// Forgets keys that are too old, and gives back memory that is not in use. To be called
    /// now and then: a node that nobody uses shall not keep them.
    pub fn sweep(&self) {
        self.keys.sweep();
        self.spare.clear();
    }

    pub(crate) fn master(
        &self,
        shape: &Shape,
        raster: &[u8],
        passphrase: Option<&Passphrase>,
    ) -> Arc<Master> {
        match passphrase {
            Some(passphrase) => self.keys.master(passphrase, &hide::salt(shape, raster)),
            None => Master::open().into(),
        }
    }
}

/// The method that is used where none is asked for.
pub fn usual_method(encrypted: bool) -> Method {
    if encrypted { Method::Adaptive } else { Method::Lsb }
}

/// What a picture is, as far as it decides what working on it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appraisal {
    pub pixels: u64,
    /// Of its samples, decoded.
    pub raster_bytes: u64,
    /// Colour samples.
    pub carriers: u64,
    /// Decoded by rows, without a copy of the whole beside them.
    pub is_by_rows: bool,
    /// As a cover it was seen before, and is held decoded and compressed.
    pub is_held: bool,
}

impl Appraisal {
    fn new(shape: &Shape, is_by_rows: bool) -> Self {
        let raster_bytes = shape.pixels() * shape.pixel_bytes() as u64;
        let (pixels, carriers) = (shape.pixels(), shape.carriers());
        Self { pixels, raster_bytes, carriers, is_by_rows, is_held: false }
    }
}

/// What working on `picture` will take. Reads its header only.
///
/// # Errors
/// What is wrong with the header.
pub fn appraise(picture: &[u8]) -> Result<Appraisal, StegoError> {
    let source = Source::open(picture)?;
    Ok(Appraisal::new(&source.shape(), source.is_by_rows()))
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
