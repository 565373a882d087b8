//! The drill catches what it is there to catch. The nodes are stand-ins that misbehave as planted;
//! real ones do not, and are drilled in `tests/cluster`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use stegcluster::api::cluster::{ClusterStatus, NodeStatus, Role};
use stegcluster::api::codec::RecordView;
use stegcluster::client::{Interrupt, Servers};
use stegcluster::drill::report::IterationReport;
use stegcluster::drill::{self, DrillPlan, DrillReport, FaultKind, Ground, Telling, evidence};
use stegcluster::ident::RecordId;
use stegcluster::record::{Digest, Durability, Method, Record};

const NODES: usize = 3;

/// What a stand-in does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// One node does not hold one acknowledged record in fifty.
    Loss,
    /// One node holds some record twice.
    Duplicate,
    /// One node holds some record with another picture's digest.
    Change,
    /// One node does not show what was acknowledged long ago.
    StaleRead,
}

/// What all stand-ins share: the ledger, and who leads.
struct Double {
    planted: Planted,
    addresses: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leader: usize,
    records: BTreeMap<RecordId, Record>,
}

impl Double {
    /// Its threads end with the test's process.
    fn start(planted: Planted) -> (Arc<Self>, Servers) {
        let listeners: Vec<TcpListener> =
            (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<String> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let servers = addresses.join(",").parse().unwrap();
        let double = Arc::new(Self { planted, addresses, state: Mutex::default() });
        for (number, listener) in listeners.into_iter().enumerate() {
            let double = Arc::clone(&double);
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let double = Arc::clone(&double);
                    std::thread::spawn(move || double.serve(number, &stream));
                }
            });
        }
        (double, servers)
    }

    fn serve(&self, number: usize, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut first = String::new();
            reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
            let (mut length, mut key) = (0, String::new());
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().ok()?,
                    "idempotency-key" => value.clone_into(&mut key),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let path = first.split(' ').nth(1)?;
            let (status, body) = self.answer(number, path, &key);
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            let mut stream = stream;
            stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
        }
    }

    fn answer(&self, number: usize, path: &str, key: &str) -> (u16, Vec<u8>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |value: serde_json::Value| (200, value.to_string().into_bytes());
        let missing = (404, br#"{"error":"no such record","code":"not_found"}"#.to_vec());
        match path.split('?').next().unwrap_or_default() {
            "/cluster/status" => found(json!(self.status(number, &state))),
            "/admin/transfer-leader" => {
                state.leader = (state.leader + 1) % NODES;
                found(json!({"node": name(number), "done": "handed over"}))
            }
            "/admin/restore" => found(json!({"node": name(number), "done": "restored"})),
            "/api/embed" => {
                let picture = format!("picture of {key}").into_bytes();
                state.enter(key, number, Method::Lsb, &picture);
                (200, picture)
            }
            "/api/commit" => found(json!(state.enter(key, number, Method::None, b""))),
            "/api/records" => found(self.listing(number, &state)),
            other => match other.strip_prefix("/api/records/") {
                Some(_) if self.planted == Planted::StaleRead && number == 2 => missing,
                Some(id) => match state.records.get(&id.parse::<RecordId>().unwrap()) {
                    Some(record) => found(json!(RecordView::from(record.clone()))),
                    None => missing,
                },
                None => (503, b"{}".to_vec()),
            },
        }
    }

    /// Everything on one page.
    fn listing(&self, number: usize, state: &State) -> serde_json::Value {
        let mut records: Vec<RecordView> =
            state.records.values().cloned().map(RecordView::from).collect();
        let planted = if number == 1 { self.planted } else { Planted::Nothing };
        match planted {
            Planted::Loss => {
                let mut place = 0;
                records.retain(|_| {
                    place += 1;
                    place % 50 != 0
                });
            }
            Planted::Duplicate => records.extend(records.first().cloned()),
            Planted::Change => {
                records
                    .iter_mut()
                    .take(1)
                    .for_each(|view| view.record.stego_sha256 = Digest::of(b"other"));
            }
            Planted::Nothing | Planted::StaleRead => {}
        }
        json!({"records": records, "total": state.records.len(), "consistency": "stale"})
    }

    fn status(&self, number: usize, state: &State) -> ClusterStatus {
        let node = |other: usize| {
            let mut node =
                NodeStatus::unknown(name(other).parse().unwrap(), &self.addresses[other], "");
            node.role = if other == state.leader { Role::Leader } else { Role::Follower };
            (node.healthy, node.voter) = (true, true);
            (node.commit, node.applied) = (1, 1);
            node
        };
        ClusterStatus {
            node: name(number).parse().ok(),
            term: 1 + state.leader as u64,
            leader_id: name(state.leader).parse().ok(),
            quorum: true,
            nodes: (0..NODES).map(node).collect(),
            ..ClusterStatus::default()
        }
    }
}

