//! What the ledger keeps about one embed. Never the secret, its name or its passphrase.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ident::{NodeName, RecordId};

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 hex digits")]
pub struct DigestError;

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(DigestError);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| DigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| DigestError)?;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
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
        assert_eq!("xyz".parse::<Digest>(), Err(DigestError));
    }
}
