//! The way into a cluster that exists: the leader gives a number, then takes the node
//! as learner and voter; and a node that is one keeps its addresses known.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::acceptor::{FormationError, Mounts};
use super::message::{Join, Joined};
use crate::clock;
use crate::detector::Contact;
use crate::ident::{ClusterUuid, InstanceUuid, NodeName, RaftId, Term};
use crate::ledger::{Command, Outcome};
use crate::observe::events::{Change, Events};
use crate::peer::link::{Lane, Links};
use crate::peer::routes::{Admit, Refusal, Routes};
use crate::raft::{Consensus, LateConsensus, MembersError, ProposeError};
use crate::view::{LeaderView, Member};

const JOIN: &str = "/formation/join";

const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A follower that heard from no leader for so long asks whether it still belongs.
const UNHEARD: Duration = Duration::from_secs(2);
/// Between a member's attempts to become what it should be.
const RETRY_INTERVAL: Duration = Duration::from_millis(300);

/// A node without a number.
#[derive(Debug, Clone)]
pub struct Newcomer {
    pub name: NodeName,
    pub instance: InstanceUuid,
    pub http_addr: String,
    pub raft_addr: String,
}

pub(super) fn mount(routes: &mut Routes, late: &LateConsensus) {
    let late = Arc::clone(late);
    routes.json(JOIN, Admit::Newcomers, move |envelope, join: Join| {
        let late = Arc::clone(&late);
        async move {
            if envelope.from != join.name {
                let reason = format!("{} asks to join as {}", envelope.from, join.name);
                return Err(Refusal { status: StatusCode::FORBIDDEN, reason });
            }
            let Some(consensus) = late.get().cloned() else {
                return Err(Refusal::unavailable("this node belongs to no cluster yet"));
            };
            answer(&consensus, join).await
        }
    });
}

fn elsewhere(view: &LeaderView) -> Joined {
    let leader = view.leader_member().filter(|_| !view.i_lead());
    Joined::Elsewhere { leader: leader.map(|leader| leader.raft_addr.clone()) }
}

async fn answer(consensus: &Consensus, join: Join) -> Result<Joined, Refusal> {
    let view = consensus.view();
    if !view.i_lead() {
        return Ok(elsewhere(&view));
    }
    let Some(raft_id) = join.raft_id else {
        let highest = view.members.iter().map(|member| member.raft_id.0).max().unwrap_or(0);
        let (name, instance) = (join.name, join.instance);
        let assign = Command::Assign { name, instance, at_least: RaftId(highest + 1) };
        return match consensus.propose(assign).await {
            Ok(Outcome::Assigned { raft_id }) => {
                let cluster = consensus.cluster();
                Ok(Joined::Number { cluster, raft_id })
            }
            Ok(other) => Err(Refusal::unavailable(format!("no number was given: {other:?}"))),
            Err(ProposeError::NotLeader { .. }) => Ok(elsewhere(&consensus.view())),
            Err(error @ ProposeError::Stopped(_)) => Err(Refusal::unavailable(error.to_string())),
        };
    };
    let ledger = consensus.ledger();
    let retired = consensus.rt().blocking(move || ledger.is_retired(raft_id)).await;
    if retired.map_err(|error| Refusal::unavailable(error.to_string()))? {
        return Ok(Joined::Removed);
    }
    let member = Member {
        raft_id,
        name: join.name,
        http_addr: join.http_addr,
        raft_addr: join.raft_addr,
        voter: true,
    };
    // Catching up may take long, and must go on if the asking connection closes.
    let admitting = consensus.clone();
    consensus.rt().spawn("admit", async move {
        match admitting.admit(&member).await {
            Ok(()) => tracing::info!(peer = %member.name, "the node is a voter"),
            Err(MembersError::Busy) => {}
            Err(error) => {
                tracing::warn!(peer = %member.name, cause = %error, "the node was not admitted");
            }
        }
    });
    Ok(Joined::Admitted)
}

