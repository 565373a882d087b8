//! Connections that an election uses, opened before it is one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Parts;
use super::preround::PROBE;
use crate::ident::RaftId;
use crate::peer::link::{Lane, Links};
use crate::view::LeaderView;

/// Between two uses of each: well within what a port lets pass without a request
/// ([`crate::limits::HEADER_READ_MAX`]).
const EVERY: Duration = Duration::from_secs(3);
/// How long a voter may take to answer on one.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// What a voter and its next leader say to each other first. Requests that waited for the new leader
/// go to it at once, each by a connection of its own.
const LANES: [Lane; 9] = [
    Lane::Vote,
    Lane::Entries,
    Lane::Heartbeat,
    Lane::Probe,
    Lane::Watch,
    Lane::Service,
    Lane::Service,
    Lane::Service,
    Lane::Service,
];

/// Opens the connections that a pre-round and an election would use, while the evidence is
/// still being confirmed. Nothing depends on it but a few tenths of a millisecond.
pub(super) fn warm_up(parts: &Parts, leader: RaftId) {
    let view = parts.views.borrow().clone();
    let within = Duration::from_millis(parts.timings.preround_timeout_ms);
    use_each(&parts.links, &view, leader, &[Lane::Vote, Lane::Entries], within);
}

/// For where a connection costs a handshake, which is arithmetic on both sides: keeps [`LANES`] open
/// to every voter but the leader, so that nobody shakes hands while nobody leads. Ends with the
/// node.
pub async fn keep_warm(links: Links, views: watch::Receiver<Arc<LeaderView>>) {
    let mut views = views;
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        // What it needs is open anyway; and when it has crashed, nothing should be tried in vain
        // before a dial is refused.
        if let Some(leader) = view.leader {
            use_each(&links, &view, leader, &LANES, ANSWER_MAX);
        }
        let changed =
            views.wait_for(|now| now.leader != view.leader || now.members != view.members);
        if let Ok(Err(_)) = tokio::time::timeout(EVERY, changed).await {
            return;
        }
    }
}

fn use_each(links: &Links, view: &LeaderView, leader: RaftId, lanes: &[Lane], within: Duration) {
    for voter in view.voters().filter(|v| Some(v.raft_id) != view.me && v.raft_id != leader) {
        for lane in lanes {
            let link = links.to_member(voter.raft_id, &voter.raft_addr, *lane);
            links.rt().spawn_until_stop("warm up", async move {
                // Whoever does not answer will be asked again, where it counts.
                let _ = link.call::<_, serde::de::IgnoredAny>(PROBE, &(), within).await;
            });
        }
    }
}
