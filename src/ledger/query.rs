//! Reading the ledger on this node. Sync, and may wait for the disk: call it off
//! the Raft runtime.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::apply::LedgerState;
use super::keys;
use crate::ident::{RaftId, RecordId};
use crate::record::{Digest, Record};
use crate::store::{Column, Reader, Store, StoreError, prefix_end};

/// A node's copy of the ledger, for reading. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
}

impl Ledger {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.read(|view, state| get(view, state.generation, id))
    }

    /// The first record (by id) of the picture with this digest.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn by_stego_digest(&self, digest: &Digest) -> Result<Option<Record>, StoreError> {
        self.read(|view, state| {
            let prefix = keys::digests(state.generation, digest);
            let Some(id) = first_suffix(view, &prefix)? else { return Ok(None) };
            let id = String::from_utf8_lossy(&id)
                .parse()
                .map_err(|error| StoreError::corrupt("the index by digest", error))?;
            get(view, state.generation, &id)
        })
    }

    /// Up to `limit` records with ids greater than `after`, in order of id, and the
    /// number of all records at the same moment.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn page(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        self.read(|view, state| {
            let mut from = keys::records(state.generation);
            let to = end_of(&from);
            if let Some(after) = after {
                from = keys::record(state.generation, after);
                // The least key greater than `after` itself.
                from.push(0);
            }
            let mut records = Vec::new();
            each_record(view, &from, &to, &mut |record| {
                records.push(record);
                if records.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            Ok((records, state.count))
        })
    }

    /// Records in all.
    ///
    /// # Errors
    /// The store failed.
    pub fn count(&self) -> Result<u64, StoreError> {
        Ok(LedgerState::load(&*self.store)?.count)
    }

    /// What every member of the cluster can read.
    ///
    /// # Errors
    /// The store failed.
    pub fn version(&self) -> Result<u32, StoreError> {
        self.read(|_, state| Ok(state.version.max(1)))
    }

    /// True where an operator removed the member with this number.
    ///
    /// # Errors
    /// The store failed.
    pub fn is_retired(&self, raft_id: RaftId) -> Result<bool, StoreError> {
        Ok(LedgerState::load(&*self.store)?.retired.contains(&raft_id))
    }

    /// Gives the whole ledger as of this moment to `give`, as [`super::transfer`] writes it, until
    /// that says false.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn export(&self, give: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), StoreError> {
        self.store.view(&mut |view| super::transfer::export(view, give))
    }

    /// Reads as of one moment: the generation must not change between two reads.
    fn read<T>(
        &self,
        query: impl Fn(&dyn Reader, &LedgerState) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut answer = None;
        self.store.view(&mut |view| {
            let state = LedgerState::load(view)?;
            answer = Some(query(view, &state)?);
            Ok(())
        })?;
        answer.ok_or_else(|| StoreError::Io("the store did not open a view".into()))
    }
}

pub(super) fn decode(json: &[u8]) -> Result<Record, StoreError> {
    serde_json::from_slice(json).map_err(|error| StoreError::corrupt("a record", error))
}

pub(super) fn get(
    reader: &dyn Reader,
    generation: u32,
    id: &RecordId,
) -> Result<Option<Record>, StoreError> {
    let json = reader.get(Column::Ledger, &keys::record(generation, id))?;
    json.map(|json| decode(&json)).transpose()
}

/// The end of the range of keys with `prefix`.
/// Counts the records one by one, and sees on the way whether each can be read.
///
/// # Errors
/// The store failed or holds what cannot be a record.
pub fn count(reader: &dyn Reader, generation: u32) -> Result<u64, StoreError> {
    let from = keys::records(generation);
    let mut records = 0;
    each_record(reader, &from, &end_of(&from), &mut |_| {
        records += 1;
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    prefix_end(prefix).expect("our prefixes contain a letter, which is below 255")
}

/// Visits records in order of id.
pub(super) fn each_record(
    reader: &dyn Reader,
    from: &[u8],
    to: &[u8],
    visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut damaged = None;
    reader.scan(Column::Ledger, from, to, &mut |_, json| match decode(json) {
        Ok(record) => visit(record),
        Err(error) => {
            damaged = Some(error);
            ControlFlow::Break(())
        }
    })?;
    damaged.map_or(Ok(()), Err)
}

fn first_suffix(reader: &dyn Reader, prefix: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut first = None;
    reader.scan(Column::Ledger, prefix, &end_of(prefix), &mut |key, _| {
        first = Some(key[prefix.len()..].to_vec());
        ControlFlow::Break(())
    })?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::apply::tests::{apply_all, record};
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn pages_are_in_order_and_meet_without_overlap() {
        let store = MemoryStore::default();
        let ids: Vec<String> = (0..25).map(|i| format!("r{i:02}")).collect();
        let commands = ids.iter().map(|id| Command::Put { record: record(id, id) }).collect();
        apply_all(&store, commands);
        let ledger = Ledger::new(Arc::new(store));
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let (page, total) = ledger.page(after.as_ref(), 10).unwrap();
            assert_eq!(total, 25);
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            seen.extend(page.into_iter().map(|record| record.id.to_string()));
        }
        assert_eq!(seen, ids);
    }
}
