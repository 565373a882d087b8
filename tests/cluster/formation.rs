//! A cluster comes to be by itself, and takes in who is late.

use serde_json::Value;

use crate::support::{Cluster, commit_all, leaders, named};

#[test]
fn three_nodes_form_one_healthy_cluster_with_one_leader() {
    let cluster = Cluster::formed(3, &[]);
    let uuids: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| {
            let status = node.client.status().expect("a formed node answers");
            assert_eq!(leaders(&status).len(), 1, "{status:#?}");
            assert_eq!(status.can_lose, 1, "{status:#?}");
            status.cluster_uuid.expect("a formed cluster has an id")
        })
        .collect();
    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "{uuids:?}");
    for node in &cluster.nodes {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(node.client.get(path).map(|reply| reply.status), Ok(200), "{path}");
        }
    }
}

/// Scripts read the status with `.nodes[] | {id, healthy, role}`.
#[test]
fn the_status_lists_each_node_with_id_health_and_role() {
    let cluster = Cluster::formed(3, &[]);
    let status: Value = cluster.nodes[1].client.get("/cluster/status").expect("answers").ok();
    let nodes = status["nodes"].as_array().expect("nodes is a list");
    let mut roles: Vec<&str> = nodes.iter().filter_map(|node| node["role"].as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["Follower", "Follower", "Leader"], "{status:#}");
    let ids: Vec<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    assert_eq!(ids, ["n1", "n2", "n3"], "{status:#}");
    assert!(nodes.iter().all(|node| node["healthy"] == Value::Bool(true)), "{status:#}");
}

#[test]
fn a_majority_forms_and_serves_and_the_late_node_is_taken_in() {
    let mut cluster = Cluster::configured(3, &[]);
    cluster.start(0);
    cluster.start(1);
    cluster.whole();
    let status = cluster.nodes[0].client.status().expect("a formed node answers");
    assert!(named(&status, "n3").is_some_and(|node| !node.healthy), "{status:#?}");
    let early = commit_all(&[&cluster.nodes[0].client, &cluster.nodes[1].client], "early", 20);

    cluster.start(2);
    cluster.whole();
    let ours = cluster.nodes[0].client.status().and_then(|status| status.cluster_uuid);
    let theirs = cluster.nodes[2].client.status().and_then(|status| status.cluster_uuid);
    assert_eq!(ours, theirs);
    let late = commit_all(&[&cluster.nodes[2].client], "late", 5);
    cluster.assert_kept(&early.union(&late).cloned().collect());
}
