//! What must happen, and how fast, after one fault in a healthy cluster: the promises that
//! are made to operators, each with a run of its own.

use std::sync::Arc;
use std::time::Duration;

use stegcluster::clock;
use stegcluster::config::Preset;
use stegcluster::ident::{RaftId, Term};
use stegcluster::record::Durability;
use stegcluster::sim::net::{self, Quality};
use stegcluster::sim::{self, random};

use crate::clients;
use crate::cluster::Cluster;
use crate::faults::Fault;
use crate::host::Host;
use crate::properties::liveness;
use crate::run::scenario;

/// As on a real node that nobody configured.
const SOLO_AFTER: Option<Duration> = Some(Preset::Lan.solo_after());

/// Runs `body` on a healthy cluster of `hosts`, with several seeds, and all checks.
fn with_cluster<F, Fut>(hosts: usize, body: F)
where
    F: Fn(Arc<Cluster>, usize) -> Fut + Send + Copy + 'static,
    Fut: Future<Output = ()>,
{
    for seed in 1..=10 {
        let outcome = scenario(seed, None, move |_| async move {
            let cluster = Arc::new(Cluster::new(&vec![SOLO_AFTER; hosts], Default::default()));
            cluster.hosts.iter().for_each(|host| host.start());
            if liveness::await_whole(&cluster).await.is_some() {
                // Long enough for every follower's watch to be held.
                sim::pass(Duration::from_millis(500)).await;
                for host in &cluster.hosts {
                    clients::put_new(&cluster, host, Durability::Quorum).await;
                }
                body(Arc::clone(&cluster), cluster.leader().unwrap()).await;
            }
            (cluster, Duration::ZERO)
        });
        assert!(outcome.violations.is_empty(), "{}", crate::seeds::report(seed, &outcome));
    }
}

fn must(cluster: &Cluster, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        cluster.checks.violation(what());
    }
}

/// Simulated milliseconds from now until a write through a survivor is acknowledged.
async fn until_served(cluster: &Arc<Cluster>, gone: usize) -> f64 {
    let began = clock::now();
    let survivor = cluster.hosts[(gone + 1) % cluster.hosts.len()].clone();
    while clients::put_new(cluster, &survivor, Durability::Quorum).await.is_none() {}
    clock::millis(began.elapsed())
}

/// Also where a node that is cut off from the leader alone serves alone meanwhile.
fn agreed(cluster: &Cluster) -> Option<(RaftId, Term)> {
    liveness::led(cluster)
}

/// Holds the leader to its term while `fault` lasts and after it.
async fn changes_nothing(cluster: &Arc<Cluster>, fault: Fault) {
    let (leader, term) = agreed(cluster).unwrap();
    cluster.checks.lock().terms.begin_calm(leader, term);
    fault.begin(cluster).await;
    sim::pass(Duration::from_secs(4)).await;
    fault.end(cluster).await;
    sim::pass(Duration::from_secs(5)).await;
    must(cluster, agreed(cluster) == Some((leader, term)), || {
        format!("after {fault:?} the cluster is not as it was")
    });
}

#[test]
fn a_killed_leader_is_succeeded_in_a_few_round_trips() {
    with_cluster(3, |cluster, leader| async move {
        Fault::Kill(leader).begin(&cluster).await;
        let ms = until_served(&cluster, leader).await;
        // A hop takes up to 1 ms here and an fsync up to 2 ms.
        must(&cluster, ms <= 60.0, || format!("served {ms} ms after the kill"));
    });
}

#[test]
fn a_silent_leader_is_succeeded_within_some_probes() {
    for make in [Fault::PowerOff as fn(usize) -> Fault, Fault::Freeze, Fault::Isolate, Fault::Mute]
    {
        with_cluster(3, move |cluster, leader| async move {
            make(leader).begin(&cluster).await;
            let ms = until_served(&cluster, leader).await;
            must(&cluster, ms <= 600.0, || format!("served {ms} ms after {:?}", make(leader)));
            make(leader).end(&cluster).await;
            liveness::await_whole(&cluster).await;
        });
    }
}

#[test]
fn a_leader_that_wakes_serves_nothing_old() {
    with_cluster(3, |cluster, leader| async move {
        let (_, before) = agreed(&cluster).unwrap();
        Fault::Freeze(leader).begin(&cluster).await;
        until_served(&cluster, leader).await;
        Fault::Freeze(leader).end(&cluster).await;
        // Its answer, if it gives one, is checked against what was acknowledged meanwhile.
        let old = cluster.hosts[leader].clone();
        clients::read_once(&cluster, &old).await;
        let whole = liveness::await_whole(&cluster).await;
        must(&cluster, whole.is_some_and(|(_, term)| term > before), || {
            "the old leader leads on after it was succeeded".into()
        });
    });
}

