//! The envelope around every message: sender, cluster, wire format, checksum.
//!
//! A node reads a range of wire formats and says in every message and answer which is its newest.
//! It writes the newest that the other has said to read, and the oldest of its own until it knows.
//! So nodes of two neighbouring versions work together while a cluster is upgraded.
//!
//! | format | new in it |
//! |---|---|
//! | 1 | |
//! | 2 | a CRC-32 of the body: TCP's checksum misses one damaged packet in some ten thousand, and sees nothing of what happens in memory before or behind it |

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use http::header::HeaderValue;

use crate::ident::{ClusterUuid, NodeName, RaftId};
use crate::trust::Proven;

const FROM: &str = "x-stegcluster-from";
const CLUSTER: &str = "x-stegcluster-cluster";
const TO: &str = "x-stegcluster-to";
const WIRE: &str = "x-stegcluster-wire";

const WIRE_NEWEST: &str = "x-stegcluster-wire-newest";
const CRC: &str = "x-stegcluster-crc32";

/// The wire formats that this version reads and writes. A peer of none of them is refused.
pub const OLDEST: u32 = 1;
pub const NEWEST: u32 = 2;
/// From this one on the body's checksum may not be missing.
const CHECKED: u32 = 2;

/// This node's name and, once it has one, its cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    name: NodeName,
    member: Arc<OnceLock<(ClusterUuid, RaftId)>>,
    newest: u32,
    /// Rises when the whole cluster can.
    oldest: Arc<AtomicU32>,
}

impl Sender {
    pub fn new(name: NodeName) -> Self {
        Self::speaking(name, NEWEST)
    }

    /// A sender of an older version, for tests: it says nothing of what it could read.
    pub fn speaking(name: NodeName, newest: u32) -> Self {
        let oldest = Arc::new(AtomicU32::new(OLDEST));
        Self { name, member: Arc::default(), newest, oldest }
    }

    /// From now on older formats are refused.
    pub fn require(&self, oldest: u32) {
        self.oldest.fetch_max(oldest.min(self.newest), Ordering::AcqRel);
    }

    fn oldest(&self) -> u32 {
        self.oldest.load(Ordering::Acquire)
    }

    /// The format for a peer that reads up to `theirs`.
    pub fn format_for(&self, theirs: Option<u32>) -> u32 {
        theirs.unwrap_or(OLDEST).clamp(self.oldest(), self.newest)
    }

    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Set once, when the node becomes part of a cluster. A second, different value is
    /// ignored: a node never changes its cluster.
    pub fn join(&self, cluster: ClusterUuid, me: RaftId) {
        let _ = self.member.set((cluster, me));
    }

    pub fn cluster(&self) -> Option<ClusterUuid> {
        self.member.get().map(|(cluster, _)| *cluster)
    }

    /// Says in an answer what this node could read.
    pub fn announce(&self, headers: &mut HeaderMap) {
        if self.newest > OLDEST {
            headers.insert(WIRE_NEWEST, HeaderValue::from(self.newest));
        }
    }

    /// Writes the envelope in a wire format; `to` is the member meant, where it must be that one
    /// and no other.
    pub fn seal(&self, headers: &mut HeaderMap, to: Option<RaftId>, wire: u32) {
        headers.insert(WIRE, HeaderValue::from(wire));
        self.announce(headers);
        if let Ok(name) = HeaderValue::from_str(self.name.as_str()) {
            headers.insert(FROM, name);
        }
        if let Some(to) = to {
            headers.insert(TO, HeaderValue::from(to.0));
        }
        if let Some(cluster) = self.cluster() {
            let value = HeaderValue::from_str(&cluster.to_string());
            headers.insert(CLUSTER, value.expect("a UUID is plain ASCII"));
        }
    }

