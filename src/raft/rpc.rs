//! openraft's messages as they arrive: decoded, stamped as contact with the leader,
//! and, on a vote, weighed against what this node's own detector holds.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use tokio::sync::{Semaphore, mpsc};

use super::Consensus;
use super::hand_over::FITNESS;
use super::network::{APPEND, APPEND_ALL, Appended, PRE_VOTE, READY, SNAPSHOT, TRANSFER, VOTE};
use super::pipeline::UNANSWERED_MAX;
use super::state_machine::{SnapshotData, receive};
use super::types::{Snapshot, SnapshotHead, TypeConfig, Vote};
use crate::detector::{Contact, Verdict};
use crate::ident::{RaftId, Term};
use crate::limits::PEER_BODY_READ_MAX;
use crate::net::gate::{Gate, Peer, Way};
use crate::observe::events::{Change, Events};
use crate::peer::envelope::Envelope;
use crate::peer::frames::{Frames, frame};
use crate::peer::routes::{Admit, PeerResponse, Refusal, Routes, json_response, streamed};
#[cfg(sim)]
use crate::sim::{
    sabotage::{self, Bug},
    witness,
};

/// Consensus, once the node belongs to a cluster.
pub type LateConsensus = Arc<OnceLock<Consensus>>;

/// Mounts the handlers.
pub fn mount(
    routes: &mut Routes,
    late: &LateConsensus,
    contact: &Contact,
    verdict: &Verdict,
    events: &Events,
    gate: &Gate,
) {
    {
        let (late, contact) = (Arc::clone(late), contact.clone());
        routes.json(
            APPEND,
            Admit::Members,
            move |envelope, rpc: AppendEntriesRequest<TypeConfig>| {
                let (late, contact) = (Arc::clone(&late), contact.clone());
                async move {
                    let consensus = ready(&late)?;
                    for_itself(&consensus, &envelope, &rpc.vote)?;
                    contact.heard(leader_of(&rpc.vote), term_of(&rpc.vote));
                    let response = consensus.raft.append_entries(rpc).await.map_err(failed)?;
                    Ok(Appended { response, durable_last: consensus.log.durable_last() })
                }
            },
        );
    }
    {
        let (late, contact, gate) = (Arc::clone(late), contact.clone(), gate.clone());
        routes.raw(APPEND_ALL, Admit::Members, move |envelope, body| {
            let (late, contact, gate) = (Arc::clone(&late), contact.clone(), gate.clone());
            async move { Ok(take_appends(ready(&late)?, envelope, contact, gate, body)) }
        });
    }
    mount_votes(routes, late, contact, verdict, events);
    let readiness = Arc::clone(late);
    routes.json(READY, Admit::Members, move |_, (): ()| {
        let late = Arc::clone(&readiness);
        async move { ready(&late).map(drop) }
    });
    let fitness = Arc::clone(late);
    routes.json(FITNESS, Admit::Members, move |_, (): ()| {
        let late = Arc::clone(&fitness);
        async move { ready(&late).map(|consensus| consensus.fitness()) }
    });
    let transfer = Arc::clone(late);
    routes.json(TRANSFER, Admit::Members, move |_, request: TransferLeaderRequest<TypeConfig>| {
        let late = Arc::clone(&transfer);
        async move { ready(&late)?.raft.handle_transfer_leader(request).await.map_err(failed) }
    });
    let (late, contact) = (Arc::clone(late), contact.clone());
    routes.raw(SNAPSHOT, Admit::Members, move |envelope, body| {
        let (late, contact) = (Arc::clone(&late), contact.clone());
        async move { take_snapshot(ready(&late)?, &envelope, &contact, body).await }
    });
}

fn ready(late: &LateConsensus) -> Result<Consensus, Refusal> {
    late.get().cloned().ok_or_else(|| Refusal::unavailable("this node is still starting"))
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::unavailable(error.to_string())
}

