//! "Do you see it dead too?" A node stands for election only if a quorum of voters,
//! itself included, holds the same leader of the same term dead by its own evidence;
//! and the one with the best log goes first, so that votes do not split.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};

use super::pulse::Pulses;
use super::{Campaign, Parts, Verdict};
use crate::clock;
use crate::config::Timings;
use crate::ident::{LogPosition, NodeName, RaftId, Term};
use crate::net::gate::{Peer, Way};
use crate::observe::recent::Recent;
use crate::observe::traffic::Kind;
use crate::peer::link::{Lane, Links};
use crate::peer::routes::{Admit, Routes, held_open};

pub const WATCH: &str = "/detector/watch";
pub const PROBE: &str = "/detector/probe";
const SUSPECT: &str = "/detector/suspect";

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    leader: RaftId,
    term: Term,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    me: RaftId,
    dead: bool,
    last_log: LogPosition,
}

/// Mounts what other nodes' detectors ask: watch, probe, and the question. `requests` are those that
/// consensus had to answer.
pub fn mount(
    routes: &mut Routes,
    links: &Links,
    verdict: &Verdict,
    views: &tokio::sync::watch::Receiver<std::sync::Arc<crate::view::LeaderView>>,
    timings: &Timings,
    requests: &Recent,
) {
    let (token, gate) = (links.rt().token().clone(), links.gate().clone());
    let pulses = Pulses::new(timings, requests.clone());
    routes.raw(WATCH, Admit::Members, move |envelope, _| {
        let stopped = token.clone().cancelled_owned();
        let gate = gate.clone();
        let pulses = pulses.clone();
        let first = pulses.first(clock::now());
        let beat = move || {
            let (pulse, next) = pulses.beat(clock::now());
            (gate.lets(Peer::Name(&envelope.from), Way::Out).then_some(pulse), next)
        };
        let held = held_open(stopped, first, beat);
        async move { Ok(held) }
    });
    // Answered by this runtime, not by the kernel: that it answers is the answer.
    routes.json(PROBE, Admit::Members, |_, (): ()| async { Ok(()) });
    let (verdict, views) = (verdict.clone(), views.clone());
    let ripen = ripen(timings);
    routes.json(SUSPECT, Admit::Members, move |_, question: Question| {
        let (verdict, views) = (verdict.clone(), views.clone());
        async move {
            let dead = verdict.confirms(question.leader, question.term, ripen).await;
            let view = views.borrow();
            Ok(Answer { me: view.me.unwrap_or_default(), dead, last_log: view.last_log })
        }
    });
}

/// How long evidence that is being gathered may take to be complete.
fn ripen(timings: &Timings) -> Duration {
    Duration::from_millis(timings.ripen_ms())
}

/// Asks the other voters, and hands on a campaign if it is this node's turn.
pub(super) async fn run(parts: &Parts, leader: (RaftId, &NodeName), term: Term) {
    let (leader, leader_name) = leader;
    let view = parts.views.borrow().clone();
    let Some(me) = view.me else { return };
    if !view.voters().any(|voter| voter.raft_id == me) {
        return;
    }
    let question = Question { leader, term };
    let answer_max = Duration::from_millis(parts.timings.preround_timeout_ms);
    let mut answers: FuturesUnordered<_> = view
        .voters()
        .filter(|voter| voter.raft_id != me && voter.raft_id != leader)
        .map(|voter| {
            let link = parts.links.to_member(voter.raft_id, &voter.raft_addr, Lane::Vote);
            let question = &question;
            async move {
                let answer = link.call::<_, Answer>(SUSPECT, question, answer_max).await;
                if answer.as_ref().is_ok_and(|answer| answer.dead) {
                    link.granted(Kind::Preround);
                }
                answer
            }
        })
        .collect();
    let mut agreed = 1;
    let mut better = 0;
    while let Some(answer) = answers.next().await {
        let Ok(answer) = answer else { continue };
        if answer.dead {
            agreed += 1;
            let theirs = (answer.last_log, std::cmp::Reverse(answer.me));
            let ours = (view.last_log, std::cmp::Reverse(me));
            better += u32::from(theirs > ours);
        }
        // With a quorum and the first turn nobody else's answer matters, unless they may
        // be better: so all answers of the agreeing are awaited, which takes a round trip.
    }
    if agreed < view.quorum_size() {
        tracing::debug!(
            leader = %leader_name, term = term.0, agreed,
            "no quorum holds the leader dead; not campaigning"
        );
        return;
    }
    if better > 0 {
        let turn = Duration::from_millis(parts.timings.turn_ms) * better;
        let mut views = parts.views.clone();
        let elected = views.wait_for(|view| view.term > term || view.leader != Some(leader));
        if tokio::time::timeout(turn, elected).await.is_ok() {
            return;
        }
    }
    // The round may have begun before this node's own evidence was complete.
    if parts.verdict.confirms(leader, term, ripen(&parts.timings)).await {
        let campaign = Campaign { leader, leader_name: leader_name.clone(), term };
        // Full: a campaign is under way already.
        let _ = parts.campaigns.try_send(campaign);
    }
}
