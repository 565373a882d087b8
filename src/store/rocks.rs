//! The store on RocksDB; the only file that names it.
//!
//! All columns share one write-ahead log, so a synced write makes every earlier
//! write durable too, whatever its column. Blocks and log records carry checksums.
//!
//! Recovery is strict. RocksDB's default, `kPointInTimeRecovery`, ends the log at whatever it
//! cannot read, and so drops without a word what was acknowledged behind a flipped bit: a vote, for
//! instance, which would then be given twice. Here a bad checksum anywhere refuses the store, and
//! only an end in the middle of a record is taken for a torn tail
//! (`kTolerateCorruptedTailRecords` without recycled logs). `wal` brings every tail that a power
//! cut may leave into that form, and `guard` knows how far the log reached for certain. Files that
//! the manifest should name are held against it (`track_and_verify_wals_in_manifest`).
//!
//! What is recovered is written to a new file and synced before the store opens
//! (`avoid_flush_during_recovery` is off): after an fsync that failed, the kernel's cache shows
//! bytes that are not on the disk, and a log that was read from it proves nothing.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction,
    IteratorMode, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};

use super::guard::{self, Guard};
use super::{Batch, Column, Durability, Pair, Reader, Store, StoreError, Visit, Write, wal};

/// Shared by all columns; records are small and mostly read soon after they are written.
const BLOCK_CACHE_BYTES: usize = 16 * 1024 * 1024;
const WRITE_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Upper bound for the write-ahead log files together, so that opening stays quick.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::corrupt("the database", error),
            // A file that the manifest names, or the manifest itself, is gone.
            _ if error.as_ref().contains("No such file") => Self::corrupt("the database", error),
            rocksdb::ErrorKind::InvalidArgument if error.as_ref().contains(GONE) => {
                Self::corrupt("the database", error)
            }
            _ if error.as_ref().contains("lock") && error.as_ref().contains("LOCK") => {
                Self::Locked(error.into_string())
            }
            // RocksDB's own words for its status code of that, which the binding does not give.
            _ if error.as_ref().contains("No space left on device") => {
                Self::Full(error.into_string())
            }
            _ => Self::Io(error.into_string()),
        }
    }
}

/// RocksDB's own words where it should find a database and finds none.
const GONE: &str = "does not exist";

/// What the caller knows to have been there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The store: where it is not there it is lost, and not created.
    pub store: bool,
    /// Its guard, which stores of version 1 do not have.
    pub guard: bool,
}

/// See the module.
pub struct RocksStore {
    db: DB,
    /// Held while anything is written, so that the number of writes is known when one is synced.
    /// RocksDB makes writers wait for each other anyhow. `None` where it is open for reading.
    guard: Option<Mutex<Guard>>,
}

impl RocksStore {
    /// Opens the store in `folder`, creating it if it is not there.
    ///
    /// # Errors
    /// Locked by another process, unreadable, damaged, or not all there.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_expected(folder, Expected::default())
    }

    /// Opens the store in `folder`, and creates it only where none is expected.
    ///
    /// # Errors
    /// As for [`Self::open`], and where what is expected is not there.
    pub fn open_expected(folder: &Path, expected: Expected) -> Result<Self, StoreError> {
        let guard_path = guard::path_of(folder);
        let promise = guard::read(&guard_path)?;
        if expected.guard && promise.is_none() {
            let cause = format!("{} is missing", guard_path.display());
            return Err(StoreError::corrupt("the store's guard", cause));
        }
        let after_power_cut = promise.as_ref().is_none_or(guard::Promise::may_be_older);
        if after_power_cut {
            let cut = wal::cut(folder);
            let failed = |error| StoreError::Io(format!("{}: {error}", folder.display()));
            if let Some((log, bytes)) = cut.map_err(failed)? {
                tracing::warn!(
                    file = %log.display(), bytes,
                    "a power cut tore the end of the log, which was never synced; it is cut there"
                );
            }
        }
        wal::check(folder, after_power_cut)?;
        let create = !expected.store && promise.is_none();
        let (options, columns) =
            Self::options(create, DBRecoveryMode::TolerateCorruptedTailRecords);
        let db = DB::open_cf_descriptors(&options, folder, columns)?;
        let found = db.latest_sequence_number();
        if let Some(promise) = promise.filter(|promise| promise.writes > found) {
            return Err(StoreError::Lost { promised: promise.writes, found });
        }
        let guard = Guard::open(&guard_path, found)?;
        Ok(Self { db, guard: Some(Mutex::new(guard)) })
    }

    /// Opens the store in `folder` for reading, and leaves it as it is.
    ///
    /// # Errors
    /// Not there, unreadable, or damaged.
    pub fn open_read_only(folder: &Path) -> Result<Self, StoreError> {
        Self::read_only(folder, DBRecoveryMode::TolerateCorruptedTailRecords)
    }

    /// The same for a store that is known to be damaged: what can be read of its log is.
    ///
    /// # Errors
    /// Not there, unreadable, or damaged beyond that.
    pub fn open_remains(folder: &Path) -> Result<Self, StoreError> {
        Self::read_only(folder, DBRecoveryMode::SkipAnyCorruptedRecord)
    }

    fn read_only(folder: &Path, mode: DBRecoveryMode) -> Result<Self, StoreError> {
        let (mut options, columns) = Self::options(false, mode);
        // What is written meanwhile may be missing from a manifest that was read before.
        options.set_track_and_verify_wals_in_manifest(false);
        // The write-ahead log is read too, and not taken for a process that runs.
        let db = DB::open_cf_descriptors_read_only(&options, folder, columns, false)?;
        Ok(Self { db, guard: None })
    }

    /// Makes a damaged store one that opens, of what can be read. Its guard begins anew.
    ///
    /// # Errors
    /// The disk failed, or nothing can be made of it.
    pub fn repair(folder: &Path) -> Result<Self, StoreError> {
        let (options, columns) = Self::options(false, DBRecoveryMode::SkipAnyCorruptedRecord);
        if DB::open_cf_descriptors(&options, folder, columns).is_err() {
            DB::repair(&options, folder)?;
        }
        let (options, columns) = Self::options(false, DBRecoveryMode::TolerateCorruptedTailRecords);
        let db = DB::open_cf_descriptors(&options, folder, columns)?;
        let guard = Guard::anew(&guard::path_of(folder), db.latest_sequence_number())?;
        Ok(Self { db, guard: Some(Mutex::new(guard)) })
    }

    fn options(
        create: bool,
        mode: DBRecoveryMode,
    ) -> (Options, [ColumnFamilyDescriptor; Column::ALL.len()]) {
        let mut options = Options::default();
        options.create_if_missing(create);
        options.create_missing_column_families(create);
        options.set_wal_recovery_mode(mode);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        // Two cores are typical: one background thread each for flush and compaction.
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(1024 * 1024);
        options.set_max_open_files(512);
        options.set_bytes_per_sync(1024 * 1024);
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let columns = Column::ALL.map(|column| {
            let mut options = Options::default();
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_cache(&cache);
            blocks.set_bloom_filter(10.0, false);
            options.set_block_based_table_factory(&blocks);
            options.set_write_buffer_size(WRITE_BUFFER_BYTES);
            options.set_compression_type(rocksdb::DBCompressionType::None);
            ColumnFamilyDescriptor::new(column.name(), options)
        });
        (options, columns)
    }

    fn column(&self, column: Column) -> &ColumnFamily {
        self.db.cf_handle(column.name()).expect("every column was opened with the store")
    }
}

