//! Covers seen before, decoded and compressed: a second embed into one costs a fraction
//! of the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::cover::{Shape, Source};
use super::error::StegoError;
use super::prepared::Prepared;
use crate::limits;
use crate::record::Digest;

/// A cover file.
#[derive(Debug, Clone, Copy)]
pub struct CoverFile<'a> {
    /// A whole PNG, JPEG, WebP or BMP file.
    pub bytes: &'a [u8],
    /// Of `bytes`. It is not checked: whoever gives another gets another's cover.
    pub sha256: Digest,
}

impl<'a> CoverFile<'a> {
    /// Digests the file. Who has the digest already writes it in.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, sha256: Digest::of(bytes) }
    }
}

/// A bounded cache of covers, by their files' digests. Cheap to clone; clones share it.
///
/// Covers that were asked for again stay longest: as long as they take less than three
/// quarters of the room, a flood of covers that come once each does not drive them out
/// (the segmented LRU of Karedla, Love, Wherry 1994).
#[derive(Debug, Clone)]
pub struct Covers {
    shared: Arc<Mutex<Shelf>>,
}

/// What a cache did since it was last asked, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoversReport {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub covers: usize,
    pub bytes: u64,
}

/// Filled by the first who wants it, while others wait.
type Slot = Arc<OnceLock<Result<Arc<Prepared>, StegoError>>>;

#[derive(Debug)]
struct Shelf {
    limit_bytes: u64,
    entries: HashMap<Digest, Entry>,
    /// Counts uses: the lower an entry's, the longer ago.
    clock: u64,
    report: CoversReport,
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    /// As last seen; 0 while it is being prepared.
    bytes: u64,
    used: u64,
    /// Asked for again after it was prepared.
    again: bool,
}

impl Covers {
    /// Holds at most `limit_bytes`; 0 holds nothing. A cover larger than all of it is
    /// prepared each time.
    pub fn new(limit_bytes: u64) -> Self {
        let shelf = Shelf {
            limit_bytes,
            entries: HashMap::new(),
            clock: 0,
            report: CoversReport::default(),
        };
        Self { shared: Arc::new(Mutex::new(shelf)) }
    }

    /// What happened since the last report, and what is held now.
    pub fn report(&self) -> CoversReport {
        let mut shelf = self.lock();
        let report = CoversReport { covers: shelf.entries.len(), ..shelf.report };
        shelf.report = CoversReport { bytes: report.bytes, ..CoversReport::default() };
        report
    }

    /// The shape of a cover that is held.
    pub(crate) fn held(&self, sha256: &Digest) -> Option<Shape> {
        let slot = self.lock().entries.get(sha256).map(|entry| Arc::clone(&entry.slot))?;
        Some(slot.get()?.as_ref().ok()?.picture().shape)
    }

    /// The shape of a cover, upright, without decoding it.
    ///
    /// # Errors
    /// What is wrong with its header.
    pub(crate) fn shape(&self, cover: &CoverFile<'_>) -> Result<Shape, StegoError> {
        let slot = self.lock().entries.get(&cover.sha256).map(|entry| Arc::clone(&entry.slot));
        match slot.as_ref().and_then(|slot| slot.get()) {
            Some(Ok(prepared)) => Ok(prepared.picture().shape),
            Some(Err(_)) | None => Ok(Source::open(cover.bytes)?.upright_shape()),
        }
    }

    /// The cover, prepared now or before. Two who want a new one at once prepare it
    /// once: the other waits.
    ///
    /// # Errors
    /// What is wrong with the picture. An unreadable one is not remembered.
    pub(crate) fn prepared(&self, cover: &CoverFile<'_>) -> Result<Arc<Prepared>, StegoError> {
        let slot = self.lock().slot(cover.sha256);
        let prepared = slot.get_or_init(|| Prepared::open(cover.bytes).map(Arc::new)).clone();
        self.lock().settle(&cover.sha256, &slot);
        prepared
    }

    /// A panic under the lock is impossible but for lack of memory, and would leave a
    /// cache that still holds only whole covers.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// The slot of a cover, new where it is not here.
    fn slot(&mut self, sha256: Digest) -> Slot {
        self.clock += 1;
        let clock = self.clock;
        let entry = self.entries.entry(sha256).or_insert_with(|| Entry {
            slot: Slot::default(),
            bytes: 0,
            used: clock,
            again: false,
        });
        entry.used = clock;
        if entry.slot.get().is_some() {
            entry.again = true;
            self.report.hits += 1;
        } else {
            self.report.misses += 1;
        }
        Arc::clone(&entry.slot)
    }

    /// Counts what a slot holds now, and makes room.
    fn settle(&mut self, sha256: &Digest, slot: &Slot) {
        // Evicted meanwhile, or in its place another: then this one is no longer ours.
        let Some(entry) = self.entries.get_mut(sha256).filter(|own| Arc::ptr_eq(&own.slot, slot))
        else {
            return;
        };
        // A cost map may have been added since.
        let bytes = match slot.get() {
            Some(Ok(prepared)) => prepared.bytes() as u64,
            Some(Err(_)) | None => u64::MAX,
        };
        if bytes > self.limit_bytes {
            self.remove(sha256);
            return;
        }
        self.report.bytes = self.report.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        self.demote();
        while self.report.bytes > self.limit_bytes || self.entries.len() > limits::COVERS_MAX {
            let Some(victim) = self.oldest(false).or_else(|| self.oldest(true)) else { break };
            self.remove(&victim);
            self.report.evictions += 1;
        }
    }

    /// Lets those asked for again longest ago count as new, until the rest of them take
    /// no more than three quarters of the room.
    fn demote(&mut self) {
        let mut kept: u64 =
            self.entries.values().filter(|entry| entry.again).map(|entry| entry.bytes).sum();
        while kept > self.limit_bytes / 4 * 3 {
            let Some(entry) = self.oldest(true).and_then(|oldest| self.entries.get_mut(&oldest))
            else {
                break;
            };
            entry.again = false;
            kept -= entry.bytes;
        }
    }

    /// The one used longest ago, of those asked for again or of the others. Those in
    /// preparation take no room yet.
    fn oldest(&self, again: bool) -> Option<Digest> {
        let candidates =
            self.entries.iter().filter(|(_, entry)| entry.again == again && entry.bytes > 0);
        candidates.min_by_key(|(_, entry)| entry.used).map(|(sha256, _)| *sha256)
    }

    fn remove(&mut self, sha256: &Digest) {
        if let Some(entry) = self.entries.remove(sha256) {
            self.report.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
#[path = "covers_tests.rs"]
mod tests;
