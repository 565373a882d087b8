//! Commands change the ledger here, and only here: deterministic, idempotent, in a
//! batch that the caller writes together with its own position in the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Command, Outcome, keys};
use crate::ident::{InstanceUuid, NodeName, RaftId, RecordId};
use crate::record::Record;
use crate::store::{Batch, Column, Reader, StoreError};

/// The ledger's small state, kept under one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerState {
    /// Which copy of the ledger is current. Local to a node, and so not part of a snapshot.
    #[serde(default)]
    pub generation: u32,
    /// Records in the ledger.
    pub count: u64,
    /// The next node number to give out.
    pub next_raft_id: RaftId,
    pub assigned: BTreeMap<InstanceUuid, Assignment>,
    /// Members that an operator removed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retired: BTreeSet<RaftId>,
    /// What every member can read; 0 stands for 1, which has no such number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(version: &u32) -> bool {
    *version == 0
}

/// A number given to a node's instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub raft_id: RaftId,
    pub name: NodeName,
}

const STATE_KEY: &[u8] = b"ledger/state";

impl LedgerState {
    /// # Errors
    /// The store failed or holds something else.
    pub fn load(reader: &dyn Reader) -> Result<Self, StoreError> {
        match reader.get(Column::Meta, STATE_KEY)? {
            None => Ok(Self::default()),
            Some(json) => serde_json::from_slice(&json)
                .map_err(|error| StoreError::corrupt("the ledger's state", error)),
        }
    }

    pub fn save(&self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.put(Column::Meta, STATE_KEY, encode("the ledger's state", self)?);
        Ok(())
    }
}

/// JSON of `value`; the error cannot happen for our types, and is passed on rather than hidden.
pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::corrupt(what, error))
}

/// Applies commands to a batch.
pub struct Applier<'a> {
    reader: &'a dyn Reader,
    state: LedgerState,
    batch: Batch,
    /// Records of this batch, which the reader does not show yet.
    fresh: BTreeMap<RecordId, Record>,
}

impl<'a> Applier<'a> {
    pub fn new(reader: &'a dyn Reader, state: LedgerState) -> Self {
        Self { reader, state, batch: Batch::default(), fresh: BTreeMap::new() }
    }

    /// # Errors
    /// Only of this node's disk. What every replica would refuse is an [`Outcome`].
    pub fn apply(&mut self, command: Command) -> Result<Outcome, StoreError> {
        match command {
            Command::Put { record } => self.put(record),
            Command::Assign { name, instance, at_least } => {
                Ok(self.assign(name, instance, at_least))
            }
            Command::Retire { raft_id } => {
                self.state.retired.insert(raft_id);
                Ok(Outcome::Retired)
            }
            Command::Upgrade { version } => {
                self.state.version = self.state.version.max(version);
                Ok(Outcome::Nothing)
            }
        }
    }

    /// The batch with the changed state in it.
    pub fn finish(mut self) -> Result<(Batch, LedgerState), StoreError> {
        self.state.save(&mut self.batch)?;
        Ok((self.batch, self.state))
    }

    fn put(&mut self, record: Record) -> Result<Outcome, StoreError> {
        let generation = self.state.generation;
        let existing = match self.fresh.get(&record.id) {
            Some(record) => Some(record.clone()),
            None => super::query::get(self.reader, generation, &record.id)?,
        };
        if let Some(record) = existing {
            return Ok(Outcome::Put { record, replayed: true });
        }
        put_record(&mut self.batch, generation, &record)?;
        self.state.count += 1;
        self.fresh.insert(record.id.clone(), record.clone());
        Ok(Outcome::Put { record, replayed: false })
    }

    fn assign(&mut self, name: NodeName, instance: InstanceUuid, at_least: RaftId) -> Outcome {
        if let Some(assignment) = self.state.assigned.get(&instance) {
            return Outcome::Assigned { raft_id: assignment.raft_id };
        }
        let raft_id = self.state.next_raft_id.max(at_least);
        self.state.next_raft_id = RaftId(raft_id.0 + 1);
        self.state.assigned.insert(instance, Assignment { raft_id, name });
        Outcome::Assigned { raft_id }
    }
}

/// Writes a record and its entry in the index by digest.
pub(super) fn put_record(
    batch: &mut Batch,
    generation: u32,
    record: &Record,
) -> Result<(), StoreError> {
    let value = encode("a record", record)?;
    batch.put(Column::Ledger, keys::record(generation, &record.id), value);
    let index = keys::digest(generation, &record.stego_sha256, &record.id);
    batch.put(Column::Ledger, index, Vec::new());
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{Digest, Durability, Method};
    use crate::store::{Durability as Sync, MemoryStore, Store};
    use uuid::Uuid;

    pub(crate) fn record(id: &str, content: &str) -> Record {
        Record {
            id: id.parse().unwrap(),
            time_ms: 1,
            node: "n1".parse().unwrap(),
            method: Method::Lsb,
            secret_bytes: 1,
            cover_bytes: 2,
            stego_bytes: 3,
            cover_sha256: Digest::of(b"cover"),
            stego_sha256: Digest::of(content.as_bytes()),
            durability: Durability::Quorum,
        }
    }

    pub(crate) fn apply_all(store: &dyn Store, commands: Vec<Command>) -> Vec<Outcome> {
        let mut applier = Applier::new(store, LedgerState::load(store).unwrap());
        let outcomes = commands.into_iter().map(|c| applier.apply(c).unwrap()).collect();
        let (batch, _) = applier.finish().unwrap();
        store.write(batch, Sync::Synced).unwrap();
        outcomes
    }

    #[test]
    fn a_record_is_entered_once_within_and_across_batches() {
        let store = MemoryStore::default();
        let first = record("a", "first");
        let other = record("a", "other");
        let put = |record: &Record| Command::Put { record: record.clone() };
        let outcomes = apply_all(&store, vec![put(&first), put(&other)]);
        assert_eq!(outcomes[0], Outcome::Put { record: first.clone(), replayed: false });
        assert_eq!(outcomes[1], Outcome::Put { record: first.clone(), replayed: true });
        let outcomes = apply_all(&store, vec![put(&other)]);
        assert_eq!(outcomes[0], Outcome::Put { record: first.clone(), replayed: true });
        assert_eq!(LedgerState::load(&store).unwrap().count, 1);
        let ledger = super::super::query::Ledger::new(std::sync::Arc::new(store));
        assert_eq!(ledger.get(&first.id).unwrap(), Some(first.clone()));
        assert_eq!(ledger.by_stego_digest(&first.stego_sha256).unwrap(), Some(first));
        assert_eq!(ledger.by_stego_digest(&other.stego_sha256).unwrap(), None);
    }

    #[test]
    fn numbers_are_never_given_twice() {
        let store = MemoryStore::default();
        let assign = |instance: u128, at_least: u64| Command::Assign {
            name: "n4".parse().unwrap(),
            instance: InstanceUuid(Uuid::from_u128(instance)),
            at_least: RaftId(at_least),
        };
        let outcomes = apply_all(&store, vec![assign(1, 4), assign(2, 4), assign(1, 9)]);
        let ids: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Assigned { raft_id } => raft_id.0,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, [4, 5, 4]);
    }
}
