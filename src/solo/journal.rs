//! What this node acknowledged alone, on its own disk, until the ledger has it.
//!
//! One thread writes, as for the Raft log: everything that waits while one fsync runs shares
//! the next. It also looks each id up first, so that of two records that come under one id
//! only the first is entered. Its part of the store is bounded: beyond it the node refuses.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::ident::RecordId;
use crate::ledger::query::Ledger;
use crate::limits::{JOURNAL_BYTES_MAX, JOURNAL_QUEUE_MAX, JOURNAL_RECORDS_MAX};
use crate::observe::metrics::Metrics;
use crate::record::{Digest, Durability, Record};
use crate::store::{self, Batch, Column, Reader, Store, StoreError, prefix_end};

/// Jobs that share one fsync at the most; the rest wait for the next.
const GROUP_MAX: usize = 256;

/// The journal did not take a record, or could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    #[error(
        "this node reaches no quorum, and the journal of what it acknowledged alone is full \
         ({records} records, {bytes} bytes); reconnect it to the others, or ask another node"
    )]
    Full { records: u64, bytes: u64 },
    #[error("the journal of this node: {0}")]
    Store(#[from] StoreError),
}

/// How much waits for a quorum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
}

/// What this node holds under an id, on stable storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The one given, or an earlier one.
    pub record: Record,
    /// True where the id was there before.
    pub replayed: bool,
    /// [`Durability::Quorum`] where the ledger had it already.
    pub durability: Durability,
}

type Reply<T> = oneshot::Sender<Result<T, JournalError>>;

/// Called from the writer's thread when a write is durable, or failed.
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

enum Job {
    Enter { record: Box<Record>, reply: Reply<Entered> },
    Remove { ids: Vec<RecordId>, reply: Reply<()> },
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    // When full, the sender waits.
    jobs: mpsc::Sender<Job>,
    size: watch::Receiver<Size>,
}

/// Keys in [`Column::Journal`].
mod keys {
    use super::{Digest, RecordId};

    pub const RECORDS: &[u8] = b"r";
    const DIGESTS: &[u8] = b"d";

    pub fn record(id: &RecordId) -> Vec<u8> {
        [RECORDS, id.as_str().as_bytes()].concat()
    }

    pub fn digests(digest: &Digest) -> Vec<u8> {
        [DIGESTS, &digest.0].concat()
    }

    pub fn digest(digest: &Digest, id: &RecordId) -> Vec<u8> {
        [DIGESTS, &digest.0, id.as_str().as_bytes()].concat()
    }
}

impl Journal {
    /// Counts what is there and starts the writer, which ends with the last clone.
    ///
    /// # Errors
    /// The store failed, or the operating system gives no thread.
    pub fn open(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let room = Size { records: JOURNAL_RECORDS_MAX, bytes: JOURNAL_BYTES_MAX };
        Self::with_room(store, metrics, room)
    }

    pub(super) fn with_room(
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        room: Size,
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::channel(JOURNAL_QUEUE_MAX);
        let (sizes, size) = watch::channel(Size::default());
        let writer = Writer {
            ledger: Ledger::new(Arc::clone(&store)),
            store: Arc::clone(&store),
            receiver,
            sizes,
            metrics,
            room,
        };
        writer.publish(count(&*store)?);
        writer.start()?;
        Ok(Self { store, jobs, size })
    }

    /// Enters `record` with local durability, unless this node holds its id already, and
    /// returns when it is on stable storage.
    ///
    /// # Errors
    /// See [`JournalError`].
    ///
    /// # Cancel safety
    /// A record that was queued is entered even if the wait for it is dropped.
    pub async fn enter(&self, record: Record) -> Result<Entered, JournalError> {
        let record = Box::new(Record { durability: Durability::Local, ..record });
        self.ask(|reply| Job::Enter { record, reply }).await
    }