/// Bounds an iterator to `from..to`.
fn bounded(mut options: ReadOptions, from: &[u8], to: &[u8]) -> ReadOptions {
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(to);
    options
}

type RawItem = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

fn visit_all(
    items: impl Iterator<Item = RawItem>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    for item in items {
        let (key, value) = item?;
        if let ControlFlow::Break(()) = visit(&key, &value) {
            break;
        }
    }
    Ok(())
}

fn first_of(mut items: impl Iterator<Item = RawItem>) -> Result<Option<Pair>, StoreError> {
    let item = items.next().transpose()?;
    Ok(item.map(|(key, value)| (key.into_vec(), value.into_vec())))
}

impl Reader for RocksStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get_cf(self.column(column), key)?)
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let options = bounded(ReadOptions::default(), from, to);
        let mode = IteratorMode::From(from, Direction::Forward);
        visit_all(self.db.iterator_cf_opt(self.column(column), options, mode), visit)
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        let options = bounded(ReadOptions::default(), from, to);
        first_of(self.db.iterator_cf_opt(self.column(column), options, IteratorMode::End))
    }
}

/// A moment of the store.
struct View<'a> {
    store: &'a RocksStore,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl Reader for View<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.snapshot.get_cf(self.store.column(column), key)?)
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let options = bounded(ReadOptions::default(), from, to);
        let mode = IteratorMode::From(from, Direction::Forward);
        visit_all(self.snapshot.iterator_cf_opt(self.store.column(column), options, mode), visit)
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        let options = bounded(ReadOptions::default(), from, to);
        let column = self.store.column(column);
        first_of(self.snapshot.iterator_cf_opt(column, options, IteratorMode::End))
    }
}

impl Store for RocksStore {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let mut raw = WriteBatch::default();
        for write in batch.into_writes() {
            match write {
                Write::Put { column, key, value } => raw.put_cf(self.column(column), key, value),
                Write::Delete { column, key } => raw.delete_cf(self.column(column), key),
                Write::DeleteRange { column, from, to } => {
                    raw.delete_range_cf(self.column(column), from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        let Some(guard) = &self.guard else {
            return Err(StoreError::Io("this store is open for reading only".into()));
        };
        options.set_sync(durability == Durability::Synced);
        let guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
        self.db.write_opt(raw, &options)?;
        match durability {
            Durability::Synced => guard.note(self.db.latest_sequence_number()),
            Durability::Buffered => Ok(()),
        }
    }

    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        read(&View { store: self, snapshot: self.db.snapshot() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bad_block_that_a_compaction_meets_ends_all_writing() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(&folder.path().join("store")).unwrap();
        let batch = |round: u8| {
            let mut batch = Batch::default();
            (0..200_u8).for_each(|key| batch.put(Column::Log, [key], [round; 300]));
            batch
        };
        for round in 0..2 {
            store.write(batch(round), Durability::Synced).unwrap();
            store.db.flush_cf(store.column(Column::Log)).unwrap();
        }
        let files = fs::read_dir(folder.path().join("store")).unwrap().map(|e| e.unwrap().path());
        let table =
            files.filter(|path| path.extension().is_some_and(|e| e == "sst")).min().unwrap();
        let mut bytes = fs::read(&table).unwrap();
        bytes[9000] ^= 1;
        fs::write(&table, bytes).unwrap();
        store.db.compact_range_cf(store.column(Column::Log), None::<&[u8]>, None::<&[u8]>);
        let refused = store.write(batch(2), Durability::Synced).unwrap_err();
        assert!(refused.is_damage(), "{refused}");
        assert!(refused.to_string().contains(".sst"), "it names the file: {refused}");
    }
}
