//! Gives what waits in the journal to the ledger, under the same ids, and deletes an entry
//! only when this node's own copy of the ledger has been seen to hold it.
//!
//! Every step may be repeated: after a crash or a lost quorum the drain begins again with
//! what the journal still has, and the ledger takes nothing twice.
//!
//! The ledger may hold another record under an entry's id, where a client used one
//! `Idempotency-Key` for two embeds, one on each side of a partition. Both were acknowledged
//! and records are immutable, so the first in the ledger keeps the id, and the other is
//! entered under an id made of its own and of its content: the ledger has both on every node,
//! and a picture of either is found by its digest.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Solo;
use super::journal::{Journal, JournalError};
use crate::ident::{RecordId, Term};
use crate::ledger::query::Ledger;
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::record::{Digest, Record};
use crate::rt::RaftRt;
use crate::store::StoreError;

/// Entries between two deletions.
const BATCH: usize = 256;
/// Entries on their way to the ledger at once; they share its fsyncs.
const AT_ONCE: usize = 32;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Ids tried for an entry whose own is taken. All are taken only where somebody saw to it.
const CONFLICT_IDS_MAX: u32 = 16;
const CONFLICT_MARK: &str = ".conflict-";
const CONFLICT_HEX: usize = 16;

/// Why the ledger did not take a record, in a sentence. It may have all the same.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// What a call of [`Sink`] returns.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SinkError>> + Send + 'a>>;

/// The way to the ledger.
pub trait Sink: Send + Sync + 'static {
    /// Commits `record` unless its id is there already. What the ledger then holds under it.
    fn put(&self, record: Record) -> SinkFuture<'_, Record>;

    /// Waits until this node's copy holds everything committed before the call.
    fn settle(&self) -> SinkFuture<'_, ()>;

    /// This node's copy; `None` until it belongs to a cluster.
    fn ledger(&self) -> Option<Ledger>;
}

#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the ledger acknowledged {id} and does not have it; the entry is kept")]
    Missing { id: RecordId },
}

/// See the module.
pub struct Drain {
    pub journal: Journal,
    pub sink: Arc<dyn Sink>,
    pub solo: Solo,
    pub rt: RaftRt,
    pub events: Events,
    pub metrics: Arc<Metrics>,
}

/// An entry that the ledger has.
struct Moved {
    id: RecordId,
    /// As the ledger should hold it.
    record: Record,
}

impl Drain {
    /// Empties the journal whenever there is something in it and the node is not solo, until
    /// the node stops.
    ///
    /// # Cancel safety
    /// Safe: every step may be repeated.
    pub async fn run(self) {
        let mut sizes = self.journal.sizes();
        let mut drained = 0_u64;
        let mut complained = false;
        loop {
            self.solo.is(false).await;
            if sizes.wait_for(|size| size.records > 0).await.is_err() {
                return;
            }
            let batch = tokio::select! {
                // Entries that are on their way may arrive: they stay in the journal as well.
                () = self.solo.is(true) => continue,
                batch = self.batch() => batch,
            };
            match batch {
                Ok(moved) => {
                    complained = false;
                    drained += moved;
                    if self.journal.size().records == 0 {
                        self.tell(std::mem::take(&mut drained));
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        let records = self.journal.size().records;
                        tracing::warn!(cause = %error, records, "the journal waits for a quorum");
                    }
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    fn tell(&self, records: u64) {
        tracing::info!(records, "what this node acknowledged alone is in the ledger");
        let node = self.events.reporter().clone();
        self.events.emit(Term(0), Change::JournalDrained { node, records });
    }

    /// Moves some entries; how many.
    async fn batch(&self) -> Result<u64, DrainError> {
        // One question first, so that without a quorum not every entry waits on its own.
        self.sink.settle().await?;
        let journal = self.journal.clone();
        let waiting = self.rt.blocking(move || journal.page(None, BATCH)).await?;
        let moved: Vec<Moved> = stream::iter(waiting)
            .map(|record| self.enter(record))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        // A commit is acknowledged before this node has applied it. Once it has, a reader who
        // finds an entry gone from the journal finds it in the ledger.
        self.sink.settle().await?;
        let ledger = self.sink.ledger().ok_or_else(|| SinkError("there is no ledger".into()))?;
        let moved = self.rt.blocking(move || checked(&ledger, moved)).await?;
        let count = moved.len() as u64;
        self.journal.remove(moved.into_iter().map(|moved| moved.id).collect()).await?;
        self.metrics.journal_drained_total.inc_by(count);
        Ok(count)
    }

    async fn enter(&self, record: Record) -> Result<Moved, DrainError> {
        let id = record.id.clone();
        #[cfg(sim)]
        let record = renamed(record);
        let held = self.sink.put(record.clone()).await?;
        if held.same_embed(&record) {
            return Ok(Moved { id, record });
        }
        for attempt in 0..CONFLICT_IDS_MAX {
            let other = Record { id: conflict_id(&record, attempt), ..record.clone() };
            if self.sink.put(other.clone()).await?.same_embed(&other) {
                tracing::error!(
                    record = %id, kept_as = %other.id,
                    "two embeds were acknowledged under one id; the ledger has this one under another"
                );
                self.metrics.journal_conflicts_total.inc();
                let node = self.events.reporter().clone();
                let change =
                    Change::RecordConflict { node, id: id.clone(), kept_as: other.id.clone() };
                self.events.emit(Term(0), change);
                return Ok(Moved { id, record: other });
            }
        }
        let reason = format!("{id} and {CONFLICT_IDS_MAX} ids made of it belong to other embeds");
        Err(SinkError(reason).into())
    }
}

/// With the planted bug, the record under an id that nobody was told.
#[cfg(sim)]
fn renamed(record: Record) -> Record {
    use crate::sim::sabotage::{self, Bug};
    if !sabotage::is(Bug::DrainUnderNewIds) {
        return record;
    }
    Record { id: crate::clock::fresh_uuid().into(), ..record }
}

/// All of `moved`, if the ledger holds each.
fn checked(ledger: &Ledger, moved: Vec<Moved>) -> Result<Vec<Moved>, DrainError> {
    for Moved { id, record } in &moved {
        if !ledger.get(&record.id)?.is_some_and(|held| held.same_embed(record)) {
            return Err(DrainError::Missing { id: id.clone() });
        }
    }
    Ok(moved)
}

/// The same for the same record, whichever node makes it and however often.
fn conflict_id(record: &Record, attempt: u32) -> RecordId {
    let Record { id, cover_sha256, stego_sha256, .. } = record;
    let hash = Digest::of(format!("{id} {cover_sha256} {stego_sha256} {attempt}").as_bytes());
    let room = RecordId::LENGTH_MAX - CONFLICT_MARK.len() - CONFLICT_HEX;
    // Ids are ASCII: every byte is a place to cut.
    let base = &id.as_str()[..id.as_str().len().min(room)];
    let hex = &hash.to_string()[..CONFLICT_HEX];
    format!("{base}{CONFLICT_MARK}{hex}").parse().expect("a short enough id with ASCII added")
}

#[cfg(test)]
#[cfg(not(sim))]
#[path = "drain_tests.rs"]
mod tests;
