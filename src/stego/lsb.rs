//! Payload bits in the low bits of colour samples, in order.
//!
//! Eight samples carry exactly as many bytes as each of them carries bits, so the
//! work is done in groups of eight samples, each group one 64-bit word.

use super::error::StegoError;

/// Samples handled at a time where they do not lie side by side. A multiple of 8.
const GROUP_CARRIERS: usize = 4096;

/// How many low bits of a sample carry payload: 1 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits(u8);

impl Bits {
    pub const ONE: Self = Self(1);
    pub const ALL: [Self; 4] = [Self(1), Self(2), Self(3), Self(4)];

    pub fn new(bits: u8) -> Result<Self, StegoError> {
        if (1..=4).contains(&bits) {
            Ok(Self(bits))
        } else {
            Err(StegoError::UnsupportedBits { bits })
        }
    }

    pub fn get(self) -> u8 {
        self.0
    }

    /// Samples that `bytes` of payload take; the last may be used in part.
    pub fn carriers(self, bytes: usize) -> usize {
        (bytes * 8).div_ceil(usize::from(self.0))
    }
}

/// Which bytes of a raster carry payload: the low byte of each colour sample. Carrier
/// `k` is channel `k mod colours` of pixel `k / colours`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lattice {
    pub pixel_bytes: usize,
    pub colours: usize,
    pub sample_bytes: usize,
}

impl Lattice {
    /// True where every byte of the raster is a carrier.
    pub fn is_dense(&self) -> bool {
        self.pixel_bytes == self.colours
    }

    /// Where the low byte of a carrier is.
    #[inline]
    pub fn offset(&self, carrier: usize) -> usize {
        if self.is_dense() {
            return carrier;
        }
        let (pixel, channel) = (carrier / self.colours, carrier % self.colours);
        pixel * self.pixel_bytes + (channel + 1) * self.sample_bytes - 1
    }

    /// Calls `visit` with the offset of each of `count` carriers from carrier `first` on.
    fn visit(&self, first: usize, count: usize, mut visit: impl FnMut(usize, usize)) {
        let mut pixel = first / self.colours * self.pixel_bytes;
        let mut channel = first % self.colours;
        for index in 0..count {
            visit(index, pixel + channel * self.sample_bytes + self.sample_bytes - 1);
            channel += 1;
            if channel == self.colours {
                channel = 0;
                pixel += self.pixel_bytes;
            }
        }
    }

    /// Writes `payload` from carrier `first` on. Bits of the last carrier beyond the
    /// payload become 0; no other bit changes.
    ///
    /// # Panics
    /// Where the raster ends before the payload does: callers check capacity first.
    pub fn write(&self, raster: &mut [u8], first: usize, bits: Bits, payload: &[u8]) {
        if self.is_dense() {
            spread(bits, &mut raster[first..first + bits.carriers(payload.len())], payload);
            return;
        }
        let mut lows = [0; GROUP_CARRIERS];
        let mut at = first;
        for piece in payload.chunks(GROUP_CARRIERS / 8 * usize::from(bits.0)) {
            let lows = &mut lows[..bits.carriers(piece.len())];
            self.visit(at, lows.len(), |index, offset| lows[index] = raster[offset]);
            spread(bits, lows, piece);
            self.visit(at, lows.len(), |index, offset| raster[offset] = lows[index]);
            at += lows.len();
        }
    }

    /// Reads `bytes` of payload from carrier `first` on.
    ///
    /// # Panics
    /// Where the raster ends before the payload does: callers check capacity first.
    pub fn read(&self, raster: &[u8], first: usize, bits: Bits, bytes: usize) -> Vec<u8> {
        let mut payload = vec![0; bytes];
        if self.is_dense() {
            gather(bits, &raster[first..first + bits.carriers(bytes)], &mut payload);
            return payload;
        }
        let mut lows = [0; GROUP_CARRIERS];
        let mut at = first;
        for piece in payload.chunks_mut(GROUP_CARRIERS / 8 * usize::from(bits.0)) {
            let lows = &mut lows[..bits.carriers(piece.len())];
            self.visit(at, lows.len(), |index, offset| lows[index] = raster[offset]);
            gather(bits, lows, piece);
            at += lows.len();
        }
        payload
    }
}

fn spread(bits: Bits, carriers: &mut [u8], payload: &[u8]) {
    match bits.0 {
        1 => spread_by::<1>(carriers, payload),
        2 => spread_by::<2>(carriers, payload),
        3 => spread_by::<3>(carriers, payload),
        // `Bits` is 1 to 4.
        _ => spread_by::<4>(carriers, payload),
    }
}

fn gather(bits: Bits, carriers: &[u8], payload: &mut [u8]) {
    match bits.0 {
        1 => gather_by::<1>(carriers, payload),
        2 => gather_by::<2>(carriers, payload),
        3 => gather_by::<3>(carriers, payload),
        // `Bits` is 1 to 4.
        _ => gather_by::<4>(carriers, payload),
    }
}

/// The low `BITS` bits of each of eight bytes.
const fn lanes<const BITS: usize>(lane: usize) -> u64 {
    let mut mask = 0;
    let mut at = 0;
    while at < 64 {
        mask |= ((1 << (BITS * lane / 8)) - 1) << at;
        at += lane;
    }
    mask
}

