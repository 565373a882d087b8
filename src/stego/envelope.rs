//! The sealed form of a payload, format version 2: a head of fixed size and a body, both
//! of which look like random bytes to whoever lacks the key.
//!
//! Nothing here is drawn at random: a retry of the same request must give the same
//! picture. The nonce is a keyed hash of everything it protects (a synthetic IV, the
//! idea of RFC 5297), so two different secrets never share one.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::error::StegoError;
use super::keys::{Key, Master};
use super::lsb::Bits;
use crate::record::Method;

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;
const FACTS_BYTES: usize = 8;
/// Nonce, sealed facts, tag.
pub(crate) const HEAD_BYTES: usize = NONCE_BYTES + FACTS_BYTES + TAG_BYTES;

const VERSION: u8 = 2;
const FLAG_COMPRESSED: u8 = 1;

pub(crate) type Nonce = [u8; NONCE_BYTES];

/// What a head says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The body's plaintext is a deflate stream.
    pub compressed: bool,
    pub method: Method,
    /// Low bits of each sample that carry the body. One for all methods but `lsb`.
    pub bits: Bits,
    /// With its tag.
    pub body_bytes: u32,
}

/// The number of a method in a picture. Never changes.
fn number_of(method: Method) -> u8 {
    match method {
        // No embed asks for it.
        Method::None => 0,
        Method::Lsb => 1,
        Method::Spread => 2,
        Method::Adaptive => 3,
    }
}

impl Facts {
    fn encode(&self) -> [u8; FACTS_BYTES] {
        let [b0, b1, b2, b3] = self.body_bytes.to_be_bytes();
        let flags = if self.compressed { FLAG_COMPRESSED } else { 0 };
        [VERSION, flags, number_of(self.method), self.bits.get(), b0, b1, b2, b3]
    }

    /// Who wrote these bytes had the key: what is not understood is newer, not damaged.
    fn decode(bytes: [u8; FACTS_BYTES], method: Method) -> Result<Self, StegoError> {
        let [version, flags, number, bits, b0, b1, b2, b3] = bytes;
        if version != VERSION {
            return Err(StegoError::UnsupportedVersion { version });
        }
        let known = number == number_of(method) && flags & !FLAG_COMPRESSED == 0;
        let bits = Bits::new(bits).ok().filter(|_| known).ok_or(StegoError::NoPayload)?;
        Ok(Self {
            compressed: flags & FLAG_COMPRESSED != 0,
            method,
            bits,
            body_bytes: u32::from_be_bytes([b0, b1, b2, b3]),
        })
    }
}

/// A payload ready to be written.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub head: [u8; HEAD_BYTES],
    pub body: Vec<u8>,
}

impl Sealed {
    pub fn nonce(&self) -> Nonce {
        nonce_of(&self.head)
    }
}

/// The first part of a head.
pub(crate) fn nonce_of(head: &[u8; HEAD_BYTES]) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&head[..NONCE_BYTES]);
    nonce
}

/// Seals `plain`. `facts.body_bytes` must count the tag. `seed` makes the results of two
/// requests differ that have all else in common.
pub(crate) fn seal(master: &Master, seed: &[u8], facts: &Facts, plain: &[u8]) -> Sealed {
    let facts = facts.encode();
    let nonce = synthetic_nonce(&master.expand(b"nonce", b""), [seed, &facts, plain]);
    let mut head = [0; HEAD_BYTES];
    head[..NONCE_BYTES].copy_from_slice(&nonce);
    let (sealed, tag) = head[NONCE_BYTES..].split_at_mut(FACTS_BYTES);
    sealed.copy_from_slice(&facts);
    tag.copy_from_slice(&encrypt(&master.expand(b"head", &nonce), &nonce, b"", sealed));
    let mut body = Vec::with_capacity(plain.len() + TAG_BYTES);
    body.extend_from_slice(plain);
    let tag = encrypt(&master.expand(b"body", &nonce), &nonce, &head, &mut body);
    body.extend_from_slice(&tag);
    Sealed { head, body }
}

/// Reads a head that was found where `method` puts one.
///
/// # Errors
/// [`StegoError::NoPayload`] where it was sealed with another key, or is no head at all;
/// [`StegoError::UnsupportedVersion`].
pub(crate) fn open_head(
    master: &Master,
    head: &[u8; HEAD_BYTES],
    method: Method,
) -> Result<Facts, StegoError> {
    let nonce = nonce_of(head);
    let (text, tag) = head[NONCE_BYTES..].split_at(FACTS_BYTES);
    let mut facts = [0; FACTS_BYTES];
    facts.copy_from_slice(text);
    decrypt(&master.expand(b"head", &nonce), &nonce, b"", &mut facts, tag)?;
    Facts::decode(facts, method)
}

