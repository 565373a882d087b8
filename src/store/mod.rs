//! Ordered keys on disk: get, scan, and write a batch, durably or not.
//!
//! Knows nothing of Raft or the ledger. Two stores implement [`Store`]: RocksDB
//! for real nodes, and memory for tests and simulation, where a crash loses what
//! was not made durable. Begin with the traits.

mod disk;
#[cfg(not(sim))]
mod guard;
mod memory;
#[cfg(not(sim))]
mod rocks;
mod sealed;
#[cfg(not(sim))]
mod wal;

use std::ops::ControlFlow;

pub use disk::{Disk, Room, Trouble, WatchedStore};
pub use memory::MemoryStore;
#[cfg(not(sim))]
pub use rocks::{Expected, RocksStore};

/// A store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the disk failed: {0}")]
    Io(String),
    /// There was no room. Nothing is known of what reached the disk.
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("the data folder's store is locked by another process: {0}")]
    Locked(String),
    #[error("{what} in the store is damaged: {cause}")]
    Corrupt { what: &'static str, cause: String },
    /// It can be read, and does not hold what it once held for certain.
    #[error(
        "the store holds {found} writes, and {promised} were on stable storage: what came last is \
         lost"
    )]
    Lost { promised: u64, found: u64 },
}

impl StoreError {
    /// True where data are damaged or gone, which no second attempt brings back.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Lost { .. } => true,
            Self::Io(_) | Self::Full(_) | Self::Locked(_) => false,
        }
    }

    /// A value that does not decode.
    pub fn corrupt(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, cause: cause.to_string() }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full(_) => Self::new(std::io::ErrorKind::StorageFull, error),
            StoreError::Io(_)
            | StoreError::Locked(_)
            | StoreError::Corrupt { .. }
            | StoreError::Lost { .. } => Self::other(error),
        }
    }
}

/// A key space of its own, ordered by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Raft log entries by index.
    Log,
    /// Vote, positions and the ledger's small state.
    Meta,
    /// Records and their index by digest.
    Ledger,
    /// Records acknowledged by this node alone, until the ledger has them.
    Journal,
}

impl Column {
    pub const ALL: [Self; 4] = [Self::Log, Self::Meta, Self::Ledger, Self::Journal];

    /// The column family's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Meta => "meta",
            Self::Ledger => "ledger",
            Self::Journal => "journal",
        }
    }
}

/// One change of one key, or of a range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put {
        column: Column,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        column: Column,
        key: Vec<u8>,
    },
    /// Deletes `from..to`.
    DeleteRange {
        column: Column,
        from: Vec<u8>,
        to: Vec<u8>,
    },
}

/// Changes that happen all or not at all, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    pub fn put(&mut self, column: Column, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write::Put { column, key: key.into(), value: value.into() });
    }

    pub fn delete(&mut self, column: Column, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Delete { column, key: key.into() });
    }

    /// Deletes the keys in `from..to`.
    pub fn delete_range(
        &mut self,
        column: Column,
        from: impl Into<Vec<u8>>,
        to: impl Into<Vec<u8>>,
    ) {
        self.writes.push(Write::DeleteRange { column, from: from.into(), to: to.into() });
    }

    /// Appends `other`'s changes behind these.
    pub fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// The same changes with each value as `change` makes it of column, key and value.
    fn map_values(mut self, change: impl Fn(Column, &[u8], &[u8]) -> Vec<u8>) -> Self {
        for write in &mut self.writes {
            if let Write::Put { column, key, value } = write {
                *value = change(*column, key, value);
            }
        }
        self
    }

    fn into_writes(self) -> Vec<Write> {
        self.writes
    }
}

/// How safe a write is when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage, with every write before it.
    Synced,
    /// With the operating system: survives the process, not a power cut. It becomes
    /// durable with the next synced write, and never before an earlier write.
    Buffered,
}

/// Called for each key and value of a scan; `Break` ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Reads, each consistent in itself. All may wait for the disk.
pub trait Reader {
    /// # Errors
    /// The disk failed or a block is damaged.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the keys in `from..to`, ascending.
    ///
    /// # Errors
    /// The disk failed or a block is damaged.
    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// The greatest key in `from..to` and its value.
    ///
    /// # Errors
    /// The disk failed or a block is damaged.
    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError>;
}

/// A store that can be written, and read as of one moment.
pub trait Store: Reader + Send + Sync + 'static {
    /// # Errors
    /// The disk failed: nothing may be assumed about what reached it, and the
    /// caller must not acknowledge anything that depends on it.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError>;

    /// Calls `read` with the store as it is now, unchanged by later writes.
    ///
    /// # Errors
    /// Those of `read`.
    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}

