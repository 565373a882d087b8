//! The store on RocksDB; the only file that names it.
//!
//! All columns share one write-ahead log, so a synced write makes every earlier
//! write durable too, whatever its column, and recovery yields a prefix of the
//! writes (`kPointInTimeRecovery`). Blocks and log records carry checksums.

use std::ops::ControlFlow;
use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction,
    IteratorMode, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};

use super::{Batch, Column, Durability, Pair, Reader, Store, StoreError, Visit, Write};

/// Shared by all columns; records are small and mostly read soon after they are written.
const BLOCK_CACHE_BYTES: usize = 16 * 1024 * 1024;
const WRITE_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Upper bound for the write-ahead log files together, so that opening stays quick.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::corrupt("a block", error),
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

/// See the module.
pub struct RocksStore {
    db: DB,
}

impl RocksStore {
    /// Opens the store in `folder`, creating it if it is not there.
    ///
    /// # Errors
    /// Locked by another process, unreadable, or damaged.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let (options, columns) = Self::options();
        Ok(Self { db: DB::open_cf_descriptors(&options, folder, columns)? })
    }

    /// Opens the store in `folder` for reading, and leaves it as it is.
    ///
    /// # Errors
    /// Not there, unreadable, or damaged.
    pub fn open_read_only(folder: &Path) -> Result<Self, StoreError> {
        let (options, columns) = Self::options();
        // The write-ahead log is read too, and not taken for a process that runs.
        let db = DB::open_cf_descriptors_read_only(&options, folder, columns, false)?;
        Ok(Self { db })
    }

    fn options() -> (Options, [ColumnFamilyDescriptor; Column::ALL.len()]) {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
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
        options.set_sync(durability == Durability::Synced);
        Ok(self.db.write_opt(raw, &options)?)
    }

    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        read(&View { store: self, snapshot: self.db.snapshot() })
    }
}