/// Opens the body that belongs to `head`.
///
/// # Errors
/// [`StegoError::NoPayload`] where a byte of it was changed.
pub(crate) fn open_body(
    master: &Master,
    head: &[u8; HEAD_BYTES],
    mut body: Vec<u8>,
) -> Result<Vec<u8>, StegoError> {
    let nonce = nonce_of(head);
    let text_bytes = body.len().checked_sub(TAG_BYTES).ok_or(StegoError::NoPayload)?;
    let (text, tag) = body.split_at_mut(text_bytes);
    decrypt(&master.expand(b"body", &nonce), &nonce, head, text, tag)?;
    body.truncate(text_bytes);
    Ok(body)
}

fn encrypt(key: &Key, nonce: &Nonce, associated: &[u8], text: &mut [u8]) -> Tag {
    XChaCha20Poly1305::new(key.as_slice().into())
        .encrypt_in_place_detached(XNonce::from_slice(nonce), associated, text)
        .expect("a secret is far shorter than the cipher's 256 GiB")
}

fn decrypt(
    key: &Key,
    nonce: &Nonce,
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8],
) -> Result<(), StegoError> {
    XChaCha20Poly1305::new(key.as_slice().into())
        .decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            associated,
            text,
            Tag::from_slice(tag),
        )
        .map_err(|_| StegoError::NoPayload)
}

/// Depends on all that is sealed, and on the request.
fn synthetic_nonce(key: &Key, parts: [&[u8]; 3]) -> Nonce {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_slice())
        .expect("HMAC takes keys of any length (RFC 2104)");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&digest[..NONCE_BYTES]);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(plain: &[u8]) -> Facts {
        Facts {
            compressed: true,
            method: Method::Lsb,
            bits: Bits::new(3).unwrap(),
            body_bytes: (plain.len() + TAG_BYTES) as u32,
        }
    }

    #[test]
    fn what_was_sealed_opens() {
        let master = Master::open();
        let sealed = seal(&master, b"seed", &facts(b"plain"), b"plain");
        assert_eq!(open_head(&master, &sealed.head, Method::Lsb), Ok(facts(b"plain")));
        assert_eq!(open_body(&master, &sealed.head, sealed.body), Ok(b"plain".to_vec()));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let master = Master::open();
        let Sealed { head, body } = seal(&master, b"seed", &facts(b"plain"), b"plain");
        for bit in 0..HEAD_BYTES * 8 {
            let mut head = head;
            head[bit / 8] ^= 1 << (bit % 8);
            let refused = open_head(&master, &head, Method::Lsb);
            assert_eq!(refused, Err(StegoError::NoPayload), "bit {bit}");
            assert_eq!(open_body(&master, &head, body.clone()), Err(StegoError::NoPayload));
        }
        for bit in 0..body.len() * 8 {
            let mut body = body.clone();
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_body(&master, &head, body), Err(StegoError::NoPayload), "bit {bit}");
        }
        assert_eq!(open_body(&master, &head, body[..15].to_vec()), Err(StegoError::NoPayload));
        assert_eq!(open_head(&master, &head, Method::Spread), Err(StegoError::NoPayload));
    }

    #[test]
    fn a_nonce_serves_one_secret_of_one_request() {
        let master = Master::open();
        let nonce = |seed: &[u8], plain: &[u8]| seal(&master, seed, &facts(plain), plain).nonce();
        assert_eq!(nonce(b"seed", b"one"), nonce(b"seed", b"one"));
        assert_ne!(nonce(b"seed", b"one"), nonce(b"seed", b"two"));
        assert_ne!(nonce(b"seed", b"one"), nonce(b"sead", b"one"));
        assert_ne!(nonce(b"seedo", b"ne"), nonce(b"seed", b"one"));
    }

    #[test]
    fn a_newer_version_is_named() {
        let newer = [3, 0, 1, 1, 0, 0, 0, 16];
        let refused = Facts::decode(newer, Method::Lsb);
        assert_eq!(refused, Err(StegoError::UnsupportedVersion { version: 3 }));
        for unknown in
            [[2, 2, 1, 1, 0, 0, 0, 16], [2, 0, 1, 5, 0, 0, 0, 16], [2, 0, 2, 1, 0, 0, 0, 16]]
        {
            assert_eq!(Facts::decode(unknown, Method::Lsb), Err(StegoError::NoPayload));
        }
    }
}
