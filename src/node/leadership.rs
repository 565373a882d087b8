//! Changes of leader, told once each: to the log, the events and the metrics.

use std::sync::Arc;

use tokio::sync::watch;

use crate::ident::{NodeName, RaftId};
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::view::LeaderView;

/// Reports until the node stops.
pub async fn report(
    mut views: watch::Receiver<Arc<LeaderView>>,
    events: Events,
    metrics: Arc<Metrics>,
) {
    let mut before = Arc::new(LeaderView::default());
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        if (view.leader, view.leader.map(|_| view.term))
            != (before.leader, before.leader.map(|_| before.term))
        {
            leader_changed(&before, &view, &events, &metrics);
        }
        if voters(&view) != voters(&before) || view.members.len() != before.members.len() {
            let learners = view.members.iter().filter(|m| !m.voter).map(|m| m.name.clone());
            let change =
                Change::MembershipChanged { voters: voters(&view), learners: learners.collect() };
            events.emit(view.term, change);
        }
        for gone in before.members.iter().filter(|known| !has(&view, &known.name)) {
            events.emit(view.term, Change::Removed { node: gone.name.clone() });
        }
        before = view;
        if views.changed().await.is_err() {
            return;
        }
    }
}

fn has(view: &LeaderView, name: &NodeName) -> bool {
    view.members.iter().any(|member| member.name == *name)
}

fn voters(view: &LeaderView) -> Vec<NodeName> {
    view.voters().map(|voter| voter.name.clone()).collect()
}

fn name_of(view: &LeaderView, id: Option<RaftId>) -> Option<NodeName> {
    view.member(id?).map(|member| member.name.clone())
}

fn leader_changed(before: &LeaderView, view: &LeaderView, events: &Events, metrics: &Metrics) {
    let leader = name_of(view, view.leader);
    let term = view.term.0;
    match &leader {
        Some(_) if view.i_lead() => {
            tracing::warn!(term, "won the election: this node is the leader")
        }
        Some(leader) if before.i_lead() => {
            tracing::warn!(%leader, term, "stepped down: another node is the leader");
        }
        Some(leader) => tracing::info!(%leader, term, "following the leader"),
        None if before.i_lead() => tracing::warn!(term, "stepped down: no leader yet"),
        None => tracing::info!(term, "no leader at present"),
    }
    if leader.is_some() {
        metrics.raft_leader_changes_total.inc();
    }
    if before.i_lead() && !view.i_lead() {
        events.emit(view.term, Change::SteppedDown { node: events.reporter().clone() });
    }
    events.emit(view.term, Change::LeaderChanged { leader });
}
