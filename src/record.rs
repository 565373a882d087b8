//! What the ledger keeps about one embed. Never the secret, its name or its passphrase.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::ident::{NodeName, RecordId};

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 hex digits")]
pub struct DigestError;

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of all parts, one after the other.
    pub fn of_parts(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut sum = Sha256::new();
        parts.into_iter().for_each(|part| sum.update(part));
        Self(sum.finalize().into())
    }

    /// Calls `read` with the digits. Every record that is written or sent has two digests, so
    /// this is free of allocation, and reading one again is too.
    fn as_hex<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        read(std::str::from_utf8(&hex).expect("hex digits are ASCII"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_hex(|hex| f.write_str(hex))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            b'A'..=b'F' => Ok(digit - b'A' + 10),
            _ => Err(DigestError),
        };
        if text.len() != 64 {
            return Err(DigestError);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_hex(|hex| serializer.serialize_str(hex))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;

        impl Visitor<'_> for Hex {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&DigestError, f)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Hex)
    }
}

/// How far a record had gone when it was acknowledged. In a record it never changes: one that
/// a node acknowledged alone says so in the ledger too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On stable storage of a majority of the voters.
    Quorum,
    /// On stable storage of one node that reached no quorum.
    Local,
}

/// How the secret was hidden. A further method is one more variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Sequential least-significant bits.
    Lsb,
    /// Keyed positions, each changed by one where its bit is wrong (LSB matching).
    Spread,
    /// Where the picture's texture hides it best: syndrome-trellis codes with a HILL cost.
    Adaptive,
    /// Nothing was hidden: a bare ledger entry, for benches and drills. No embed may
    /// ask for it, so it does not parse.
    None,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lsb" => Ok(Self::Lsb),
            "spread" => Ok(Self::Spread),
            "adaptive" => Ok(Self::Adaptive),
            other => Err(format!("unknown method {other:?}; known: lsb, spread, adaptive")),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lsb => "lsb",
            Self::Spread => "spread",
            Self::Adaptive => "adaptive",
            Self::None => "none",
        })
    }
}

/// One ledger entry. Immutable once committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub id: RecordId,
    /// Milliseconds since the Unix epoch, by the clock of the node that took the embed.
    pub time_ms: u64,
    /// The node that took the embed.
    pub node: NodeName,
    pub method: Method,
    /// Size of the secret as uploaded.
    pub secret_bytes: u64,
    /// Size of the cover file as uploaded (or of the node's default cover).
    pub cover_bytes: u64,
    /// Size of the PNG returned.
    pub stego_bytes: u64,
    pub cover_sha256: Digest,
    pub stego_sha256: Digest,
    pub durability: Durability,
}

impl Record {
    /// True where both tell of the same work: whoever repeats an embed under its id makes the
    /// same picture, at another time and perhaps on another node.
    pub fn same_embed(&self, other: &Self) -> bool {
        let work = |record: &Self| {
            let Self { id, method, secret_bytes, cover_bytes, stego_bytes, .. } = record.clone();
            let digests = (record.cover_sha256, record.stego_sha256);
            (id, method, secret_bytes, cover_bytes, stego_bytes, digests)
        };
        work(self) == work(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_round_trips_as_hex() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        // FIPS 180-4's own example.
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.to_uppercase().parse(), Ok(digest));
        for wrong in ["xyz", &text[1..], &text.replace('b', "g"), &text.replace("ba", "+a")] {
            assert_eq!(wrong.parse::<Digest>(), Err(DigestError));
        }
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        let error = serde_json::from_str::<Digest>("\"xyz\"").unwrap_err().to_string();
        assert!(error.starts_with("a SHA-256 digest is 64 hex digits"), "{error}");
    }
}
