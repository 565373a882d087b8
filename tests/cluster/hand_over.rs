//! Leadership handed over as planned: by command at any node, and when a leader is told to
//! stop, while clients write.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use stegcluster::api::cluster::AdminResponse;
use stegcluster::api::problem::{Code, Problem};

use crate::support::{Client, Cluster, PATIENCE, command, commit_all, poll};

const WRITERS_PER_NODE: usize = 2;

/// What the writers met with.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<BTreeSet<String>>,
    refused: Mutex<Vec<String>>,
    stop: AtomicBool,
    commits: AtomicUsize,
}

impl Seen {
    /// Waits until `count` more commits were acknowledged.
    fn await_commits(&self, count: usize) {
        let goal = self.commits.load(Ordering::Relaxed) + count;
        let reached =
            poll(PATIENCE, || (self.commits.load(Ordering::Relaxed) >= goal).then_some(()));
        assert!(reached.is_some(), "not {count} commits in {PATIENCE:?}");
    }

    /// One record after the other. Each must be acknowledged at the first attempt.
    fn write(&self, client: &Client, prefix: &str) {
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let id = format!("{prefix}-{number}");
            match client.commit(&id) {
                Ok(reply) if reply.status == 200 => {
                    self.acknowledged.lock().expect("writers do not panic").insert(id);
                    self.commits.fetch_add(1, Ordering::Relaxed);
                }
                other => {
                    let text = other.map_or_else(|error| error, |reply| reply.text());
                    self.refused.lock().expect("writers do not panic").push(text);
                }
            }
        }
    }
}

/// Writes through `through` while `act` acts, and for some commits before and after. What was
/// acknowledged; fails where anything was not.
fn without_a_failed_request(
    cluster: &Cluster,
    through: &[usize],
    act: impl FnOnce(&Cluster),
) -> BTreeSet<String> {
    let seen = Seen::default();
    std::thread::scope(|scope| {
        for node in through {
            for writer in 0..WRITERS_PER_NODE {
                let client = &cluster.nodes[*node].client;
                let prefix = format!("w{node}.{writer}");
                let seen = &seen;
                scope.spawn(move || seen.write(client, &prefix));
            }
        }
        let run = std::panic::AssertUnwindSafe(|| {
            seen.await_commits(50);
            act(cluster);
            seen.await_commits(50);
        });
        let outcome = std::panic::catch_unwind(run);
        seen.stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    let refused = seen.refused.into_inner().expect("writers do not panic");
    assert!(refused.is_empty(), "{} requests failed: {refused:?}", refused.len());
    seen.acknowledged.into_inner().expect("writers do not panic")
}

fn transfer(client: &Client, body: &str) -> AdminResponse {
    client.post("/admin/transfer-leader", &[], body.as_bytes()).expect("an answer").ok()
}

#[test]
fn leadership_goes_over_by_command_without_a_failed_request() {
    let cluster = Cluster::formed(3, &[]);
    let first = cluster.whole();
    let (second, third) = ((first + 1) % 3, (first + 2) % 3);
    let kept = without_a_failed_request(&cluster, &[0, 1, 2], |cluster| {
        let names = |index: usize| cluster.nodes[index].name.clone();
        // The leader itself, told whom.
        let body = format!("{{\"to\":\"{}\"}}", names(second));
        let transfer_1 = transfer(&cluster.nodes[first].client, &body).transfer.expect("a report");
        assert_eq!(transfer_1.old_leader.as_str(), names(first));
        assert_eq!(transfer_1.new_leader.as_str(), names(second));
        // A node that does not lead passes the order on.
        let transfer_2 = transfer(&cluster.nodes[third].client, "").transfer.expect("a report");
        assert_eq!(transfer_2.old_leader.as_str(), names(second));
        assert_ne!(transfer_2.new_leader.as_str(), names(second));
        assert_eq!(transfer_2.term, transfer_1.term + 1, "one election each");
    });
    cluster.whole();
    cluster.assert_kept(&kept);
}

#[test]
fn a_leader_told_to_stop_fails_no_request_of_others_nor_its_own() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let term = cluster.term(old);
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    let kept = without_a_failed_request(&cluster, &others, |cluster| {
        let own = &cluster.nodes[old].client;
        // Its own clients: whatever it accepts it answers.
        let outcome: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| scope.spawn(move || commits_until_refused(own, writer)))
                .collect();
            cluster.nodes[old].terminate();
            writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
        });
        for (acknowledged, end) in outcome {
            assert!(end.contains("refused"), "after {acknowledged} commits: {end}");
        }
    });
    assert_eq!(cluster.exit(old), Some(0), "it stops as asked");
    let status = cluster.running().next().and_then(|node| node.client.status()).expect("answers");
    assert_eq!(status.term, term + 1, "one election, asked for: {status:#?}");
    cluster.start(old);
    cluster.whole();
    cluster.assert_kept(&kept);
}

/// How many commits were acknowledged before one was not, and why that was not.
fn commits_until_refused(client: &Client, writer: usize) -> (usize, String) {
    for number in 0.. {
        match client.commit(&format!("own{writer}-{number}")) {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => return (number, reply.text()),
            Err(error) => return (number, error),
        }
    }
    unreachable!("the numbers do not end")
}

#[test]
fn orders_that_make_no_sense_are_refused_in_words() {
    let mut cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let (down, other) = ((leader + 1) % 3, (leader + 2) % 3);
    for asked in [leader, other] {
        let client = &cluster.nodes[asked].client;
        let reply =
            client.post("/admin/transfer-leader", &[], b"{\"to\":\"n9\"}").expect("an answer");
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.json::<Problem>().error.contains("the voters are n1, n2, n3"));
    }
    cluster.kill(down);
    let body = format!("{{\"to\":\"{}\"}}", cluster.nodes[down].name);
    let client = &cluster.nodes[leader].client;
    let reply = client.post("/admin/transfer-leader", &[], body.as_bytes()).expect("an answer");
    assert_eq!(reply.status, 503, "{}", reply.text());
    let problem: Problem = reply.json();
    assert_eq!(problem.code, Code::NotReady);
    assert!(problem.error.contains("cannot lead now"), "{}", problem.error);
    // It leads on: the order was refused before anything was given up.
    commit_all(&[client], "after", 5);

    let servers = format!("--servers=127.0.0.1:{}", cluster.nodes[other].http_port);
    let output = command(&["transfer-leader".to_owned(), servers, "--json=-".to_owned()])
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["old_leader"], cluster.nodes[leader].name, "{report}");
    assert_eq!(report["new_leader"], cluster.nodes[other].name, "{report}");
}
