//! Nobody is deposed by mistake: a leader that a quorum can reach keeps its term, whatever one
//! node makes of it.
//!
//! That a follower's wall clock jumps needs no test here: no room that decides who leads can read
//! it, as the tidy test holds.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use stegcluster::api::cluster::Role;
use stegcluster::clock;

use crate::support::{Client, Cluster, commit_all};

/// Longer than the longest election timeout (2 s): who heard nothing for so long has stood.
const LONG: Duration = Duration::from_millis(2300);

/// For `LONG`, commits through `servers` and looks at every node. Fails as soon as a node is in
/// another term than `term`, or `leader` does not lead. The ids committed.
fn stays(
    cluster: &Cluster,
    (leader, term): (usize, u64),
    servers: &[usize],
    prefix: &str,
) -> BTreeSet<String> {
    let clients: Vec<&Client> = servers.iter().map(|index| &cluster.nodes[*index].client).collect();
    let until = clock::now() + LONG;
    let mut committed = BTreeSet::new();
    for round in 0.. {
        committed.extend(commit_all(&clients, &format!("{prefix}-{round}"), clients.len()));
        for index in 0..cluster.nodes.len() {
            let Some(own) = cluster.own(index) else { panic!("{index} does not answer") };
            assert_eq!(own.term, term, "{prefix}: the term of {}", own.id);
            assert_eq!(own.role == Role::Leader, index == leader, "{prefix}: {} leads", own.id);
        }
        if clock::now() >= until {
            break;
        }
    }
    committed
}

#[test]
fn a_leader_whose_listener_closed_is_left_in_place() {
    let cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let term = cluster.term(leader);
    let node = &cluster.nodes[leader];
    node.client.fail(r#"{"action":"deafen"}"#);
    let dial = || TcpStream::connect(("127.0.0.1", node.raft_port));
    cluster.wait("the Raft port is closed", |_| dial().is_err().then_some(()));
    let mut committed = stays(&cluster, (leader, term), &[leader], "deaf");
    assert!(dial().is_err(), "the Raft port was closed all the time");

    node.client.restore();
    cluster.wait("the Raft port is open again", |_| dial().ok());
    assert_eq!((cluster.whole(), cluster.term(leader)), (leader, term));
    committed.extend(commit_all(&[&node.client], "after", 5));
    cluster.assert_kept(&committed);
}

#[test]
fn a_leader_that_one_follower_cannot_reach_is_left_in_place() {
    let cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let term = cluster.term(leader);
    let [other, lonely] = [1, 2].map(|step| (leader + step) % 3);
    let name = &cluster.nodes[lonely].name;
    let mut committed = BTreeSet::new();
    let noticed = || cluster.nodes[lonely].log().matches("failed to reach the leader").count();
    for direction in ["both", "in", "out"] {
        let before = noticed();
        let fault =
            format!(r#"{{"action":"isolate","peers":["{name}"],"direction":"{direction}"}}"#);
        cluster.nodes[leader].client.fail(&fault);
        committed.extend(stays(&cluster, (leader, term), &[leader, other], direction));
        // It did notice: otherwise this would show nothing.
        assert!(noticed() > before, "{direction}: {name} did not miss its leader");
        cluster.nodes[leader].client.restore();
        assert_eq!((cluster.whole(), cluster.term(lonely)), (leader, term), "{direction}");
    }
    cluster.assert_kept(&committed);
}

#[test]
fn a_node_that_returns_with_an_older_log_takes_its_place_and_no_more() {
    let mut cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let term = cluster.term(leader);
    let [other, late] = [1, 2].map(|step| (leader + step) % 3);
    cluster.kill(late);
    let clients = [leader, other].map(|index| cluster.nodes[index].client.clone());
    let mut committed = commit_all(&clients.each_ref(), "missed", 300);
    cluster.start(late);
    assert_eq!(cluster.whole(), leader);
    committed.extend(stays(&cluster, (leader, term), &[leader, other, late], "returned"));
    cluster.assert_kept(&committed);
}

/// Every core is busy twice over, with plain work and with pictures.
#[test]
fn a_leader_on_a_saturated_machine_is_left_in_place() {
    const SECRET: &[u8] = &[7; 4096];
    let cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let term = cluster.term(leader);
    let cores = available_parallelism().map_or(2, usize::from);
    let stop = AtomicBool::new(false);
    let clients: Vec<Client> = cluster.nodes.iter().map(|node| node.client.clone()).collect();
    let committed = std::thread::scope(|scope| {
        let stop = &stop;
        for _ in 0..cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for client in clients.iter().cycle().take(2 * cores.max(3)) {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Slow or shed: what counts is who leads.
                    let _ = client.form("/api/embed", &[], &[("file", SECRET)]);
                }
            });
        }
        let _guard = StopOnDrop(stop);
        stays(&cluster, (leader, term), &[0, 1, 2], "busy")
    });
    assert_eq!((cluster.whole(), cluster.term(leader)), (leader, term));
    for index in 0..3 {
        let held = cluster.caught_up(index);
        assert!(committed.is_subset(&held), "{} lost records", cluster.nodes[index].name);
    }
}

/// Also by a panic: the scope waits for its threads.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
