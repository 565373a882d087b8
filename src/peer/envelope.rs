//! The envelope around every message: sender, cluster, wire format.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use http::header::HeaderValue;

use crate::ident::{ClusterUuid, NodeName, RaftId};
use crate::trust::Proven;

const FROM: &str = "x-stegcluster-from";
const CLUSTER: &str = "x-stegcluster-cluster";
const TO: &str = "x-stegcluster-to";
const WIRE: &str = "x-stegcluster-wire";

/// The wire format that this build speaks. A peer of another one is refused.
pub const WIRE_FORMAT: u32 = 1;

/// This node's name and, once it has one, its cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    name: NodeName,
    member: Arc<OnceLock<(ClusterUuid, RaftId)>>,
}

impl Sender {
    pub fn new(name: NodeName) -> Self {
        Self { name, member: Arc::default() }
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

    /// Writes the envelope; `to` is the member meant, where it must be that one and no other.
    pub fn seal(&self, headers: &mut HeaderMap, to: Option<RaftId>) {
        headers.insert(WIRE, HeaderValue::from(WIRE_FORMAT));
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
        if wire != WIRE_FORMAT {
            return Err(EnvelopeError::WireFormat { from, theirs: wire });
        }
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
            _ => Ok(Envelope { from, cluster: theirs }),
        }
    }
}

/// Who sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub from: NodeName,
    /// `None` from a node that belongs to no cluster yet.
    pub cluster: Option<ClusterUuid>,
}

/// Why a message was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("this is a Raft port, for peers only; clients use the client port")]
    NotAPeer,
    #[error("the sender calls itself {from}, and its certificate is for {names}")]
    AnotherName { from: NodeName, names: String },
    #[error(
        "{from} speaks wire format {theirs}, this node speaks {WIRE_FORMAT}; run the same version on all nodes"
    )]
    WireFormat { from: NodeName, theirs: u32 },
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
            sender("n2", theirs).seal(&mut headers, None);
            let opened = sender("n1", ours).open(&headers, &None);
            assert_eq!(opened.is_ok(), accepted, "{theirs:?} to {ours:?}: {opened:?}");
        }
        assert_eq!(sender("n1", None).open(&HeaderMap::new(), &None), Err(EnvelopeError::NotAPeer));
    }

    #[test]
    fn who_has_proven_another_name_is_refused() {
        let mut headers = HeaderMap::new();
        sender("n2", None).seal(&mut headers, None);
        for (names, accepted) in
            [(vec!["n2"], true), (vec!["n3", "n2"], true), (vec!["n3"], false), (vec![], false)]
        {
            let proven: Proven = Some(names.iter().map(|name| name.parse().unwrap()).collect());
            let opened = sender("n1", None).open(&headers, &proven);
            assert_eq!(opened.is_ok(), accepted, "{names:?}: {opened:?}");
        }
    }

    #[test]
    fn another_wire_format_is_refused() {
        let mut headers = HeaderMap::new();
        sender("n2", None).seal(&mut headers, None);
        headers.insert(WIRE, HeaderValue::from(WIRE_FORMAT + 1));
        let error = sender("n1", None).open(&headers, &None).unwrap_err();
        assert!(
            matches!(error, EnvelopeError::WireFormat { theirs, .. } if theirs == WIRE_FORMAT + 1)
        );
    }

    #[test]
    fn a_member_does_not_answer_for_its_former_self() {
        for (to, accepted) in [(None, true), (Some(1), true), (Some(2), false)] {
            let mut headers = HeaderMap::new();
            sender("n2", Some(1)).seal(&mut headers, to.map(RaftId));
            let opened = sender("n1", Some(1)).open(&headers, &None);
            assert_eq!(opened.is_ok(), accepted, "{to:?}: {opened:?}");
        }
    }
}
