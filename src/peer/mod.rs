//! Node-to-node messages: JSON over HTTP/1.1 on the Raft port.
//!
//! Every message carries an envelope (who sends, of which cluster, in which wire
//! format), and a stranger is refused before any handler sees the body. What the
//! messages mean is the business of the rooms that own them. Begin with `link`
//! (outgoing) and `routes` (incoming).

pub mod envelope;
pub mod exchange;
pub mod frames;
pub mod link;
pub mod routes;
#[cfg(test)]
#[cfg(not(sim))]
pub(crate) mod testing;

/// What went wrong between two nodes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeerError {
    /// Nobody listens there: the process is gone or not started.
    #[error("{peer} refused the connection")]
    Refused { peer: String },
    /// No connection, or it broke. The message may have arrived.
    #[error("{peer} cannot be reached: {cause}")]
    Unreachable { peer: String, cause: String },
    /// Somebody is there who is not the node that was meant, or that does not believe us.
    #[error("{peer} and this node do not trust each other: {cause}")]
    Untrusted { peer: String, cause: String },
    /// No answer in time. The message may have arrived.
    #[error("{peer} did not answer within {ms} ms")]
    Timeout { peer: String, ms: u128 },
    /// It answered, and said no.
    #[error("{peer} refused: {reason}")]
    Rejected { peer: String, status: u16, reason: String },
    /// What one side sent, the other cannot read.
    #[error("{peer} sent what cannot be read: {cause}")]
    Unreadable { peer: String, cause: String },
}
