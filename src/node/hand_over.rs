//! Leadership handed over: because an operator asks, at whichever node he asks, because the
//! node stops, or because its disk is stuck.

use std::sync::Arc;
use std::time::Duration;

use super::order::{Answer, Order, carry_out};
use crate::api::cluster::{TransferRequest, Transferred};
use crate::clock;
use crate::observe::events::{Change, Events};
use crate::peer::link::Links;
use crate::peer::routes::{Admit, Refusal, Routes};
use crate::raft::{Consensus, HandOverError, HandedOver, LateConsensus};
use crate::service::operate::{Done, OperateError};

/// What a node asks of the leader when its operator wants another one.
const TRANSFER: &str = "/node/transfer-leader";
/// How long the leader may take. Longer than a hand-over takes at its longest.
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// Mounts what other nodes ask of the leader.
pub fn mount(routes: &mut Routes, late: &LateConsensus, links: &Links, events: &Events) {
    let (late, links, events) = (Arc::clone(late), links.clone(), events.clone());
    routes.json(TRANSFER, Admit::Members, move |envelope, request: TransferRequest| {
        let (late, links, events) = (Arc::clone(&late), links.clone(), events.clone());
        async move {
            let consensus = late.get().ok_or_else(|| Refusal::unavailable("still starting"))?;
            tracing::info!(peer = %envelope.from, "an operator there asks for another leader");
            Ok(here(consensus, &request, &links, &events).await)
        }
    });
}

/// An operator's order. A node that does not lead passes it on to the one that does, and
/// waits for that where there is none just now.
pub async fn transfer(
    request: &TransferRequest,
    late: &LateConsensus,
    links: &Links,
    events: &Events,
) -> Result<Done, OperateError> {
    let order = Order { path: TRANSFER, answer_max: ANSWER_MAX, request };
    let here = |leader| here(leader, request, links, events);
    Ok(done(&carry_out(order, late, links, here).await?))
}

/// By the leader itself.
async fn here(
    consensus: &Consensus,
    request: &TransferRequest,
    links: &Links,
    events: &Events,
) -> Answer<HandedOver> {
    let result = consensus.hand_over(request.to.as_ref(), links).await;
    match &result {
        Ok(handed) if handed.from != handed.to => tell(events, handed, "an operator asked"),
        Ok(_) | Err(HandOverError::NotLeader) => {}
        Err(error) => tracing::warn!(cause = %error, "leadership was not handed over as asked"),
    }
    match result {
        Ok(handed) => Answer::Done(handed),
        Err(HandOverError::NotLeader) => Answer::NotLeader,
        Err(error) if is_mistake(&error) => Answer::Refused(error.to_string()),
        Err(error) => Answer::Unavailable(error.to_string()),
    }
}

/// True where the operator has to ask for something else.
fn is_mistake(error: &HandOverError) -> bool {
    match error {
        HandOverError::NoSuchVoter { .. } => true,
        HandOverError::NotLeader
        | HandOverError::Busy
        | HandOverError::NoSuccessor { .. }
        | HandOverError::Unfit { .. }
        | HandOverError::Another { .. }
        | HandOverError::TooSlow(_)
        | HandOverError::Stopped(_) => false,
    }
}

fn done(handed: &HandedOver) -> Done {
    let HandedOver { from, to, term, took } = handed;
    let sentence = if from == to {
        format!("{to} leads already, in term {term}")
    } else {
        format!("{from} handed over to {to}, the leader of term {term}")
    };
    let transfer = Transferred {
        old_leader: from.clone(),
        new_leader: to.clone(),
        term: term.0,
        took_ms: clock::millis(*took),
    };
    Done { sentence, transfer: Some(transfer), by: None }
}

fn tell(events: &Events, handed: &HandedOver, cause: &str) {
    let HandedOver { from, to, term, took } = handed;
    let ms = clock::millis(*took);
    tracing::info!(leader = %to, term = term.0, elapsed_ms = ms, cause, "handed leadership over");
    let change = Change::HandedOver { node: from.clone(), to: to.clone(), cause: cause.to_owned() };
    events.emit(*term, change);
}

/// A leader that stops hands over first, so that clients hardly notice.
pub async fn before_stop(consensus: &Consensus, links: &Links, events: &Events) {
    if !consensus.view().i_lead() {
        return;
    }
    match consensus.hand_over(None, links).await {
        Ok(handed) => tell(events, &handed, "this node stops"),
        Err(error) => tracing::warn!(cause = %error, "stopping without a hand-over"),
    }
}

/// A leader whose disk is stuck or full hands over while it still can.
pub async fn off_bad_disk(consensus: Consensus, links: Links, events: Events, cause: &'static str) {
    match consensus.hand_over(None, &links).await {
        Ok(handed) => tell(&events, &handed, cause),
        // It lost the leadership meanwhile, which is as good.
        Err(HandOverError::NotLeader) => {}
        Err(error) => tracing::warn!(cause = %error, "leadership could not be handed over"),
    }
}
