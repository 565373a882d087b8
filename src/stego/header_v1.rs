//! The header of format version 1, in the open before each payload. The layout byte by byte
//! is in `docs/FORMAT.md`. Payloads without a passphrase are still written so.

use super::error::StegoError;
use super::lsb::Bits;

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
}
