//! Nodes die, one or all; what was acknowledged stays.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Client, Cluster, PATIENCE, commit_all, leaders, poll};

const WRITERS_PER_NODE: usize = 2;
/// Acknowledged before all nodes are killed.
const ACKNOWLEDGED_MIN: usize = 150;

#[test]
fn a_killed_leader_is_replaced_and_catches_up_when_it_returns() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let term = cluster.term(old);
    let clients: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&clients, "before", 30);

    cluster.kill(old);
    let new = cluster.wait("the survivors agree on a new leader", |cluster| {
        let status = cluster.running().next()?.client.status()?;
        let leader = status.leader_id.filter(|_| status.quorum && status.term > term)?;
        cluster.nodes.iter().position(|node| node.name == leader.as_str() && node.runs())
    });
    assert_ne!(new, old);
    cluster.assert_kept(&acknowledged);
    let survivors: Vec<&Client> = cluster.running().map(|node| &node.client).collect();
    acknowledged.extend(commit_all(&survivors, "during", 30));

    cluster.start(old);
    cluster.whole();
    cluster.assert_kept(&acknowledged);
    let status = cluster.nodes[old].client.status().expect("a restarted node answers");
    assert_eq!(leaders(&status).len(), 1, "{status:#?}");
    assert!(status.term > term, "{status:#?}");
}

/// Commits one record after the other until `stop`, and notes which were acknowledged.
fn write(client: &Client, prefix: &str, stop: &AtomicBool, acknowledged: &Mutex<BTreeSet<String>>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("{prefix}-{number}");
        // Without an answer the outcome is unknown, and the record may be there or not.
        if let Ok(reply) = client.commit(&id)
            && reply.status == 200
        {
            acknowledged.lock().expect("writers do not panic").insert(id);
        }
    }
}

#[test]
fn every_acknowledged_record_survives_the_death_of_all_nodes_at_once() {
    let mut cluster = Cluster::formed(3, &[]);
    let acknowledged = Mutex::default();
    let stop = AtomicBool::new(false);
    let clients: Vec<Client> = cluster.nodes.iter().map(|node| node.client.clone()).collect();
    std::thread::scope(|scope| {
        for (node, client) in clients.iter().enumerate() {
            for writer in 0..WRITERS_PER_NODE {
                let (stop, acknowledged) = (&stop, &acknowledged);
                let prefix = format!("w{node}.{writer}");
                scope.spawn(move || write(client, &prefix, stop, acknowledged));
            }
        }
        let enough = || {
            let count = acknowledged.lock().expect("writers do not panic").len();
            (count >= ACKNOWLEDGED_MIN).then_some(())
        };
        let enough = poll(PATIENCE, enough);
        for index in 0..clients.len() {
            cluster.kill(index);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(enough.is_some(), "fewer than {ACKNOWLEDGED_MIN} commits in {PATIENCE:?}");
    });

    for index in 0..clients.len() {
        cluster.start(index);
    }
    cluster.whole();
    cluster.assert_kept(&acknowledged.into_inner().expect("writers do not panic"));
}

/// A follower's ledger is behind the leader's by the way there, and not by a heartbeat.
#[test]
fn news_of_a_commit_waits_for_no_heartbeat() {
    let timings = [
        "timings.heartbeat_interval_ms=20000",
        "timings.election_timeout_min_ms=70000",
        "timings.election_timeout_max_ms=80000",
        "solo_after=100s",
    ];
    let cluster = Cluster::formed(3, &timings);
    let leader = cluster.whole();
    let followers = cluster.nodes.iter().enumerate().filter(|(index, _)| *index != leader);
    for (round, (_, follower)) in followers.cycle().take(6).enumerate() {
        // Nothing follows it that it could go along with.
        let ids = commit_all(&[&cluster.nodes[leader].client], &format!("last-{round}"), 1);
        let path = format!("/api/records/{}?consistency=stale", ids.first().expect("one"));
        let there = poll(Duration::from_secs(5), || {
            follower.client.get(&path).ok().filter(|reply| reply.status == 200)
        });
        assert!(there.is_some(), "{} does not learn of {path}", follower.name);
    }
}
