//! Leaders that are there and do not answer: stopped processes, disks that hang. Another
//! takes over; the old one acknowledges nothing, and loses nothing.

use std::time::Duration;

use stegcluster::api::problem::{Code, Problem};
use stegcluster::clock;
use stegcluster::detector::BUSY_FOR;

use crate::support::{Client, Cluster, PATIENCE, commit_all, poll};

/// Fault `action` at the node behind `client`, with what else the body says.
fn fail(client: &Client, action: &str, more: &str) {
    let body = format!("{{\"action\":\"{action}\"{more}}}");
    let reply = client.post("/admin/fail", &[], body.as_bytes()).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// The clients of all nodes but `one`, whose process may still run.
fn others(cluster: &Cluster, one: usize) -> Vec<&Client> {
    let others = cluster.nodes.iter().enumerate().filter(|(number, _)| *number != one);
    others.map(|(_, node)| &node.client).collect()
}

/// Waits until another running node than `old` leads, in the eyes of the others.
fn successor(cluster: &Cluster, old: usize) -> usize {
    cluster.wait("another node leads", |cluster| {
        let other = cluster.nodes.iter().enumerate().find(|(index, _)| *index != old)?.1;
        let leader = other.client.status().filter(|status| status.quorum)?.leader_id?;
        let index = cluster.nodes.iter().position(|node| node.name == leader.as_str())?;
        (index != old).then_some(index)
    })
}

#[test]
fn a_stopped_leader_is_replaced_and_serves_nothing_stale_when_it_wakes() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let term = cluster.term(old);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&all, "before", 9);

    cluster.nodes[old].freeze();
    let survivors: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    let new = cluster.wait("a survivor leads", |cluster| {
        let status = cluster.nodes[survivors[0]].client.status()?;
        let leader = status.leader_id.filter(|_| status.quorum && status.term > term)?;
        cluster.nodes.iter().position(|node| node.name == leader.as_str())
    });
    assert_ne!(new, old);
    let clients: Vec<&Client> =
        survivors.iter().map(|&index| &cluster.nodes[index].client).collect();
    // Reads and writes that reach the stopped leader: they lie in its sockets when it wakes.
    let stopped = &cluster.nodes[old].client;
    std::thread::scope(|scope| {
        let write = scope.spawn(|| stopped.commit("while-stopped"));
        acknowledged.extend(commit_all(&clients, "meanwhile", 9));
        let last = acknowledged.last().expect("some were acknowledged").clone();
        let read = scope.spawn(|| stopped.get("/api/records/before-0000"));
        cluster.nodes[old].thaw();
        // Begun after the last acknowledgement: it shows that record, or fails.
        for _ in 0..20 {
            let reply = stopped.get(&format!("/api/records/{last}")).expect("an answer");
            assert!([200, 503].contains(&reply.status), "{}: {}", reply.status, reply.text());
        }
        let read = read.join().expect("no panic").expect("an answer");
        assert!([200, 503].contains(&read.status), "{}", read.text());
        // It was accepted by nobody while the node was stopped, so it is in the new leader's
        // term, or nowhere.
        if write.join().expect("no panic").is_ok_and(|reply| reply.status == 200) {
            acknowledged.insert("while-stopped".to_owned());
        }
    });
    cluster.whole();
    cluster.assert_kept(&acknowledged);
    let own = cluster.own(old).expect("answers");
    assert_eq!(own.role, stegcluster::api::cluster::Role::Follower, "{own:#?}");
    assert!(own.term > term);
    cluster.kill(old);
}

/// What a process that is stopped does not do, no other part of it does either.
#[test]
fn the_freeze_of_a_drill_silences_the_whole_process_and_ends_by_itself() {
    let cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let client = &cluster.nodes[old].client;
    fail(client, "freeze", ",\"duration_ms\":1500");
    // The order's answer leaves some milliseconds before the process stops.
    cluster.wait("a request lies there until the process runs again", |_| {
        let asked_at = clock::now();
        let answer = client.get("/healthz").expect("an answer, now or then");
        assert_eq!(answer.status, 200);
        (asked_at.elapsed() > Duration::from_millis(1000)).then_some(())
    });
    cluster.whole();
}

