//! Changes of membership that an operator asks for, at whichever node he asks.

use std::sync::Arc;
use std::time::Duration;

use super::order::{Answer, Order, carry_out};
use crate::api::cluster::{MembersAction, MembersRequest};
use crate::peer::link::Links;
use crate::peer::routes::{Admit, Refusal, Routes};
use crate::raft::{Consensus, LateConsensus, MembersError};
use crate::service::operate::{Done, OperateError};

/// What a node asks of the leader when its operator wants other members.
const MEMBERS: &str = "/node/members";
/// How long the leader may take. Longer than a learner may take to catch up.
const ANSWER_MAX: Duration = Duration::from_secs(65);

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

/// An operator's order. A node that does not lead passes it on to the one that does.
pub async fn change(
    request: &MembersRequest,
    late: &LateConsensus,
    links: &Links,
) -> Result<Done, OperateError> {
    let order = Order { path: MEMBERS, answer_max: ANSWER_MAX, request };
    let sentence = carry_out(order, late, links, |leader| here(leader, request, links)).await?;
    Ok(sentence.into())
}

/// By the leader itself; in a sentence.
async fn here(consensus: &Consensus, request: &MembersRequest, links: &Links) -> Answer<String> {
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
