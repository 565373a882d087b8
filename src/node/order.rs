//! An operator's order that only the leader can carry out, given at whichever node he asks.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::peer::link::{Lane, Links};
use crate::raft::{Consensus, LateConsensus};
use crate::service::operate::OperateError;

/// How long a node that knows no leader waits for one, and between two looks.
const LEADER_MAX: Duration = Duration::from_secs(3);
const LEADER_PAUSE: Duration = Duration::from_millis(20);

/// What became of an order, also as the leader tells another node.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer<T> {
    Done(T),
    /// In a sentence; the operator has to ask for something else.
    Refused(String),
    /// It cannot now.
    Unavailable(String),
    NotLeader,
}

/// An order as it goes to the leader.
#[derive(Debug)]
pub struct Order<'a, R> {
    /// Where leaders take it.
    pub path: &'static str,
    /// How long the leader may take.
    pub answer_max: Duration,
    pub request: &'a R,
}

/// Carries out an order by `here`, as the leader. A node that does not lead passes it on to the
/// one that does, and waits for that where there is none just now.
///
/// # Errors
/// This node belongs to no cluster yet, no leader was found, or what the leader says.
pub async fn carry_out<'a, R, T, F>(
    order: Order<'_, R>,
    late: &'a LateConsensus,
    links: &Links,
    here: impl Fn(&'a Consensus) -> F,
) -> Result<T, OperateError>
where
    R: Serialize,
    T: DeserializeOwned,
    F: Future<Output = Answer<T>>,
{
    let Some(consensus) = late.get() else {
        let reason = "this node does not belong to a cluster yet";
        return Err(OperateError::Unavailable(reason.to_owned()));
    };
    let until = clock::now() + LEADER_MAX;
    loop {
        let answer = match here(consensus).await {
            Answer::NotLeader => elsewhere(&order, consensus, links).await,
            answer => answer,
        };
        match answer {
            Answer::Done(done) => return Ok(done),
            Answer::Refused(reason) => return Err(OperateError::Refused(reason)),
            Answer::Unavailable(reason) => return Err(OperateError::Unavailable(reason)),
            // A change of leader is under way, or this node has not heard of it yet.
            Answer::NotLeader if clock::now() < until => tokio::time::sleep(LEADER_PAUSE).await,
            Answer::NotLeader => return Err(OperateError::NotLeader),
        }
    }
}

/// By the leader, as this node knows it.
async fn elsewhere<R: Serialize, T: DeserializeOwned>(
    order: &Order<'_, R>,
    consensus: &Consensus,
    links: &Links,
) -> Answer<T> {
    let view = consensus.view();
    let leader = view.leader_member().filter(|leader| leader.raft_id != consensus.me());
    let Some(leader) = leader else { return Answer::NotLeader };
    let link = links.to_member(leader.raft_id, &leader.raft_addr, Lane::Service);
    let answer = link.call(order.path, order.request, order.answer_max).await;
    answer.unwrap_or_else(|error| {
        Answer::Unavailable(format!("{} leads, and does not answer: {error}", leader.name))
    })
}
