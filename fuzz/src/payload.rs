//! Payloads that the holder of a key may forge.

use crate::record::Method;
use crate::stego::cover::{Picture, Shape};
use crate::stego::envelope::{self, Facts, HEAD_BYTES, TAG_BYTES};
use crate::stego::header_v1::Header;
use crate::stego::hide;
use crate::stego::keys::Master;
use crate::stego::lsb::Bits;
use crate::stego::room::{Plan, Room};
use crate::stego::{Codec, Covers, StegoError, png};

/// Any samples with any payload in them, whose head says of the body what it likes: it is
/// read as it was written, or refused.
pub fn payload(input: &[u8]) {
    let Some((&[width, height, kind, how, s0, s1, s2, s3], rest)) = input.split_first_chunk()
    else {
        return;
    };
    let shape = Shape {
        width: u32::from(width) + 1,
        height: u32::from(height) + 1,
        colours: if kind & 1 == 0 { 3 } else { 1 },
        alpha: kind & 2 != 0,
        sample_bytes: if kind & 4 == 0 { 1 } else { 2 },
    };
    let (samples, plain) = rest.split_at(rest.len() / 2);
    let samples = if samples.is_empty() { &[0] } else { samples };
    let raster_bytes = shape.row_bytes() * shape.height as usize;
    let raster: Vec<u8> = samples.iter().copied().cycle().take(raster_bytes).collect();
    let cover = Picture { shape, raster };
    let bits = Bits::new(how >> 2 & 3 | 1).expect("1 and 3 are among the four");
    let method = [Method::Lsb, Method::Lsb, Method::Spread, Method::Adaptive][usize::from(how & 3)];
    let bits = if method == Method::Lsb { bits } else { Bits::ONE };
    let compressed = how & 16 != 0;
    let said = u32::from_be_bytes([s0, s1, s2, s3]);

    let picture = if how & 3 == 0 {
        let header = Header { compressed, sealed: how & 32 != 0, bits, body_bytes: said };
        let bytes = [header.encode(plain).as_slice(), plain].concat();
        let carriers = shape.carriers() as usize;
        let mut cover = cover;
        let fitting = &bytes[..bytes.len().min(carriers / 8)];
        shape.lattice().write(&mut cover.raster, 0, Bits::ONE, fitting);
        cover
    } else {
        let plan = Plan { method, bits, encrypted: true };
        let room = Room::new(&shape, &plan).body_bytes_max(HEAD_BYTES);
        let Some(room) = (room as usize).checked_sub(TAG_BYTES) else { return };
        let plain = &plain[..plain.len().min(room)];
        let honest = how & 32 == 0;
        let body_bytes = if honest { (plain.len() + TAG_BYTES) as u32 } else { said };
        let facts = Facts { compressed, method, bits, body_bytes };
        let sealed = envelope::seal(&Master::open(), b"seed", &facts, plain);
        let costs = || std::sync::Arc::new(crate::stego::adaptive::costs(&cover));
        let patch = hide::place(&cover, costs, &plan, &Master::open(), &sealed, Vec::new());
        let mut stego = cover.clone();
        stego.raster[..patch.rows.len()].copy_from_slice(&patch.rows);
        if honest && !compressed && hide::without_version_1(&stego).is_none() {
            let found = extract(&stego);
            assert_eq!(found.as_deref(), Ok(plain));
        }
        stego
    };
    drop(extract(&picture));
}

fn extract(picture: &Picture) -> Result<Vec<u8>, StegoError> {
    let file = png::encode(picture.clone()).to_bytes();
    Codec::new(Covers::new(0)).extract(&file, None)
}
