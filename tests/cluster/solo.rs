//! Nodes without a quorum serve alone, and what they acknowledge reaches every node once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use stegcluster::api::cluster::{Mode, Role};
use stegcluster::clock;

use crate::support::{Client, Cluster, PATIENCE, Reply, commit_all, poll};

/// For tests that are not about how long it takes.
const SHORT: &[&str] = &[
    "solo_after=1200ms",
    "timings.election_timeout_min_ms=500",
    "timings.election_timeout_max_ms=1000",
];
const PROMISE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_millis(5300);
const QUORUM_ONLY: (&str, &str) = ("x-durability", "quorum");

fn status_of(reply: Result<Reply, String>) -> u16 {
    reply.expect("the node answers").status
}

/// Commits a record and says how far the acknowledgement reaches.
fn durability(client: &Client, id: &str) -> String {
    let body: Value = client.commit(id).expect("the node answers").ok();
    body["durability"].as_str().expect("a text").to_owned()
}

/// Embeds `secret` under `id`. Durability and digest.
fn embed(client: &Client, id: &str, secret: &[u8]) -> (String, String) {
    let reply = client.form("/api/embed", &[("idempotency-key", id)], &[("file", secret)]);
    let body: Value = reply.expect("the node answers").ok();
    let text = |key: &str| body[key].as_str().expect("a text").to_owned();
    (text("durability"), text("sha256"))
}

fn record(client: &Client, id: &str) -> Value {
    client.get(&format!("/api/records/{id}?consistency=stale")).expect("the node answers").ok()
}

fn isolate(client: &Client) {
    let body = br#"{"action":"isolate"}"#;
    assert_eq!(status_of(client.post("/admin/fail", &[JSON], body)), 200);
}

