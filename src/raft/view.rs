//! openraft's metrics as the [`LeaderView`] that the rest of the node waits on.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, RaftMetrics, ServerState};
use tokio::sync::watch;

use super::Raft;
use super::types::{TypeConfig, position};
use crate::clock;
use crate::ident::{LogPosition, RaftId, Term};
use crate::observe::metrics::Metrics;
use crate::view::{LeaderView, Member};

/// How often those who wait for a change are woken where only positions in the log differ, at
/// the most: each record changes them some three times.
const POSITIONS_INTERVAL: Duration = Duration::from_millis(100);

/// Publishes every change of view until Raft stops. Whoever looks sees the newest one; those who
/// wait are woken at once, or for mere positions within [`POSITIONS_INTERVAL`].
pub async fn publish(
    me: RaftId,
    raft: Raft,
    views: watch::Sender<Arc<LeaderView>>,
    metrics: Arc<Metrics>,
    lease_ms: u64,
) {
    let mut raft_metrics = raft.metrics();
    let mut told_at = clock::now();
    let mut untold = false;
    loop {
        let last_log = position(raft.data_metrics().borrow_watched().last_log.as_ref());
        let view = view_of(me, &raft_metrics.borrow_watched(), last_log, lease_ms);
        metrics.raft_term.set(view.term.0 as i64);
        metrics.raft_is_leader.set(i64::from(view.i_lead()));
        metrics.raft_committed_index.set(view.committed as i64);
        metrics.raft_applied_index.set(view.applied as i64);
        metrics.raft_last_log_index.set(view.last_log.index as i64);
        let due = told_at.elapsed() >= POSITIONS_INTERVAL;
        let told = views.send_if_modified(|current| {
            let other = !view.differs_in_positions_only(current);
            untold |= **current != view;
            *current = Arc::new(view);
            other || (untold && due)
        });
        if told {
            (told_at, untold) = (clock::now(), false);
        }
        tokio::select! {
            changed = raft_metrics.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(told_at + POSITIONS_INTERVAL), if untold => {}
        }
    }
}

/// Milliseconds since a quorum last acknowledged this leader.
pub(super) fn quorum_ack_ms(metrics: &RaftMetrics<TypeConfig>) -> Option<f64> {
    metrics.last_quorum_acked.map(|at| clock::millis(at.into_inner().elapsed()))
}

fn view_of(
    me: RaftId,
    metrics: &RaftMetrics<TypeConfig>,
    last_log: LogPosition,
    lease_ms: u64,
) -> LeaderView {
    let leader = metrics.current_leader.map(RaftId);
    let quorum = match metrics.state {
        ServerState::Leader => {
            let voters = metrics.membership_config.voter_ids().count();
            voters <= 1 || quorum_ack_ms(metrics).is_some_and(|ms| ms < lease_ms as f64)
        }
        _ => leader.is_some(),
    };
    let membership = metrics.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let members = membership
        .nodes()
        .map(|(id, node)| Member {
            raft_id: RaftId(*id),
            name: node.name.clone(),
            http_addr: node.http_addr.clone(),
            raft_addr: node.raft_addr.clone(),
            voter: voters.contains(id),
        })
        .collect();
    LeaderView {
        me: Some(me),
        leader,
        term: Term(metrics.current_term),
        quorum,
        last_log,
        committed: metrics.local_committed.map_or(0, |log_id| log_id.index()),
        applied: metrics.last_applied.map_or(0, |log_id| log_id.index()),
        members,
    }
}
