//! Compression of a secret before it is sealed and hidden, where that makes it smaller.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::error::StegoError;
use crate::limits;

/// A secret as it will be stored. `Debug` does not show it.
pub(crate) struct Packed<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub compressed: bool,
}

impl std::fmt::Debug for Packed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("compressed", &self.compressed).finish_non_exhaustive()
    }
}

/// Compresses `secret` where that makes it smaller. What looks as if nothing could make
/// it smaller is not even tried, unless it has more than `room_bytes` and so would not
/// fit: 50 kB of a JPEG take 1.5 ms to try, and the embed a third of that.
pub(crate) fn pack(secret: &[u8], room_bytes: u64) -> Packed<'_> {
    let plain = Packed { bytes: Cow::Borrowed(secret), compressed: false };
    if secret.len() as u64 <= room_bytes && looks_random(secret) {
        return plain;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail; if it did, the plain secret would still do.
    match encoder.write_all(secret).and_then(|()| encoder.finish()) {
        Ok(deflated) if deflated.len() < secret.len() => {
            Packed { bytes: Cow::Owned(deflated), compressed: true }
        }
        Ok(_) | Err(_) => plain,
    }
}

/// Bytes that a secret grows by as it is inflated, at least.
const GROWTH_BYTES: usize = 64 * 1024;

/// The reverse of [`pack`]. Inflates no more than [`limits::SECRET_BYTES_MAX`], and asks `room`
/// before it takes so many bytes more.
///
/// # Errors
/// [`StegoError::NoPayload`] where the bytes are no whole deflate stream, or too large;
/// [`StegoError::NoRoom`] where `room` says no.
pub(crate) fn unpack(
    bytes: Vec<u8>,
    compressed: bool,
    room: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<u8>, StegoError> {
    if !compressed {
        return Ok(bytes);
    }
    let mut secret = Vec::new();
    let mut decoder = DeflateDecoder::new(bytes.as_slice());
    loop {
        // A vector that grows is copied: for a moment both are there.
        let growth = secret.len().max(GROWTH_BYTES);
        if !room(growth as u64) {
            return Err(StegoError::NoRoom);
        }
        secret.reserve_exact(growth);
        let mut piece = (&mut decoder).take(growth as u64);
        let read = piece.read_to_end(&mut secret).map_err(|_| StegoError::NoPayload)?;
        if secret.len() as u64 > limits::SECRET_BYTES_MAX {
            return Err(StegoError::NoPayload);
        }
        if read < growth {
            break;
        }
    }
    let whole = decoder.total_in() == bytes.len() as u64;
    if whole { Ok(secret) } else { Err(StegoError::NoPayload) }
}

/// Bytes looked at; where a secret has more, they are taken from eight places in it.
const SAMPLE_BYTES: usize = 16 * 1024;
const PLACES: usize = 8;
/// Less than this is compressed without asking: it costs next to nothing.
const SMALL_BYTES: usize = 2048;

/// True where neither the frequencies of its bytes nor repeated strings promise much:
/// what is compressed or encrypted already.
fn looks_random(secret: &[u8]) -> bool {
    if secret.len() < SMALL_BYTES {
        return false;
    }
    let piece = SAMPLE_BYTES.min(secret.len()) / PLACES;
    let step = (secret.len() - piece) / (PLACES - 1);
    let mut counts = [0_u32; 256];
    let mut last_seen = [0_u32; 4096];
    let mut repeats = 0;
    for start in (0..PLACES).map(|place| place * step) {
        let piece = &secret[start..start + piece];
        piece.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        for four in piece.windows(4) {
            let four = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            let slot = &mut last_seen[(four.wrapping_mul(0x9e37_79b1) >> 20) as usize];
            repeats += usize::from(*slot == four);
            *slot = four;
        }
    }
    let total = piece * PLACES;
    // Of n random bytes the counts' squares sum up to n * n / 256 + n or so; for text it
    // is ten times that. A tenth more is worth half a per cent of size.
    let squares: u64 = counts.iter().map(|&count| u64::from(count) * u64::from(count)).sum();
    let total = total as u64;
    let even = squares * 256 <= total * total + total * 256 + total * total / 10;
    even && repeats as u64 * 100 <= total
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = u64::MAX;

    /// Bytes that no coder makes smaller.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn only_what_shrinks_is_compressed() {
        assert!(pack(&[7; 1000], ROOM).compressed);
        assert!(pack(&[7; 100_000], ROOM).compressed);
        assert!(!pack(b"", ROOM).compressed);
        assert!(!pack(b"abc", ROOM).compressed);
        assert!(!pack(&noise(100_000), 1).compressed);
    }

    #[test]
    fn noise_looks_random_and_nothing_else_does() {
        for size in [SMALL_BYTES, 5000, 16_384, 50_000, 1_000_000] {
            let noise = noise(size);
            assert!(looks_random(&noise), "{size}");
            let hex: Vec<u8> = noise.iter().map(|byte| b'a' + byte % 16).collect();
            assert!(!looks_random(&hex), "{size}");
            let even: Vec<u8> = (0..size).map(|at| at as u8).collect();
            assert!(!looks_random(&even), "{size}");
            let seven_bits: Vec<u8> = noise.iter().map(|byte| byte >> 1).collect();
            assert!(!looks_random(&seven_bits), "{size}");
        }
        let twice = [noise(40_000), noise(40_000)].concat();
        // Not seen from eight places. It is compressed where it would not fit otherwise.
        assert!(!pack(&twice, 80_000).compressed);
    }

    #[test]
    fn a_deflate_bomb_is_cut_off() {
        let size = usize::try_from(limits::SECRET_BYTES_MAX).unwrap() + 1;
        let bomb = pack(&vec![0; size], ROOM).bytes.into_owned();
        assert!(bomb.len() < size / 500);
        assert_eq!(unpack(bomb, true, &mut |_| true), Err(StegoError::NoPayload));
    }

    #[test]
    fn who_has_no_room_is_asked_before_it_is_taken() {
        let bomb = pack(&vec![0; 16 << 20], ROOM).bytes.into_owned();
        let mut left = 4_u64 << 20;
        let mut room = |bytes| {
            left = left.saturating_sub(bytes);
            left > 0
        };
        assert_eq!(unpack(bomb.clone(), true, &mut room), Err(StegoError::NoRoom));
        let mut asked = 0;
        let secret = unpack(bomb, true, &mut |bytes| {
            asked += bytes;
            true
        });
        assert_eq!(secret.unwrap().len(), 16 << 20);
        assert!((16 << 20..64 << 20).contains(&asked), "{asked}");
    }

    #[test]
    fn bytes_after_the_deflate_stream_are_refused() {
        let mut bytes = pack(&[7; 1000], ROOM).bytes.into_owned();
        assert_eq!(unpack(bytes.clone(), true, &mut |_| true), Ok(vec![7; 1000]));
        bytes.push(0);
        assert_eq!(unpack(bytes, true, &mut |_| true), Err(StegoError::NoPayload));
    }
}
