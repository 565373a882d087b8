//! A load that a node runs for whoever watches it in a browser.

use serde_json::Value;

use crate::support::{Cluster, Reply};
use crate::watching::Frames;

const JSON: (&str, &str) = ("content-type", "application/json");

fn start(cluster: &Cluster, index: usize, body: &str) -> Reply {
    let client = &cluster.nodes[index].client;
    client.post("/admin/bench", &[JSON], body.as_bytes()).expect("an answer")
}

fn status(cluster: &Cluster, index: usize) -> Value {
    cluster.nodes[index].client.get("/admin/bench").expect("an answer").ok()
}

#[test]
fn a_load_is_begun_watched_to_its_end_and_reported() {
    let cluster = Cluster::formed(3, &[]);
    cluster.whole();
    let client = &cluster.nodes[0].client;
    assert_eq!(client.get("/admin/bench").expect("an answer").status, 404);
    for bad in [r#"{"mode":"embed","clients":65,"requests":1}"#, r#"{"mode":"x","clients":1}"#] {
        let reply = start(&cluster, 0, bad);
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text());
    }
    let plan = r#"{"mode":"commit","clients":4,"duration_s":1.5}"#;
    let reply = start(&cluster, 0, plan);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json::<Value>()["id"].clone();
    let second = start(&cluster, 0, plan);
    assert_eq!(second.status, 409, "{}", second.text());
    assert_eq!(second.json::<Value>()["code"], "bench_running");

    let frames = Frames::open(client, "/admin/bench/events", &[]);
    let end = cluster.wait("the end", |_| frames.find(|frame| frame.event == "end"));
    assert_eq!((&end.data["state"], &end.data["id"]), (&"done".into(), &id));
    let report = &end.data["report"];
    assert_eq!(report["schema"], 1);
    assert_eq!((&report["failed"], &report["clients"]), (&0.into(), &4.into()));
    let ok = report["ok"].as_u64().expect("a number");
    assert!(ok > 20, "{report}");
    for node in &cluster.nodes {
        assert!(report["per_node"][&node.name]["ok"].as_u64() > Some(0), "{report}");
    }
    let ticks = frames.all("tick");
    assert!((4..=12).contains(&ticks.len()), "{} ticks in 1.5 s", ticks.len());
    let last = &ticks.last().expect("some").data;
    assert_eq!(last["ok"].as_u64(), Some(ok));
    assert!(ticks.iter().any(|tick| tick.data["p95_ms"].is_number()), "{last}");
    assert!(last["leader"].is_string(), "{last}");
    // Whoever comes late hears the same.
    let late = Frames::open(client, "/admin/bench/events", &[]);
    cluster.wait("the end, again", |_| late.find(|frame| frame.event == "end"));
    assert_eq!(late.all("tick").len(), ticks.len());
    assert_eq!(status(&cluster, 0)["state"], "done");
}

#[test]
fn a_load_is_cancelled_and_ends_with_its_node() {
    let mut cluster = Cluster::formed(3, &[]);
    cluster.whole();
    let plan = r#"{"mode":"embed","clients":8,"duration_s":300}"#;
    let reply = start(&cluster, 1, plan);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let client = cluster.nodes[1].client.clone();
    let frames = Frames::open(&client, "/admin/bench/events", &[]);
    cluster.wait("some successes", |_| {
        frames.find(|frame| frame.event == "tick" && frame.data["ok"].as_u64() > Some(3))
    });
    let reply = client.ask("DELETE", "/admin/bench", &[]).expect("an answer");
    let ended: Value = reply.ok();
    assert_eq!(ended["state"], "cancelled");
    assert!(ended["report"]["ok"].as_u64() > Some(3), "{ended}");
    cluster.wait("the watcher hears the end", |_| frames.find(|frame| frame.event == "end"));

    assert_eq!(start(&cluster, 1, plan).status, 201, "another one after it");
    assert_eq!(cluster.terminate(1), Some(0), "a node that stops ends its load");
}
