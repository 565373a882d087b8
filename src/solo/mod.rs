//! Serving without a quorum: a node that reaches none for a while acknowledges records on
//! its own disk, and gives them to the ledger when a quorum is back.
//!
//! `core` decides when solo begins and ends, without I/O. `journal` keeps what was
//! acknowledged meanwhile, `books` reads it together with the ledger, `drain` empties it.
//! Nothing here touches Raft: its term, its log and its members stay as they were.
//!
//! Why nothing is lost and nothing doubled: records are immutable and keyed by id, and both
//! the journal and the ledger put a record only where its id is absent. So it does not matter
//! how often, by how many nodes or in which order a record is put: the ledger ends as the
//! union of all journals. A request that Raft may or may not have committed can be journalled
//! under its own id for that reason, and an entry is deleted only when this node's own copy
//! of the ledger has been seen to hold it.

mod books;
mod core;
mod drain;
mod journal;

use tokio::sync::watch;

pub use books::Books;
pub use core::{Core, Rules, Sight, Step};
pub use drain::{Drain, Sink, SinkError, SinkFuture};
pub use journal::{Entered, Journal, JournalError, Size, salvage};

/// Whether this node serves alone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Solo {
    on: watch::Sender<bool>,
}

impl Default for Solo {
    fn default() -> Self {
        Self { on: watch::Sender::new(false) }
    }
}

impl Solo {
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    pub fn set(&self, on: bool) {
        self.on.send_if_modified(|current| std::mem::replace(current, on) != on);
    }

    pub fn changes(&self) -> watch::Receiver<bool> {
        self.on.subscribe()
    }

    /// Waits until solo is as told.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn is(&self, wanted: bool) {
        let mut changes = self.changes();
        // An error would mean that the sender is gone, which `self` holds. The guard that
        // comes with the answer locks the channel, and is dropped here.
        let _ = changes.wait_for(|on| *on == wanted).await;
    }
}
