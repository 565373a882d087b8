//! Ordered keys on disk: get, scan, and write a batch, durably or not.
//!
//! Knows nothing of Raft or the ledger. Two stores implement [`Store`]: RocksDB
//! for real nodes, and memory for tests and simulation, where a crash loses what
//! was not made durable. Begin with the traits.

mod disk;
mod memory;
#[cfg(not(sim))]
mod rocks;

use std::ops::ControlFlow;

pub use disk::{Disk, Room, WatchedStore};
pub use memory::MemoryStore;
#[cfg(not(sim))]
pub use rocks::RocksStore;

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
}

impl StoreError {
    /// A value that does not decode.
    pub fn corrupt(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, cause: cause.to_string() }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full(_) => Self::new(std::io::ErrorKind::StorageFull, error),
            StoreError::Io(_) | StoreError::Locked(_) | StoreError::Corrupt { .. } => {
                Self::other(error)
            }
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