#[test]
fn a_leader_with_a_stuck_disk_hands_over_and_then_ends_with_a_reason() {
    let settings = ["timings.fsync_handover_ms=200", "timings.fsync_exit_ms=2500"];
    let mut cluster = Cluster::formed(3, &settings);
    let old = cluster.whole();
    let term = cluster.term(old);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&all, "before", 9);

    let stalled_at = clock::now();
    fail(&cluster.nodes[old].client, "disk-stall", "");
    // Nobody writes: the node finds out by itself.
    let new = successor(&cluster, old);
    let took = stalled_at.elapsed();
    assert!(took < Duration::from_millis(2000), "the hand-over came after {took:?}");
    assert_eq!(cluster.term(new), term + 1, "one election, asked for");
    let survivors = others(&cluster, old);
    acknowledged.extend(commit_all(&survivors, "meanwhile", 9));

    // It says so, and refuses at once what it could not acknowledge.
    let own = cluster.wait("the old leader refuses quickly", |cluster| {
        let own = cluster.own(old)?;
        (own.condition == "stuck disk").then_some(own)
    });
    assert!(!own.healthy && own.write_age_ms.is_some_and(|age| age > 200.0), "{own:#?}");
    let asked_at = clock::now();
    let reply = cluster.nodes[old].client.get("/api/records?limit=1").expect("an answer");
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.json::<Problem>().code, Code::NoQuorum);
    assert!(asked_at.elapsed() < Duration::from_millis(500), "{:?}", asked_at.elapsed());

    assert_eq!(cluster.exit(old), Some(5), "it ends although a thread hangs");
    let log = cluster.nodes[old].log();
    assert!(log.contains("handing leadership over"), "{log}");
    assert!(log.contains("timings.fsync_exit_ms = 2500"), "{log}");
    cluster.start(old);
    cluster.whole();
    cluster.assert_kept(&acknowledged);
}

#[test]
fn a_follower_with_a_stuck_disk_ends_and_a_mended_one_goes_on() {
    let settings = ["timings.fsync_handover_ms=200", "timings.fsync_exit_ms=2500"];
    let mut cluster = Cluster::formed(3, &settings);
    let leader = cluster.whole();
    let term = cluster.term(leader);
    let follower = (leader + 1) % 3;
    let client = cluster.nodes[follower].client.clone();
    fail(&client, "disk-stall", "");
    let slow = poll(PATIENCE, || {
        let own = cluster.own(follower)?;
        (own.condition == "slow disk" || own.condition == "stuck disk").then_some(())
    });
    assert!(slow.is_some(), "it does not notice");
    // A follower passes records on, and that needs no disk of its own.
    let through = commit_all(&[&client], "through", 3);
    let reply = client.post("/admin/restore", &[], b"{}").expect("an answer");
    assert_eq!(reply.status, 200);
    cluster.whole();
    cluster.assert_kept(&through);

    fail(&client, "disk-stall", "");
    assert_eq!(cluster.exit(follower), Some(5), "it ends although a thread hangs");
    let status = cluster.nodes[leader].client.status().expect("answers");
    assert_eq!(status.term, term, "nobody was deposed: {status:#?}");
    cluster.start(follower);
    cluster.whole();
    cluster.assert_kept(&through);
}

#[test]
fn a_leader_cut_off_from_all_others_answers_503_quickly_and_serves_again() {
    let cluster = Cluster::formed(3, &["solo_after=never"]);
    let old = cluster.whole();
    let client = &cluster.nodes[old].client;
    fail(client, "isolate", "");
    let reply = cluster.wait("the old leader says that it has no quorum", |_| {
        let asked_at = clock::now();
        let reply = client.post("/api/commit", &[("idempotency-key", "cut-off")], b"").ok()?;
        let quick = asked_at.elapsed() < Duration::from_millis(500);
        (quick && reply.status == 503).then_some(reply)
    });
    assert_eq!(reply.json::<Problem>().code, Code::NoQuorum);
    let status = client.status().expect("answers");
    assert!(!status.quorum, "{status:#?}");
    let new = successor(&cluster, old);
    let kept = commit_all(&[&cluster.nodes[new].client], "meanwhile", 5);
    assert_eq!(client.post("/admin/restore", &[], b"{}").expect("an answer").status, 200);
    cluster.whole();
    cluster.assert_kept(&kept);
}

/// A leader that is asked nothing sends fewer pulses, and each says so. Its silence is found as surely.
#[test]
fn a_calm_leader_that_stops_is_replaced_too() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let term = cluster.term(old);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&all, "before", 6);

    let asked_at = clock::now();
    cluster.wait("the leader is calm: its last request is long enough ago", |_| {
        (asked_at.elapsed() > BUSY_FOR + Duration::from_secs(1)).then_some(())
    });
    cluster.nodes[old].freeze();
    let new = successor(&cluster, old);
    assert_eq!(cluster.term(new), term + 1, "one election");
    let survivors = others(&cluster, old);
    acknowledged.extend(commit_all(&survivors, "meanwhile", 6));
    cluster.nodes[old].thaw();
    cluster.whole();
    cluster.assert_kept(&acknowledged);
    cluster.kill(old);
}
