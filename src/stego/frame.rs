//! The header before each payload, and the compression of what follows it. The layout
//! byte by byte is in `docs/FORMAT.md`.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::error::StegoError;
use super::lsb::Bits;
use crate::limits;

/// Size of the header, in bytes.
pub(crate) const HEADER_BYTES: usize = 16;
/// Samples that the header takes: it is always written at one bit per sample, so that
/// a reader who does not know how many bits the body uses can begin.
pub(crate) const HEADER_CARRIERS: usize = HEADER_BYTES * 8;

const MAGIC: [u8; 4] = [0xd3, b'S', b'g', 0x9c];
const VERSION: u8 = 1;
const METHOD_LSB: u8 = 1;
const FLAG_COMPRESSED: u8 = 1;
const FLAG_SEALED: u8 = 2;

/// What a header says about the body after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The body is a deflate stream (before it was sealed).
    pub compressed: bool,
    /// The body is salt, nonce and ciphertext.
    pub sealed: bool,
    /// Low bits of each sample that carry the body.
    pub bits: Bits,
    pub body_bytes: u32,
}

impl Header {
    /// All of the header but its checksum, which covers this and the body.
    pub fn prefix(&self) -> [u8; HEADER_BYTES - 4] {
        let mut flags = 0;
        if self.compressed {
            flags |= FLAG_COMPRESSED;
        }
        if self.sealed {
            flags |= FLAG_SEALED;
        }
        let mut prefix = [0; HEADER_BYTES - 4];
        prefix[..4].copy_from_slice(&MAGIC);
        prefix[4..8].copy_from_slice(&[VERSION, flags, METHOD_LSB, self.bits.get()]);
        prefix[8..].copy_from_slice(&self.body_bytes.to_be_bytes());
        prefix
    }

    pub fn encode(&self, body: &[u8]) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..HEADER_BYTES - 4].copy_from_slice(&self.prefix());
        header[HEADER_BYTES - 4..].copy_from_slice(&self.checksum(body).to_be_bytes());
        header
    }

    /// Reads a header; the second value is the checksum to compare with
    /// [`Self::checksum`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), StegoError> {
        let Some((header, [])) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(StegoError::NoPayload);
        };
        let [m0, m1, m2, m3, version, flags, method, bits, b0, b1, b2, b3, c0, c1, c2, c3] =
            *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(StegoError::NoPayload);
        }
        if version != VERSION {
            return Err(StegoError::UnsupportedVersion { version });
        }
        if method != METHOD_LSB || flags & !(FLAG_COMPRESSED | FLAG_SEALED) != 0 {
            return Err(StegoError::NoPayload);
        }
        let header = Self {
            compressed: flags & FLAG_COMPRESSED != 0,
            sealed: flags & FLAG_SEALED != 0,
            bits: Bits::new(bits).map_err(|_| StegoError::NoPayload)?,
            body_bytes: u32::from_be_bytes([b0, b1, b2, b3]),
        };
        Ok((header, u32::from_be_bytes([c0, c1, c2, c3])))
    }

    /// CRC-32 (IEEE 802.3) of the header's other fields and the body.
    pub fn checksum(&self, body: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.prefix());
        crc.update(body);
        crc.finalize()
    }
}

/// A secret as it will be stored.
#[derive(Debug)]
pub(crate) struct Packed<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub compressed: bool,
}

/// Compresses `secret` where that makes it smaller. Where it fits as it is and looks
/// random, that is not tried: to find out would take longer than all the rest.
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

/// True where byte values are as frequent as in noise: the chi-squared statistic of 255
/// degrees of freedom is below 355, as it is for all but 1 in 30,000 random secrets.
fn looks_random(secret: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    for byte in secret {
        counts[usize::from(*byte)] += 1;
    }
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    let bytes = secret.len() as u64;
    // Fewer bytes say little, and compressing them takes little time.
    bytes >= 2048 && 256 * squares < bytes * (bytes + 355)
}

/// The reverse of [`pack`]. Inflates no more than [`limits::SECRET_BYTES_MAX`].
pub(crate) fn unpack(bytes: Vec<u8>, compressed: bool) -> Result<Vec<u8>, StegoError> {
    if !compressed {
        return Ok(bytes);
    }
    let mut secret = Vec::new();
    let mut decoder = DeflateDecoder::new(bytes.as_slice()).take(limits::SECRET_BYTES_MAX + 1);
    decoder.read_to_end(&mut secret).map_err(|_| StegoError::NoPayload)?;
    let whole = decoder.get_ref().total_in() == bytes.len() as u64;
    if !whole || secret.len() as u64 > limits::SECRET_BYTES_MAX {
        return Err(StegoError::NoPayload);
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { compressed: true, sealed: false, bits: Bits::new(3).unwrap(), body_bytes: 5 }
    }

    #[test]
    fn header_round_trips() {
        let bytes = header().encode(b"hello");
        assert_eq!(Header::decode(&bytes), Ok((header(), header().checksum(b"hello"))));
    }

    #[test]
    fn any_flipped_bit_of_header_or_body_is_noticed() {
        let whole = [header().encode(b"hello").as_slice(), b"hello"].concat();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (head, body) = bytes.split_at(HEADER_BYTES);
            let accepted =
                Header::decode(head).is_ok_and(|(header, sum)| sum == header.checksum(body));
            assert!(!accepted, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = header().encode(b"");
        bytes[4] = 2;
        assert_eq!(Header::decode(&bytes), Err(StegoError::UnsupportedVersion { version: 2 }));
    }

    #[test]
    fn only_what_shrinks_is_compressed() {
        assert!(pack(&[7; 1000], 0).compressed);
        assert!(!pack(b"", 0).compressed);
        assert!(!pack(b"abc", 0).compressed);
    }

    #[test]
    fn a_deflate_bomb_is_cut_off() {
        let size = usize::try_from(limits::SECRET_BYTES_MAX).unwrap() + 1;
        let bomb = pack(&vec![0; size], 0).bytes.into_owned();
        assert!(bomb.len() < size / 500);
        assert_eq!(unpack(bomb, true), Err(StegoError::NoPayload));
    }

    #[test]
    fn bytes_after_the_deflate_stream_are_refused() {
        let mut bytes = pack(&[7; 1000], 0).bytes.into_owned();
        assert_eq!(unpack(bytes.clone(), true), Ok(vec![7; 1000]));
        bytes.push(0);
        assert_eq!(unpack(bytes, true), Err(StegoError::NoPayload));
    }
}
