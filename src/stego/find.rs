//! Finds a payload in a picture, whatever method wrote it, by trial: nothing in a picture
//! says which it was, or that there is any.

use super::adaptive;
use super::cover::Shape;
use super::envelope::{self, Facts, HEAD_BYTES};
use super::error::StegoError;
use super::header_v1::{HEADER_BYTES, HEADER_CARRIERS, Header};
use super::hide::{field, salt, salt_rows};
use super::keys::{KeyCache, Master};
use super::lsb::Bits;
use super::pack;
use super::passphrase::Passphrase;
use super::room::{self, Plan};
use super::rows::RowReader;
use super::sealed_v1;
use super::spread;
use crate::record::Method;

/// Asked before a secret takes so many bytes more.
type Room<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Reads no more rows than it needs: a few for what is written in order, all others for
/// the methods that spread.
pub(crate) fn payload(
    reader: &mut RowReader<'_>,
    passphrase: Option<&Passphrase>,
    keys: &KeyCache,
    room: Room<'_>,
) -> Result<Vec<u8>, StegoError> {
    match version_1(reader, passphrase, room) {
        Err(StegoError::NoPayload) => {}
        found => return found,
    }
    let shape = reader.shape();
    let salt = salt(&shape, reader.rows(salt_rows(&shape))?);
    let master = match passphrase {
        Some(passphrase) => keys.master(passphrase, &salt),
        None => Master::open().into(),
    };
    match in_order(reader, &master, room) {
        Err(StegoError::NoPayload) => {}
        found => return found,
    }
    match spread_out(reader, &master, room) {
        Err(StegoError::NoPayload) => {}
        found => return found,
    }
    adapted(reader, &master, room)
}

/// What format version 1 wrote: its magic in the first carriers.
fn version_1(
    reader: &mut RowReader<'_>,
    passphrase: Option<&Passphrase>,
    room: Room<'_>,
) -> Result<Vec<u8>, StegoError> {
    let shape = reader.shape();
    if shape.carriers() < HEADER_CARRIERS as u64 {
        return Err(StegoError::NoPayload);
    }
    let lattice = shape.lattice();
    let rows = reader.rows(shape.rows_of_carriers(HEADER_CARRIERS))?;
    let (header, checksum) = Header::decode(&lattice.read(rows, 0, Bits::ONE, HEADER_BYTES))?;
    let plan = Plan { method: Method::Lsb, bits: header.bits, encrypted: false };
    if u64::from(header.body_bytes) > room::Room::new(&shape, &plan).body_bytes_max(HEADER_BYTES) {
        return Err(StegoError::NoPayload);
    }
    let body_bytes = header.body_bytes as usize;
    let rows = shape.rows_of_carriers(HEADER_CARRIERS + header.bits.carriers(body_bytes));
    let body = lattice.read(reader.rows(rows)?, HEADER_CARRIERS, header.bits, body_bytes);
    if header.checksum(&body) != checksum {
        return Err(StegoError::NoPayload);
    }
    let packed = match (header.sealed, passphrase) {
        (false, None) => body,
        (true, Some(passphrase)) => sealed_v1::open(passphrase, &header.prefix(), &body)?,
        (true, None) | (false, Some(_)) => return Err(StegoError::NoPayload),
    };
    pack::unpack(packed, header.compressed, room)
}

fn in_order(
    reader: &mut RowReader<'_>,
    master: &Master,
    room: Room<'_>,
) -> Result<Vec<u8>, StegoError> {
    let shape = reader.shape();
    let field = field(&shape);
    let begin = field.first + HEAD_BYTES * 8;
    if shape.carriers() < begin as u64 {
        return Err(StegoError::NoPayload);
    }
    let rows = reader.rows(shape.rows_of_carriers(begin))?;
    let mut head = [0; HEAD_BYTES];
    head.copy_from_slice(&field.lattice.read(rows, field.first, Bits::ONE, HEAD_BYTES));
    let (facts, bytes) = checked_head(reader, master, &head, Method::Lsb)?;
    let rows = reader.rows(shape.rows_of_carriers(begin + facts.bits.carriers(bytes)))?;
    let body = field.lattice.read(rows, begin, facts.bits, bytes);
    opened(master, &head, &facts, body, room)
}

fn spread_out(
    reader: &mut RowReader<'_>,
    master: &Master,
    room: Room<'_>,
) -> Result<Vec<u8>, StegoError> {
    let shape = reader.shape();
    let field = field(&shape);
    let raster = reader.rows(shape.height)?;
    let (head, places) = spread::read_head(raster, &field, master).ok_or(StegoError::NoPayload)?;
    let (facts, bytes) = checked_head(reader, master, &head, Method::Spread)?;
    let raster = reader.rows(shape.height)?;
    let nonce = envelope::nonce_of(&head);
    let body = spread::read_body(raster, &field, master, &nonce, &places, bytes);
    opened(master, &head, &facts, body, room)
}

fn adapted(
    reader: &mut RowReader<'_>,
    master: &Master,
    room: Room<'_>,
) -> Result<Vec<u8>, StegoError> {
    let shape = reader.shape();
    let field = field(&shape);
    let raster = reader.rows(shape.height)?;
    let cells = adaptive::Reader::new(raster, &field, master).ok_or(StegoError::NoPayload)?;
    let head = cells.head();
    let facts = envelope::open_head(master, &head, Method::Adaptive)?;
    let bytes = body_bytes(&shape, &facts)?;
    let body = cells.body(master, &envelope::nonce_of(&head), bytes);
    opened(master, &head, &facts, body, room)
}

/// Opens a head; the second value is the size of its body, which fits the picture.
fn checked_head(
    reader: &RowReader<'_>,
    master: &Master,
    head: &[u8; HEAD_BYTES],
    method: Method,
) -> Result<(Facts, usize), StegoError> {
    let facts = envelope::open_head(master, head, method)?;
    let bytes = body_bytes(&reader.shape(), &facts)?;
    Ok((facts, bytes))
}

/// Who has the key can write any size into a head: it is not trusted for that.
fn body_bytes(shape: &Shape, facts: &Facts) -> Result<usize, StegoError> {
    let plan = Plan { method: facts.method, bits: facts.bits, encrypted: true };
    let one_bit = facts.method == Method::Lsb || facts.bits == Bits::ONE;
    let max = room::Room::new(shape, &plan).body_bytes_max(HEAD_BYTES);
    if !one_bit || u64::from(facts.body_bytes) > max {
        return Err(StegoError::NoPayload);
    }
    Ok(facts.body_bytes as usize)
}

fn opened(
    master: &Master,
    head: &[u8; HEAD_BYTES],
    facts: &Facts,
    body: Vec<u8>,
    room: Room<'_>,
) -> Result<Vec<u8>, StegoError> {
    pack::unpack(envelope::open_body(master, head, body)?, facts.compressed, room)
}
