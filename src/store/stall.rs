//! A disk that gets stuck on purpose, for drills: while it does, no write ends and none
//! fails. Reads go on, as they do from the memory of a machine whose disk hangs.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::{Batch, Column, Durability, Pair, Reader, Store, StoreError, Visit};

/// Holds up the writes of a [`StallingStore`]. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stall {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stall {
    /// From now on no write ends.
    pub fn begin(&self) {
        self.set(true);
    }

    /// Lets the held writes and all others go on.
    pub fn end(&self) {
        self.set(false);
    }

    fn set(&self, on: bool) {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = on;
        self.shared.1.notify_all();
    }

    /// Blocks the thread while the stall lasts.
    fn pass(&self) {
        let on = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.shared.1.wait_while(on, |on| *on).unwrap_or_else(PoisonError::into_inner));
    }
}

/// A store whose writes can be held up.
pub struct StallingStore<S> {
    inner: S,
    stall: Stall,
}

impl<S: Store> StallingStore<S> {
    pub fn new(inner: S, stall: Stall) -> Self {
        Self { inner, stall }
    }
}

impl<S: Store> Reader for StallingStore<S> {
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

impl<S: Store> Store for StallingStore<S> {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.stall.pass();
        self.inner.write(batch, durability)
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
    use std::time::Duration;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_write_ends_only_after_the_stall() {
        let stall = Stall::default();
        let store = StallingStore::new(MemoryStore::default(), stall.clone());
        let mut batch = Batch::default();
        batch.put(Column::Log, *b"key", *b"value");
        stall.begin();
        std::thread::scope(|scope| {
            let (ended, end) = sync_channel(1);
            let (store, batch) = (&store, batch.clone());
            scope.spawn(move || ended.send(store.write(batch, Durability::Synced)));
            let early = end.recv_timeout(Duration::from_millis(50));
            assert!(matches!(early, Err(RecvTimeoutError::Timeout)), "{early:?}");
            assert_eq!(store.get(Column::Log, b"key").unwrap(), None);
            stall.end();
            end.recv().unwrap().unwrap();
        });
        assert_eq!(store.get(Column::Log, b"key").unwrap().unwrap(), b"value");
        store.write(batch, Durability::Synced).unwrap();
    }
}
