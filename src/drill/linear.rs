//! A sample of acknowledged writes, at once read linearizably from another node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::client::{Client, ClientError};
use crate::ident::RecordId;
use crate::load::{Done, Outcome};
use crate::record::Digest;

/// One acknowledged write in so many is read back: enough to catch a stale node, too few to be a
/// load of their own.
const ONE_IN: u64 = 5;
/// Samples that wait to be read. Beyond it a sample is let go: read late, it would show less.
const WAITING_MAX: usize = 4;

struct Sample {
    id: RecordId,
    digest: Digest,
    server: usize,
}

/// What the reads showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Linear {
    /// Reads that were answered.
    pub reads: u64,
    /// Of these: record missing, or another digest.
    pub missed: u64,
}

impl Linear {
    /// True only if it was checked.
    pub fn holds(&self) -> bool {
        self.reads > 0 && self.missed == 0
    }
}

/// Takes samples from the load's threads and reads them on its own.
pub(super) struct Checker {
    sender: Mutex<Option<SyncSender<Sample>>>,
    receiver: Mutex<Receiver<Sample>>,
    offered: AtomicU64,
    reads: AtomicU64,
    missed: AtomicU64,
}

impl Checker {
    pub fn new() -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        Self {
            sender: Mutex::new(Some(sender)),
            receiver: Mutex::new(receiver),
            offered: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// Never waits.
    pub fn offer(&self, done: &Done) {
        let Outcome::Ok { digest: Some(digest) } = done.outcome else { return };
        if !self.offered.fetch_add(1, Ordering::Relaxed).is_multiple_of(ONE_IN) {
            return;
        }
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            let server = done.server.unwrap_or(0);
            let _ = sender.try_send(Sample { id: done.id.clone(), digest, server });
        }
    }

    /// Ends [`Checker::run`] after what waits.
    pub fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Closes when the guard goes, also by a panic: a reader must not wait for ever.
    pub fn close_on_drop(&self) -> CloseOnDrop<'_> {
        CloseOnDrop(self)
    }

    /// Reads samples until closed.
    pub fn run(&self, client: &Client) {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(sample) = receiver.recv() {
            // The next server, or after a failure one after that: any of them must have it.
            let found = match client.record(sample.server + 1, &sample.id) {
                Ok(answer) => answer.value.record.stego_sha256 == sample.digest,
                Err(error) => match error.last {
                    ClientError::Refused { status: 404, .. } => false,
                    // Nobody answered: nothing was shown.
                    _ => continue,
                },
            };
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.missed.fetch_add(u64::from(!found), Ordering::Relaxed);
        }
    }

    pub fn result(&self) -> Linear {
        Linear {
            reads: self.reads.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }
}

/// See [`Checker::close_on_drop`].
pub(super) struct CloseOnDrop<'a>(&'a Checker);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
