//! Changes worth telling an operator as they happen, on a bounded broadcast.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::clock;
use crate::ident::{NodeName, RecordId, Term};
use crate::limits::{EVENTS_HISTORY_MAX, EVENTS_MAX};

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
    /// A node gave its vote for the event's term, or denied it.
    Voted {
        /// The voter.
        node: NodeName,
        candidate: NodeName,
        granted: bool,
    },
    /// It led, and leads no more.
    SteppedDown {
        node: NodeName,
    },
    Formed {
        members: Vec<NodeName>,
    },
    Joined {
        node: NodeName,
    },
    /// A node is no member any more.
    Removed {
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
    /// Its faults on purpose are over.
    Restored {
        node: NodeName,
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

/// An event with its place among those of its reporter.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// Counts up from 1 in each life of the process.
    pub number: u64,
    pub event: Event,
}

#[derive(Debug, Default)]
struct History {
    last_number: u64,
    kept: VecDeque<Numbered>,
}

/// Emits events; a clone emits to the same subscribers.
#[derive(Debug, Clone)]
pub struct Events {
    reporter: NodeName,
    /// Milliseconds since the Unix epoch.
    started_ms: u64,
    sender: broadcast::Sender<Numbered>,
    history: Arc<Mutex<History>>,
}

impl Events {
    pub fn new(reporter: NodeName) -> Self {
        // A laggard loses the oldest events and is told how many (`Change::Missed`).
        let (sender, _) = broadcast::channel(EVENTS_MAX);
        Self { reporter, started_ms: clock::unix_ms(), sender, history: Arc::default() }
    }

    /// Tells every subscriber. Never waits.
    pub fn emit(&self, term: Term, change: Change) {
        let event =
            Event { time_ms: clock::unix_ms(), reporter: self.reporter.clone(), term, change };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.last_number += 1;
        let numbered = Numbered { number: history.last_number, event };
        if history.kept.len() >= EVENTS_HISTORY_MAX {
            history.kept.pop_front();
        }
        history.kept.push_back(numbered.clone());
        // Under the lock, so that subscribers hear in the order of the numbers. An error means
        // that nobody listens, which is fine.
        let _ = self.sender.send(numbered);
    }

    /// Events from now on, and the last of those before, at most `history`, of which none is
    /// among both and none is missing.
    pub fn subscribe(&self, history: usize) -> (Vec<Numbered>, broadcast::Receiver<Numbered>) {
        let kept = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = kept.kept.len().saturating_sub(history);
        (kept.kept.iter().skip(skipped).cloned().collect(), self.sender.subscribe())
    }

    pub fn reporter(&self) -> &NodeName {
        &self.reporter
    }

    /// When this process began, in milliseconds since the Unix epoch: with it, numbers are
    /// unique over restarts.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emit(events: &Events, times: u64) {
        for term in 1..=times {
            events.emit(Term(term), Change::LeaderChanged { leader: None });
        }
    }

    #[tokio::test]
    async fn history_and_what_follows_are_whole_and_bounded() {
        let events = Events::new("n1".parse().unwrap());
        let numbers = |kept: &[Numbered]| kept.iter().map(|e| e.number).collect::<Vec<_>>();
        emit(&events, 3);
        let (past, mut coming) = events.subscribe(2);
        assert_eq!(numbers(&past), [2, 3]);
        assert!(events.subscribe(0).0.is_empty());
        emit(&events, 1);
        assert_eq!(coming.recv().await.unwrap().number, 4);
        emit(&events, EVENTS_HISTORY_MAX as u64);
        let (past, _) = events.subscribe(usize::MAX);
        assert_eq!(past.len(), EVENTS_HISTORY_MAX);
        assert_eq!(past.last().unwrap().number, EVENTS_HISTORY_MAX as u64 + 4);
    }

    #[test]
    fn the_new_kinds_have_their_names() {
        let change = Change::SteppedDown { node: "n1".parse().unwrap() };
        let json = serde_json::to_value(change).unwrap();
        assert_eq!(json, serde_json::json!({ "kind": "stepped_down", "node": "n1" }));
    }
}