#[test]
fn one_follower_that_cannot_reach_the_leader_deposes_nobody() {
    with_cluster(3, |cluster, leader| async move {
        let follower = (leader + 1) % 3;
        changes_nothing(&cluster, Fault::CutBoth(leader, follower)).await;
        changes_nothing(&cluster, Fault::Cut(leader, follower)).await;
        changes_nothing(&cluster, Fault::Cut(follower, leader)).await;
    });
}

#[test]
fn a_follower_that_comes_back_with_an_old_log_deposes_nobody() {
    with_cluster(3, |cluster, leader| async move {
        let follower = (leader + 2) % 3;
        for fault in [Fault::Kill(follower), Fault::Isolate(follower), Fault::Freeze(follower)] {
            changes_nothing(&cluster, fault).await;
        }
    });
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    with_cluster(3, |cluster, leader| async move {
        for (host, ms) in [(leader, 3_600_000), (leader, -3_600_000), ((leader + 1) % 3, 60_000)] {
            changes_nothing(&cluster, Fault::Clock(host, ms)).await;
        }
    });
}

#[test]
fn two_followers_of_five_that_see_no_leader_are_no_quorum() {
    with_cluster(5, |cluster, leader| async move {
        let (one, other) = ((leader + 1) % 5, (leader + 2) % 5);
        Fault::CutBoth(leader, one).begin(&cluster).await;
        changes_nothing(&cluster, Fault::CutBoth(leader, other)).await;
    });
}

#[test]
fn a_wiped_node_comes_back_under_a_new_number() {
    with_cluster(3, |cluster, leader| async move {
        let wiped = (leader + 1) % 3;
        let number = |cluster: &Cluster| {
            cluster.hosts[wiped].running().and_then(|running| running.core.views.borrow().me)
        };
        let before = number(&cluster);
        Fault::Wipe(wiped).begin(&cluster).await;
        Fault::Wipe(wiped).end(&cluster).await;
        liveness::await_whole(&cluster).await;
        let after = number(&cluster);
        must(&cluster, after.is_some() && after > before, || {
            format!("member {before:?} came back from an empty disk as {after:?}")
        });
        let host = cluster.hosts[wiped].clone();
        must(&cluster, clients::read_once(&cluster, &host).await, || "it serves no reads".into());
    });
}

#[test]
fn without_a_majority_nothing_is_formed() {
    for seed in 1..=10 {
        let outcome = scenario(seed, None, |_| async {
            let cluster = Arc::new(Cluster::new(&[SOLO_AFTER; 3], Default::default()));
            for (a, b) in cluster.directions() {
                cluster.cut(a, b);
            }
            cluster.hosts.iter().for_each(|host| host.start());
            sim::pass(Duration::from_secs(20)).await;
            for host in &cluster.hosts {
                let formed = host.running().and_then(|r| r.core.links.sender().cluster());
                must(&cluster, formed.is_none(), || format!("{} formed {formed:?}", host.name));
            }
            cluster.mend(0, 1);
            cluster.mend(1, 0);
            sim::pass(Duration::from_secs(10)).await;
            // The third finds it formed.
            for (a, b) in cluster.directions() {
                cluster.mend(a, b);
            }
            liveness::await_whole(&cluster).await;
            (cluster, Duration::ZERO)
        });
        assert!(outcome.violations.is_empty(), "{}", crate::seeds::report(seed, &outcome));
    }
}

#[test]
fn a_change_of_voters_survives_its_leader() {
    with_cluster(3, |cluster, leader| async move {
        let wiped = (leader + 1) % 3;
        Fault::Wipe(wiped).begin(&cluster).await;
        Fault::Wipe(wiped).end(&cluster).await;
        // Both sets of voters together: the wiped node's former self and its new one.
        let between = |cluster: &Cluster| {
            let leads = cluster.hosts[leader].running();
            leads.is_some_and(|r| r.core.views.borrow().voters().count() == 4)
        };
        let began = clock::now();
        while !between(&cluster) && began.elapsed() < liveness::BOUND {
            sim::pass(Duration::from_millis(1)).await;
        }
        must(&cluster, between(&cluster), || "the voters were never seen to change".into());
        Fault::KillAll.begin(&cluster).await;
        sim::pass(Duration::from_millis(50)).await;
        Fault::KillAll.end(&cluster).await;
        liveness::await_whole(&cluster).await;
    });
}

