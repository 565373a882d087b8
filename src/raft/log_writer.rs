//! The thread that writes the Raft log: everything that waits while one fsync runs
//! shares the next (group commit), and is told when its bytes are on stable storage.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::limits::LOG_WRITER_QUEUE_MAX;
use crate::observe::metrics::Metrics;
#[cfg(sim)]
use crate::sim::sabotage::{self, Bug};
use crate::store::{Batch, Durability, Store, StoreError};

/// Called from the writer's thread when a write is durable, or failed.
type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Job {
    batch: Batch,
    durability: Durability,
    done: Option<Done>,
}

/// Writes that share one fsync at the most; the rest wait for the next.
const GROUP_MAX: usize = 512;

/// Hands writes to the writer, which makes them in this order. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter {
    // When full, the sender waits: Raft then takes no more work than the disk does.
    jobs: mpsc::Sender<Job>,
}

impl LogWriter {
    /// Starts the thread. It ends when the last clone is dropped and all is written.
    ///
    /// # Errors
    /// The operating system gives no thread.
    #[cfg(not(sim))]
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, mut receiver) = mpsc::channel(LOG_WRITER_QUEUE_MAX);
        std::thread::Builder::new().name("raft-log".into()).spawn(move || {
            while let Some(first) = receiver.blocking_recv() {
                Group::gather(first, &mut receiver).write(&*store, &metrics);
            }
        })?;
        Ok(Self { jobs })
    }

    /// In simulation a task takes the thread's place.
    #[cfg(sim)]
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, mut receiver) = mpsc::channel(LOG_WRITER_QUEUE_MAX);
        crate::sim::process::spawn(async move {
            while let Some(first) = receiver.recv().await {
                let mut group = Group::gather(first, &mut receiver);
                if group.durability == Durability::Synced {
                    if sabotage::is(Bug::AcknowledgeBeforeFsync) {
                        group.acknowledge(&Ok(()));
                    }
                    crate::sim::disk::fsync().await;
                }
                group.write(&*store, &metrics);
            }
        });
        Ok(Self { jobs })
    }

    /// Queues a durable write; `done` hears of its end.
    pub async fn write(&self, batch: Batch, done: Done) {
        let job = Job { batch, durability: Durability::Synced, done: Some(done) };
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
        let job = Job { batch, durability: Durability::Buffered, done: None };
        self.jobs.send(job).await.map_err(|_| stopped())
    }
}

fn stopped() -> StoreError {
    StoreError::Io("the log writer has stopped".into())
}

/// Writes that share one fsync.
struct Group {
    batch: Batch,
    durability: Durability,
    waiting: Vec<Done>,
    writes: usize,
}

impl Group {
    /// `first`, and whatever else waits by now.
    fn gather(first: Job, receiver: &mut mpsc::Receiver<Job>) -> Self {
        let mut group = Self {
            batch: first.batch,
            durability: first.durability,
            waiting: first.done.into_iter().collect(),
            writes: 1,
        };
        while group.writes < GROUP_MAX {
            let Ok(job) = receiver.try_recv() else { break };
            group.batch.extend(job.batch);
            if job.durability == Durability::Synced {
                group.durability = Durability::Synced;
            }
            group.waiting.extend(job.done);
            group.writes += 1;
        }
        group
    }

    fn write(mut self, store: &dyn Store, metrics: &Metrics) {
        let started = clock::now();
        let result = store.write(std::mem::take(&mut self.batch), self.durability);
        if self.durability == Durability::Synced {
            metrics.raft_fsync_seconds.observe(started.elapsed().as_secs_f64());
            metrics.raft_group_commit_writes.observe(self.writes as f64);
        }
        if let Err(error) = &result {
            tracing::error!(cause = %error, "the Raft log cannot be written");
        }
        self.acknowledge(&result);
    }

    fn acknowledge(&mut self, result: &Result<(), StoreError>) {
        for done in self.waiting.drain(..) {
            done(result.clone());
        }
    }
}

#[cfg(all(test, not(sim)))]
mod tests {
    use super::*;
    use crate::store::{Column, MemoryStore, Reader};

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