    /// Deletes entries, durably. Only for what the ledger holds.
    ///
    /// # Errors
    /// The store failed: they may come back.
    pub(super) async fn remove(&self, ids: Vec<RecordId>) -> Result<(), JournalError> {
        self.ask(|reply| Job::Remove { ids, reply }).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, JournalError> {
        let stopped = || StoreError::Io("its writer has stopped".into());
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped().into()))
    }

    pub fn size(&self) -> Size {
        *self.size.borrow()
    }

    /// Told of every change of [`Journal::size`].
    pub fn sizes(&self) -> watch::Receiver<Size> {
        self.size.clone()
    }

    /// Waits for the disk, as do the others below: call it off the Raft runtime.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        get(&*self.store, id)
    }

    /// The first entry (by id) of the picture with this digest.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn by_stego_digest(&self, digest: &Digest) -> Result<Option<Record>, StoreError> {
        let from = keys::digests(digest);
        let mut id = None;
        self.store.scan(Column::Journal, &from, &end_of(&from), &mut |key, _| {
            id = Some(String::from_utf8_lossy(&key[from.len()..]).into_owned());
            ControlFlow::Break(())
        })?;
        let Some(id) = id else { return Ok(None) };
        let id = id
            .parse()
            .map_err(|error| StoreError::corrupt("the journal's index by digest", error))?;
        self.get(&id)
    }

    /// Up to `limit` entries with ids greater than `after`, in order of id.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn page(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let mut from = after.map_or_else(|| keys::RECORDS.to_vec(), keys::record);
        if after.is_some() {
            // The least key greater than `after` itself.
            from.push(0);
        }
        let mut records = Vec::new();
        let mut damaged = None;
        self.store.scan(Column::Journal, &from, &end_of(keys::RECORDS), &mut |_, json| {
            if records.len() == limit {
                return ControlFlow::Break(());
            }
            match decode(json) {
                Ok(record) => records.push(record),
                Err(error) => {
                    damaged = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        damaged.map_or(Ok(records), Err)
    }
}

/// Copies the entries of `from`, a store that may be damaged, into the journal of `to`. Returns
/// how many.
///
/// # Errors
/// With how many were copied before: not all could be read, or the disk failed.
pub fn salvage(from: &dyn Reader, to: &dyn Store) -> Result<u64, (u64, StoreError)> {
    let mut batch = Batch::default();
    let (mut records, mut damage) = (0, Ok(()));
    let scanned =
        from.scan(Column::Journal, keys::RECORDS, &end_of(keys::RECORDS), &mut |key, json| {
            match decode(json) {
                Ok(record) => {
                    batch.put(Column::Journal, keys::digest(&record.stego_sha256, &record.id), []);
                    batch.put(Column::Journal, key, json);
                    records += 1;
                }
                // Those behind it may be whole.
                Err(error) => damage = Err(error),
            }
            ControlFlow::Continue(())
        });
    to.write(batch, store::Durability::Synced).map_err(|error| (0, error))?;
    scanned.and(damage).map(|()| records).map_err(|error| (records, error))
}

fn end_of(prefix: &[u8]) -> Vec<u8> {
    prefix_end(prefix).expect("our prefixes begin with a letter, which is below 255")
}

fn decode(json: &[u8]) -> Result<Record, StoreError> {
    serde_json::from_slice(json).map_err(|error| StoreError::corrupt("a journal entry", error))
}

fn get(reader: &dyn Reader, id: &RecordId) -> Result<Option<Record>, StoreError> {
    let json = reader.get(Column::Journal, &keys::record(id))?;
    json.map(|json| decode(&json)).transpose()
}

fn count(reader: &dyn Reader) -> Result<Size, StoreError> {
    let mut size = Size::default();
    reader.scan(Column::Journal, keys::RECORDS, &end_of(keys::RECORDS), &mut |key, value| {
        size.records += 1;
        size.bytes += (key.len() + value.len()) as u64;
        ControlFlow::Continue(())
    })?;
    Ok(size)
}

/// What the thread works with.
struct Writer {
    store: Arc<dyn Store>,
    ledger: Ledger,
    receiver: mpsc::Receiver<Job>,
    sizes: watch::Sender<Size>,
    metrics: Arc<Metrics>,
    /// The most that may wait.
    room: Size,
}

/// Jobs that share one write.
struct Group {
    batch: Batch,
    size: Size,
    /// Entries of this batch, which the store does not show yet.
    fresh: BTreeMap<RecordId, Record>,
    /// Who hears of the write's end.
    waiting: Vec<Done>,
}

impl Writer {
    #[cfg(not(sim))]
    fn start(mut self) -> std::io::Result<()> {
        std::thread::Builder::new().name("journal".into()).spawn(move || {
            while let Some(first) = self.receiver.blocking_recv() {
                self.write_group(first);
            }
        })?;
        Ok(())
    }

    /// In simulation a task takes the thread's place.
    #[cfg(sim)]
    fn start(mut self) -> std::io::Result<()> {
        crate::sim::process::spawn(async move {
            while let Some(first) = self.receiver.recv().await {
                crate::sim::disk::fsync().await;
                self.write_group(first);
            }
        });
        Ok(())
    }

    fn write_group(&mut self, first: Job) {
        let mut group = Group {
            batch: Batch::default(),
            size: *self.sizes.borrow(),
            fresh: BTreeMap::new(),
            waiting: Vec::new(),
        };
        let mut job = Some(first);
        for _ in 0..GROUP_MAX {
            let Some(next) = job.take() else { break };
            self.take(&mut group, next);
            job = self.receiver.try_recv().ok();
        }
        if let Some(last) = job {
            // Taken from the queue already, so it has its place in this write.
            self.take(&mut group, last);
        }
        let mut result = Ok(());
        if !group.batch.is_empty() {
            result = self.store.write(group.batch, store::Durability::Synced);
            match &result {
                Ok(()) => self.publish(group.size),
                Err(error) => {
                    tracing::error!(cause = %error, "the journal cannot be written");
                    // What reached the disk is unknown; if it cannot be read, nothing is
                    // entered any more either.
                    if let Ok(size) = count(&*self.store) {
                        self.publish(size);
                    }
                }
            }
        }
        for done in group.waiting {
            done(result.clone());
        }
    }

    fn take(&self, group: &mut Group, job: Job) {
        match job {
            Job::Enter { record, reply } => match self.enter(group, *record) {
                Ok(entered) => group.waiting.push(Box::new(move |result| {
                    // Nobody waits any more: it is entered all the same.
                    let _ = reply.send(result.map(|()| entered).map_err(JournalError::from));
                })),
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
            Job::Remove { ids, reply } => match self.remove(group, &ids) {
                Ok(()) => group.waiting.push(Box::new(move |result| {
                    let _ = reply.send(result.map_err(JournalError::from));
                })),
                Err(error) => {
                    let _ = reply.send(Err(error.into()));
                }
            },
        }
    }

    fn enter(&self, group: &mut Group, record: Record) -> Result<Entered, JournalError> {
        let held = |record, durability| Ok(Entered { record, replayed: true, durability });
        if let Some(earlier) = self.ledger.get(&record.id)? {
            return held(earlier, Durability::Quorum);
        }
        let earlier = match group.fresh.get(&record.id) {
            Some(fresh) => Some(fresh.clone()),
            None => get(&*self.store, &record.id)?,
        };
        if let Some(earlier) = earlier {
            return held(earlier, Durability::Local);
        }
        let key = keys::record(&record.id);
        let value = serde_json::to_vec(&record)
            .map_err(|error| StoreError::corrupt("a journal entry", error))?;
        let Size { records, bytes } = group.size;
        let more = (key.len() + value.len()) as u64;
        if records >= self.room.records || bytes + more > self.room.bytes {
            return Err(JournalError::Full { records, bytes });
        }
        group.size = Size { records: records + 1, bytes: bytes + more };
        group.batch.put(Column::Journal, key, value);
        group.batch.put(Column::Journal, keys::digest(&record.stego_sha256, &record.id), []);
        group.fresh.insert(record.id.clone(), record.clone());
        Ok(Entered { record, replayed: false, durability: Durability::Local })
    }

    fn remove(&self, group: &mut Group, ids: &[RecordId]) -> Result<(), StoreError> {
        for id in ids {
            let key = keys::record(id);
            let Some(value) = self.store.get(Column::Journal, &key)? else { continue };
            let record = decode(&value)?;
            group.size.records = group.size.records.saturating_sub(1);
            let bytes = (key.len() + value.len()) as u64;
            group.size.bytes = group.size.bytes.saturating_sub(bytes);
            group.batch.delete(Column::Journal, keys::digest(&record.stego_sha256, id));
            group.batch.delete(Column::Journal, key);
        }
        Ok(())
    }

    fn publish(&self, size: Size) {
        self.metrics.journal_records.set(i64::try_from(size.records).unwrap_or(i64::MAX));
        self.metrics.journal_bytes.set(i64::try_from(size.bytes).unwrap_or(i64::MAX));
        self.sizes.send_replace(size);
    }
}
