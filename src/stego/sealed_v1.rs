//! Opens what format version 1 sealed. Nothing is sealed so any more: the header of
//! version 1 is in the open (`envelope` has its successor).

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::StegoError;
use super::keys::{SALT_BYTES, stretch};
use super::passphrase::Passphrase;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// 32 bytes for the cipher, 32 from which the writer made nonces.
const KEYS_BYTES: usize = 64;

/// Opens salt, nonce, ciphertext and tag. `header` is authenticated with them.
///
/// # Errors
/// [`StegoError::NoPayload`] where the passphrase is another, or a byte was changed.
pub(crate) fn open(
    passphrase: &Passphrase,
    header: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, StegoError> {
    let (salt, rest) = sealed.split_first_chunk::<SALT_BYTES>().ok_or(StegoError::NoPayload)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(StegoError::NoPayload)?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(StegoError::NoPayload)?;
    let mut keys = Zeroizing::new([0; KEYS_BYTES]);
    stretch(passphrase, salt, keys.as_mut_slice());
    let associated = [header, salt.as_slice()].concat();
    let mut plain = text.to_vec();
    XChaCha20Poly1305::new(keys[..32].into())
        .decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            &associated,
            &mut plain,
            Tag::from_slice(tag),
        )
        .map_err(|_| StegoError::NoPayload)?;
    Ok(plain)
}