/// Deals the low `8 * BITS` bits of `word` out to the low bits of eight bytes, the
/// highest first, by halving: 64 bits into two lanes, those into four, those into eight.
#[inline]
fn deal<const BITS: usize>(word: u64) -> u64 {
    let halves = (word | word << (32 - 4 * BITS)) & const { lanes::<BITS>(32) };
    let quarters = (halves | halves << (16 - 2 * BITS)) & const { lanes::<BITS>(16) };
    (quarters | quarters << (8 - BITS)) & const { lanes::<BITS>(8) }
}

/// The reverse of [`deal`].
#[inline]
fn collect<const BITS: usize>(word: u64) -> u64 {
    let eighths = word & const { lanes::<BITS>(8) };
    let quarters = (eighths | eighths >> (8 - BITS)) & const { lanes::<BITS>(16) };
    let halves = (quarters | quarters >> (16 - 2 * BITS)) & const { lanes::<BITS>(32) };
    (halves | halves >> (32 - 4 * BITS)) & ((1 << (8 * BITS)) - 1)
}

#[inline]
fn load(payload: &[u8]) -> u64 {
    payload.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn spread_by<const BITS: usize>(carriers: &mut [u8], payload: &[u8]) {
    let (pieces, rest) = payload.split_at(payload.len() / BITS * BITS);
    let (groups, last) = carriers.split_at_mut(pieces.len() / BITS * 8);
    for (piece, group) in pieces.chunks_exact(BITS).zip(groups.chunks_exact_mut(8)) {
        let bits = deal::<BITS>(load(piece));
        let mut word = [0; 8];
        word.copy_from_slice(group);
        let kept = u64::from_be_bytes(word) & !const { lanes::<BITS>(8) };
        group.copy_from_slice(&(kept | bits).to_be_bytes());
    }
    if rest.is_empty() {
        return;
    }
    let bits = deal::<BITS>(load(rest) << (8 * (BITS - rest.len()))).to_be_bytes();
    for (carrier, low) in last.iter_mut().zip(bits) {
        *carrier = *carrier & !((1 << BITS) - 1) | low;
    }
}

fn gather_by<const BITS: usize>(carriers: &[u8], payload: &mut [u8]) {
    let whole = payload.len() / BITS;
    let (pieces, rest) = payload.split_at_mut(whole * BITS);
    let (groups, last) = carriers.split_at(whole * 8);
    for (piece, group) in pieces.chunks_exact_mut(BITS).zip(groups.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(group);
        let bits = collect::<BITS>(u64::from_be_bytes(word)).to_be_bytes();
        piece.copy_from_slice(&bits[8 - BITS..]);
    }
    if rest.is_empty() {
        return;
    }
    let mut word = [0; 8];
    word[..last.len()].copy_from_slice(last);
    let bits = collect::<BITS>(u64::from_be_bytes(word)).to_be_bytes();
    rest.copy_from_slice(&bits[8 - BITS..8 - BITS + rest.len()]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One bit at a time, as docs/FORMAT.md says it.
    fn write_slowly(lattice: Lattice, raster: &mut [u8], first: usize, bits: u8, payload: &[u8]) {
        let mut stream: Vec<u8> =
            payload.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
        while !stream.len().is_multiple_of(usize::from(bits)) {
            stream.push(0);
        }
        for (index, low) in stream.chunks(usize::from(bits)).enumerate() {
            let carrier = first + index;
            let offset = carrier / lattice.colours * lattice.pixel_bytes
                + carrier % lattice.colours * lattice.sample_bytes
                + lattice.sample_bytes
                - 1;
            let value = low.iter().fold(0, |value, bit| value << 1 | bit);
            raster[offset] = raster[offset] & !((1 << bits) - 1) | value;
        }
    }

    fn lattices() -> impl Strategy<Value = Lattice> {
        (prop_oneof![Just(1_usize), Just(3)], any::<bool>(), 1..=2_usize).prop_map(
            |(colours, alpha, sample_bytes)| Lattice {
                pixel_bytes: (colours + usize::from(alpha)) * sample_bytes,
                colours,
                sample_bytes,
            },
        )
    }

    proptest! {
        #[test]
        fn words_write_what_single_bits_would(
            lattice in lattices(),
            bits in 1..=4_u8,
            first in 0..200_usize,
            payload in prop::collection::vec(any::<u8>(), 0..1500),
            fill in any::<u8>(),
        ) {
            let carriers = first + (payload.len() * 8).div_ceil(usize::from(bits));
            let size = carriers.div_ceil(lattice.colours) * lattice.pixel_bytes;
            let cover: Vec<u8> = (0..size).map(|at| fill.wrapping_add(at as u8)).collect();
            let mut slow = cover.clone();
            write_slowly(lattice, &mut slow, first, bits, &payload);
            let mut fast = cover;
            let bits = Bits::new(bits).unwrap();
            lattice.write(&mut fast, first, bits, &payload);
            prop_assert_eq!(&fast, &slow);
            prop_assert_eq!(lattice.read(&fast, first, bits, payload.len()), payload);
        }
    }
}
