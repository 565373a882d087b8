//! `/cluster/events` of real nodes, as a page that shows an election follows them.

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use stegcluster::clock::{self, Instant};

use crate::support::{Client, Cluster};

/// What a status may take after the event that tells of the same change. The page has as long
/// again before a person would notice.
const AT_ONCE: Duration = Duration::from_millis(100);

/// One server-sent event.
#[derive(Debug, Clone)]
pub struct Frame {
    pub at: Instant,
    pub event: String,
    pub id: String,
    pub data: Value,
}

/// A stream of events, read on a thread that ends with the stream.
#[derive(Debug, Clone)]
pub struct Frames(Arc<Mutex<Vec<Frame>>>);

impl Frames {
    pub fn open(client: &Client, path: &str, headers: &[(&str, &str)]) -> Self {
        let body = client.stream(path, headers);
        let frames = Self(Arc::default());
        let kept = frames.clone();
        std::thread::spawn(move || {
            let (mut event, mut id, mut data) = (String::new(), String::new(), Value::Null);
            for line in BufReader::new(body).lines().map_while(Result::ok) {
                match line.split_once(':') {
                    Some(("event", name)) => event = name.trim().to_owned(),
                    Some(("id", text)) => id = text.trim().to_owned(),
                    Some(("data", json)) => data = serde_json::from_str(json).unwrap_or_default(),
                    _ if line.is_empty() && !event.is_empty() => {
                        let event = std::mem::take(&mut event);
                        let (id, data) = (std::mem::take(&mut id), data.take());
                        kept.lock().push(Frame { at: clock::now(), event, id, data });
                    }
                    _ => {}
                }
            }
        });
        frames
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Frame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn find(&self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        self.lock().iter().find(|frame| wanted(frame)).cloned()
    }

    pub fn all(&self, event: &str) -> Vec<Frame> {
        self.lock().iter().filter(|frame| frame.event == event).cloned().collect()
    }

    fn changes(&self, kind: &str) -> Vec<Frame> {
        let of_kind = |frame: &&Frame| frame.event == "change" && frame.data["kind"] == kind;
        self.lock().iter().filter(of_kind).cloned().collect()
    }

    /// Sums of `count`, `answered` and `granted` of all messages of one kind to `to`.
    fn sent(&self, kind: &str, to: &str) -> [u64; 3] {
        let frames = self.lock();
        let reports = frames.iter().filter(|frame| frame.event == "traffic");
        let sent = reports.flat_map(|report| report.data["sent"].as_array().into_iter().flatten());
        let sent = sent.filter(|sent| sent["kind"] == kind && sent["to"] == to);
        sent.fold([0; 3], |sums, sent| {
            let number = |key: &str| sent[key].as_u64().unwrap_or_default();
            [sums[0] + number("count"), sums[1] + number("answered"), sums[2] + number("granted")]
        })
    }
}

#[test]
fn an_election_is_seen_as_it_happens_and_afterwards() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let streams: Vec<Frames> = cluster
        .nodes
        .iter()
        .map(|node| Frames::open(&node.client, "/cluster/events?history=500&traffic=1", &[]))
        .collect();
    let name = |index: usize| cluster.nodes[index].name.clone();
    let names: Vec<String> = (0..3).map(name).collect();
    let followers: Vec<usize> = (0..3).filter(|index| *index != old).collect();

    cluster.wait("history, heartbeats and probes are seen", |_| {
        let told = streams[old].changes("leader_changed");
        told.iter().find(|change| change.data["leader"] == names[old].as_str())?;
        let beats = followers.iter().all(|to| streams[old].sent("heartbeat", &names[*to])[1] > 1);
        let probes = followers.iter().all(|from| streams[*from].sent("probe", &names[old])[1] > 1);
        (beats && probes).then_some(())
    });
    let before: Vec<usize> = streams.iter().map(|frames| frames.lock().len()).collect();

    cluster.kill(old);
    let new = cluster.wait("both survivors tell of the new leader", |cluster| {
        let leaders: Vec<String> = followers
            .iter()
            .filter_map(|index| {
                let told = streams[*index].changes("leader_changed");
                let last = told.last()?.data["leader"].as_str()?.to_owned();
                (last != names[old]).then_some(last)
            })
            .collect();
        let agreed = leaders.len() == 2 && leaders[0] == leaders[1];
        cluster.nodes.iter().position(|node| agreed && node.name == leaders[0])
    });
    let voter = followers.iter().copied().find(|index| *index != new).expect("two survivors");
    cluster.wait("the vote was seen, and who gave it", |_| {
        let [asked, answered, granted] = streams[new].sent("vote", &names[voter]);
        let [rounds, ..] = streams[new].sent("preround", &names[voter]);
        let seen = asked >= 1 && answered >= 1 && granted >= 1 && rounds >= 1;
        let voted = streams[voter].changes("voted");
        let voted = voted.iter().any(|change| {
            let data = &change.data;
            data["granted"] == true
                && data["candidate"] == names[new].as_str()
                && data["node"] == names[voter].as_str()
        });
        (seen && voted).then_some(())
    });

    // On each stream, the state follows the event at once.
    for index in [new, voter] {
        let frames = streams[index].lock().split_off(before[index]);
        let leads = |frame: &&Frame, key: &str| frame.data[key] == names[new].as_str();
        let event = frames.iter().find(|f| f.event == "change" && leads(f, "leader"));
        let state = frames.iter().find(|f| f.event == "status" && leads(f, "leader_id"));
        let (event, state) = (event.expect("told"), state.expect("shown"));
        let behind = state.at.saturating_duration_since(event.at);
        assert!(behind < AT_ONCE, "the status came {behind:?} after the event");
        assert!(state.data["leader_since_ms"].as_u64() > Some(1_700_000_000_000), "{state:?}");
        assert_eq!(state.data["access"], "open");
    }
    cluster.start(old);
    cluster.whole();
}

#[test]
fn a_client_goes_on_where_it_was_and_a_step_down_is_told() {
    let cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let client = &cluster.nodes[old].client;
    let first = Frames::open(client, "/cluster/events?history=500", &[]);
    let last =
        cluster.wait("an event with a number", |_| first.changes("leader_changed").last().cloned());
    assert!(!last.id.is_empty(), "{last:?}");
    let reply = client.post("/admin/transfer-leader", &[], b"").expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    cluster.wait("the step-down is told", |_| first.changes("stepped_down").pop());

    let resumed = Frames::open(client, "/cluster/events", &[("last-event-id", &last.id)]);
    let stepped = cluster.wait("what was missed comes first", |_| {
        resumed.find(|frame| frame.data["kind"] == "stepped_down")
    });
    assert_eq!(stepped.data["node"], cluster.nodes[old].name.as_str());
    assert!(resumed.find(|frame| frame.id == last.id).is_none(), "told twice");
    let fresh = Frames::open(client, "/cluster/events?history=1", &[]);
    cluster.wait("one earlier event", |_| fresh.find(|frame| frame.event == "change"));
    for bad in ["history=501", "history=x", "traffic=2", "unknown=1"] {
        let reply = client.get(&format!("/cluster/events?{bad}")).expect("an answer");
        assert_eq!(reply.status, 400, "{bad}");
    }
}
