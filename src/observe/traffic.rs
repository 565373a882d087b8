//! What this node sends to its peers, counted by peer and kind of message, for people who want
//! to watch an election as it happens.
//!
//! Counting is an addition or two on atomics: it happens on the path of every heartbeat. Whoever
//! watches reads the counters when he likes, and takes the difference.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::ident::NodeName;
use crate::limits::TRAFFIC_PEERS_MAX;

/// Kinds of messages between nodes, as far as a watcher can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A leader's sign of life, without entries.
    Heartbeat,
    /// Log entries, or how far they are committed.
    Append,
    /// Is the leader alive?
    Probe,
    /// Do you see the leader dead too?
    Preround,
    Prevote,
    Vote,
    /// Leadership is being handed over.
    Transfer,
    Snapshot,
    /// Forwarded records and reads, status, formation, orders.
    Other,
}

const KINDS: [Kind; 9] = [
    Kind::Heartbeat,
    Kind::Append,
    Kind::Probe,
    Kind::Preround,
    Kind::Prevote,
    Kind::Vote,
    Kind::Transfer,
    Kind::Snapshot,
    Kind::Other,
];

impl Kind {
    /// As in JSON, and as a label of metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Append => "append",
            Self::Probe => "probe",
            Self::Preround => "preround",
            Self::Prevote => "prevote",
            Self::Vote => "vote",
            Self::Transfer => "transfer",
            Self::Snapshot => "snapshot",
            Self::Other => "other",
        }
    }

    /// True for what is rare, and gone before anybody would look: elections.
    fn is_urgent(self) -> bool {
        match self {
            Self::Preround | Self::Prevote | Self::Vote | Self::Transfer => true,
            Self::Heartbeat | Self::Append | Self::Probe | Self::Snapshot | Self::Other => false,
        }
    }
}

/// How one exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// The connection was refused, or the peer said no.
    Refused,
    /// No answer in time, or none that can be read.
    Lost,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    granted: AtomicU64,
}

/// The counters of one peer. Cheap to clone; clones count into the same.
#[derive(Debug, Clone)]
pub struct PeerCounts {
    kinds: Arc<[Counters; KINDS.len()]>,
    urgent: watch::Sender<()>,
}

impl PeerCounts {
    fn new(urgent: watch::Sender<()>) -> Self {
        Self { kinds: Arc::default(), urgent }
    }

    pub fn sent(&self, kind: Kind) {
        self.count(kind, |counters| &counters.sent);
    }

    pub fn ended(&self, kind: Kind, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.count(kind, |counters| &counters.answered),
            Outcome::Refused => self.count(kind, |counters| &counters.refused),
            Outcome::Lost => self.count(kind, |counters| &counters.lost),
        }
    }

    /// The answer was a yes: a vote, or that the leader is dead.
    pub fn granted(&self, kind: Kind) {
        self.count(kind, |counters| &counters.granted);
    }

    fn count(&self, kind: Kind, of: impl Fn(&Counters) -> &AtomicU64) {
        // `KINDS` has every kind in the order of the enum.
        of(&self.kinds[kind as usize]).fetch_add(1, Ordering::Relaxed);
        if kind.is_urgent() {
            self.urgent.send_replace(());
        }
    }

    fn read(&self) -> [Counts; KINDS.len()] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        std::array::from_fn(|kind| {
            let counters = &self.kinds[kind];
            Counts {
                count: read(&counters.sent),
                answered: read(&counters.answered),
                refused: read(&counters.refused),
                lost: read(&counters.lost),
                granted: read(&counters.granted),
            }
        })
    }
}

/// Everything that is counted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Traffic {
    peers: Arc<Mutex<BTreeMap<String, PeerCounts>>>,
    names: Arc<Mutex<BTreeMap<String, NodeName>>>,
    urgent: watch::Sender<()>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { peers: Arc::default(), names: Arc::default(), urgent: watch::Sender::new(()) }
    }
}

impl Traffic {
    /// The counters for the peer at `addr`. Beyond [`TRAFFIC_PEERS_MAX`] addresses they are
    /// counters that nobody reads.
    pub fn peer(&self, addr: &str) -> PeerCounts {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = peers.get(addr) {
            return counts.clone();
        }
        let counts = PeerCounts::new(self.urgent.clone());
        if peers.len() < TRAFFIC_PEERS_MAX {
            peers.insert(addr.to_owned(), counts.clone());
        }
        counts
    }

    /// Who is at which address, by what is known now.
    pub fn set_names(&self, names: BTreeMap<String, NodeName>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// How the exchanges with each peer ended, since the start, by its name and the kind of message.
    /// Without those peers whose name is not known.
    pub fn endings(&self) -> Vec<Endings> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_peer = |(addr, counts): (String, PeerCounts)| {
            let counts = names.get(&addr).map(|name| (name.clone(), counts.read()));
            counts.into_iter().flat_map(|(to, counts)| {
                KINDS.iter().zip(counts).map(
                    move |(kind, Counts { answered, refused, lost, .. })| Endings {
                        to: to.clone(),
                        kind: *kind,
                        answered,
                        refused,
                        lost,
                    },
                )
            })
        };
        peers.into_iter().flat_map(of_peer).collect()
    }

