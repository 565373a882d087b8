//! A host's database: in memory, and failing when the host's disk does.

use stegcluster::sim::disk;
use stegcluster::store::{
    Batch, Column, Durability, MemoryStore, Pair, Reader, Store, StoreError, Visit,
};

/// See the module.
#[derive(Default)]
pub struct SimStore(MemoryStore);

impl SimStore {
    /// The power fails: what was not synced is gone.
    pub fn power_off(&self) {
        self.0.crash();
    }
}

fn check() -> Result<(), StoreError> {
    disk::check().map_err(|error| StoreError::Io(error.to_string()))
}

impl Reader for SimStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        check()?;
        self.0.get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        check()?;
        self.0.scan(column, from, to, visit)
    }

    fn last(&self, column: Column, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        check()?;
        self.0.last(column, from, to)
    }
}

impl Store for SimStore {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        check()?;
        self.0.write(batch, durability)
    }

    fn view(
        &self,
        read: &mut dyn FnMut(&dyn Reader) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        check()?;
        self.0.view(read)
    }
}
