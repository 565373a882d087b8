//! What a node knows of its disk beside what is on it: whether there is room, and the faults
//! that a drill asks for. Reads go on under each of these, as they do from the memory of a
//! machine whose disk hangs or is full.
//!
//! A write that failed ends the use of this store, whatever the reason: what reached the disk is
//! unknown, and a second attempt proves nothing, since the kernel may call pages clean that it
//! could not write. No further write is let through before the store is opened anew, and what
//! happened is noted here, for `node` to step aside. So is a read that failed, or met damage.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::sealed::{seal, unseal};
use super::{Batch, Column, Durability, Pair, Reader, Store, StoreError, Visit};
use crate::clock::{self, Instant};
use crate::limits::{DISK_ENOUGH_BYTES, DISK_LOW_BYTES};

/// No disk of today takes more bytes in a millisecond: 2 GB a second.
const DISK_BYTES_PER_MS_MAX: u64 = 2_000_000;
/// Between two looks at the room.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(1);

/// How a store's disk does. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Disk {
    shared: Arc<(Mutex<Faults>, Condvar)>,
    room: watch::Sender<Room>,
    trouble: watch::Sender<Option<Trouble>>,
    /// Values are written with a checksum of their own.
    seals: Arc<AtomicBool>,
}

/// What ended the use of a store.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub cause: StoreError,
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
        Self {
            shared: Arc::default(),
            room: watch::Sender::new(Room::default()),
            trouble: watch::Sender::new(None),
            seals: Arc::default(),
        }
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

    /// From now on values are written with a checksum of their own, which version 1 cannot read.
    pub fn seal_values(&self) {
        self.seals.store(true, Ordering::Release);
    }

    /// What ended the use of the store, if anything did.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// Waits until a write or a read failed, or met damage.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn failed(&self) -> Trouble {
        let mut trouble = self.trouble.subscribe();
        let seen = trouble.wait_for(Option::is_some).await.ok().and_then(|seen| seen.clone());
        match seen {
            Some(trouble) => trouble,
            // The sender is gone, which `self` holds.
            None => std::future::pending().await,
        }
    }

    /// The first trouble stays.
    fn note(&self, cause: &StoreError) {
        if matches!(cause, StoreError::Full(_)) {
            self.room.send_replace(Room::None);
        }
        self.trouble.send_if_modified(|trouble| {
            let first = trouble.is_none();
            if first {
                *trouble = Some(Trouble { cause: cause.clone() });
            }
            first
        });
    }

    /// Notes what went wrong with a read.
    fn noted<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        read.inspect_err(|error| self.note(error))
    }

    /// Looks how much room there is at `folder`, and says for how long that will do: the room may be
    /// low after it, and not before.
    pub fn look(&self, folder: &Path) -> Duration {
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
        let most = free.saturating_sub(DISK_LOW_BYTES) / DISK_BYTES_PER_MS_MAX;
        Duration::from_millis(most).clamp(LOOK_MIN, LOOK_MAX)
    }

    /// Waits, on a thread of the caller's own, for `time` or until the faults change.
    pub fn pause(&self, time: Duration) {
        let (_, changed) = &*self.shared;
        let faults = self.faults();
        drop(changed.wait_timeout(faults, time).unwrap_or_else(PoisonError::into_inner));
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

/// Reads through `inner`, checks each value, and tells `disk` of damage.
struct Checked<'a> {
    inner: &'a dyn Reader,
    disk: &'a Disk,
}

impl Reader for Checked<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || match self.inner.get(column, key)? {
            Some(stored) => Ok(Some(unseal(column, key, &stored)?.to_vec())),
            None => Ok(None),
        };
        self.disk.noted(read())
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut damage = Ok(());
        let scanned = self.inner.scan(column, from, to, &mut |key, stored| match unseal(
            column, key, stored,
        ) {
            Ok(value) => visit(key, value),
            Err(error) => {
                damage = Err(error);
                ControlFlow::Break(())
            }
        });
        self.disk.noted(scanned.and(damage))
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        let read = || match self.inner.last(column, from, to)? {
            Some((key, stored)) => {
                let value = unseal(column, &key, &stored)?.to_vec();
                Ok(Some((key, value)))
            }
            None => Ok(None),
        };
        self.disk.noted(read())
    }
}