    /// Reads the envelope of an incoming message, from a connection whose other end has `proven` to
    /// bear certain names.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn open(&self, headers: &HeaderMap, proven: &Proven) -> Result<Envelope, EnvelopeError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let wire = text(WIRE).and_then(|wire| wire.parse().ok());
        let (Some(wire), Some(from)) = (wire, text(FROM).and_then(|from| from.parse().ok())) else {
            return Err(EnvelopeError::NotAPeer);
        };
        if let Some(names) = proven
            && !names.contains(&from)
        {
            let names = names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
            return Err(EnvelopeError::AnotherName { from, names });
        }
        let (oldest, newest) = (self.oldest(), self.newest);
        if !(oldest..=newest).contains(&wire) {
            return Err(EnvelopeError::WireFormat { from, theirs: wire, oldest, newest });
        }
        let crc = checksum_of(headers);
        let theirs = match text(CLUSTER) {
            None => None,
            Some(uuid) => Some(ClusterUuid(uuid.parse().map_err(|_| EnvelopeError::NotAPeer)?)),
        };
        // A wiped disk is another member at the same address: it must not answer for the
        // votes and entries of its former self.
        if let Some(to) = text(TO) {
            let me = self.member.get().map(|(_, me)| *me);
            let to = to.parse().map(RaftId).map_err(|_| EnvelopeError::NotAPeer)?;
            if me.is_some_and(|me| me != to) {
                return Err(EnvelopeError::AnotherMember { from, to });
            }
        }
        match (self.cluster(), theirs) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Err(EnvelopeError::Stranger { from, ours, theirs })
            }
            _ => Ok(Envelope { from, cluster: theirs, wire, crc }),
        }
    }
}

/// The newest format that the sender of these headers reads.
pub fn newest_of(headers: &HeaderMap) -> u32 {
    let text = headers.get(WIRE_NEWEST).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(OLDEST)
}

/// Adds the checksum of a body.
pub fn put_checksum(headers: &mut HeaderMap, crc: u32) {
    headers.insert(CRC, HeaderValue::from(crc));
}

/// The checksum that was added, if one was.
pub fn checksum_of(headers: &HeaderMap) -> Option<u32> {
    headers.get(CRC).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok())
}

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub from: NodeName,
    /// `None` from a node that belongs to no cluster yet.
    pub cluster: Option<ClusterUuid>,
    wire: u32,
    crc: Option<u32>,
}

impl Envelope {
    /// True where `body` is what was sent, as far as this wire format tells.
    pub fn fits(&self, body: &[u8]) -> bool {
        match self.crc {
            Some(crc) => crc == crc32fast::hash(body),
            None => self.wire < CHECKED,
        }
    }
}

