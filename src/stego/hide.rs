//! Writes a payload into a cover: which rows change, and to what.

use sha2::{Digest, Sha256};

use super::adaptive;
use super::cover::{Picture, Shape};
use super::envelope::{self, Facts, HEAD_BYTES, Sealed, TAG_BYTES};
use super::error::StegoError;
use super::field::Field;
use super::header_v1::{HEADER_BYTES, HEADER_CARRIERS, Header};
use super::keys::{Master, SALT_BYTES};
use super::lsb::Bits;
use super::pack::Packed;
use super::patch::Patch;
use super::room::{Plan, salt_pixels};
use super::spread;
use crate::record::Method;

const SALT_DOMAIN: &[u8] = b"stegcluster/2/salt";

/// The salt of a picture: of its size and its first pixels' colours, which no keyed
/// payload changes. `rows` are the first rows of the raster, at least [`salt_rows`].
pub(crate) fn salt(shape: &Shape, rows: &[u8]) -> [u8; SALT_BYTES] {
    let mut hash = Sha256::new();
    hash.update(SALT_DOMAIN);
    hash.update(shape.width.to_be_bytes());
    hash.update(shape.height.to_be_bytes());
    hash.update([shape.colours, shape.sample_bytes]);
    let colour_bytes = usize::from(shape.colours) * usize::from(shape.sample_bytes);
    let pixels = rows.chunks_exact(shape.pixel_bytes()).take(salt_pixels(shape.pixels()));
    // Without alpha, so that a picture which was given an alpha channel can still be read.
    pixels.for_each(|pixel| hash.update(&pixel[..colour_bytes]));
    let digest: [u8; 32] = hash.finalize().into();
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&digest[..SALT_BYTES]);
    salt
}

/// Rows that the salt is in.
pub(crate) fn salt_rows(shape: &Shape) -> u32 {
    shape.rows_of_carriers(salt_pixels(shape.pixels()) * usize::from(shape.colours))
}

/// The carriers that keyed payloads use: all but those that the salt is made of.
pub(crate) fn field(shape: &Shape) -> Field {
    let first = salt_pixels(shape.pixels()) * usize::from(shape.colours);
    let carriers = shape.carriers() - first as u64;
    let carriers = u32::try_from(carriers).expect("COVER_PIXELS_MAX leaves 32 bits for carriers");
    Field { lattice: shape.lattice(), first, carriers }
}

/// The cover without the payload of format version 1 that it holds, if it does: readers
/// would find that one first.
pub(crate) fn without_version_1(cover: &Picture) -> Option<Picture> {
    if cover.shape.carriers() < HEADER_CARRIERS as u64 {
        return None;
    }
    let lattice = cover.shape.lattice();
    let header = lattice.read(&cover.raster, 0, Bits::ONE, HEADER_BYTES);
    // Also one of a version that is not known yet, at which readers stop.
    if Header::decode(&header) == Err(StegoError::NoPayload) {
        return None;
    }
    let mut cover = cover.clone();
    cover.raster[lattice.offset(0)] ^= 1;
    Some(cover)
}

/// Makes heads unreadable that other methods left here with the same key, and that
/// readers would find first.
fn supersede(rows: &mut [u8], field: &Field, master: &Master, method: Method) {
    let opens = |head: &[u8; HEAD_BYTES], method| {
        envelope::open_head(master, head, method) != Err(StegoError::NoPayload)
    };
    let mut head = [0; HEAD_BYTES];
    let in_order = field.lattice.read(rows, field.first, Bits::ONE, HEAD_BYTES);
    head.copy_from_slice(&in_order);
    if opens(&head, Method::Lsb) {
        field.step(rows, 0, true);
    }
    if method == Method::Adaptive
        && let Some((head, places)) = spread::read_head(rows, field, master)
        && opens(&head, Method::Spread)
    {
        field.step(rows, places.first(), true);
    }
}