/// The least key greater than every key that starts with `prefix`; `None` if there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(store: &dyn Reader, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        store
            .scan(Column::Log, from, to, &mut |key, _| {
                found.push(key.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }

    fn behaves_as_ordered_keys(store: &dyn Store) {
        let mut batch = Batch::default();
        for key in [b"a", b"b", b"c", b"d"] {
            batch.put(Column::Log, *key, *b"1");
        }
        batch.put(Column::Meta, *b"a", *b"other column");
        store.write(batch, Durability::Synced).unwrap();
        assert_eq!(keys(store, b"a", b"c"), [b"a", b"b"]);
        assert_eq!(store.last(Column::Log, b"a", b"d").unwrap().unwrap().0, b"c");
        assert_eq!(store.last(Column::Log, b"x", b"z").unwrap(), None);

        store
            .view(&mut |view| {
                let mut batch = Batch::default();
                batch.delete_range(Column::Log, *b"a", *b"c");
                batch.delete(Column::Log, *b"d");
                store.write(batch, Durability::Buffered)?;
                assert_eq!(keys(view, b"a", b"z").len(), 4, "a view does not change");
                assert_eq!(view.last(Column::Log, b"a", b"z")?.unwrap().0, b"d");
                Ok(())
            })
            .unwrap();
        assert_eq!(keys(store, b"a", b"z"), [b"c"]);
        assert_eq!(store.get(Column::Log, b"a").unwrap(), None);
        assert_eq!(store.get(Column::Meta, b"a").unwrap().unwrap(), b"other column");
    }

    #[test]
    fn memory_behaves_as_ordered_keys() {
        behaves_as_ordered_keys(&MemoryStore::default());
    }

    #[test]
    fn rocks_behaves_as_ordered_keys_and_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        behaves_as_ordered_keys(&store);
        assert!(matches!(RocksStore::open(folder.path()), Err(StoreError::Locked(_))));
        drop(store);
        let store = RocksStore::open(folder.path()).unwrap();
        assert_eq!(keys(&store, b"a", b"z"), [b"c"]);
    }

    fn put(store: &dyn Store, key: &str, durability: Durability) {
        let mut batch = Batch::default();
        batch.put(Column::Log, key, [b'v'; 100]);
        store.write(batch, durability).unwrap();
    }

    /// The files of a store that was killed, by whether something was synced last.
    fn killed(folder: &std::path::Path, last: Durability) -> std::path::PathBuf {
        let running = folder.join("store");
        let store = RocksStore::open(&running).unwrap();
        (0..20).for_each(|number| put(&store, &format!("{number:02}"), Durability::Synced));
        put(&store, "20", last);
        // What a copy shows is what a kill leaves.
        let copy = folder.join("copy");
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&running).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
        std::fs::copy(guard::path_of(&running), guard::path_of(&copy)).unwrap();
        copy
    }

    fn log_of(folder: &std::path::Path) -> std::path::PathBuf {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap()
    }

    #[test]
    fn an_end_torn_off_is_a_loss_only_where_it_was_synced() {
        for (last, lost) in [(Durability::Buffered, false), (Durability::Synced, true)] {
            let folder = tempfile::tempdir().unwrap();
            let copy = killed(folder.path(), last);
            let log = log_of(&copy);
            let bytes = std::fs::read(&log).unwrap();
            std::fs::write(&log, &bytes[..bytes.len() - 30]).unwrap();
            match RocksStore::open(&copy) {
                Ok(store) => {
                    assert!(!lost);
                    assert_eq!(keys(&store, b"0", b"9").len(), 20);
                }
                Err(StoreError::Lost { promised, found }) => assert!(lost && found < promised),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn no_flipped_bit_in_the_log_goes_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let copy = killed(folder.path(), Durability::Synced);
        let (log, guard) = (log_of(&copy), guard::path_of(&copy));
        let names: Vec<_> =
            std::fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path()).collect();
        let bytes = std::fs::read(&log).unwrap();
        let before: Vec<_> = names.iter().map(|name| std::fs::read(name).unwrap()).collect();
        let guarded = std::fs::read(&guard).unwrap();
        for at in (0..bytes.len()).step_by(37) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::remove_dir_all(&copy).unwrap();
            std::fs::create_dir(&copy).unwrap();
            names
                .iter()
                .zip(&before)
                .for_each(|(name, bytes)| std::fs::write(name, bytes).unwrap());
            std::fs::write(&guard, &guarded).unwrap();
            std::fs::write(&log, flipped).unwrap();
            match RocksStore::open(&copy) {
                // A bit of what is no record: a filler, or what the database tolerates.
                Ok(store) => assert_eq!(keys(&store, b"0", b"9").len(), 21, "byte {at}"),
                Err(error) => assert!(error.is_damage(), "byte {at}: {error}"),
            }
        }
    }

    #[test]
    fn a_store_that_should_be_there_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let expected = Expected { store: true, guard: false };
        let refused = RocksStore::open_expected(&path, expected).err().unwrap();
        assert!(refused.is_damage(), "{refused}");
        drop(RocksStore::open(&path).unwrap());
        std::fs::remove_file(path.join("CURRENT")).unwrap();
        for expected in [expected, Expected::default()] {
            let refused = RocksStore::open_expected(&path, expected).err().unwrap();
            assert!(refused.is_damage(), "{refused}");
        }
        std::fs::remove_file(guard::path_of(&path)).unwrap();
        let expected = Expected { store: true, guard: true };
        let refused = RocksStore::open_expected(&path, expected).err().unwrap();
        assert!(refused.to_string().contains("store.guard is missing"), "{refused}");
    }

    #[test]
    fn a_crash_loses_only_what_was_not_synced() {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        batch.put(Column::Log, *b"kept", *b"1");
        store.write(batch, Durability::Buffered).unwrap();
        let mut batch = Batch::default();
        batch.put(Column::Log, *b"synced", *b"1");
        store.write(batch, Durability::Synced).unwrap();
        let mut batch = Batch::default();
        batch.put(Column::Log, *b"lost", *b"1");
        store.write(batch, Durability::Buffered).unwrap();
        store.crash();
        assert_eq!(keys(&store, b"a", b"z"), [b"kept".to_vec(), b"synced".to_vec()]);
    }

    #[test]
    fn prefix_end_is_the_next_key_after_all() {
        assert_eq!(prefix_end(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(prefix_end(&[1, 255]), Some(vec![2]));
        assert_eq!(prefix_end(&[255, 255]), None);
    }
}
