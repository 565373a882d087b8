//! What clients were told: every acknowledged record, and how many requests ended otherwise.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ident::RecordId;
use crate::load::{Done, Outcome};
use crate::record::Digest;

/// A record whose acknowledgement reached the client, and the digest it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    pub id: RecordId,
    pub digest: Digest,
}

/// Requests by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: u64,
    /// Without those whose outcome is unknown.
    pub failed: u64,
    /// The client never learned whether they were done.
    pub unknown: u64,
    /// Needed more than one attempt; also counted above.
    pub retried: u64,
}

impl Counts {
    /// What came since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            ok: self.ok - earlier.ok,
            failed: self.failed - earlier.failed,
            unknown: self.unknown - earlier.unknown,
            retried: self.retried - earlier.retried,
        }
    }
}

/// Shared by all clients of a drill.
#[derive(Debug, Default)]
pub struct History {
    written: Mutex<(Vec<Acked>, Counts)>,
}

impl History {
    fn written(&self) -> MutexGuard<'_, (Vec<Acked>, Counts)> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One finished request of the load.
    pub fn record(&self, done: &Done) {
        let mut written = self.written();
        written.1.retried += u64::from(done.attempts > 1);
        match &done.outcome {
            Outcome::Ok { digest } => {
                written.1.ok += 1;
                if let Some(digest) = *digest {
                    written.0.push(Acked { id: done.id.clone(), digest });
                }
            }
            Outcome::Failed(_) => written.1.failed += 1,
            Outcome::Unknown(_) => written.1.unknown += 1,
        }
    }

    /// A probe's write was acknowledged: it must be kept as any other, but is no load.
    pub fn acknowledge(&self, acked: Acked) {
        self.written().0.push(acked);
    }

    pub fn counts(&self) -> Counts {
        self.written().1
    }

    pub fn acked(&self) -> Vec<Acked> {
        self.written().0.clone()
    }
}
