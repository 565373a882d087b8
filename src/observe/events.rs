//! Changes worth telling an operator as they happen, on a bounded broadcast.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::clock;
use crate::ident::{NodeName, RecordId, Term};
use crate::limits::EVENTS_MAX;

/// What changed. Serialised with a `kind` tag for `/cluster/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    LeaderChanged {
        leader: Option<NodeName>,
    },
    RoleChanged {
        node: NodeName,
        role: String,
    },
    HealthChanged {
        node: NodeName,
        healthy: bool,
    },
    MembershipChanged {
        voters: Vec<NodeName>,
        learners: Vec<NodeName>,
    },
    Suspected {
        leader: NodeName,
        cause: String,
        attempt: u32,
    },
    Campaigning {
        node: NodeName,
    },
    Formed {
        members: Vec<NodeName>,
    },
    Joined {
        node: NodeName,
    },
    /// Leadership went over as planned.
    HandedOver {
        node: NodeName,
        to: NodeName,
        cause: String,
    },
    /// How a node finds itself: its disk, its quorum.
    ConditionChanged {
        node: NodeName,
        condition: String,
    },
    /// A node reached no quorum for so long that it serves alone.
    SoloBegan {
        node: NodeName,
    },
    /// It reaches one again; so many records wait in its journal.
    SoloEnded {
        node: NodeName,
        records: u64,
    },
    /// What a node acknowledged alone is in the ledger.
    JournalDrained {
        node: NodeName,
        records: u64,
    },
    /// Two embeds were acknowledged under one id; the later in the ledger has another now.
    RecordConflict {
        node: NodeName,
        id: RecordId,
        kept_as: RecordId,
    },
    Fault {
        node: NodeName,
        action: String,
    },
    /// The subscriber was too slow and missed this many events.
    Missed {
        events: u64,
    },
}

/// One change, with when and by whom it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The node that reports it.
    pub reporter: NodeName,
    pub term: Term,
    #[serde(flatten)]
    pub change: Change,
}

/// Emits events; a clone emits to the same subscribers.
#[derive(Debug, Clone)]
pub struct Events {
    reporter: NodeName,
    sender: broadcast::Sender<Event>,
}

impl Events {
    pub fn new(reporter: NodeName) -> Self {
        // A laggard loses the oldest events and is told how many (`Change::Missed`).
        let (sender, _) = broadcast::channel(EVENTS_MAX);
        Self { reporter, sender }
    }

    /// Tells every subscriber. Never waits.
    pub fn emit(&self, term: Term, change: Change) {
        let event =
            Event { time_ms: clock::unix_ms(), reporter: self.reporter.clone(), term, change };
        // An error means that nobody listens, which is fine.
        let _ = self.sender.send(event);
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    pub fn reporter(&self) -> &NodeName {
        &self.reporter
    }
}
