//! What a peer, or who claims to be one, sends.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::cluster::{MembersRequest, TransferRequest};
use crate::formation::message::{Accept, Ballot, Charter, Hello, Join, Joined, Vote};
use crate::ident::{ClusterUuid, RaftId};
use crate::ledger::{Command, Outcome};
use crate::raft::types::{SnapshotHead, TypeConfig};
use crate::record::Record;
use crate::trust::Proven;
use envelope::Sender;

#[path = "../../src/peer/envelope.rs"]
pub mod envelope;

/// The first line is an envelope's headers, `name:value` with tabs between, the rest a body:
/// neither does harm as any message that there is.
pub fn message(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (head, body) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let mut headers = HeaderMap::new();
    for pair in head.split(|byte| *byte == b'\t') {
        let at = pair.iter().position(|byte| *byte == b':').unwrap_or(pair.len());
        let value = HeaderValue::from_bytes(pair.get(at + 1..).unwrap_or_default());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&pair[..at]), value) else { continue };
        headers.append(name, value);
    }
    let member = Sender::new("n1".parse().expect("a valid name"));
    member.join(ClusterUuid(uuid::Uuid::from_u128(7)), RaftId(1));
    let fresh = Sender::new("n1".parse().expect("a valid name"));
    let proven: Proven = Some(["n2".parse().expect("a valid name")].into());
    for (sender, proven) in [(&fresh, &None), (&member, &None), (&member, &proven)] {
        match sender.open(&headers, proven) {
            // Nobody of another cluster is let in, nor by another name than the certificate's.
            Ok(envelope) => {
                let both = envelope.cluster.zip(sender.cluster());
                assert!(both.is_none_or(|(theirs, ours)| theirs == ours));
                assert!(proven.as_ref().is_none_or(|names| names.contains(&envelope.from)));
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control)),
        }
    }
    decoded::<AppendEntriesRequest<TypeConfig>>(body);
    decoded::<VoteRequest<TypeConfig>>(body);
    decoded::<TransferLeaderRequest<TypeConfig>>(body);
    decoded::<SnapshotHead>(body);
    decoded::<Record>(body);
    decoded::<Command>(body);
    decoded::<Outcome>(body);
    decoded::<Hello>(body);
    decoded::<Ballot>(body);
    decoded::<Accept>(body);
    decoded::<Vote>(body);
    decoded::<Charter>(body);
    decoded::<Join>(body);
    decoded::<Joined>(body);
    decoded::<MembersRequest>(body);
    decoded::<TransferRequest>(body);
    decoded::<()>(body);
}

/// What can be decoded can be sent on, and is then the same.
fn decoded<T: DeserializeOwned + Serialize>(body: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(body) else { return };
    let json = serde_json::to_vec(&message).expect("it came as JSON");
    let again: T = serde_json::from_slice(&json).expect("we wrote it");
    assert_eq!(serde_json::to_vec(&again).expect("it came as JSON"), json);
}
