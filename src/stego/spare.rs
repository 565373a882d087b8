//! Buffers that are used again, because the system clears every page that it hands out: for
//! the rows of a large picture that takes as long as writing a payload into them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers that are kept: as many embeds at once are quick.
const KEPT_MAX: usize = 2;
/// Larger ones are given back to the system: 10 megapixels of RGB.
const KEPT_BYTES_MAX: usize = 30 << 20;

/// Some buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Spare {
    /// An empty buffer, which may have room already.
    pub fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    /// Keeps a buffer for the next who takes one. What is in it is forgotten.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = self.lock();
        if buffers.len() < KEPT_MAX && buffer.capacity() <= KEPT_BYTES_MAX {
            buffers.push(buffer);
        }
    }

    /// Gives all of them back to the system.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// A panic under the lock is impossible but for lack of memory.
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_few_are_kept() {
        let spare = Spare::default();
        assert_eq!(spare.take().capacity(), 0);
        (1..=KEPT_MAX + 1).for_each(|bytes| spare.give(vec![7; bytes]));
        spare.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        let kept: Vec<_> = (0..=KEPT_MAX).map(|_| spare.take()).collect();
        assert!(kept.iter().all(Vec::is_empty));
        assert_eq!(kept.iter().filter(|buffer| buffer.capacity() > 0).count(), KEPT_MAX);
        spare.give(vec![7]);
        spare.clear();
        assert_eq!(spare.take().capacity(), 0);
    }
}