#[test]
fn a_node_that_stops_answers_no_read_from_behind() {
    with_cluster(3, |cluster, leader| async move {
        let follower = cluster.hosts[(leader + 1) % 3].clone();
        // It receives entries and applies them late.
        Fault::SlowDisk((leader + 1) % 3, 400).begin(&cluster).await;
        for _ in 0..3 {
            clients::put_new(&cluster, &cluster.hosts[leader], Durability::Quorum).await;
        }
        let reading = {
            let (cluster, follower) = (Arc::clone(&cluster), follower.clone());
            crate::run::spawn(async move {
                clients::read_once(&cluster, &follower).await;
            })
        };
        sim::pass(Duration::from_millis(20)).await;
        follower.stop();
        must(&cluster, reading.await.is_ok(), || "the reading client panicked".into());
    });
}

/// Embeds through one host, one after the other.
async fn embed_until(cluster: Arc<Cluster>, host: Arc<Host>, until: clock::Instant) {
    while clock::now() < until {
        sim::pass(Duration::from_millis(random::draw(|r| r.within(20..=150)))).await;
        clients::put_new(&cluster, &host, Durability::Local).await;
    }
}

#[test]
fn both_sides_of_a_partition_embed_for_a_minute_and_nothing_is_lost_or_doubled() {
    with_cluster(3, |cluster, leader| async move {
        // In some runs the leader is cut off, in others one that follows it.
        let alone = random::draw(|r| (leader + r.within(0..=2) as usize) % 3);
        let known = cluster.checks.lock().records.acked();
        Fault::Isolate(alone).begin(&cluster).await;
        let until = clock::now() + Duration::from_secs(60);
        let embed = |host: &Arc<Host>| {
            crate::run::spawn(embed_until(Arc::clone(&cluster), Arc::clone(host), until))
        };
        let clients: Vec<_> = cluster.hosts.iter().map(embed).collect();
        for client in clients {
            must(&cluster, client.await.is_ok(), || "a client panicked".into());
        }
        let (majority, minority) = {
            let records = &cluster.checks.lock().records;
            (records.acked() - known, records.acked_alone())
        };
        must(&cluster, majority >= 800 && minority >= 400, || {
            format!("only {majority} and {minority} embeds on the two sides in a minute")
        });
        let healed = clock::now();
        Fault::Isolate(alone).end(&cluster).await;
        liveness::await_whole(&cluster).await;
        let ms = clock::millis(healed.elapsed());
        println!("{majority} and {minority} embeds on the two sides; one ledger after {ms} ms");
        must(&cluster, cluster.drained() == minority as u64, || {
            format!("{} of {minority} journal entries were drained", cluster.drained())
        });
        crate::run::settle(&cluster).await;
    });
}

/// Simulated milliseconds until a record that begins now is acknowledged.
async fn put_ms(cluster: Arc<Cluster>, host: Arc<Host>) -> Option<f64> {
    let began = clock::now();
    let put = clients::put_new(&cluster, &host, Durability::Quorum).await;
    put.map(|_| clock::millis(began.elapsed()))
}

#[test]
fn on_long_ways_a_record_does_not_wait_for_the_one_before() {
    const WAY_MS: u64 = 10;
    with_cluster(3, |cluster, leader| async move {
        for (a, b) in cluster.directions() {
            let quality = Quality { delay_ms: (WAY_MS, WAY_MS), loss_percent: 0 };
            net::set_quality(cluster.hosts[a].ip, cluster.hosts[b].ip, quality);
        }
        let host = cluster.hosts[leader].clone();
        // By these it learns how long the ways are.
        for _ in 0..10 {
            put_ms(Arc::clone(&cluster), host.clone()).await;
        }
        let mut puts = Vec::new();
        for _ in 0..40 {
            sim::pass(Duration::from_millis(7)).await;
            puts.push(crate::run::spawn(put_ms(Arc::clone(&cluster), host.clone())));
        }
        for put in puts {
            // There and back, and two fsyncs of up to 2 ms. Whoever waits for the record before, which
            // began 7 ms ago, needs 13 ms more.
            let ms = put.await.ok().flatten();
            must(&cluster, ms.is_some_and(|ms| ms <= 28.0), || format!("a put took {ms:?} ms"));
        }
    });
}
