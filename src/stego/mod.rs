//! Hiding bytes in pictures and finding them again: bytes in, bytes out.
//!
//! No async, no files, no network, and nothing of clusters: whoever calls runs this on
//! a codec thread (`pool`). Begin with [`embed`]; the layout is in `docs/FORMAT.md`.

mod analysis;
mod cover;
mod dataset;
mod error;
mod frame;
mod lsb;
mod png;
mod seal;
mod sniff;
#[cfg(test)]
mod tests;

pub use self::analysis::{analyze, compare};
pub use self::dataset::dataset;
pub use self::error::StegoError;
pub use self::seal::Passphrase;
pub use self::sniff::sniff_mime;

use self::cover::{Shape, Source};
use self::frame::{HEADER_BYTES, HEADER_CARRIERS, Header};
use self::lsb::Bits;
use crate::api::codec::CoverInfo;
use crate::limits;
use crate::record::Method;

/// What to hide, in what, and how.
#[derive(Debug, Clone, Copy)]
pub struct EmbedParams<'a> {
    /// A whole PNG, JPEG, WebP or BMP file.
    pub cover: &'a [u8],
    /// At most [`limits::SECRET_BYTES_MAX`] bytes; may be empty.
    pub secret: &'a [u8],
    /// Encrypts and authenticates where given.
    pub passphrase: Option<&'a Passphrase>,
    pub method: Method,
    /// Low bits of each colour sample to use: 1 to 4.
    pub bits: u8,
    /// The record's id. With equal parameters the result is equal, byte for byte, on
    /// any node; another seed gives other encryption keys.
    pub seed: &'a [u8],
}

/// A finished embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stego {
    /// The stego image, a PNG of the cover's depth and channels.
    pub png: Vec<u8>,
    /// The cover as embedded into; its capacity is for a secret sealed as this one was.
    pub cover_info: CoverInfo,
}

/// Hides `params.secret` in `params.cover`. Alpha samples stay as they are. With a
/// passphrase this takes some 20 ms and 19 MiB for Argon2 alone.
///
/// # Errors
/// Any [`StegoError`] but [`StegoError::NoPayload`] and
/// [`StegoError::UnsupportedVersion`]. A secret that does not fit is refused before
/// the cover is decoded.
pub fn embed(params: &EmbedParams<'_>) -> Result<Stego, StegoError> {
    match params.method {
        Method::Lsb => {}
        // No form asks for it: it does not parse.
        Method::None => return Err(StegoError::UnsupportedMethod),
    }
    let bits = Bits::new(params.bits)?;
    let bytes = params.secret.len() as u64;
    if bytes > limits::SECRET_BYTES_MAX {
        return Err(StegoError::SecretTooLarge { bytes, max_bytes: limits::SECRET_BYTES_MAX });
    }
    let source = Source::open(params.cover)?;
    let shape = source.upright_shape();
    let room = Room::new(&shape, bits, params.passphrase.is_some());
    let packed = frame::pack(params.secret);
    room.check(packed.bytes.len())?;
    let mut picture = source.decode_upright()?;

    let body_bytes = packed.bytes.len() + room.overhead_bytes - HEADER_BYTES;
    let header = Header {
        compressed: packed.compressed,
        sealed: params.passphrase.is_some(),
        bits,
        body_bytes: u32::try_from(body_bytes)
            .expect("SECRET_BYTES_MAX leaves room for the seal in 32 bits"),
    };
    let body = match params.passphrase {
        Some(passphrase) => {
            let salt = seal::salt(params.seed, crc32fast::hash(&picture.raster));
            let plain = &packed.bytes;
            seal::seal(passphrase, &salt, params.seed, &header.prefix(), plain).into()
        }
        None => packed.bytes,
    };
    let lattice = shape.lattice();
    lattice.write(&mut picture.raster, 0, Bits::ONE, &header.encode(&body));
    lattice.write(&mut picture.raster, HEADER_CARRIERS, bits, &body);
    Ok(Stego { png: png::encode(&picture), cover_info: cover_info(&shape, bits, &room) })
}