fn restore(client: &Client) {
    assert_eq!(status_of(client.post("/admin/restore", &[], &[])), 200);
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn await_solo(cluster: &Cluster, index: usize) {
    cluster.wait("the node serves alone", |cluster| {
        let own = cluster.own(index)?;
        (own.mode == Mode::Solo).then_some(())
    });
    let own = cluster.own(index).expect("answers");
    assert_eq!((own.role, own.healthy), (Role::Leader, true), "{own:?}");
    let status = cluster.nodes[index].client.status().expect("answers");
    assert_eq!((status.quorum, status.leader_id), (false, None));
}

/// Waits until all nodes are one cluster and nothing waits to get into the ledger.
fn healed(cluster: &Cluster) {
    cluster.whole();
    cluster.wait("the journals are empty", |cluster| {
        let mut running = (0..cluster.nodes.len()).filter(|index| cluster.nodes[*index].runs());
        running.all(|index| cluster.own(index).is_some_and(|own| own.journal == 0)).then_some(())
    });
}

#[test]
fn a_fresh_lone_node_of_three_is_usable_after_five_seconds_and_forgets_nothing() {
    let mut cluster = Cluster::configured(3, &[]);
    let spawned = clock::now();
    cluster.start(0);
    let client = cluster.nodes[0].client.clone();
    let up = poll(PATIENCE, || client.get("/healthz").ok().map(|_| clock::now()));
    let up = up.expect("the node answers");
    assert_eq!(status_of(client.get("/readyz")), 503);
    let ready = poll(PATIENCE, || {
        client.get("/readyz").ok().filter(|reply| reply.status == 200).map(|_| clock::now())
    });
    let ready = ready.expect("the node serves alone");
    assert!(ready - spawned >= *PROMISE.start(), "after {:?}", ready - spawned);
    assert!(ready - up <= *PROMISE.end(), "after {:?}", ready - up);
    await_solo(&cluster, 0);

    let mut acknowledged = BTreeSet::from(["lone-embed".to_owned(), "lone-commit".to_owned()]);
    let (how, sha256) = embed(&client, "lone-embed", b"on my own");
    assert_eq!(how, "local");
    assert_eq!(embed(&client, "lone-embed", b"on my own"), (how, sha256.clone()), "replayed");
    assert_eq!(durability(&client, "lone-commit"), "local");
    let quorum = client.post("/api/commit", &[QUORUM_ONLY], &[]).expect("the node answers");
    assert_eq!((quorum.status, quorum.json::<Value>()["code"].as_str()), (503, Some("no_quorum")));
    assert_eq!(status_of(client.get("/api/records")), 503);
    assert_eq!(client.record_ids(), Ok(acknowledged.clone()));
    let before = record(&client, "lone-embed");
    assert_eq!((&before["durability"], &before["stego_sha256"]), (&"local".into(), &sha256.into()));

    cluster.kill(0);
    cluster.start(0);
    let kept = poll(PATIENCE, || client.record_ids().ok());
    assert_eq!(kept, Some(acknowledged.clone()), "a crash keeps the journal");

    cluster.start(1);
    cluster.start(2);
    healed(&cluster);
    acknowledged.extend(commit_all(&[&client], "formed", 5));
    cluster.assert_kept(&acknowledged);
    for node in &cluster.nodes {
        assert_eq!(record(&node.client, "lone-embed"), before, "unchanged on {}", node.name);
    }
    assert_eq!(cluster.caught_up(0).len(), acknowledged.len(), "nothing is there twice");
}

#[test]
fn a_request_to_a_member_just_cut_off_is_answered_within_the_promise() {
    let cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let client = &cluster.nodes[(leader + 1) % 3].client;
    isolate(client);
    let cut = clock::now();
    assert_eq!(durability(client, "in-flight"), "local");
    let took = cut.elapsed();
    assert!(PROMISE.contains(&took), "after {took:?}");
    restore(client);
    healed(&cluster);
    cluster.assert_kept(&BTreeSet::from(["in-flight".to_owned()]));
}

#[test]
fn both_sides_of_a_partition_serve_and_nothing_is_lost_or_doubled() {
    let cluster = Cluster::formed(3, SHORT);
    let alone = cluster.whole();
    let cut_off = &cluster.nodes[alone].client;
    let mut acknowledged = commit_all(&[cut_off], "before", 5);
    isolate(cut_off);
    await_solo(&cluster, alone);
    let others: Vec<&Client> =
        (1..3).map(|step| &cluster.nodes[(alone + step) % 3].client).collect();
    acknowledged.extend(commit_all(&others, "majority", 30));
    acknowledged.extend(commit_all(&[cut_off], "minority", 30));
    // One id, on both sides: for the same embed, and for two.
    let sides = [cut_off, others[0]];
    let [here, there] = sides.map(|side| embed(side, "both", b"one secret"));
    assert_eq!((here.0.as_str(), there.0.as_str(), here.1), ("local", "quorum", there.1));
    let first = embed(others[0], "reused", b"with the majority").1;
    let second = embed(cut_off, "reused", b"alone").1;
    acknowledged.extend(["both", "reused"].map(str::to_owned));
    let minority = record(cut_off, "minority-0007");

    restore(cut_off);
    healed(&cluster);
    assert_eq!(durability(cut_off, "after"), "quorum");
    acknowledged.insert("after".into());
    cluster.assert_kept(&acknowledged);
    let held = cluster.caught_up(alone);
    let more: Vec<_> = held.difference(&acknowledged).collect();
    let [conflict] = more[..] else { panic!("{more:?}") };
    assert!(conflict.starts_with("reused.conflict-"), "{conflict}");
    for node in &cluster.nodes {
        let digest = |id: &str| record(&node.client, id)["stego_sha256"].clone();
        assert_eq!(
            (digest("reused"), digest(conflict)),
            (first.clone().into(), second.clone().into())
        );
        assert_eq!(record(&node.client, "minority-0007"), minority);
    }
    let metrics = cut_off.get("/metrics").expect("the node answers");
    let metrics = String::from_utf8(metrics.body).expect("metrics are text");
    assert!(metrics.contains("stegcluster_journal_conflicts_total 1"), "{metrics}");
}

/// Four nodes need three: a follower that hears its leader is without a quorum as well.
#[test]
fn a_follower_whose_leader_has_no_quorum_serves_alone_too() {
    let mut cluster = Cluster::formed(4, SHORT);
    let leader = cluster.whole();
    let follower = (leader + 1) % 4;
    let lost = [(leader + 2) % 4, (leader + 3) % 4];
    let mut acknowledged = commit_all(&[&cluster.nodes[leader].client], "before", 5);
    for index in lost {
        cluster.kill(index);
    }
    for index in [leader, follower] {
        await_solo(&cluster, index);
        let client = &cluster.nodes[index].client;
        acknowledged.extend(commit_all(&[client], &format!("alone-{index}"), 10));
        let refused = client.post("/api/commit", &[QUORUM_ONLY], &[]);
        assert_eq!(status_of(refused), 503);
    }
    for index in lost {
        cluster.start(index);
    }
    healed(&cluster);
    cluster.assert_kept(&acknowledged);
    assert_eq!(cluster.caught_up(follower).len(), acknowledged.len());
}

#[test]
fn nodes_that_served_alone_before_they_formed_bring_all_of_it() {
    let mut cluster = Cluster::configured(3, SHORT);
    let mut acknowledged = BTreeSet::new();
    for index in [0, 1] {
        cluster.start(index);
        await_solo(&cluster, index);
        let client = &cluster.nodes[index].client;
        acknowledged.extend(commit_all(&[client], &format!("alone-{index}"), 10));
        assert_eq!(durability(client, "common"), "local");
        cluster.terminate(index);
    }
    acknowledged.insert("common".into());
    for index in 0..3 {
        cluster.start(index);
    }
    healed(&cluster);
    cluster.assert_kept(&acknowledged);
    assert_eq!(cluster.caught_up(2).len(), acknowledged.len());
}

#[test]
fn a_node_told_never_to_serve_alone_does_not() {
    let mut cluster = Cluster::configured(3, &["solo_after=never"]);
    cluster.start(0);
    let client = cluster.nodes[0].client.clone();
    poll(PATIENCE, || client.get("/healthz").ok()).expect("the node answers");
    // It waits as long as it ever does for a quorum.
    assert_eq!(status_of(client.commit("nobody")), 503);
    assert_eq!(cluster.own(0).map(|own| own.mode), Some(Mode::Forming));
}