    /// Follows what is sent from now on.
    pub fn watch(&self) -> TrafficWatch {
        let mut watch = TrafficWatch {
            traffic: self.clone(),
            before: BTreeMap::new(),
            urgent: self.urgent.subscribe(),
        };
        watch.news();
        watch
    }
}

/// Numbers of messages of one kind to one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    count: u64,
    answered: u64,
    refused: u64,
    lost: u64,
    granted: u64,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            answered: self.answered - before.answered,
            refused: self.refused - before.refused,
            lost: self.lost - before.lost,
            granted: self.granted - before.granted,
        }
    }
}

/// How exchanges of one kind with one peer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endings {
    pub to: NodeName,
    pub kind: Kind,
    pub answered: u64,
    pub refused: u64,
    pub lost: u64,
}

/// Messages of one kind to one peer, since the last event of the stream that carries this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The peer's name, or its address where that is not known.
    pub to: String,
    pub kind: Kind,
    /// Sent.
    pub count: u64,
    /// Answered; of these, or of some sent before.
    pub answered: u64,
    /// Refused, by its kernel or by itself; of these, or of some sent before.
    pub refused: u64,
    /// Answered with yes: votes, and questions whether the leader is dead.
    pub granted: u64,
}

/// What one watcher has seen.
#[derive(Debug)]
pub struct TrafficWatch {
    traffic: Traffic,
    before: BTreeMap<String, [Counts; KINDS.len()]>,
    urgent: watch::Receiver<()>,
}

impl TrafficWatch {
    /// What was sent and answered since the last call.
    pub fn news(&mut self) -> Vec<Sent> {
        // What comes while the counters are read is either in this answer or urgent again.
        self.urgent.mark_unchanged();
        let peers = self.traffic.peers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = self.traffic.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut news = Vec::new();
        for (addr, counts) in peers {
            let now = counts.read();
            let before = self.before.insert(addr.clone(), now).unwrap_or_default();
            let to = names.get(&addr).map_or(addr, NodeName::to_string);
            for (kind, (now, before)) in KINDS.iter().zip(now.iter().zip(before)) {
                let Counts { count, answered, refused, lost: _, granted } = now.since(before);
                if (count, answered, refused, granted) != (0, 0, 0, 0) {
                    let (to, kind) = (to.clone(), *kind);
                    news.push(Sent { to, kind, count, answered, refused, granted });
                }
            }
        }
        news
    }

    /// Waits for something that should be told at once.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn urgent(&mut self) {
        if self.urgent.changed().await.is_err() {
            // `self` holds a sender.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_place_of_its_number() {
        for (place, kind) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, place);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }

    #[test]
    fn each_watcher_hears_once_of_what_came_since_it_began() {
        let traffic = Traffic::default();
        let n2 = traffic.peer("10.0.0.2:5002");
        n2.sent(Kind::Heartbeat);
        let mut watch = traffic.watch();
        assert_eq!(watch.news(), []);
        traffic.set_names(BTreeMap::from([("10.0.0.2:5002".to_owned(), "n2".parse().unwrap())]));
        n2.ended(Kind::Heartbeat, Outcome::Answered);
        // Another link to the same peer counts into the same counters.
        let again = traffic.peer("10.0.0.2:5002");
        again.sent(Kind::Vote);
        again.ended(Kind::Vote, Outcome::Refused);
        traffic.peer("10.0.0.3:5003").sent(Kind::Probe);
        let sent = |to: &str, kind, count, answered, refused| {
            let to = to.to_owned();
            Sent { to, kind, count, answered, refused, granted: 0 }
        };
        let expected = [
            sent("n2", Kind::Heartbeat, 0, 1, 0),
            sent("n2", Kind::Vote, 1, 0, 1),
            sent("10.0.0.3:5003", Kind::Probe, 1, 0, 0),
        ];
        assert_eq!(watch.news(), expected);
        assert_eq!(watch.news(), []);
    }

    #[tokio::test]
    async fn votes_are_urgent_and_heartbeats_are_not() {
        let traffic = Traffic::default();
        let n2 = traffic.peer("n2");
        let mut watch = traffic.watch();
        n2.sent(Kind::Heartbeat);
        assert!(futures_util::poll!(Box::pin(watch.urgent())).is_pending());
        n2.sent(Kind::Vote);
        watch.urgent().await;
        n2.granted(Kind::Vote);
        watch.urgent().await;
        assert_eq!(watch.news()[1].granted, 1);
        assert!(futures_util::poll!(Box::pin(watch.urgent())).is_pending());
    }

    #[test]
    fn addresses_beyond_the_bound_are_not_counted() {
        let traffic = Traffic::default();
        for number in 0..=TRAFFIC_PEERS_MAX {
            traffic.peer(&number.to_string()).sent(Kind::Other);
        }
        let mut watch = traffic.watch();
        traffic.peer(&TRAFFIC_PEERS_MAX.to_string()).sent(Kind::Other);
        assert_eq!(watch.news(), []);
        traffic.peer("0").sent(Kind::Other);
        assert_eq!(watch.news().len(), 1);
    }
}
