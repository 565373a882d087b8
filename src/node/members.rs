//! Changes of membership that an operator asks for, at whichever node he asks.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::cluster::{MembersAction, MembersRequest};
use crate::clock;
use crate::peer::link::{Lane, Links};
use crate::peer::routes::{Admit, Refusal, Routes};
use crate::raft::{Consensus, LateConsensus, MembersError};
use crate::service::operate::{Done, OperateError};

/// What a node asks of the leader when its operator wants other members.
const MEMBERS: &str = "/node/members";
/// How long the leader may take. Longer than a learner may take to catch up.
const ANSWER_MAX: Duration = Duration::from_secs(65);
/// How long a node that knows no leader waits for one, and between two looks.
const LEADER_MAX: Duration = Duration::from_secs(3);
const LEADER_PAUSE: Duration = Duration::from_millis(20);

/// The leader's answer to another node, in sentences.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done(String),
    /// The operator has to ask for something else.
    Refused(String),
    Unavailable(String),
    NotLeader,
}

/// Mounts what other nodes ask of the leader.
pub fn mount(routes: &mut Routes, late: &LateConsensus, links: &Links) {
    let (late, links) = (Arc::clone(late), links.clone());
    routes.json(MEMBERS, Admit::Members, move |envelope, request: MembersRequest| {
        let (late, links) = (Arc::clone(&late), links.clone());
        async move {
            let consensus = late.get().ok_or_else(|| Refusal::unavailable("still starting"))?;
            tracing::info!(peer = %envelope.from, "an operator there asks for other members");
            Ok(here(consensus, &request, &links).await)
        }
    });
}

/// An operator's command. A node that does not lead passes it on to the one that does.
pub async fn change(
    request: &MembersRequest,
    late: &LateConsensus,
    links: &Links,
) -> Result<Done, OperateError> {
    let Some(consensus) = late.get() else {
        let reason = "this node does not belong to a cluster yet";
        return Err(OperateError::Unavailable(reason.to_owned()));
    };
    let until = clock::now() + LEADER_MAX;
    loop {
        let answer = match here(consensus, request, links).await {
            Answer::NotLeader => elsewhere(consensus, request, links).await,
            answer => answer,
        };
        match answer {
            Answer::Done(sentence) => return Ok(sentence.into()),
            Answer::Refused(reason) => return Err(OperateError::Refused(reason)),
            Answer::Unavailable(reason) => return Err(OperateError::Unavailable(reason)),
            Answer::NotLeader if clock::now() < until => tokio::time::sleep(LEADER_PAUSE).await,
            Answer::NotLeader => return Err(OperateError::NotLeader),
        }
    }
}

/// By the leader itself.
async fn here(consensus: &Consensus, request: &MembersRequest, links: &Links) -> Answer {
    let MembersRequest { action, node } = request;
    let (result, done) = match action {
        MembersAction::Remove => (consensus.remove(node, links).await, "was removed"),
        MembersAction::Promote => (consensus.promote(node).await, "is a voter"),
    };
    match result {
        Ok(()) => Answer::Done(format!("{node} {done}")),
        Err(MembersError::NotLeader) => Answer::NotLeader,
        Err(error) if is_mistake(&error) => Answer::Refused(error.to_string()),
        Err(error) => Answer::Unavailable(error.to_string()),
    }
}

/// By the leader, as this node knows it.
async fn elsewhere(consensus: &Consensus, request: &MembersRequest, links: &Links) -> Answer {
    let view = consensus.view();
    let leader = view.leader_member().filter(|leader| leader.raft_id != consensus.me());
    let Some(leader) = leader else { return Answer::NotLeader };
    let link = links.to_member(leader.raft_id, &leader.raft_addr, Lane::Service);
    let answer = link.call(MEMBERS, request, ANSWER_MAX).await;
    answer.unwrap_or_else(|error| {
        Answer::Unavailable(format!("{} leads, and does not answer: {error}", leader.name))
    })
}

/// True where the operator has to ask for something else.
fn is_mistake(error: &MembersError) -> bool {
    match error {
        MembersError::NoSuchMember { .. }
        | MembersError::Leads { .. }
        | MembersError::WouldStop { .. } => true,
        MembersError::NotLeader
        | MembersError::Busy
        | MembersError::TooSlow { .. }
        | MembersError::Failed(_) => false,
    }
}
