//! openraft's state machine over the ledger: applies commands, and sends or takes a
//! whole ledger as a snapshot. The ledger itself knows nothing of this.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::types::{Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::ledger::Outcome;
use crate::ledger::apply::{Applier, LedgerState, encode};
use crate::ledger::transfer::{Imported, Importer, export};
use crate::observe::metrics::Metrics;
use crate::rt::RaftRt;
use crate::store::{Batch, Column, Durability, Reader, Store, StoreError};

const POSITION_KEY: &[u8] = b"raft/applied";

/// Commands applied in one batch at the most.
const APPLY_MAX: usize = 1024;

/// Chunks of a snapshot on their way; each is some 256 KiB.
const CHUNKS_MAX: usize = 4;

/// How far the ledger is, written in one batch with what it says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Position {
    pub applied: Option<LogId>,
    pub membership: StoredMembership,
}

impl Position {
    pub fn load(reader: &dyn Reader) -> Result<Self, StoreError> {
        match reader.get(Column::Meta, POSITION_KEY)? {
            None => Ok(Self::default()),
            Some(json) => serde_json::from_slice(&json)
                .map_err(|error| StoreError::corrupt("the applied position", error)),
        }
    }

    fn into_meta(self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership }
    }

    pub fn save(&self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.put(Column::Meta, POSITION_KEY, encode("the applied position", self)?);
        Ok(())
    }
}

/// A piece of a snapshot's stream.
pub type Chunk = Result<Bytes, io::Error>;

/// A snapshot's contents.
#[derive(Debug)]
pub enum SnapshotData {
    /// The ledger as of one moment, read from the store as fast as it is taken.
    Outgoing(mpsc::Receiver<Chunk>),
    /// Received whole, checked, and on this disk.
    Received(Box<Imported>),
}

/// See the module.
#[derive(Clone)]
pub struct StateMachine {
    rt: RaftRt,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

type Applied = (Entry, Option<ApplyResponder<TypeConfig>>);

impl StateMachine {
    pub fn new(rt: RaftRt, store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { rt, store, metrics }
    }

    async fn apply_batch(&self, entries: Vec<Applied>) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        let metrics = Arc::clone(&self.metrics);
        self.rt.blocking(move || apply_entries(&*store, &metrics, entries)).await
    }

    /// The ledger as it is now. Its contents are read while they are taken, from a view
    /// that later writes do not change; dropping them ends the reading.
    async fn snapshot(&self) -> Result<Snapshot<SnapshotData>, StoreError> {
        let store = Arc::clone(&self.store);
        let (meta_sender, meta) = oneshot::channel();
        let (chunk_sender, chunks) = mpsc::channel(CHUNKS_MAX);
        let rt = self.rt.clone();
        self.rt.spawn("snapshot", async move {
            rt.produce(chunk_sender, move |give| read_snapshot(&*store, meta_sender, give)).await;
        });
        let meta = meta
            .await
            .unwrap_or_else(|_| Err(StoreError::Io("the snapshot's reader stopped".into())))?;
        Ok(Snapshot { meta, snapshot: SnapshotData::Outgoing(chunks) })
    }
}

fn read_snapshot(
    store: &dyn Store,
    meta: oneshot::Sender<Result<SnapshotMeta, StoreError>>,
    give: &mut dyn FnMut(Chunk) -> bool,
) {
    let mut meta = Some(meta);
    let result = store.view(&mut |view| {
        let position = Position::load(view)?;
        if let Some(meta) = meta.take()
            && meta.send(Ok(position.into_meta())).is_err()
        {
            return Ok(());
        }
        export(view, &mut |chunk| give(Ok(chunk.into())))
    });
    if let Err(error) = result {
        match meta.take() {
            Some(meta) => drop(meta.send(Err(error))),
            None => drop(give(Err(error.into()))),
        }
    }
}

fn apply_entries(
    store: &dyn Store,
    metrics: &Metrics,
    entries: Vec<Applied>,
) -> Result<(), StoreError> {
    let mut position = Position::load(store)?;
    let mut applier = Applier::new(store, LedgerState::load(store)?);
    let mut answers = Vec::with_capacity(entries.len());
    let mut records = 0;
    for (entry, responder) in entries {
        let log_id = entry.log_id();
        if let Some(membership) = entry.get_membership() {
            position.membership = StoredMembership::new(Some(log_id), membership);
        }
        let outcome = match entry.payload {
            EntryPayload::Normal(command) => applier.apply(command)?,
            EntryPayload::Blank | EntryPayload::Membership(_) => Outcome::Nothing,
        };
        records += u64::from(matches!(outcome, Outcome::Put { replayed: false, .. }));
        position.applied = Some(log_id);
        answers.extend(responder.map(|responder| (responder, outcome)));
    }
    let (mut batch, _) = applier.finish()?;
    position.save(&mut batch)?;
    // What was decided holds already: a quorum has these entries on stable storage, and after a
    // crash they are applied again. A write of the log's that is under way would keep the one
    // below, and so every answer, waiting for its fsync. Reads are not ahead of it: they wait
    // until Raft counts these entries as applied, which is after the return.
    for (responder, outcome) in answers {
        responder.send(outcome);
    }
    store.write(batch, Durability::Buffered)?;
    metrics.ledger_records_total.inc_by(records);
    Ok(())
}

/// Takes a snapshot's stream into the store, beside the current ledger.
///
/// # Errors
/// The stream broke or is damaged, or the disk failed. The current ledger is untouched.
pub fn receive(
    store: &Arc<dyn Store>,
    take: &mut dyn FnMut() -> Option<Chunk>,
) -> Result<Imported, StoreError> {
    let mut importer = Importer::new(Arc::clone(store))?;
    while let Some(chunk) = take() {
        let chunk = chunk.map_err(|error| StoreError::corrupt("a snapshot's stream", error))?;
        importer.push(&chunk)?;
    }
    importer.finish()
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let store = Arc::clone(&self.store);
        let position = self.rt.blocking(move || Position::load(&*store)).await?;
        Ok((position.applied, position.membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        while let Some(entry) = entries.next().await {
            batch.push(entry?);
            if batch.len() == APPLY_MAX {
                self.apply_batch(std::mem::take(&mut batch)).await?;
            }
        }
        if !batch.is_empty() {
            self.apply_batch(batch).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let store = Arc::clone(&self.store);
        let position =
            Position { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        let imported = match snapshot {
            SnapshotData::Received(imported) => *imported,
            SnapshotData::Outgoing(chunks) => {
                let store = Arc::clone(&store);
                self.rt.consume(chunks, move |take| receive(&store, take)).await?
            }
        };
        let install = move || -> Result<(), StoreError> {
            let mut batch = imported.batch;
            position.save(&mut batch)?;
            store.write(batch, Durability::Synced)
        };
        Ok(self.rt.blocking(install).await?)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<SnapshotData>>, io::Error> {
        // The ledger on disk is always a snapshot of itself.
        let snapshot = self.snapshot().await?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;

    /// Only how far it reaches: what is asked for here is forgotten at once, and who is to
    /// receive a snapshot asks for the current one. Its contents end before they begin.
    async fn build_snapshot(&mut self) -> Result<Snapshot<SnapshotData>, io::Error> {
        let store = Arc::clone(&self.store);
        let position = self.rt.blocking(move || Position::load(&*store)).await?;
        let (_, nothing) = mpsc::channel(1);
        Ok(Snapshot { meta: position.into_meta(), snapshot: SnapshotData::Outgoing(nothing) })
    }
}