/// Asks for a number at each of `addrs`, and at the leader that they name. It comes with an entry
/// that a majority committed.
///
/// # Errors
/// Nobody gave one.
pub async fn ask_for_number(
    links: &Links,
    newcomer: &Newcomer,
    addrs: &[String],
) -> Result<(ClusterUuid, RaftId), FormationError> {
    let Newcomer { name, instance, http_addr, raft_addr } = newcomer.clone();
    let join = Join { name, instance, http_addr, raft_addr, raft_id: None };
    let mut refused = FormationError::Refused("no node knows the leader".into());
    for addr in addrs {
        match ask(links, addr, &join).await {
            Ok(Joined::Number { cluster, raft_id }) => return Ok((cluster, raft_id)),
            Ok(_) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Asks at `addr`, and if it is not the leader, once at the leader that it names.
async fn ask(links: &Links, addr: &str, join: &Join) -> Result<Joined, FormationError> {
    let link = links.to(addr, Lane::Service);
    match link.call(JOIN, join, ANSWER_MAX).await? {
        Joined::Elsewhere { leader: Some(leader) } => {
            Ok(links.to(leader, Lane::Service).call(JOIN, join, ANSWER_MAX).await?)
        }
        answer => Ok(answer),
    }
}

/// Makes sure, now and whenever it changes, that the cluster has this node as a voter
/// at its present addresses. Runs until the node stops, or until it hears that an operator
/// removed it: true then.
///
/// # Cancel safety
/// Safe: each request stands for itself and may be repeated.
pub async fn keep_joined(
    links: Links,
    mounts: Mounts,
    consensus: Consensus,
    configured: Vec<String>,
    events: Events,
    contact: Contact,
) -> bool {
    let hello = mounts.hello();
    let me = consensus.me();
    let join = Join {
        name: hello.name.clone(),
        instance: hello.instance,
        http_addr: hello.http_addr.clone(),
        raft_addr: hello.raft_addr.clone(),
        raft_id: Some(me),
    };
    let settled = |view: &LeaderView| {
        view.member(me).is_some_and(|known| {
            known.voter && known.http_addr == hello.http_addr && known.raft_addr == hello.raft_addr
        })
    };
    let mut views = consensus.views();
    let mut announced = settled(&views.borrow());
    loop {
        tokio::select! {
            unsettled = views.wait_for(|view| !settled(view)) => {
                if unsettled.is_err() {
                    return false;
                }
            }
            // A member that was removed while it was away believes in its place for ever: it
            // is sent nothing, its own removal included.
            () = unheard(&contact, &consensus) => {}
        }
        // A founder whose own log is still empty has no members to find itself among.
        let asked = {
            let view = views.borrow();
            let leader = view.leader_member().map(|leader| leader.raft_addr.clone());
            // The leader that it knew may be gone too.
            leader.into_iter().chain(configured.iter().cloned()).collect::<Vec<_>>()
        };
        for addr in &asked {
            match ask(&links, addr, &join).await {
                Ok(Joined::Admitted) => break,
                Ok(Joined::Removed) => return true,
                Ok(Joined::Number { .. } | Joined::Elsewhere { .. }) | Err(_) => {}
            }
        }
        // As a bool, not as the guard that it comes with: the guard locks the channel, and a
        // second look at the view below, with a writer waiting between, would never end.
        let done = {
            let settling = views.wait_for(|view| settled(view));
            matches!(tokio::time::timeout(RETRY_INTERVAL, settling).await, Ok(Ok(_)))
        };
        if done && !announced {
            announced = true;
            tracing::info!("this node is a voter of the cluster");
            let term: Term = consensus.view().term;
            events.emit(term, Change::Joined { node: hello.name.clone() });
        }
    }
}

/// Returns once this node, as a follower, has heard from no leader for [`UNHEARD`].
///
/// # Cancel safety
/// Safe: it only waits.
async fn unheard(contact: &Contact, consensus: &Consensus) {
    let begun = clock::now();
    loop {
        tokio::time::sleep(UNHEARD).await;
        let age = contact.age().unwrap_or_else(|| begun.elapsed());
        if !consensus.view().i_lead() && age >= UNHEARD {
            return;
        }
    }
}
