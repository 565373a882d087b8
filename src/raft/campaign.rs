//! From the detector's verdict to an election, with the last checks before the term rises,
//! and again where the votes were split.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Consensus;
use super::rpc::LateConsensus;
use crate::clock;
use crate::config::Timings;
use crate::detector::Campaign;
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::view::LeaderView;

/// Elections for one campaign. Raft's own election timer goes on where they end.
const ELECTIONS_MAX: u32 = 3;

/// Begins an election for each campaign that still fits, until the detector ends.
pub async fn run_campaigns(
    mut campaigns: mpsc::Receiver<Campaign>,
    late: LateConsensus,
    timings: Timings,
    events: Events,
    metrics: Arc<Metrics>,
) {
    let spacing = Duration::from_millis(timings.campaign_spacing_ms);
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
        tracing::warn!(
            term = campaign.term.0 + 1, leader = %campaign.leader_name,
            "the leader is dead to a quorum; starting an election"
        );
        events.emit(campaign.term, Change::Campaigning { node: events.reporter().clone() });
        // Votes that were split once are split again by those who wait equally long.
        let patience = spacing + Duration::from_millis(timings.turn_ms) * rank(&view, &campaign);
        for election in 1..=ELECTIONS_MAX {
            last = Some(clock::now());
            metrics.raft_campaigns_total.inc();
            if let Err(error) = consensus.raft.trigger().elect(false).await {
                tracing::error!(cause = %error, "the election could not be started");
                break;
            }
            if decided(consensus, &campaign, patience).await {
                break;
            }
            tracing::warn!(election, "nobody won the election in time; the votes may be split");
        }
    }
}

/// Voters with a lower number, without the dead leader: they go first.
fn rank(view: &LeaderView, campaign: &Campaign) -> u32 {
    let before = |voter: &&crate::view::Member| {
        voter.raft_id != campaign.leader && Some(voter.raft_id) < view.me
    };
    view.voters().filter(before).count() as u32
}

/// True once somebody leads a later term than the dead leader's.
async fn decided(consensus: &Consensus, campaign: &Campaign, within: Duration) -> bool {
    let mut views = consensus.views();
    let led = views.wait_for(|view| view.term > campaign.term && view.leader.is_some());
    matches!(tokio::time::timeout(within, led).await, Ok(Ok(_)))
}
