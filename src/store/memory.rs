//! A store in memory, for tests and simulation: a crash loses what was not synced.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, Column, Durability, Pair, Reader, Store, StoreError, Visit, Write};

type Keys = BTreeMap<(Column, Vec<u8>), Vec<u8>>;

#[derive(Debug, Default)]
struct Contents {
    /// What readers see. A view shares it until it is changed.
    current: Arc<Keys>,
    /// What a crash leaves.
    synced: Keys,
    /// Written to `current` but not yet to `synced`, in order.
    pending: Vec<Write>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

impl MemoryStore {
    /// Forgets what was not synced, as a power cut does.
    pub fn crash(&self) {
        let mut contents = self.lock();
        contents.current = Arc::new(contents.synced.clone());
        contents.pending.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change(keys: &mut Keys, write: Write) {
    match write {
        Write::Put { column, key, value } => {
            keys.insert((column, key), value);
        }
        Write::Delete { column, key } => {
            keys.remove(&(column, key));
        }
        Write::DeleteRange { column, from, to } => {
            if from < to {
                let doomed: Vec<_> =
                    keys.range((column, from)..(column, to)).map(|(key, _)| key.clone()).collect();
                for key in doomed {
                    keys.remove(&key);
                }
            }
        }
    }
}

impl Reader for Keys {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, &(column, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if from < to {
            for ((_, key), value) in self.range((column, from.to_vec())..(column, to.to_vec())) {
                if let ControlFlow::Break(()) = visit(key, value) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        if from >= to {
            return Ok(None);
        }
        let mut range = self.range((column, from.to_vec())..(column, to.to_vec()));
        Ok(range.next_back().map(|((_, key), value)| (key.clone(), value.clone())))
    }
}

impl Reader for MemoryStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Reader::get(&*self.lock().current, column, key)
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        // Unlocked, so that `visit` may use the store.
        let current = Arc::clone(&self.lock().current);
        current.scan(column, from, to, visit)
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.lock().current.last(column, from, to)
    }
}

impl Store for MemoryStore {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let contents = &mut *self.lock();
        let current = Arc::make_mut(&mut contents.current);
        for write in batch.into_writes() {
            change(current, write.clone());
            contents.pending.push(write);
        }
        if durability == Durability::Synced {
            for write in contents.pending.drain(..) {
                change(&mut contents.synced, write);
            }
        }
        Ok(())
    }

    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let current = Arc::clone(&self.lock().current);
        read(&*current)
    }
}
