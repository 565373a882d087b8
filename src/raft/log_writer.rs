//! The thread that writes the Raft log: everything that waits while one fsync runs
//! shares the next (group commit), and is told when its bytes are on stable storage.
//!
//! How long the write under way has taken is there for others to see: a disk that is stuck
//! shows by nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::limits::LOG_WRITER_QUEUE_MAX;
use crate::observe::metrics::Metrics;
#[cfg(sim)]
use crate::sim::sabotage::{self, Bug};
use crate::store::{Batch, Column, Durability, Store, StoreError};

/// Called from the writer's thread when a write is durable, or failed.
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Job {
    batch: Batch,
    durability: Durability,
    done: Option<Done>,
    /// Nothing is written after this job; told once the store is let go.
    last: Option<Ended>,
}

impl Job {
    fn new(batch: Batch, durability: Durability, done: Option<Done>) -> Self {
        Self { batch, durability, done, last: None }
    }
}

/// Writes that share one fsync at the most; the rest wait for the next.
const GROUP_MAX: usize = 512;

/// Written where nothing else is, to see whether the disk still does.
const CANARY_KEY: &[u8] = b"raft/canary";

/// How the writer gets on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// When the write under way began, if one is.
    pub writing_since: Option<clock::Instant>,
    /// When the last durable write ended.
    pub synced_at: Option<clock::Instant>,
}

/// Hands writes to the writer, which makes them in this order. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter {
    // When full, the sender waits: Raft then takes no more work than the disk does.
    jobs: mpsc::Sender<Job>,
    progress: Arc<Mutex<Progress>>,
}

/// What the thread works with.
struct Writer {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    receiver: mpsc::Receiver<Job>,
    progress: Arc<Mutex<Progress>>,
    /// Why a write that somebody waits for failed. Nothing is written after it: the log would have
    /// a gap.
    failed: Option<StoreError>,
}

impl LogWriter {
    /// Starts the thread. It ends when the last clone is dropped and all is written.
    ///
    /// # Errors
    /// The operating system gives no thread.
    #[cfg(not(sim))]
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (this, mut writer) = Self::new(store, metrics);
        std::thread::Builder::new().name("raft-log".into()).spawn(move || {
            while let Some(first) = writer.receiver.blocking_recv() {
                let group = writer.gather(first);
                if let Some(ended) = writer.write(group) {
                    return writer.end(ended);
                }
            }
        })?;
        Ok(this)
    }

    /// In simulation a task takes the thread's place.
    #[cfg(sim)]
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (this, mut writer) = Self::new(store, metrics);
        crate::sim::process::spawn(async move {
            while let Some(first) = writer.receiver.recv().await {
                let mut group = writer.gather(first);
                if group.durability == Durability::Synced {
                    if sabotage::is(Bug::AcknowledgeBeforeFsync) {
                        group.acknowledge(&Ok(()));
                    }
                    writer.note(|progress| progress.writing_since = Some(clock::now()));
                    crate::sim::disk::fsync().await;
                }
                if let Some(ended) = writer.write(group) {
                    return writer.end(ended);
                }
            }
        });
        Ok(this)
    }

    fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> (Self, Writer) {
        let (jobs, receiver) = mpsc::channel(LOG_WRITER_QUEUE_MAX);
        let progress = Arc::<Mutex<Progress>>::default();
        let own_progress = Arc::clone(&progress);
        let writer = Writer { store, metrics, receiver, progress: own_progress, failed: None };
        (Self { jobs, progress }, writer)
    }

    /// How the writer gets on, now.
    pub fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a few durable bytes, unless there is no room: then there is work enough.
    pub fn write_canary(&self) {
        let mut batch = Batch::default();
        batch.put(Column::Meta, CANARY_KEY, []);
        // Full or stopped: nothing is lost.
        let _ = self.jobs.try_send(Job::new(batch, Durability::Synced, None));
    }

    /// Writes what is queued and then nothing more. A thread that is inside the database
    /// when the process exits makes it crash.
    ///
    /// # Cancel safety
    /// The writer ends also if the wait for it is dropped.
    pub async fn close(&self) {
        let (last, ended) = oneshot::channel();
        let job =
            Job { last: Some(last), ..Job::new(Batch::default(), Durability::Buffered, None) };
        if self.jobs.send(job).await.is_ok() {
            // An error means that it has ended, too.
            let _ = ended.await;
        }
    }

    /// Queues a durable write; `done` hears of its end.
    pub async fn write(&self, batch: Batch, done: Done) {
        let job = Job::new(batch, Durability::Synced, Some(done));
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job).await
            && let Some(done) = job.done
        {
            done(Err(stopped()));
        }
    }

    /// Queues a durable write and waits for its end.
    ///
    /// # Errors
    /// The disk failed, or the writer has stopped.
    ///
    /// # Cancel safety
    /// A write that was queued is made even if the wait for it is dropped.
    pub async fn write_and_wait(&self, batch: Batch) -> Result<(), StoreError> {
        let (sender, ended) = oneshot::channel();
        let done = move |result| {
            // Nobody waits any more: the write is made all the same.
            let _ = sender.send(result);
        };
        self.write(batch, Box::new(done)).await;
        ended.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Queues a write that becomes durable with the next durable one.
    ///
    /// # Errors
    /// The writer has stopped.
    pub async fn write_lazily(&self, batch: Batch) -> Result<(), StoreError> {
        let job = Job::new(batch, Durability::Buffered, None);
        self.jobs.send(job).await.map_err(|_| stopped())
    }
}

