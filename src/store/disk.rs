//! What a node knows of its disk beside what is on it: whether there is room, and the faults
//! that a drill asks for. Reads go on under each of these, as they do from the memory of a
//! machine whose disk hangs or is full.
//!
//! A write that found no room ends the use of this store: what reached the disk is unknown, and
//! the database takes no further write before it is opened anew. So that is noted here, for
//! `node` to step aside.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Batch, Column, Durability, Pair, Reader, Store, StoreError, Visit};
use crate::clock::{self, Instant};
use crate::limits::{DISK_ENOUGH_BYTES, DISK_LOW_BYTES};

/// How a store's disk does. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Disk {
    shared: Arc<(Mutex<Faults>, Condvar)>,
    room: watch::Sender<Room>,
}

/// Is there room on the disk?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Room {
    #[default]
    Enough,
    /// Less than [`DISK_LOW_BYTES`]: what can be done elsewhere should be.
    Low,
    /// A write found none. For good: see the module.
    None,
}

/// On purpose.
#[derive(Debug, Default)]
struct Faults {
    /// No write ends.
    stalled: bool,
    /// Every write takes so much longer.
    slow: Option<Duration>,
    /// Until then every write is told that there is no space, as by `ENOSPC`.
    full_until: Option<Instant>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { shared: Arc::default(), room: watch::Sender::new(Room::default()) }
    }
}

impl Disk {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults());
        self.shared.1.notify_all();
    }

    /// From now on no write ends.
    pub fn stall(&self) {
        self.change(|faults| faults.stalled = true);
    }

    /// From now on every write takes `delay` longer.
    pub fn slow_down(&self, delay: Duration) {
        self.change(|faults| faults.slow = Some(delay));
    }

    /// For `lasting` there is no room: every write fails.
    pub fn fill(&self, lasting: Duration) {
        self.change(|faults| faults.full_until = Some(clock::now() + lasting));
    }

    /// Ends every fault; held writes go on.
    pub fn restore(&self) {
        self.change(|faults| *faults = Faults::default());
    }

    fn is_filled(&self) -> bool {
        self.faults().full_until.is_some_and(|until| clock::now() < until)
    }

    /// Is there room, as far as is known?
    pub fn room(&self) -> Room {
        *self.room.borrow()
    }

    /// Waits until a write has found no room.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn ran_out(&self) {
        // An error would mean that the sender is gone, which `self` holds.
        let _ = self.room.subscribe().wait_for(|room| *room == Room::None).await;
    }

    /// Looks how much room there is at `folder`.
    pub fn look(&self, folder: &Path) {
        let free = self.free_bytes(folder);
        self.room.send_if_modified(|room| {
            let now = match room {
                Room::None => Room::None,
                // Between the two it stays as it is, and does not change back and forth.
                Room::Low if free < DISK_ENOUGH_BYTES => Room::Low,
                Room::Enough if free < DISK_LOW_BYTES => Room::Low,
                Room::Low | Room::Enough => Room::Enough,
            };
            std::mem::replace(room, now) != now
        });
    }

    /// True where a node that ran out of room may be started again.
    pub fn has_enough(&self, folder: &Path) -> bool {
        self.free_bytes(folder) >= DISK_ENOUGH_BYTES
    }

    /// Bytes that this user may still write. Where the system does not say, as many as there can
    /// be: only a write that fails tells then.
    fn free_bytes(&self, folder: &Path) -> u64 {
        if self.is_filled() {
            return 0;
        }
        let known = rustix::fs::statvfs(folder).ok();
        known.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Before a write: as the faults want it.
    fn pass(&self) -> Result<(), StoreError> {
        let (_, changed) = &*self.shared;
        let begun = clock::now();
        let mut faults = self.faults();
        loop {
            let slow = faults.slow.map(|delay| delay.saturating_sub(begun.elapsed()));
            faults = match slow.filter(|left| !left.is_zero()) {
                _ if faults.stalled => changed.wait(faults).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    changed.wait_timeout(faults, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => break,
            };
        }
        match faults.full_until {
            Some(until) if clock::now() < until => {
                Err(StoreError::Full("no space left on device (a fault on purpose)".into()))
            }
            _ => Ok(()),
        }
    }
}

/// A store that notes what happens to its disk, and whose disk can be made to fail.
pub struct WatchedStore<S> {
    inner: S,
    disk: Disk,
}

impl<S: Store> WatchedStore<S> {
    pub fn new(inner: S, disk: Disk) -> Self {
        Self { inner, disk }
    }
}

impl<S: Store> Reader for WatchedStore<S> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.inner.scan(column, from, to, visit)
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.inner.last(column, from, to)
    }
}

impl<S: Store> Store for WatchedStore<S> {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let written = self.disk.pass().and_then(|()| self.inner.write(batch, durability));
        if let Err(StoreError::Full(_)) = &written {
            self.disk.room.send_replace(Room::None);
        }
        written
    }

    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.inner.view(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, sync_channel};

    use super::*;
    use crate::store::MemoryStore;

    const MS: Duration = Duration::from_millis(1);

    fn store() -> (WatchedStore<MemoryStore>, Disk, Batch) {
        let disk = Disk::default();
        let mut batch = Batch::default();
        batch.put(Column::Log, *b"key", *b"value");
        (WatchedStore::new(MemoryStore::default(), disk.clone()), disk, batch)
    }

    #[test]
    fn a_write_ends_only_after_the_stall() {
        let (store, disk, batch) = store();
        disk.stall();
        std::thread::scope(|scope| {
            let (ended, end) = sync_channel(1);
            let (store, batch) = (&store, batch.clone());
            scope.spawn(move || ended.send(store.write(batch, Durability::Synced)));
            let early = end.recv_timeout(50 * MS);
            assert!(matches!(early, Err(RecvTimeoutError::Timeout)), "{early:?}");
            assert_eq!(store.get(Column::Log, b"key").unwrap(), None);
            disk.restore();
            end.recv().unwrap().unwrap();
        });
        assert_eq!(store.get(Column::Log, b"key").unwrap().unwrap(), b"value");
        store.write(batch, Durability::Synced).unwrap();
    }

    #[test]
    fn a_slow_disk_takes_its_time_and_no_more_once_it_is_restored() {
        let (store, disk, batch) = store();
        disk.slow_down(20 * MS);
        let begun = clock::now();
        store.write(batch.clone(), Durability::Synced).unwrap();
        assert!(begun.elapsed() >= 20 * MS);
        disk.slow_down(Duration::from_secs(3600));
        std::thread::scope(|scope| {
            scope.spawn(|| store.write(batch, Durability::Synced).unwrap());
            disk.restore();
        });
    }

    #[test]
    fn a_full_disk_takes_no_write_and_that_is_noted_for_good() {
        let (store, disk, batch) = store();
        let folder = tempfile::tempdir().unwrap();
        disk.look(folder.path());
        assert_eq!(disk.room(), Room::Enough);
        disk.fill(Duration::from_secs(3600));
        disk.look(folder.path());
        assert_eq!(disk.room(), Room::Low);
        assert!(!disk.has_enough(folder.path()));
        let refused = store.write(batch.clone(), Durability::Synced).unwrap_err();
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
        assert_eq!(std::io::Error::from(refused).kind(), std::io::ErrorKind::StorageFull);
        assert_eq!((store.get(Column::Log, b"key").unwrap(), disk.room()), (None, Room::None));
        disk.restore();
        disk.look(folder.path());
        assert_eq!(disk.room(), Room::None, "this store must be opened anew");
        assert!(disk.has_enough(folder.path()), "and may be");
    }
}
