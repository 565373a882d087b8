//! Commands from an operator to the node that runs this service.

use tokio::sync::{mpsc, oneshot};

use crate::api::cluster::{
    FailRequest, MembersRequest, RestoreRequest, TransferRequest, Transferred,
};
use crate::ident::NodeName;

/// What an operator may ask of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Fail(FailRequest),
    Restore(RestoreRequest),
    TransferLeader(TransferRequest),
    Members(MembersRequest),
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// For people.
    pub sentence: String,
    /// The hand-over, where that was asked for.
    pub transfer: Option<Transferred>,
    /// The node that did it, where it was another one.
    pub by: Option<NodeName>,
}

impl From<String> for Done {
    fn from(sentence: String) -> Self {
        Self { sentence, transfer: None, by: None }
    }
}

/// Why the node refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OperateError {
    /// It makes no sense here.
    #[error("{0}")]
    Refused(String),
    /// It makes sense, but not now.
    #[error("{0}")]
    Unavailable(String),
    #[error("this node is not the leader")]
    NotLeader,
    #[error("this node is busy with other operator commands; try again")]
    Busy,
    #[error("this node is stopping")]
    Stopped,
}

/// An operation on its way to `node`, with the way back for what was done.
#[derive(Debug)]
pub struct OperateJob {
    pub operation: Operation,
    pub reply: oneshot::Sender<Result<Done, OperateError>>,
}

/// Sends operations to `node`. Bounded: when full, the operator is told to try again.
#[derive(Debug, Clone)]
pub struct Operator {
    sender: mpsc::Sender<OperateJob>,
}

impl Operator {
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<OperateJob>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { sender }, receiver)
    }

    /// # Errors
    /// See [`OperateError`].
    pub async fn operate(&self, operation: Operation) -> Result<Done, OperateError> {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(OperateJob { operation, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OperateError::Busy,
            mpsc::error::TrySendError::Closed(_) => OperateError::Stopped,
        })?;
        answer.await.map_err(|_| OperateError::Stopped)?
    }
}
