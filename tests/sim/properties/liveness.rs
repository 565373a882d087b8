//! Liveness: when the faults are over, the cluster is whole again within a bound of
//! simulated time: one leader, everyone a voter, and everyone can write.

use std::time::Duration;

use stegcluster::clock;
use stegcluster::ident::{RaftId, Term};
use stegcluster::sim;

use crate::cluster::Cluster;
use crate::host::Running;

/// From the end of the last fault. What takes longest is a wiped node's way back, and a
/// kernel that sends again late.
pub const BOUND: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);

/// The leader and term that all nodes agree on, if the cluster is whole: what was
/// acknowledged alone has reached the ledger, too.
pub fn whole(cluster: &Cluster) -> Option<(RaftId, Term)> {
    let alone =
        |running: Running| running.core.solo.is_on() || running.core.journal.size().records > 0;
    let mut running = cluster.hosts.iter().filter_map(|host| host.running());
    led(cluster).filter(|_| !running.any(alone))
}

/// The leader and term that all nodes agree on, if all are voters and run.
pub fn led(cluster: &Cluster) -> Option<(RaftId, Term)> {
    let mut agreed = None;
    for host in &cluster.hosts {
        let running = host.running()?;
        if running.stop.is_cancelled() {
            return None;
        }
        let view = running.core.views.borrow().clone();
        let (leader, me) = (view.leader?, view.me?);
        let voters: Vec<_> = view.voters().map(|voter| voter.name.clone()).collect();
        let all = cluster.hosts.iter().all(|host| voters.contains(&host.name));
        let whole = view.quorum
            && all
            && voters.len() == cluster.hosts.len()
            && view.member(me).is_some_and(|member| member.name == host.name && member.voter);
        if !whole || *agreed.get_or_insert((leader, view.term)) != (leader, view.term) {
            return None;
        }
    }
    agreed
}

/// Waits for it, and says how long it took; `None`, and a violation, when it takes too long.
pub async fn await_whole(cluster: &Cluster) -> Option<(RaftId, Term)> {
    let began = clock::now();
    loop {
        if let Some(agreed) = whole(cluster) {
            return Some(agreed);
        }
        if began.elapsed() > BOUND {
            let views: Vec<_> = cluster.hosts.iter().map(describe).collect();
            let s = BOUND.as_secs();
            let what = format!("not whole {s} s after the last fault: {}", views.join("; "));
            cluster.checks.violation(what);
            return None;
        }
        cluster.restart_ended();
        sim::pass(LOOK).await;
    }
}

fn describe(host: &std::sync::Arc<crate::host::Host>) -> String {
    let Some(running) = host.running() else { return format!("{} does not run", host.name) };
    let view = running.core.views.borrow().clone();
    let members: Vec<_> = view
        .members
        .iter()
        .map(|m| format!("{}{}{}", m.name, m.raft_id, if m.voter { "" } else { " learner" }))
        .collect();
    format!(
        "{} (member {:?}) sees leader {:?} of term {}, quorum {}, members {}, solo {}, {} in the \
         journal",
        host.name,
        view.me.map(|me| me.0),
        view.leader.map(|leader| leader.0),
        view.term,
        view.quorum,
        members.join(" "),
        running.core.solo.is_on(),
        running.core.journal.size().records
    )
}
