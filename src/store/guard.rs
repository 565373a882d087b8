//! How far a store was known to be on stable storage: a small file beside it.
//!
//! After each synced write, and before anybody is told of it, the number of the last write is put
//! here. On the next start the store must hold at least so many. That is how lost data is told
//! from a torn tail: the log of a database may end anywhere behind what was synced, and nowhere
//! before it. RocksDB alone cannot tell: its log says where it can no longer be read, and not
//! how far it went.
//!
//! The file is written and not synced, so that no write waits for a second fsync. A killed process
//! leaves it exact, since what the kernel took stays. A power cut may leave an older number, which
//! promises less and is never wrong; a thread that nobody waits for syncs it once a second. Two
//! slots are written in turn, each with its own checksum and in a sector of its own, so that a
//! torn write of one leaves the other.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::rt::pause_thread;

/// Disks write so many bytes whole or not at all.
const SLOT_BYTES: usize = 512;
const SLOTS: u64 = 2;
/// A length, a CRC-32 of what follows, and as many bytes of JSON.
const HEAD_BYTES: usize = 8;
/// Between two syncs of the file.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Writes (RocksDB's sequence number) that are on stable storage.
    pub writes: u64,
    /// The kernel's own id of the boot in which this was written. In the same boot no cache was
    /// lost. `None` where the system does not say.
    pub boot: Option<String>,
    /// Rises with every note, so that the newer of two slots is known.
    turn: u64,
}

impl Promise {
    /// True where the machine may have lost its caches since.
    pub fn may_be_older(&self) -> bool {
        self.boot.is_none() || self.boot != boot()
    }
}

/// The kernel's id of this boot.
pub fn boot() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Where the guard of the store in `folder` is.
pub fn path_of(folder: &Path) -> PathBuf {
    folder.with_extension("guard")
}

/// Reads the newest slot that is whole; `None` where there is no file.
///
/// # Errors
/// The file cannot be read, or no slot of it is whole.
pub fn read(path: &Path) -> Result<Option<Promise>, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, &error)),
    };
    let whole = bytes.chunks(SLOT_BYTES).filter_map(decode);
    whole.max_by_key(|promise| promise.turn).map(Some).ok_or_else(|| StoreError::Corrupt {
        what: "the store's guard",
        cause: format!("{}: no slot of it is whole", path.display()),
    })
}

fn encode(promise: &Promise) -> io::Result<[u8; SLOT_BYTES]> {
    let json = serde_json::to_vec(promise)?;
    let mut slot = [0; SLOT_BYTES];
    let Some(body) = slot.get_mut(HEAD_BYTES..HEAD_BYTES + json.len()) else {
        return Err(io::Error::other("the promise does not fit its slot"));
    };
    body.copy_from_slice(&json);
    slot[..4].copy_from_slice(&(json.len() as u32).to_le_bytes());
    slot[4..HEAD_BYTES].copy_from_slice(&crc32fast::hash(&json).to_le_bytes());
    Ok(slot)
}

fn decode(slot: &[u8]) -> Option<Promise> {
    let word = |at: usize| Some(u32::from_le_bytes(slot.get(at..at + 4)?.try_into().ok()?));
    let json = slot.get(HEAD_BYTES..HEAD_BYTES + word(0)? as usize)?;
    (word(4)? == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full(format!("{}: {error}", path.display())),
        _ => StoreError::Io(format!("{}: {error}", path.display())),
    }
}

struct Open {
    path: PathBuf,
    file: File,
    promise: Mutex<Promise>,
    /// Written since the last sync.
    dirty: AtomicBool,
    failed: AtomicBool,
}

/// The file, open for writing. See the module.
pub struct Guard {
    open: Arc<Open>,
}

impl Guard {
    /// Begins with what the store holds now, durable once this returns.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(path: &Path, writes: u64) -> Result<Self, StoreError> {
        let turn = read(path).ok().flatten().map_or(0, |promise| promise.turn);
        let failed = |error: io::Error| io_error(path, &error);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let promise = Mutex::new(Promise { writes: 0, boot: boot(), turn });
        let (dirty, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        let open = Open { path: path.to_owned(), file, promise, dirty, failed: broken };
        let this = Self { open: Arc::new(open) };
        // Both slots, so that what a former life promised of another store is gone.
        this.note(writes)?;
        this.note(writes)?;
        this.open.file.sync_all().map_err(failed)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        this.open.dirty.store(false, Ordering::Release);
        let weak = Arc::downgrade(&this.open);
        let thread = std::thread::Builder::new().name("store-guard".into());
        thread.spawn(move || keep_synced(&weak)).map_err(failed)?;
        Ok(this)
    }

    /// The same for a store that was made anew of another's remains.
    ///
    /// # Errors
    /// The disk failed.
    pub fn anew(path: &Path, writes: u64) -> Result<Self, StoreError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, &error)),
            _ => Self::open(path, writes),
        }
    }

    /// From now on so many writes must be there after a crash. The caller has synced them, and
    /// calls this in their order.
    ///
    /// # Errors
    /// The disk failed, now or when this file was last synced: nothing may be acknowledged.
    pub fn note(&self, writes: u64) -> Result<(), StoreError> {
        let Open { path, file, promise, dirty, failed } = &*self.open;
        if failed.load(Ordering::Acquire) {
            return Err(StoreError::Io(format!("{}: it could not be synced", path.display())));
        }
        let mut promise = promise.lock().unwrap_or_else(PoisonError::into_inner);
        promise.writes = promise.writes.max(writes);
        promise.turn += 1;
        let place = (promise.turn % SLOTS) * SLOT_BYTES as u64;
        let write = encode(&promise).and_then(|slot| file.write_all_at(&slot, place));
        write.map_err(|error| io_error(path, &error))?;
        dirty.store(true, Ordering::Release);
        Ok(())
    }
}

fn keep_synced(weak: &Weak<Open>) {
    loop {
        pause_thread(SYNC_EVERY);
        let Some(open) = weak.upgrade() else { return };
        if !open.dirty.swap(false, Ordering::AcqRel) {
            continue;
        }
        if let Err(error) = open.file.sync_data() {
            // Never asked again: the kernel may call pages clean that it could not write.
            open.failed.store(true, Ordering::Release);
            tracing::error!(file = %open.path.display(), cause = %error, "it cannot be synced");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_of(&folder.path().join("store"));
        assert_eq!(read(&path).unwrap(), None);
        let guard = Guard::open(&path, 3).unwrap();
        for writes in [5, 9, 9, 12] {
            guard.note(writes).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().writes, writes);
        }
        let found = read(&path).unwrap().unwrap();
        assert_eq!(found.may_be_older(), boot().is_none());
        let bytes = std::fs::read(&path).unwrap();
        let newest = (found.turn % SLOTS) as usize * SLOT_BYTES;
        for at in 0..SLOT_BYTES {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[newest + at] ^= 1 << bit;
                std::fs::write(&path, &flipped).unwrap();
                let writes = read(&path).unwrap().unwrap().writes;
                assert!([9, 12].contains(&writes), "byte {at}, bit {bit}: {writes}");
            }
        }
        std::fs::write(&path, vec![0; 2 * SLOT_BYTES]).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Corrupt { .. })));
    }
}