impl State {
    fn enter(&mut self, key: &str, number: usize, method: Method, picture: &[u8]) -> Record {
        let id: RecordId = key.parse().unwrap();
        let record = Record {
            id: id.clone(),
            time_ms: 1,
            node: name(number).parse().unwrap(),
            method,
            secret_bytes: 0,
            cover_bytes: 0,
            stego_bytes: 0,
            cover_sha256: Digest::of(b""),
            stego_sha256: Digest::of(picture),
            durability: Durability::Quorum,
        };
        self.records.entry(id).or_insert(record).clone()
    }
}

fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

/// Two hand-overs among stand-ins.
fn drill(planted: Planted) -> (drill::Drilled, Ground) {
    let (_double, servers) = Double::start(planted);
    let mut ground = Ground::Remote(servers, None);
    let plan = DrillPlan {
        iterations: 2,
        faults: vec![FaultKind::Transfer],
        clients: 2,
        pace_ms: 5,
        ..DrillPlan::default()
    };
    let ignore = |_: u32, _: &IterationReport| {};
    let telling = Telling { progress: &|_| {}, iteration: &ignore };
    let drilled = drill::run(&mut ground, &plan, &Interrupt::default(), &telling);
    (drilled.expect("the stand-ins play along"), ground)
}

fn report(planted: Planted) -> DrillReport {
    drill(planted).0.report
}

#[test]
fn stand_ins_that_do_no_wrong_are_found_sound() {
    let report = report(Planted::Nothing);
    assert!(report.is_sound() && report.met_targets(), "{:#?}", report.summary);
    assert!(report.summary.linearizable && report.summary.acked > 50, "{:#?}", report.summary);
}

#[test]
fn a_planted_loss_is_caught_and_the_evidence_is_kept() {
    let (drilled, mut ground) = drill(Planted::Loss);
    let summary = &drilled.report.summary;
    assert!(summary.lost > 0 && !drilled.report.is_sound(), "{summary:#?}");
    assert_eq!((summary.duplicated, summary.linearizable_missed), (0, 0), "{summary:#?}");
    assert!(summary.examples[0].contains("was acknowledged and is not on"), "{summary:#?}");

    let parent = tempfile::tempdir().unwrap();
    let folder = evidence::keep(parent.path(), &drilled, &mut ground).unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    assert_eq!(read("history.jsonl").lines().count(), drilled.operations.len());
    assert!(read("ledger-2.jsonl").lines().count() < read("ledger-1.jsonl").lines().count());
    assert!(read("verdict.txt").starts_with("seed 0\n"));
    let kept: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(kept["summary"]["lost"], summary.lost);
}

#[test]
fn a_planted_duplicate_and_a_planted_change_are_caught() {
    for planted in [Planted::Duplicate, Planted::Change] {
        let report = report(planted);
        let summary = &report.summary;
        assert_eq!((summary.lost, summary.duplicated), (0, 1), "{planted:?}: {summary:#?}");
        assert!(!report.is_sound());
    }
}

#[test]
fn a_planted_stale_read_is_caught() {
    let report = report(Planted::StaleRead);
    let summary = &report.summary;
    assert!(summary.linearizable_missed > 0 && !summary.linearizable, "{summary:#?}");
    assert_eq!((summary.lost, summary.duplicated), (0, 0), "{summary:#?}");
    assert!(!report.is_sound());
    let stale = summary.examples.iter().find(|example| example.contains("read as missing at #3"));
    assert!(stale.is_some(), "{summary:#?}");
}
