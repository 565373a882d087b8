//! A node that missed more than the log keeps, and one that lost its disk.

use std::fs;

use crate::support::{Client, Cluster, commit_all};

const SMALL_LOG: &[&str] = &["snapshots.every_entries=50", "snapshots.keep_entries=10"];
const RECEIVED: &str = "snapshot received";

fn survivors(cluster: &Cluster) -> [&Client; 2] {
    [&cluster.nodes[0].client, &cluster.nodes[1].client]
}

#[test]
fn a_node_that_missed_more_than_the_log_keeps_catches_up_by_snapshot() {
    let mut cluster = Cluster::formed(3, SMALL_LOG);
    let mut acknowledged = commit_all(&survivors(&cluster), "all", 10);
    cluster.kill(2);
    acknowledged.extend(commit_all(&survivors(&cluster), "two", 300));
    assert!(!cluster.nodes[2].log().contains(RECEIVED));

    cluster.start(2);
    cluster.whole();
    cluster.assert_kept(&acknowledged);
    assert!(cluster.nodes[2].log().contains(RECEIVED));
    // And it follows the log again.
    acknowledged.extend(commit_all(&[&cluster.nodes[2].client], "after", 20));
    cluster.assert_kept(&acknowledged);
}

#[test]
fn a_node_with_a_wiped_disk_replaces_its_old_self() {
    let mut cluster = Cluster::formed(3, SMALL_LOG);
    let mut acknowledged = commit_all(&survivors(&cluster), "all", 150);
    let old_id = cluster.own(2).and_then(|own| own.raft_id).expect("a member has a number");
    cluster.kill(2);
    fs::remove_dir_all(&cluster.nodes[2].data_dir).expect("a data folder can be removed");

    cluster.start(2);
    let new_id = cluster.wait("the wiped node is a voter under a new number", |cluster| {
        let own = cluster.own(2).filter(|own| own.voter)?;
        own.raft_id.filter(|id| *id != old_id)
    });
    assert!(new_id > old_id, "{new_id} was used before {old_id}");
    cluster.whole();
    let status = cluster.nodes[0].client.status().expect("answers");
    let ids: Vec<&str> = status.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["n1", "n2", "n3"], "the old self is still there");
    assert_eq!(status.can_lose, 1, "{status:#?}");
    acknowledged.extend(commit_all(&[&cluster.nodes[2].client], "after", 20));
    cluster.assert_kept(&acknowledged);
}
