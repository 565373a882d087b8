//! From the detector's verdict to an election, with the last checks before the term rises.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::rpc::LateConsensus;
use crate::clock;
use crate::detector::Campaign;
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;

/// Begins an election for each campaign that still fits, until the detector ends.
pub async fn run_campaigns(
    mut campaigns: mpsc::Receiver<Campaign>,
    late: LateConsensus,
    spacing: Duration,
    events: Events,
    metrics: Arc<Metrics>,
) {
    let mut last: Option<clock::Instant> = None;
    while let Some(campaign) = campaigns.recv().await {
        let Some(consensus) = late.get() else { continue };
        let view = consensus.view();
        // Somebody else may have won meanwhile.
        if view.leader != Some(campaign.leader) || view.term != campaign.term {
            continue;
        }
        // Two campaigns in quick succession would only split votes against each other.
        if last.is_some_and(|last| last.elapsed() < spacing) {
            continue;
        }
        last = Some(clock::now());
        metrics.raft_campaigns_total.inc();
        tracing::warn!(
            term = campaign.term.0 + 1, leader = %campaign.leader_name,
            "the leader is dead to a quorum; starting an election"
        );
        events.emit(campaign.term, Change::Campaigning { node: events.reporter().clone() });
        if let Err(error) = consensus.raft.trigger().elect(false).await {
            tracing::error!(cause = %error, "the election could not be started");
        }
    }
}