/// An answer to whoever waits for the writer's end.
type Ended = oneshot::Sender<()>;

fn stopped() -> StoreError {
    StoreError::Io("the log writer has stopped".into())
}

/// Writes that share one fsync.
struct Group {
    batch: Batch,
    durability: Durability,
    waiting: Vec<Done>,
    writes: usize,
    /// Some where nothing may be written after it.
    last: Option<Ended>,
}

impl Group {
    fn acknowledge(&mut self, result: &Result<(), StoreError>) {
        for done in self.waiting.drain(..) {
            done(result.clone());
        }
    }
}

impl Writer {
    /// `first`, and whatever else waits by now.
    fn gather(&mut self, first: Job) -> Group {
        let mut group = Group {
            batch: first.batch,
            durability: first.durability,
            waiting: first.done.into_iter().collect(),
            writes: 1,
            last: first.last,
        };
        while group.last.is_none() && group.writes < GROUP_MAX {
            let Ok(job) = self.receiver.try_recv() else { break };
            group.last = job.last;
            group.batch.extend(job.batch);
            if job.durability == Durability::Synced {
                group.durability = Durability::Synced;
            }
            group.waiting.extend(job.done);
            group.writes += 1;
        }
        group
    }

    fn write(&mut self, mut group: Group) -> Option<Ended> {
        if group.batch.is_empty() && group.waiting.is_empty() {
            return group.last;
        }
        let started = clock::now();
        self.note(|progress| {
            progress.writing_since.get_or_insert(started);
        });
        let result = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.store.write(std::mem::take(&mut group.batch), group.durability),
        };
        let synced = group.durability == Durability::Synced;
        self.note(|progress| {
            progress.writing_since = None;
            if synced {
                progress.synced_at = Some(clock::now());
            }
        });
        if synced {
            self.metrics.raft_fsync_seconds.observe(started.elapsed().as_secs_f64());
            self.metrics.raft_group_commit_writes.observe(group.writes as f64);
        }
        if let Err(error) = &result {
            tracing::error!(cause = %error, "the Raft log cannot be written");
            // What nobody waits for is no entry, and what follows it leaves no gap.
            if !group.waiting.is_empty() {
                self.failed = Some(error.clone());
            }
        }
        group.acknowledge(&result);
        group.last
    }

    fn end(self, ended: Ended) {
        drop(self);
        // Nobody waits any more.
        let _ = ended.send(());
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
#[cfg(not(sim))]
mod tests {
    use super::*;
    use crate::store::{Column, MemoryStore, Reader};

    #[tokio::test]
    async fn a_closed_writer_has_written_all_and_writes_no_more() {
        let store = Arc::new(MemoryStore::default());
        let writer =
            LogWriter::start(Arc::clone(&store) as Arc<dyn Store>, Arc::default()).unwrap();
        let mut batch = Batch::default();
        batch.put(Column::Meta, *b"before", []);
        writer.write_lazily(batch).await.unwrap();
        writer.close().await;
        assert!(store.get(Column::Meta, b"before").unwrap().is_some());
        assert_eq!(Arc::strong_count(&store), 1, "the thread let the store go");
        let mut batch = Batch::default();
        batch.put(Column::Meta, *b"after", []);
        assert!(writer.write_and_wait(batch).await.is_err());
        writer.write_canary();
        writer.close().await;
        assert_eq!(store.get(Column::Meta, b"after").unwrap(), None);
    }

    #[tokio::test]
    async fn writes_are_durable_and_in_order_when_acknowledged() {
        let store = Arc::new(MemoryStore::default());
        let writer =
            LogWriter::start(Arc::clone(&store) as Arc<dyn Store>, Arc::default()).unwrap();
        let (sender, mut ended) = mpsc::channel(200);
        for value in 0..100_u8 {
            let mut batch = Batch::default();
            batch.put(Column::Meta, *b"last", [value]);
            batch.put(Column::Log, [value], []);
            let sender = sender.clone();
            let done = move |result| sender.try_send((value, result)).unwrap();
            writer.write(batch, Box::new(done)).await;
        }
        for value in 0..100 {
            let (ended, result) = ended.recv().await.unwrap();
            result.unwrap();
            assert_eq!(ended, value);
        }
        store.crash();
        assert_eq!(store.get(Column::Meta, b"last").unwrap(), Some(vec![99]));
        assert!(store.get(Column::Log, &[50]).unwrap().is_some());
    }
}