/// The rows that the first `carriers` carriers lie in, in `buffer`.
fn first_rows(cover: &Picture, carriers: usize, buffer: Vec<u8>) -> Vec<u8> {
    let rows = cover.shape.rows_of_carriers(carriers) as usize;
    copied(&cover.raster[..rows * cover.shape.row_bytes()], buffer)
}

fn copied(rows: &[u8], mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.extend_from_slice(rows);
    buffer
}

/// Writes without a key, as format version 1 has it. The payload must fit. The patch is in
/// `buffer`.
pub(crate) fn plainly(cover: &Picture, bits: Bits, packed: &Packed<'_>, buffer: Vec<u8>) -> Patch {
    let body = &packed.bytes;
    let header = Header {
        compressed: packed.compressed,
        sealed: false,
        bits,
        body_bytes: u32::try_from(body.len()).expect("SECRET_BYTES_MAX is far below 4 GiB"),
    };
    let mut rows = first_rows(cover, HEADER_CARRIERS + bits.carriers(body.len()), buffer);
    let lattice = cover.shape.lattice();
    lattice.write(&mut rows, 0, Bits::ONE, &header.encode(body));
    lattice.write(&mut rows, HEADER_CARRIERS, bits, body);
    Patch { first_row: 0, rows }
}

/// What a payload is sealed with.
pub(crate) struct Key<'a> {
    pub master: &'a Master,
    /// Another one gives other encryption keys.
    pub seed: &'a [u8],
}

/// Writes with a key. The payload must fit. `costs` is asked for by `adaptive` alone, and
/// has one value for each carrier of the cover. The patch is in `buffer`.
pub(crate) fn keyed<C: AsRef<adaptive::CostMap>>(
    cover: &Picture,
    costs: impl FnOnce() -> C,
    plan: &Plan,
    key: &Key<'_>,
    packed: &Packed<'_>,
    buffer: Vec<u8>,
) -> Patch {
    let Key { master, seed } = *key;
    let body_bytes = packed.bytes.len() + TAG_BYTES;
    let facts = Facts {
        compressed: packed.compressed,
        method: plan.method,
        bits: plan.bits,
        body_bytes: u32::try_from(body_bytes).expect("SECRET_BYTES_MAX is far below 4 GiB"),
    };
    let sealed = envelope::seal(master, seed, &facts, &packed.bytes);
    place(cover, costs, plan, master, &sealed, buffer)
}

/// Puts head and body where the method has them. The patch is in `buffer`.
pub(crate) fn place<C: AsRef<adaptive::CostMap>>(
    cover: &Picture,
    costs: impl FnOnce() -> C,
    plan: &Plan,
    master: &Master,
    sealed: &Sealed,
    buffer: Vec<u8>,
) -> Patch {
    let (field, nonce) = (field(&cover.shape), sealed.nonce());
    let Sealed { head, body } = sealed;
    match plan.method {
        Method::Spread => {
            let mut rows = copied(&cover.raster, buffer);
            supersede(&mut rows, &field, master, plan.method);
            spread::write(&mut rows, &field, master, &nonce, head, body);
            Patch { first_row: 0, rows }
        }
        Method::Adaptive => {
            let costs = costs();
            let costs = &costs.as_ref()[field.first..];
            let mut rows = copied(&cover.raster, buffer);
            supersede(&mut rows, &field, master, plan.method);
            adaptive::write(&mut rows, &field, costs, master, &nonce, head, body);
            Patch { first_row: 0, rows }
        }
        Method::Lsb | Method::None => {
            let begin = field.first + HEAD_BYTES * 8;
            let mut rows = first_rows(cover, begin + plan.bits.carriers(body.len()), buffer);
            field.lattice.write(&mut rows, field.first, Bits::ONE, head);
            field.lattice.write(&mut rows, begin, plan.bits, body);
            Patch { first_row: 0, rows }
        }
    }
}