/// Finds what [`embed`] hid. A payload sealed with a passphrase opens with no other,
/// and one without a passphrase opens only where none is given: who asks with a
/// passphrase wants to know that the bytes come from someone who has it.
///
/// # Errors
/// [`StegoError::NoPayload`] for no payload, a damaged one, and a wrong or missing
/// passphrase alike; otherwise what is wrong with the picture.
pub fn extract(picture: &[u8], passphrase: Option<&Passphrase>) -> Result<Vec<u8>, StegoError> {
    let picture = Source::open(picture)?.decode()?;
    let carriers = picture.shape.carriers();
    if carriers < HEADER_CARRIERS as u64 {
        return Err(StegoError::NoPayload);
    }
    let lattice = picture.shape.lattice();
    let head = lattice.read(&picture.raster, 0, Bits::ONE, HEADER_BYTES);
    let (header, checksum) = Header::decode(&head)?;
    let room = Room::new(&picture.shape, header.bits, false);
    if u64::from(header.body_bytes) > room.capacity_bytes() {
        return Err(StegoError::NoPayload);
    }
    let body_bytes = header.body_bytes as usize;
    let body = lattice.read(&picture.raster, HEADER_CARRIERS, header.bits, body_bytes);
    if header.checksum(&body) != checksum {
        return Err(StegoError::NoPayload);
    }
    let packed = match (header.sealed, passphrase) {
        (false, None) => body,
        (true, Some(passphrase)) => seal::open(passphrase, &header.prefix(), &body)?,
        (true, None) | (false, Some(_)) => return Err(StegoError::NoPayload),
    };
    frame::unpack(packed, header.compressed)
}

/// What `cover` can carry at `bits` per sample, with or without a passphrase. Reads
/// its header only: a cover damaged further on is found out by [`embed`].
///
/// # Errors
/// [`StegoError::UnsupportedBits`], or what is wrong with the picture.
pub fn capacity(cover: &[u8], bits: u8, encrypted: bool) -> Result<CoverInfo, StegoError> {
    let bits = Bits::new(bits)?;
    let shape = Source::open(cover)?.upright_shape();
    Ok(cover_info(&shape, bits, &Room::new(&shape, bits, encrypted)))
}

/// The photograph used where neither the request nor the node brings a cover. Its
/// origin is in `assets/SOURCES.md`.
pub fn default_cover() -> &'static [u8] {
    include_bytes!("../../assets/astronaut.png")
}

/// The bytes a cover offers, and those of them that are not for the secret.
struct Room {
    total_bytes: u64,
    overhead_bytes: usize,
}

impl Room {
    fn new(shape: &Shape, bits: Bits, sealed: bool) -> Self {
        let header_carriers = HEADER_CARRIERS as u64;
        let carriers = shape.carriers();
        let total_bytes = match carriers.checked_sub(header_carriers) {
            Some(rest) => HEADER_BYTES as u64 + rest * u64::from(bits.get()) / 8,
            None => carriers / 8,
        };
        let seal_bytes = if sealed { seal::OVERHEAD_BYTES } else { 0 };
        Self { total_bytes, overhead_bytes: HEADER_BYTES + seal_bytes }
    }

    /// Zero where not even the overhead fits.
    fn capacity_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.overhead_bytes as u64)
    }

    fn check(&self, packed_bytes: usize) -> Result<(), StegoError> {
        let overhead = self.overhead_bytes as u64;
        let missing_overhead = overhead.saturating_sub(self.total_bytes);
        let needed_bytes = packed_bytes as u64 + missing_overhead;
        let available_bytes = self.capacity_bytes();
        if needed_bytes > available_bytes {
            return Err(StegoError::CoverTooSmall { needed_bytes, available_bytes });
        }
        Ok(())
    }
}

fn cover_info(shape: &Shape, bits: Bits, room: &Room) -> CoverInfo {
    CoverInfo {
        width: shape.width,
        height: shape.height,
        channels: shape.colours,
        lsb_per_channel: bits.get(),
        // What compresses to this size fits as well, but cannot be promised.
        capacity_bytes: room.capacity_bytes().min(limits::SECRET_BYTES_MAX),
    }
}
