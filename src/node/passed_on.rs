//! Faults on purpose, and their end, for another node than the one that an operator asks: a page
//! has one node's answer to its token, and a node that is cut off can be asked by no other.
//!
//! The order passes the gate that drops peer traffic (`Lane::Order`), since it may be what opens
//! it again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::order::Answer;
use crate::api::cluster::{FailRequest, RestoreRequest};
use crate::ident::NodeName;
use crate::net::gate::Target;
use crate::peer::link::{Lane, Links};
use crate::peer::routes::{Admit, Routes};
use crate::service::operate::{Done, OperateError, Operation, Operator};

const ORDER: &str = "/node/order";
/// A node that takes longer is frozen, or gone.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// An order as it goes to the node that it is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PassedOn {
    Fail(FailRequest),
    Restore(RestoreRequest),
}

impl PassedOn {
    fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Fail(request) => request.node.as_ref(),
            Self::Restore(request) => request.node.as_ref(),
        }
    }
}

/// The order and its node, where that is not `me`.
pub fn for_another(operation: &Operation, me: &NodeName) -> Option<(NodeName, PassedOn)> {
    let order = match operation {
        Operation::Fail(request) => PassedOn::Fail(request.clone()),
        Operation::Restore(request) => PassedOn::Restore(request.clone()),
        // The leader's, whoever it is: see `order`.
        Operation::TransferLeader(_) | Operation::Members(_) => return None,
    };
    let node = order.node().filter(|node| *node != me)?.clone();
    Some((node, order))
}

/// Mounts what other nodes pass on to this one, called `me`.
pub fn mount(routes: &mut Routes, me: &NodeName, operator: &Operator) {
    let (me, operator) = (me.clone(), operator.clone());
    routes.json(ORDER, Admit::Members, move |envelope, order: PassedOn| {
        let (me, operator) = (me.clone(), operator.clone());
        async move {
            // Never further: two nodes with each other's name would pass it on for ever.
            if order.node() != Some(&me) {
                return Ok(Answer::Refused(format!("this node is {me}")));
            }
            tracing::info!(peer = %envelope.from, "an operator there has an order for this node");
            let operation = match order {
                PassedOn::Fail(request) => Operation::Fail(request),
                PassedOn::Restore(request) => Operation::Restore(request),
            };
            Ok(match operator.operate(operation).await {
                Ok(done) => Answer::Done(done.sentence),
                Err(OperateError::Refused(reason)) => Answer::Refused(reason),
                Err(error) => Answer::Unavailable(error.to_string()),
            })
        }
    });
    routes.let_past_gate(ORDER);
}

/// Gives the order to its node, and waits for the answer.
///
/// # Errors
/// What that node says, or that it does not answer.
pub async fn pass_on(
    target: &Target,
    order: &PassedOn,
    links: &Links,
) -> Result<Done, OperateError> {
    let link = links.to(&target.raft_addr, Lane::Order);
    let answer = link.call::<_, Answer<String>>(ORDER, order, ANSWER_MAX).await;
    match answer {
        Ok(Answer::Done(sentence)) => {
            Ok(Done { sentence, transfer: None, by: Some(target.name.clone()) })
        }
        Ok(Answer::Refused(reason)) => Err(OperateError::Refused(reason)),
        Ok(Answer::Unavailable(reason)) => Err(OperateError::Unavailable(reason)),
        Ok(Answer::NotLeader) => Err(OperateError::NotLeader),
        Err(error) => Err(OperateError::Unavailable(format!(
            "{} does not take the order: {error}",
            target.name
        ))),
    }
}