/// Why a message was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("this is a Raft port, for peers only; clients use the client port")]
    NotAPeer,
    #[error("the sender calls itself {from}, and its certificate is for {names}")]
    AnotherName { from: NodeName, names: String },
    #[error(
        "{from} writes wire format {theirs}, and this node, stegcluster {}, reads {oldest} to \
         {newest}; run a version on {from} that knows one of them",
        env!("CARGO_PKG_VERSION")
    )]
    WireFormat { from: NodeName, theirs: u32, oldest: u32, newest: u32 },
    #[error("{from} means member {to}, which this node is not: its disk was wiped since")]
    AnotherMember { from: NodeName, to: RaftId },
    #[error(
        "{from} belongs to cluster {theirs}, this node to {ours}; correct the peer addresses or wipe the data folder of the node that should change"
    )]
    Stranger { from: NodeName, ours: ClusterUuid, theirs: ClusterUuid },
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn sender(name: &str, cluster: Option<u128>) -> Sender {
        let sender = Sender::new(name.parse().unwrap());
        if let Some(cluster) = cluster {
            sender.join(ClusterUuid(Uuid::from_u128(cluster)), RaftId(1));
        }
        sender
    }

    #[test]
    fn only_strangers_are_refused() {
        let cases = [
            (None, None, true),
            (None, Some(1), true),
            (Some(1), None, true),
            (Some(1), Some(1), true),
            (Some(1), Some(2), false),
        ];
        for (theirs, ours, accepted) in cases {
            let mut headers = HeaderMap::new();
            sender("n2", theirs).seal(&mut headers, None, OLDEST);
            let opened = sender("n1", ours).open(&headers, &None);
            assert_eq!(opened.is_ok(), accepted, "{theirs:?} to {ours:?}: {opened:?}");
        }
        assert_eq!(sender("n1", None).open(&HeaderMap::new(), &None), Err(EnvelopeError::NotAPeer));
    }

    #[test]
    fn who_has_proven_another_name_is_refused() {
        let mut headers = HeaderMap::new();
        sender("n2", None).seal(&mut headers, None, NEWEST);
        for (names, accepted) in
            [(vec!["n2"], true), (vec!["n3", "n2"], true), (vec!["n3"], false), (vec![], false)]
        {
            let proven: Proven = Some(names.iter().map(|name| name.parse().unwrap()).collect());
            let opened = sender("n1", None).open(&headers, &proven);
            assert_eq!(opened.is_ok(), accepted, "{names:?}: {opened:?}");
        }
    }

    #[test]
    fn a_format_out_of_range_is_refused_and_names_both() {
        let open = |node: &Sender, wire| {
            let mut headers = HeaderMap::new();
            sender("n2", None).seal(&mut headers, None, wire);
            node.open(&headers, &None)
        };
        let n1 = sender("n1", None);
        assert!((OLDEST..=NEWEST).all(|wire| open(&n1, wire).is_ok()));
        let error = open(&n1, NEWEST + 1).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("writes wire format {}", NEWEST + 1)), "{text}");
        assert!(text.contains(&format!("reads {OLDEST} to {NEWEST}")), "{text}");
        n1.require(NEWEST);
        assert!(open(&n1, OLDEST).is_err() && open(&n1, NEWEST).is_ok());
    }

    #[test]
    fn each_peer_is_written_to_as_it_can_read() {
        let n1 = sender("n1", None);
        assert_eq!([None, Some(1), Some(2), Some(9)].map(|t| n1.format_for(t)), [1, 1, 2, 2]);
        n1.require(2);
        assert_eq!([None, Some(1), Some(2)].map(|theirs| n1.format_for(theirs)), [2, 2, 2]);
        let old = Sender::speaking("n1".parse().unwrap(), 1);
        assert_eq!(old.format_for(Some(2)), 1);
        let mut headers = HeaderMap::new();
        old.announce(&mut headers);
        assert_eq!(newest_of(&headers), 1);
        n1.announce(&mut headers);
        assert_eq!(newest_of(&headers), NEWEST);
    }

    #[test]
    fn a_body_must_fit_its_checksum_and_new_formats_must_have_one() {
        for (wire, with, body, fits) in [
            (1, false, "a", true),
            (2, false, "a", false),
            (2, true, "a", true),
            (1, true, "b", false),
        ] {
            let mut headers = HeaderMap::new();
            sender("n2", None).seal(&mut headers, None, wire);
            if with {
                put_checksum(&mut headers, crc32fast::hash(b"a"));
            }
            let envelope = sender("n1", None).open(&headers, &None).unwrap();
            assert_eq!(envelope.fits(body.as_bytes()), fits, "{wire} {with} {body}");
        }
    }

    #[test]
    fn a_member_does_not_answer_for_its_former_self() {
        for (to, accepted) in [(None, true), (Some(1), true), (Some(2), false)] {
            let mut headers = HeaderMap::new();
            sender("n2", Some(1)).seal(&mut headers, to.map(RaftId), NEWEST);
            let opened = sender("n1", Some(1)).open(&headers, &None);
            assert_eq!(opened.is_ok(), accepted, "{to:?}: {opened:?}");
        }
    }
}
