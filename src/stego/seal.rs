//! From a passphrase to an authenticated ciphertext and back.
//!
//! Argon2id makes the keys, XChaCha20-Poly1305 seals. Nothing here is drawn at random:
//! a retry of the same request must give the same picture. The nonce is a keyed hash
//! of everything it protects (a synthetic IV, as in RFC 5297), so two different
//! secrets never share one.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::error::StegoError;
use crate::limits;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What sealing adds to a secret: salt, nonce and tag.
pub(crate) const OVERHEAD_BYTES: usize = SALT_BYTES + NONCE_BYTES + TAG_BYTES;

/// OWASP's second recommendation for Argon2id (Password Storage Cheat Sheet): 19 MiB,
/// two passes, one lane. About 20 ms, and little enough memory for each codec thread.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// 32 bytes for the cipher, 32 for the nonce.
const KEY_BYTES: usize = 64;

const SALT_DOMAIN: &[u8] = b"stegcluster/1/salt";
const NONCE_DOMAIN: &[u8] = b"stegcluster/1/nonce";

/// A passphrase: 1 to [`limits::PASSPHRASE_BYTES_MAX`] bytes, taken as they come
/// (UTF-8, not normalised). Wiped from memory when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// # Errors
    /// [`StegoError::PassphraseLength`] where it is empty or too long. An empty one is
    /// refused because a picture sealed with it would only seem protected.
    pub fn new(text: String) -> Result<Self, StegoError> {
        let text = Zeroizing::new(text);
        let (bytes, max_bytes) = (text.len(), limits::PASSPHRASE_BYTES_MAX);
        if bytes == 0 || bytes > max_bytes {
            return Err(StegoError::PassphraseLength { bytes, max_bytes });
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([hidden])")
    }
}

/// A salt that depends on which request this is and on its cover. Not on the secret:
/// the salt is public, and would let anyone test a guess at the secret without the
/// passphrase.
pub(crate) fn salt(seed: &[u8], cover_crc: u32) -> [u8; SALT_BYTES] {
    let mut hash = Sha256::new();
    hash.update(SALT_DOMAIN);
    hash.update((seed.len() as u64).to_be_bytes());
    hash.update(seed);
    hash.update(cover_crc.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&digest[..SALT_BYTES]);
    salt
}

struct Keys(Zeroizing<[u8; KEY_BYTES]>);

impl Keys {
    fn derive(passphrase: &Passphrase, salt: &[u8; SALT_BYTES]) -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(KEY_BYTES))
            .expect("the constants are within Argon2's bounds");
        let mut blocks = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut keys = Zeroizing::new([0; KEY_BYTES]);
        argon2
            .hash_password_into_with_memory(
                passphrase.0.as_bytes(),
                salt,
                keys.as_mut_slice(),
                &mut blocks,
            )
            .expect("Passphrase bounds its length, and salt and key sizes are constants");
        blocks.iter_mut().for_each(Zeroize::zeroize);
        Self(keys)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0[..32].into())
    }

    /// Depends on all that is sealed, and on the request.
    fn nonce(&self, seed: &[u8], associated: &[u8], plain: &[u8]) -> [u8; NONCE_BYTES] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0[32..])
            .expect("HMAC takes keys of any length (RFC 2104)");
        mac.update(NONCE_DOMAIN);
        for part in [seed, associated, plain] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&digest[..NONCE_BYTES]);
        nonce
    }
}

/// Salt, nonce, ciphertext, tag. `header` is authenticated with them.
pub(crate) fn seal(
    passphrase: &Passphrase,
    salt: &[u8; SALT_BYTES],
    seed: &[u8],
    header: &[u8],
    plain: &[u8],
) -> Vec<u8> {
    let keys = Keys::derive(passphrase, salt);
    let associated = [header, salt].concat();
    let nonce = keys.nonce(seed, &associated, plain);
    let mut sealed = Vec::with_capacity(OVERHEAD_BYTES + plain.len());
    sealed.extend_from_slice(salt);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let text = &mut sealed[SALT_BYTES + NONCE_BYTES..];
    let tag = keys
        .cipher()
        .encrypt_in_place_detached(XNonce::from_slice(&nonce), &associated, text)
        .expect("a secret is far shorter than the cipher's 256 GiB");
    sealed.extend_from_slice(&tag);
    sealed
}

/// The reverse of [`seal`].
///
/// # Errors
/// [`StegoError::NoPayload`] where the passphrase is another, or a byte was changed.
pub(crate) fn open(
    passphrase: &Passphrase,
    header: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, StegoError> {
    let (salt, rest) = sealed.split_first_chunk().ok_or(StegoError::NoPayload)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(StegoError::NoPayload)?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(StegoError::NoPayload)?;
    let keys = Keys::derive(passphrase, salt);
    let associated = [header, salt.as_slice()].concat();
    let mut plain = text.to_vec();
    keys.cipher()
        .decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            &associated,
            &mut plain,
            Tag::from_slice(tag),
        )
        .map_err(|_| StegoError::NoPayload)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned()).unwrap()
    }

    #[test]
    fn passphrase_is_bounded_and_hidden() {
        let max_bytes = limits::PASSPHRASE_BYTES_MAX;
        for bytes in [0, max_bytes + 1] {
            assert_eq!(
                Passphrase::new("x".repeat(bytes)).err(),
                Some(StegoError::PassphraseLength { bytes, max_bytes })
            );
        }
        let longest = phrase(&"x".repeat(max_bytes));
        assert_eq!(format!("{longest:?}"), "Passphrase([hidden])");
    }

    #[test]
    fn opens_only_whole_and_with_its_passphrase_and_header() {
        let sealed = seal(&phrase("a"), &salt(b"seed", 0), b"seed", b"header", b"plain");
        assert_eq!(sealed.len(), OVERHEAD_BYTES + 5);
        assert_eq!(open(&phrase("a"), b"header", &sealed), Ok(b"plain".to_vec()));
        let refused = Err(StegoError::NoPayload);
        assert_eq!(open(&phrase("b"), b"header", &sealed), refused);
        assert_eq!(open(&phrase("a"), b"headex", &sealed), refused);
        for at in [0, SALT_BYTES, SALT_BYTES + NONCE_BYTES, sealed.len() - 1] {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(open(&phrase("a"), b"header", &damaged), refused, "byte {at}");
        }
        assert_eq!(open(&phrase("a"), b"header", &sealed[..OVERHEAD_BYTES - 1]), refused);
    }

    #[test]
    fn a_nonce_serves_one_secret_only() {
        let salt = salt(b"seed", 0);
        let one = seal(&phrase("a"), &salt, b"seed", b"h", b"one");
        let two = seal(&phrase("a"), &salt, b"seed", b"h", b"two");
        assert_eq!(one, seal(&phrase("a"), &salt, b"seed", b"h", b"one"));
        assert_eq!(one[..SALT_BYTES], two[..SALT_BYTES]);
        assert_ne!(one[SALT_BYTES..][..NONCE_BYTES], two[SALT_BYTES..][..NONCE_BYTES]);
    }
}
