//! From a passphrase and a picture to keys.
//!
//! Argon2id is slow on purpose, and its salt comes from the picture: who tries
//! passphrases pays for each picture anew. What it gave is kept for a while, so that
//! a service that works on the same covers again and again pays once (`docs/FORMAT.md`
//! has the reasons).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::passphrase::Passphrase;
use crate::clock::{self, Instant};
use crate::limits::{KEY_AGE_MAX, KEYS_MAX};

/// OWASP's second recommendation for Argon2id (Password Storage Cheat Sheet): 19 MiB,
/// two passes, one lane. About 20 ms, and little enough memory for each codec thread.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

pub(crate) const SALT_BYTES: usize = 16;
pub(crate) const KEY_BYTES: usize = 32;

/// Before every label of a derived key.
const DOMAIN: &[u8] = b"stegcluster/2/";
/// What the key of a picture without a passphrase is made of.
const OPEN: &[u8] = b"stegcluster/2/open";

/// A key that is wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Argon2id, version 0x13, into `key`.
pub(crate) fn stretch(passphrase: &Passphrase, salt: &[u8; SALT_BYTES], key: &mut [u8]) {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(key.len()))
        .expect("the constants are within Argon2's bounds");
    let mut blocks = vec![Block::default(); params.block_count()];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase.as_bytes(), salt, key, &mut blocks)
        .expect("Passphrase bounds its length, and salt and key sizes are constants");
    blocks.iter_mut().for_each(Zeroize::zeroize);
}

/// The key from which all others of a picture are derived.
#[derive(Clone)]
pub(crate) struct Master(Key);

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Master([hidden])")
    }
}

impl Master {
    /// Everybody's: it keeps nothing secret. With it pictures without a passphrase take
    /// the same path as those with one.
    pub fn open() -> Self {
        Self(Zeroizing::new(Sha256::digest(OPEN).into()))
    }

    fn derive(passphrase: &Passphrase, salt: &[u8; SALT_BYTES]) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        stretch(passphrase, salt, key.as_mut_slice());
        Self(key)
    }

    #[cfg(test)]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// HKDF-Expand (RFC 5869) with SHA-256; what Argon2 gives needs no extraction.
    pub fn expand(&self, label: &[u8], context: &[u8]) -> Key {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::from_prk(self.0.as_slice())
            .and_then(|hkdf| {
                hkdf.expand_multi_info(&[DOMAIN, label, context], key.as_mut_slice())
                    .map_err(|_| hkdf::InvalidPrkLength)
            })
            .expect("a master key is as long as the hash, and one block is not too much to ask");
        key
    }
}

/// A stream of numbers that only the holder of a key can foretell: ChaCha20 (RFC 8439)
/// with a nonce of zeros, its bytes taken four at a time, the lowest first.
pub(crate) struct Draws {
    cipher: ChaCha20,
    block: Zeroizing<[u8; 1024]>,
    /// Of the block, as numbers.
    words: Zeroizing<[u32; 256]>,
    at: usize,
}

impl Draws {
    pub fn new(key: &Key) -> Self {
        let cipher = ChaCha20::new(key.as_slice().into(), &[0; 12].into());
        let (block, words) = (Zeroizing::new([0; 1024]), Zeroizing::new([0; 256]));
        Self { cipher, block, words, at: 256 }
    }

    #[inline]
    pub fn next(&mut self) -> u32 {
        if let Some(word) = self.words.get(self.at) {
            self.at += 1;
            return *word;
        }
        self.refill();
        self.words[0]
    }

    #[cold]
    fn refill(&mut self) {
        self.block.fill(0);
        self.cipher.apply_keystream(self.block.as_mut_slice());
        for (word, bytes) in self.words.iter_mut().zip(self.block.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        self.at = 1;
    }

    /// A number from 0 to `count - 1`. Not to the last bit uniform: some numbers come
    /// up to `count / 2^32` more often, which no picture has samples enough to show.
    #[inline]
    pub fn below(&mut self, count: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(count)) >> 32) as u32
    }
}

/// Master keys made not long ago, by passphrase and salt. Bounded: the key that was not
/// used for longest goes first. Wiped when they go.
pub struct KeyCache {
    /// What entries are found by is a keyed hash: memory holds no passphrase, and who
    /// sees the hashes cannot test a guess without this.
    lookup: Zeroizing<[u8; 32]>,
    entries: Mutex<HashMap<[u8; 32], Entry>>,
}

struct Entry {
    master: Arc<Master>,
    made: Instant,
    used: Instant,
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache([hidden])")
    }
}

impl Default for KeyCache {
    /// # Panics
    /// Where the system gives no random numbers.
    fn default() -> Self {
        let mut lookup = Zeroizing::new([0; 32]);
        getrandom::fill(lookup.as_mut_slice()).expect("the system gives random numbers");
        Self { lookup, entries: Mutex::default() }
    }
}