fn mount_votes(
    routes: &mut Routes,
    late: &LateConsensus,
    #[cfg_attr(not(sim), allow(unused_variables, reason = "for the witness"))] contact: &Contact,
    verdict: &Verdict,
    events: &Events,
) {
    let (asked, verdict, events) = (Arc::clone(late), verdict.clone(), events.clone());
    #[cfg(sim)]
    let contact = contact.clone();
    routes.json(VOTE, Admit::Members, move |envelope, mut rpc: VoteRequest<TypeConfig>| {
        let (late, verdict, events) = (Arc::clone(&asked), verdict.clone(), events.clone());
        #[cfg(sim)]
        let heard = contact.clone();
        async move {
            let consensus = ready(&late)?;
            for_itself(&consensus, &envelope, &rpc.vote)?;
            // The lease that a dead leader left may be passed over only on this node's
            // own evidence that this leader of this term is dead.
            let view = consensus.view();
            if let Some(leader) = view.leader {
                rpc.leadership_transfer |= verdict.holds_dead(leader, view.term);
            }
            #[cfg(sim)]
            let witness = witness::VoteAsked {
                voter: view.me,
                leader: view.leader,
                term: view.term,
                for_term: term_of(&rpc.vote),
                excused: rpc.leadership_transfer,
                asked: crate::clock::now(),
                heard: view.leader.and_then(|leader| heard.last_of(leader, view.term)),
            };
            #[cfg(sim)]
            {
                rpc.leadership_transfer |= sabotage::is(Bug::VoteWithoutEvidence);
            }
            let term = rpc.vote.leader_id.term;
            let answer = consensus.raft.vote(rpc).await.map_err(failed)?;
            #[cfg(sim)]
            witness.answered(answer.vote_granted);
            tracing::info!(
                peer = %envelope.from, term, granted = answer.vote_granted,
                "vote requested"
            );
            let change = Change::Voted {
                node: events.reporter().clone(),
                candidate: envelope.from,
                granted: answer.vote_granted,
            };
            events.emit(Term(term), change);
            Ok(answer)
        }
    });
    let pre = Arc::clone(late);
    routes.json(PRE_VOTE, Admit::Members, move |envelope, rpc: VoteRequest<TypeConfig>| {
        let late = Arc::clone(&pre);
        async move {
            let consensus = ready(&late)?;
            for_itself(&consensus, &envelope, &rpc.vote)?;
            consensus.raft.pre_vote(rpc).await.map_err(failed)
        }
    });
}

/// A candidate asks for itself, and a leader sends for itself: whoever may only call itself by one
/// name cannot stand or lead for another. A member that this node does not know yet is believed.
fn for_itself(consensus: &Consensus, envelope: &Envelope, vote: &Vote) -> Result<(), Refusal> {
    let view = consensus.view();
    let member = view.member(leader_of(vote));
    if let Some(other) = member.filter(|member| member.name != envelope.from) {
        let reason =
            format!("{} sent this for {}, and each sends for itself", envelope.from, other.name);
        return Err(Refusal { status: StatusCode::FORBIDDEN, reason });
    }
    Ok(())
}

fn leader_of(vote: &Vote) -> RaftId {
    RaftId(vote.leader_id.voted_for)
}

fn term_of(vote: &Vote) -> Term {
    Term(vote.leader_id.term)
}

/// Messages of a leader as they come, each answered once its entries are on stable storage, in
/// their order. Ends with the first that is not a success, and with one that cannot be read.
fn take_appends(
    consensus: Consensus,
    envelope: Envelope,
    contact: Contact,
    gate: Gate,
    body: Incoming,
) -> PeerResponse {
    let ended = consensus.rt.token().child_token();
    let slots = Arc::new(Semaphore::new(UNANSWERED_MAX));
    let from = envelope.from.clone();
    let requests = Requests {
        frames: Frames::new(body),
        slots: Arc::clone(&slots),
        consensus: consensus.clone(),
        envelope,
        contact,
        gate: gate.clone(),
    };
    let (until, leader) = (ended.clone(), from.clone());
    let requests = futures_util::stream::unfold(requests, move |mut requests| {
        let (until, leader) = (until.clone(), leader.clone());
        async move {
            tokio::select! {
                () = until.cancelled() => None,
                request = requests.next() => match request {
                    Ok(request) => request.map(|request| (request, requests)),
                    Err(refusal) => {
                        tracing::warn!(peer = %leader, cause = refusal.reason, "an exchange was ended");
                        None
                    }
                },
            }
        }
    });
    let answers = Box::pin(consensus.raft.stream_append(requests));
    // With the answers, nobody asks for requests any more: openraft's task may wait for one.
    let guard = ended.clone().drop_guard();
    streamed(futures_util::stream::unfold((answers, guard), move |(mut answers, guard)| {
        let (slots, gate, from, ended) = (slots.clone(), gate.clone(), from.clone(), ended.clone());
        async move {
            let answer = tokio::select! {
                () = ended.cancelled() => return None,
                answer = answers.next() => answer?,
            };
            slots.add_permits(1);
            gate.passes(Peer::Name(&from), Way::Out).await;
            let chunk = answer.map_err(io::Error::other).and_then(|result| {
                let appended = Appended { response: result.into(), durable_last: None };
                frame(&appended).map_err(io::Error::other)
            });
            Some((chunk, (answers, guard)))
        }
    }))
}

