//! Digests of covers that came lately. To compare a file with one that is held takes a tenth of
//! the time that its SHA-256 takes, and most covers come more than once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::record::Digest;

/// Files that are held, and their bytes together.
const FILES_MAX: usize = 16;
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Larger ones are digested each time: to compare them would take longer than a request may keep
/// its thread.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// Those asked for last in front.
    files: Mutex<VecDeque<(Bytes, Digest)>>,
}

impl Digests {
    /// The digest of a file that is held.
    pub fn find(&self, file: &[u8]) -> Option<Digest> {
        if file.len() > FILE_BYTES_MAX {
            return None;
        }
        // Compared without the lock: a handful of pointers is quickly copied.
        let alike: Vec<_> = {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.iter().filter(|(held, _)| held.len() == file.len()).cloned().collect()
        };
        let (held, digest) = alike.into_iter().find(|(held, _)| held == file)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have driven it out meanwhile.
        if let Some(at) = files.iter().position(|(other, _)| other.as_ptr() == held.as_ptr())
            && at > 0
            && let Some(found) = files.remove(at)
        {
            files.push_front(found);
        }
        Some(digest)
    }

    /// Holds a copy of `file`, which may be in a larger buffer of its own.
    pub fn learn(&self, file: &[u8], digest: Digest) {
        if file.len() > FILE_BYTES_MAX {
            return;
        }
        let copy = Bytes::copy_from_slice(file);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // Two requests may bring the same new file at once.
        files.retain(|(_, other)| *other != digest);
        files.push_front((copy, digest));
        let mut bytes = 0;
        let fit = files.iter().take(FILES_MAX).take_while(|(held, _)| {
            bytes += held.len();
            bytes <= BYTES_MAX
        });
        let fit = fit.count();
        files.truncate(fit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(seed: usize, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at * 31 + seed) as u8).collect()
    }

    fn seen(digests: &Digests, file: &[u8]) -> bool {
        let found = digests.find(file);
        assert!(found.is_none_or(|digest| digest == Digest::of(file)));
        found.is_some()
    }

    #[test]
    fn a_file_is_known_by_all_of_its_bytes() {
        let digests = Digests::default();
        let known = file(1, 5000);
        assert!(!seen(&digests, &known));
        digests.learn(&known, Digest::of(&known));
        assert!(seen(&digests, &known));
        for at in [0, 2500, 4999] {
            let mut other = known.clone();
            other[at] ^= 1;
            assert!(!seen(&digests, &other), "{at}");
        }
        assert!(!seen(&digests, &known[..4999]));
    }

    #[test]
    fn those_asked_for_last_stay_within_the_bounds() {
        let digests = Digests::default();
        let favourite = file(0, 100);
        digests.learn(&favourite, Digest::of(&favourite));
        for seed in 1..=3 * FILES_MAX {
            let next = file(seed, 100 + seed);
            digests.learn(&next, Digest::of(&next));
            assert!(seen(&digests, &favourite));
        }
        assert!(!seen(&digests, &file(1, 101)));
        let large: Vec<_> = (0..12).map(|seed| file(seed, FILE_BYTES_MAX - seed)).collect();
        for file in &large {
            digests.learn(file, Digest::of(file));
        }
        let held: usize = digests.files.lock().unwrap().iter().map(|(held, _)| held.len()).sum();
        assert!(held <= BYTES_MAX && seen(&digests, &large[11]));
        let too_large = file(0, FILE_BYTES_MAX + 1);
        digests.learn(&too_large, Digest::of(&too_large));
        assert!(!seen(&digests, &too_large));
    }
}
