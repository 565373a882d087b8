//! A cluster of one, and stopping politely.

use stegcluster::api::cluster::Role;

use crate::support::{Client, Cluster, commit_all};

#[test]
fn a_node_without_peers_is_a_cluster_of_one_and_remembers() {
    let mut cluster = Cluster::configured(1, &[]);
    cluster.start(0);
    cluster.whole();
    let own = cluster.own(0).expect("answers");
    assert_eq!((own.role, own.healthy), (Role::Leader, true));
    let mut acknowledged = commit_all(&[&cluster.nodes[0].client], "first", 10);

    assert_eq!(cluster.terminate(0), Some(0), "it stops as asked");
    cluster.start(0);
    cluster.whole();
    cluster.assert_kept(&acknowledged);

    acknowledged.extend(commit_all(&[&cluster.nodes[0].client], "second", 10));
    cluster.kill(0);
    cluster.start(0);
    cluster.whole();
    cluster.assert_kept(&acknowledged);
}

#[test]
fn a_leader_told_to_stop_hands_over_first() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let term = cluster.term(old);
    let clients: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&clients, "before", 15);

    assert_eq!(cluster.terminate(old), Some(0), "it stops as asked");
    assert!(cluster.nodes[old].log().contains("handing leadership over"));
    // No waiting: by the time that the old leader is gone, there is a new one.
    let status = cluster.running().next().and_then(|node| node.client.status()).expect("answers");
    assert_eq!(status.term, term + 1, "one election, asked for: {status:#?}");
    assert!(status.quorum, "{status:#?}");
    let survivors: Vec<&Client> = cluster.running().map(|node| &node.client).collect();
    acknowledged.extend(commit_all(&survivors, "after", 15));

    cluster.start(old);
    cluster.whole();
    cluster.assert_kept(&acknowledged);
}