/// What a leader sends in one exchange.
struct Requests {
    frames: Frames<Incoming>,
    /// One for each message that may be unanswered.
    slots: Arc<Semaphore>,
    consensus: Consensus,
    envelope: Envelope,
    contact: Contact,
    gate: Gate,
}

impl Requests {
    /// `None` at the end.
    async fn next(&mut self) -> Result<Option<AppendEntriesRequest<TypeConfig>>, Refusal> {
        // Nobody closes the semaphore. Whoever answers gives the slot back.
        if let Ok(slot) = self.slots.acquire().await {
            slot.forget();
        }
        let read = self.frames.next().await;
        let Some(json) = read.map_err(|error| Refusal::bad_request(error.to_string()))? else {
            return Ok(None);
        };
        self.gate.passes(Peer::Name(&self.envelope.from), Way::In).await;
        let request: AppendEntriesRequest<TypeConfig> = serde_json::from_slice(&json)
            .map_err(|error| Refusal::bad_request(format!("message: {error}")))?;
        for_itself(&self.consensus, &self.envelope, &request.vote)?;
        self.contact.heard(leader_of(&request.vote), term_of(&request.vote));
        Ok(Some(request))
    }
}

/// Longest first line of a snapshot's stream, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

async fn take_snapshot(
    consensus: Consensus,
    envelope: &Envelope,
    contact: &Contact,
    mut body: Incoming,
) -> Result<PeerResponse, Refusal> {
    let mut start = Vec::new();
    let end = loop {
        if let Some(end) = start.iter().position(|byte| *byte == b'\n') {
            break end;
        }
        if start.len() > HEAD_BYTES_MAX {
            return Err(Refusal::bad_request("the snapshot's head is too long"));
        }
        let Some(chunk) = next_chunk(&mut body).await? else {
            return Err(Refusal::bad_request("the snapshot's head was cut short"));
        };
        start.extend_from_slice(&chunk);
    };
    let head: SnapshotHead = serde_json::from_slice(&start[..end])
        .map_err(|error| Refusal::bad_request(format!("the snapshot's head: {error}")))?;
    for_itself(&consensus, envelope, &head.vote)?;
    let rest = Bytes::from(start.split_off(end + 1));

    // Only one snapshot at a time may use the room beside the ledger.
    let _slot = consensus.snapshot_slot.clone().lock_owned().await;
    let (sender, chunks) = mpsc::channel(2);
    let store = Arc::clone(&consensus.store);
    let rt = consensus.rt.clone();
    let receiving = consensus.rt.spawn("snapshot receiver", async move {
        rt.consume(chunks, move |take| receive(&store, take)).await
    });
    let mut next = Some(rest);
    while let Some(chunk) = next {
        contact.heard(leader_of(&head.vote), term_of(&head.vote));
        // The receiver gave up; it says why below.
        if sender.send(Ok(chunk)).await.is_err() {
            break;
        }
        next = match next_chunk(&mut body).await {
            Ok(next) => next,
            Err(refusal) => {
                let cut = std::io::Error::other(refusal.reason.clone());
                // Both ways the receiver ends with an error.
                let _ = sender.send(Err(cut)).await;
                return Err(refusal);
            }
        };
    }
    drop(sender);
    let imported = receiving.await.map_err(failed)?.map_err(failed)?;
    let index = head.meta.last_log_id.map_or(0, |last| last.index());
    tracing::info!(index, records = imported.state.count, "snapshot received from the leader");
    let snapshot =
        Snapshot { meta: head.meta, snapshot: SnapshotData::Received(Box::new(imported)) };
    let answer = consensus.raft.install_full_snapshot(head.vote, snapshot).await.map_err(failed)?;
    json_response(&answer)
}

async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    // Whoever stops sending would keep others from sending theirs.
    let frame = tokio::time::timeout(PEER_BODY_READ_MAX, body.frame()).await;
    match frame.map_err(|_| Refusal::bad_request("the snapshot stopped coming"))? {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(Refusal::bad_request(format!("the snapshot broke off: {error}"))),
    }
}
