//! Is this leader of this term dead? Three answers at three speeds: it crashed (a held
//! connection closes and reconnects are refused), it is silent (probes go unanswered),
//! and Raft's own election timer as the floor, which is not here.
//!
//! In: the [`LeaderView`]. Out: [`Campaign`]s, once a quorum holds the leader dead.
//! Beside: [`Verdict`], what this node holds by its own evidence, which voters ask.
//! Never knows Raft. Begin with `core`, the rules without I/O; `introspect` has those by which
//! a node judges itself.

mod core;
mod drive;
pub mod introspect;
mod lateness;
mod pause;
mod preround;
mod pulse;
mod warm;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::core::Cause;
pub use drive::run;
pub use preround::mount;
pub use pulse::BUSY_FOR;
pub use warm::keep_warm;

use crate::clock;
use crate::config::Timings;
use crate::ident::{NodeName, RaftId, Term};
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::peer::link::Links;
use crate::view::LeaderView;

/// A request to stand for election, because a quorum holds this leader dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub leader: RaftId,
    pub leader_name: NodeName,
    pub term: Term,
}

/// When this node last heard from a leader, by Raft's own messages. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Contact {
    last: Arc<Mutex<Option<(RaftId, Term, clock::Instant)>>>,
}

impl Contact {
    /// A message of this leader of this term arrived.
    pub fn heard(&self, leader: RaftId, term: Term) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((leader, term, clock::now()));
    }

    /// When a message of this leader of this term last arrived.
    pub fn last_of(&self, leader: RaftId, term: Term) -> Option<clock::Instant> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.and_then(|(from, of, at)| (from == leader && of == term).then_some(at))
    }

    /// Since the last message of any leader.
    pub fn age(&self) -> Option<Duration> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|(_, _, at)| at.elapsed())
    }
}

/// What a node holds of the leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opinion {
    /// It follows nobody, or leads itself.
    #[default]
    Nobody,
    Alive,
    /// Some evidence against it.
    Suspected,
    /// Dead by this node's own evidence.
    Dead(Cause),
}

impl std::fmt::Display for Opinion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody => f.pad("no leader to watch"),
            Self::Alive => f.pad("leader alive"),
            Self::Suspected => f.pad("leader suspected"),
            Self::Dead(Cause::Crashed) => f.pad("leader crashed"),
            Self::Dead(Cause::Silent) => f.pad("leader silent"),
        }
    }
}

/// An opinion, and of whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    leader: RaftId,
    term: Term,
    opinion: Opinion,
}

/// What this node holds by its own evidence. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Verdict {
    held: watch::Sender<Held>,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { held: watch::Sender::new(Held::default()) }
    }
}

impl Verdict {
    /// True only where this node's own evidence says that this leader of this term is dead.
    pub fn holds_dead(&self, leader: RaftId, term: Term) -> bool {
        let held = *self.held.borrow();
        held.leader == leader && held.term == term && matches!(held.opinion, Opinion::Dead(_))
    }

    pub fn opinion(&self) -> Opinion {
        self.held.borrow().opinion
    }

    /// The leader that this node holds dead now.
    pub fn condemned(&self) -> Option<RaftId> {
        let held = *self.held.borrow();
        matches!(held.opinion, Opinion::Dead(_)).then_some(held.leader)
    }

    /// Told of every change of what this node holds.
    pub fn changes(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Like [`Verdict::holds_dead`], but gives evidence that is just being gathered `within` to ripen.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    async fn confirms(&self, leader: RaftId, term: Term, within: Duration) -> bool {
        let mut held = self.held.subscribe();
        let dead = held.wait_for(|held| {
            held.leader == leader && held.term == term && matches!(held.opinion, Opinion::Dead(_))
        });
        matches!(tokio::time::timeout(within, dead).await, Ok(Ok(_)))
    }

    fn set(&self, held: Held) {
        self.held.send_if_modified(|current| {
            let modified = *current != held;
            *current = held;
            modified
        });
    }
}

/// What the detector needs from the node.
pub struct Parts {
    pub timings: Timings,
    pub links: Links,
    pub views: watch::Receiver<Arc<LeaderView>>,
    pub contact: Contact,
    pub verdict: Verdict,
    // When full, a campaign is dropped: the detector asks again while the leader stays dead.
    pub campaigns: mpsc::Sender<Campaign>,
    pub events: Events,
    pub metrics: Arc<Metrics>,
}