impl<S: Store> WatchedStore<S> {
    fn checked(&self) -> Checked<'_> {
        Checked { inner: &self.inner, disk: &self.disk }
    }
}

impl<S: Store> Reader for WatchedStore<S> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.checked().get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.checked().scan(column, from, to, visit)
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.checked().last(column, from, to)
    }
}

impl<S: Store> Store for WatchedStore<S> {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        if let Some(Trouble { cause }) = self.disk.trouble() {
            return Err(cause);
        }
        let batch = match self.disk.seals.load(Ordering::Acquire) {
            true => batch.map_values(seal),
            false => batch,
        };
        let written = self.disk.pass().and_then(|()| self.inner.write(batch, durability));
        if let Err(error) = &written {
            self.disk.note(error);
        }
        written
    }

    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.inner.view(&mut |view| read(&Checked { inner: view, disk: &self.disk }))
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
        let refused = store.write(batch, Durability::Synced).unwrap_err();
        assert!(matches!(refused, StoreError::Full(_)), "and takes no write: {refused}");
    }

    /// Fails the first write and none after it, as an fsync may.
    #[derive(Default)]
    struct OnceFailing(MemoryStore, AtomicBool);

    impl Reader for OnceFailing {
        fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.get(column, key)
        }

        fn scan(
            &self,
            column: Column,
            from: &[u8],
            to: &[u8],
            visit: &mut Visit<'_>,
        ) -> Result<(), StoreError> {
            self.0.scan(column, from, to, visit)
        }

        fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
            self.0.last(column, from, to)
        }
    }

    impl Store for OnceFailing {
        fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
            if self.1.swap(true, Ordering::AcqRel) {
                return self.0.write(batch, durability);
            }
            Err(StoreError::Io("fsync: input/output error".into()))
        }

        fn view(
            &self,
            read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
        ) -> Result<(), StoreError> {
            self.0.view(read)
        }
    }

    #[test]
    fn after_one_failed_fsync_no_write_is_tried_again() {
        let disk = Disk::default();
        let store = WatchedStore::new(OnceFailing::default(), disk.clone());
        let (_, _, batch) = self::store();
        for _ in 0..3 {
            assert!(store.write(batch.clone(), Durability::Synced).is_err());
        }
        assert_eq!(store.get(Column::Log, b"key").unwrap(), None);
        assert!(matches!(disk.trouble().unwrap().cause, StoreError::Io(_)));
    }

    #[test]
    fn a_changed_value_is_an_error_and_told_however_it_is_read() {
        type Read = fn(&dyn Reader) -> Result<(), StoreError>;
        let read: [Read; 3] = [
            |reader| reader.get(Column::Log, b"key").map(drop),
            |reader| reader.last(Column::Log, b"a", b"z").map(drop),
            |reader| reader.scan(Column::Log, b"a", b"z", &mut |_, _| ControlFlow::Continue(())),
        ];
        for read in read {
            let (store, disk, batch) = store();
            disk.seal_values();
            store.write(batch, Durability::Synced).unwrap();
            assert_eq!(store.get(Column::Log, b"key").unwrap().unwrap(), b"value");
            read(&store).unwrap();
            assert!(disk.trouble().is_none());
            let mut stored = store.inner.get(Column::Log, b"key").unwrap().unwrap();
            *stored.last_mut().unwrap() ^= 4;
            let mut batch = Batch::default();
            batch.put(Column::Log, *b"key", stored);
            store.inner.write(batch, Durability::Synced).unwrap();
            assert!(matches!(store.view(&mut |view| read(view)), Err(StoreError::Corrupt { .. })));
            assert!(disk.trouble().unwrap().cause.is_damage());
        }
    }
}
