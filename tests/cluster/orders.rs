//! Orders and questions from web pages: whose page may ask what, and an order for another node.

use std::fs;

use stegcluster::api::cluster::AdminResponse;

use crate::support::{Client, Cluster, Node, named};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The `Authorization` that the dashboard of `node` asks its user for.
pub fn bearer(node: &Node) -> String {
    let token = fs::read_to_string(node.data_dir.join("admin.token")).expect("made at the start");
    format!("Bearer {}", token.trim())
}

fn origin(node: &Node) -> String {
    format!("http://{}:{}", node.host.ip, node.http_port)
}

fn order(client: &Client, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let headers: Vec<_> = headers.iter().copied().chain([JSON]).collect();
    let reply = client.post(path, &headers, body.as_bytes()).expect("an answer");
    (reply.status, reply.text())
}

#[test]
fn a_page_of_one_node_cuts_another_off_and_brings_it_back_and_no_other_page_may() {
    let cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let asked = &cluster.nodes[0];
    let target = (1..3).find(|index| *index != leader).expect("two others");
    let name = cluster.nodes[target].name.clone();
    // The page is from a third node: it lives on when that dies.
    let third = &cluster.nodes[3 - target];
    let (page, token) = (origin(third), bearer(asked));
    let (page, own) = (("origin", page.as_str()), ("authorization", token.as_str()));
    let isolate = format!(r#"{{"action":"isolate","node":"{name}"}}"#);

    let evil = ("origin", "http://evil.example");
    for (headers, expected) in [
        (&[evil][..], 403),
        (&[evil, own], 403),
        (&[page], 401),
        (&[page, ("authorization", "Bearer wrong")], 401),
        (&[page, ("authorization", &bearer(third))], 401),
    ] {
        let (status, text) = order(&asked.client, "/admin/fail", headers, &isolate);
        assert_eq!(status, expected, "{headers:?}: {text}");
    }

    let preflight = [page, ("access-control-request-method", "POST")];
    let reply = asked.client.ask("OPTIONS", "/admin/fail", &preflight).expect("an answer");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, page.1));
    assert!(reply.header("access-control-allow-headers").contains("authorization"));
    let reply = asked.client.ask("GET", "/cluster/status", &[page]).expect("an answer");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, page.1));
    let reply = asked.client.ask("GET", "/cluster/status", &[evil]).expect("an answer");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
    let policy = asked.client.ask("GET", "/", &[]).expect("an answer");
    let policy = policy.header("content-security-policy").to_owned();
    assert!(policy.contains(page.1), "{policy}");

    let (status, text) = order(&asked.client, "/admin/fail", &[page, own], &isolate);
    assert_eq!(status, 200, "{text}");
    let done: AdminResponse = serde_json::from_str(&text).expect("an AdminResponse");
    assert_eq!(done.node.as_str(), name);
    cluster.wait("the node is cut off", |cluster| {
        let status = cluster.nodes[0].client.status()?;
        named(&status, &name).filter(|node| !node.healthy).map(drop)
    });
    let restore = format!(r#"{{"node":"{name}"}}"#);
    let (status, text) = order(&asked.client, "/admin/restore", &[page, own], &restore);
    assert_eq!(status, 200, "through the gate that drops everything else: {text}");
    cluster.whole();

    let (status, text) = order(&asked.client, "/admin/restore", &[own], r#"{"node":"n9"}"#);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("n9 is no peer of this node"), "{text}");
    for node in &cluster.nodes {
        let log = node.log();
        assert!(!log.contains(bearer(asked).trim_start_matches("Bearer ")), "a token in the log");
        assert!(log.contains("admin.token"), "the log says where the token is");
    }
}