impl KeyCache {
    /// The master key of `passphrase` for pictures with this salt. Takes some 20 ms and
    /// 19 MiB where it is not there yet; two that come at once both make it.
    pub(crate) fn master(&self, passphrase: &Passphrase, salt: &[u8; SALT_BYTES]) -> Arc<Master> {
        let name = self.name(passphrase, salt);
        if let Some(master) = self.find(&name) {
            return master;
        }
        let master = Arc::new(Master::derive(passphrase, salt));
        let now = clock::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        while entries.len() >= KEYS_MAX {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(name, _)| *name) else { break };
            entries.remove(&oldest);
        }
        entries.insert(name, Entry { master: Arc::clone(&master), made: now, used: now });
        master
    }

    /// Drops the keys that are too old. [`Self::master`] does so too.
    pub fn sweep(&self) {
        let now = clock::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| now.duration_since(entry.made) < KEY_AGE_MAX);
    }

    fn find(&self, name: &[u8; 32]) -> Option<Arc<Master>> {
        self.sweep();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get_mut(name)?;
        entry.used = clock::now();
        Some(Arc::clone(&entry.master))
    }

    fn name(&self, passphrase: &Passphrase, salt: &[u8; SALT_BYTES]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.lookup.as_slice())
            .expect("HMAC takes keys of any length (RFC 2104)");
        // The salt's size is fixed, so no two pairs are one string.
        mac.update(salt);
        mac.update(passphrase.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned()).unwrap()
    }

    #[test]
    fn a_key_is_made_once_for_its_passphrase_and_salt() {
        let cache = KeyCache::default();
        let first = cache.master(&phrase("a"), &[1; 16]);
        assert!(Arc::ptr_eq(&first, &cache.master(&phrase("a"), &[1; 16])));
        let others = [cache.master(&phrase("b"), &[1; 16]), cache.master(&phrase("a"), &[2; 16])];
        for other in others {
            assert_ne!(other.0, first.0);
        }
        let elsewhere = KeyCache::default().master(&phrase("a"), &[1; 16]);
        assert_eq!(elsewhere.0, first.0);
    }

    #[test]
    fn an_old_key_is_made_anew() {
        let cache = KeyCache::default();
        let first = cache.master(&phrase("a"), &[1; 16]);
        for entry in cache.entries.lock().unwrap().values_mut() {
            entry.made = clock::now().checked_sub(KEY_AGE_MAX).unwrap();
        }
        assert!(!Arc::ptr_eq(&first, &cache.master(&phrase("a"), &[1; 16])));
        assert_eq!(cache.entries.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_full_cache_forgets_what_was_not_used_for_longest() {
        let cache = KeyCache::default();
        let (name, other) =
            (cache.name(&phrase("a"), &[1; 16]), cache.name(&phrase("b"), &[1; 16]));
        let now = clock::now();
        let entry = |age_ms| Entry {
            master: Arc::new(Master::open()),
            made: now,
            used: now.checked_sub(std::time::Duration::from_millis(age_ms)).unwrap(),
        };
        {
            let mut entries = cache.entries.lock().unwrap();
            for index in 0..KEYS_MAX as u64 - 2 {
                let mut filler = [0; 32];
                filler[..8].copy_from_slice(&index.to_be_bytes());
                entries.insert(filler, entry(5));
            }
            entries.insert(name, entry(9));
            entries.insert(other, entry(20));
        }
        cache.master(&phrase("c"), &[1; 16]);
        let entries = cache.entries.lock().unwrap();
        assert_eq!(entries.len(), KEYS_MAX);
        assert!(entries.contains_key(&name) && !entries.contains_key(&other));
    }

    #[test]
    fn draws_are_chacha20_words() {
        let key = Zeroizing::new([0; 32]);
        let mut draws = Draws::new(&key);
        // RFC 8439, appendix A.1, vector 1: 76 b8 e0 ad a0 f1 3d 90.
        assert_eq!(draws.next(), 0xade0_b876);
        assert_eq!(draws.next(), 0x903d_f1a0);
        let mut draws = Draws::new(&key);
        assert_eq!(draws.below(1 << 16), 0xade0);
        assert!((0..5000).all(|_| draws.below(3) < 3));
    }

    #[test]
    fn labels_and_contexts_give_keys_of_their_own() {
        let master = Master::open();
        assert_ne!(master.expand(b"a", b"x"), master.expand(b"b", b"x"));
        assert_ne!(master.expand(b"a", b"x"), master.expand(b"a", b"y"));
        assert_eq!(master.expand(b"a", b"x"), Master::open().expand(b"a", b"x"));
    }
}
