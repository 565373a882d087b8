//! Nothing that must stay secret is found where others may look: marked secrets go through a
//! cluster that logs everything, and then everything that it wrote and said is searched for them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test says that something went wrong")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use stegcluster::client::Stop;
use stegcluster::fleet::{Fleet, FleetPlan};
use stegcluster::trust::make;
use tempfile::TempDir;

use crate::support::{
    BINARY, Client, Cluster, Field, PATIENCE, Reply, command, multipart, poll, turn,
};

const SECRET: &str = "S3CR3T-content-that-nobody-may-read-but-its-owner";
const PASSPHRASE: &str = "p4ssphr4se-of-the-one-who-hides";
const FILE_NAME: &str = "n4me-of-the-hidden-file.pdf";
const CLUSTER_SECRET: &str = "cl0st3r-secret-of-all-its-nodes";
const READ: &str = "r3ad-token-of-who-may-look";
const EMBED: &str = "emb3d-token-of-who-may-hide";
const ADMIN: &str = "adm1n-token-of-who-may-fail-nodes";
/// Of another cluster, say.
const UNKNOWN: &str = "unkn0wn-token-that-no-node-has";
/// Where no token belongs.
const MISPLACED: &str = "m1splaced-token-in-a-query";
/// In a file that cannot be used.
const BROKEN: &str = "br0ken-token-in-a-line-that-is-none";

/// A text in every form in which it could have got somewhere.
fn forms(marker: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![marker.as_bytes().to_vec()];
    let hex: String = marker.bytes().map(|byte| format!("{byte:02x}")).collect();
    forms.push(hex.to_uppercase().into());
    forms.push(hex.into());
    // As Rust's `Debug` shows bytes.
    let list: Vec<String> = marker.bytes().map(|byte| byte.to_string()).collect();
    forms.push(list.join(", ").into());
    for skipped in 0..3 {
        // In base64 it looks different by where it begins; ends depend on the neighbours.
        let bytes = [&b"###"[..skipped], marker.as_bytes()].concat();
        for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&bytes);
            let text = text.trim_end_matches('=');
            forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
        }
    }
    forms
}

fn has(place: &[u8], form: &[u8]) -> bool {
    place.windows(form.len()).any(|window| window == form)
}

/// Every file below `folder`, but for those that the operator wrote.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

/// Fails where one of `markers` is in `said`, in whatever form.
fn assert_nowhere(markers: &[&str], said: &[(String, Vec<u8>)]) {
    for marker in markers {
        for form in forms(marker) {
            for (place, bytes) in said {
                let shown = String::from_utf8_lossy(&form);
                assert!(!has(bytes, &form), "{marker} is in {place}, as {shown}");
            }
        }
    }
}

/// That what was searched is where a node logs all that it can.
fn assert_traced(said: &[(String, Vec<u8>)]) {
    let traced = |bytes: &[u8]| has(bytes, b"TRACE") && has(bytes, b"DEBUG");
    assert!(said.iter().any(|(place, bytes)| place.ends_with(".log") && traced(bytes)));
    assert!(said.iter().any(|(place, _)| place.contains("/n1/")), "the data folder is searched");
}

#[test]
fn no_secret_is_found_in_logs_data_metrics_records_or_errors() {
    let _turn = turn();
    let outside = TempDir::new().unwrap();
    let secret_file = outside.path().join("cluster-secret");
    make::write_new(&secret_file, CLUSTER_SECRET.as_bytes(), 0o600).unwrap();
    let plan = FleetPlan {
        binary: Some(BINARY.into()),
        extra_args: ["--log", "trace", "--secret-file", &secret_file.display().to_string()]
            .map(Into::into)
            .to_vec(),
        ..FleetPlan::new(3)
    };
    let mut fleet = Fleet::new(plan, &Stop::new()).unwrap();
    fleet.start_all().unwrap();
    fleet.wait_formed(PATIENCE, &Stop::new()).unwrap();
    let mut said: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, server) in fleet.servers().iter().enumerate() {
        let port = server.address().rsplit(':').next().unwrap().parse().unwrap();
        said.extend(use_one(number, &Client::new("127.0.0.1", port)));
    }
    // The limits of a running node: no core dump has its memory.
    #[cfg(target_os = "linux")]
    for number in 0..fleet.len() {
        let limits = format!("/proc/{}/limits", fleet.pid(number).unwrap());
        let limits = std::fs::read_to_string(limits).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
    let servers = fleet.servers().iter().map(|server| server.address()).collect::<Vec<_>>();
    for question in ["status", "doctor"] {
        let args = [question, "--json", "--servers", &servers.join(",")];
        let output = command(&args.map(str::to_owned)).output().unwrap();
        said.push((question.to_owned(), [output.stdout, output.stderr].concat()));
    }
    for number in 0..fleet.len() {
        assert!(fleet.stop(number, PATIENCE).unwrap(), "the node stops by itself");
    }
    files(fleet.folder(), &mut said);
    assert_traced(&said);
    assert_nowhere(&[SECRET, PASSPHRASE, FILE_NAME, CLUSTER_SECRET], &said);
}

/// Embeds, finds and fails in many ways by one node; everything that it says but the secret itself.
fn use_one(number: usize, client: &Client) -> Vec<(String, Vec<u8>)> {
    let (secret, passphrase) = (SECRET.as_bytes(), PASSPHRASE.as_bytes());
    let post = |path: &str, accept: &str, fields: &[(&str, &str, &[u8])]| {
        let (content_type, body) = multipart(fields);
        let headers = [("content-type", content_type.as_str()), ("accept", accept)];
        client.post(path, &headers, &body).unwrap()
    };
    let hide = [("file", FILE_NAME, secret), ("passphrase", "", passphrase)];
    let hidden = post("/api/embed", "image/png", &hide);
    assert_eq!(hidden.status, 200, "{}", hidden.text());
    let picture = hidden.body.as_slice();
    let find = [("file", FILE_NAME, picture), ("passphrase", "", passphrase)];
    let found = post("/api/extract", "application/octet-stream", &find);
    assert_eq!(found.body, secret, "the markers do pass through the node");
    // Not to be compressed: xorshift (Marsaglia 2003).
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let large: Vec<u8> = (0..4 << 20).map(|_| draw()).collect();
    let wrong = [PASSPHRASE, "-and-more"].concat();
    let cases: [(&str, u16, &[Field<'_>]); 6] = [
        ("/api/embed", 200, &hide),
        // Plain, and so by another way.
        ("/api/embed", 200, &[("file", FILE_NAME, secret)]),
        ("/api/embed", 413, &[("file", FILE_NAME, &large), ("passphrase", "", passphrase)]),
        ("/api/embed", 415, &[("file", FILE_NAME, secret), ("cover", FILE_NAME, secret)]),
        (
            "/api/extract",
            422,
            &[("file", FILE_NAME, picture), ("passphrase", "", wrong.as_bytes())],
        ),
        ("/api/extract", 415, &[("file", FILE_NAME, secret), ("passphrase", "", passphrase)]),
    ];
    let mut said = Vec::new();
    for (case, (path, status, fields)) in cases.iter().enumerate() {
        let reply = post(path, "application/json", fields);
        assert_eq!(reply.status, *status, "{path}, case {case}: {}", reply.text());
        // An unencrypted picture holds its secret, as it should.
        if case != 1 {
            said.push((format!("{path} of n{}, case {case}", number + 1), reply.body));
        }
    }
    for path in ["/metrics", "/api/records?limit=1000", "/cluster/status", "/cluster/node"] {
        said.push((path.to_owned(), client.get(path).unwrap().body));
    }
    said
}

#[test]
fn no_token_is_found_in_logs_data_metrics_or_errors() {
    let outside = TempDir::new().unwrap();
    let tokens = outside.path().join("tokens");
    let lines = format!("read r {READ}\nembed e {EMBED}\nadmin a {ADMIN}\n");
    make::write_new(&tokens, lines.as_bytes(), 0o600).unwrap();
    let setting = format!("tokens={}", tokens.display());
    let mut cluster = Cluster::configured(3, &[&setting, "log.filter=trace"]);
    for index in 0..3 {
        cluster.nodes[index].client = cluster.nodes[index].client.with_token(READ);
        cluster.start(index);
    }
    cluster.whole();
    let mut said = Vec::new();
    for node in &cluster.nodes {
        said.extend(use_tokens(&node.name, &node.client));
    }
    said.extend(load_and_orders(&cluster));
    for (token, question) in [
        (READ, &["status", "--json"][..]),
        (READ, &["doctor", "--json"]),
        (EMBED, &["records", "list"]),
        (UNKNOWN, &["status"]),
        (UNKNOWN, &["records", "list"]),
        (READ, &["transfer-leader"]),
        (ADMIN, &["transfer-leader"]),
    ] {
        let servers: Vec<_> =
            cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.http_port)).collect();
        let args: Vec<String> = question.iter().map(|arg| (*arg).to_owned()).collect();
        let mut command =
            command(&[args, vec![format!("--servers={}", servers.join(","))]].concat());
        let output = command.env("STEGCLUSTER_TOKEN", token).output().unwrap();
        said.push((format!("{question:?}"), [output.stdout, output.stderr].concat()));
    }
    // One line that is none: the tokens that were read before still count, and nothing is shown.
    std::fs::write(&tokens, format!("{lines}root x {BROKEN}\n")).unwrap();
    for node in &cluster.nodes {
        let warned = || node.client.status().filter(|status| !status.warnings.is_empty());
        let status = poll(PATIENCE, warned).expect("the file is warned of");
        said.push(("a warning".to_owned(), serde_json::to_vec(&status).unwrap()));
    }
    (0..3).for_each(|index| assert_eq!(cluster.terminate(index), Some(0)));
    files(cluster.folder(), &mut said);
    assert_traced(&said);
    assert_nowhere(&[READ, EMBED, ADMIN, UNKNOWN, MISPLACED, BROKEN], &said);
}

/// Shows a node tokens that do and that do not; what it says to that.
fn use_tokens(node: &str, client: &Client) -> Vec<(String, Vec<u8>)> {
    let mut said = Vec::new();
    let mut tell = |what: &str, expected: u16, reply: Reply| {
        assert_eq!(reply.status, expected, "{what}: {}", reply.text());
        let mut bytes = reply.body;
        for (name, value) in &reply.headers {
            bytes.extend([name.as_str().as_bytes(), value.as_bytes()].concat());
        }
        said.push((format!("{what} of {node}"), bytes));
    };
    for (token, read, commit, order) in [
        (READ, 200, 403, 403),
        (EMBED, 200, 200, 403),
        (ADMIN, 200, 200, 200),
        (UNKNOWN, 401, 401, 401),
    ] {
        let client = client.with_token(token);
        tell("/api/records", read, client.get("/api/records").unwrap());
        tell("/metrics", read, client.get("/metrics").unwrap());
        tell("/api/commit", commit, client.post("/api/commit", &[], &[]).unwrap());
        tell("/admin/restore", order, client.post("/admin/restore", &[], &[]).unwrap());
        let path = format!("/api/records?q={MISPLACED}");
        tell("a query", read, client.get(&path).unwrap());
    }
    let open = client.without_token();
    for header in [
        ("authorization", format!("Basic {ADMIN}")),
        ("authorization", ADMIN.to_owned()),
        ("authorization", format!("Bearer {ADMIN} {ADMIN}")),
        ("cookie", format!("token={ADMIN}")),
        ("x-token", ADMIN.to_owned()),
    ] {
        let headers = [(header.0, header.1.as_str())];
        tell("a header", 401, open.ask("GET", "/api/records", &headers).unwrap());
    }
    let headers = [("origin", "http://stranger.example"), ("authorization", "Bearer x")];
    tell("a page", 403, open.ask("GET", "/api/records", &headers).unwrap());
    said
}

/// A node passes tokens on: to the nodes that a load asks, and with an order for another one.
fn load_and_orders(cluster: &Cluster) -> Vec<(String, Vec<u8>)> {
    let admin = cluster.nodes[0].client.with_token(ADMIN);
    let json = [("content-type", "application/json")];
    let plan = br#"{"mode":"commit","clients":3,"requests":30}"#;
    assert_eq!(admin.post("/admin/bench", &json, plan).unwrap().status, 201);
    let report = cluster.wait("the load is done", |_| {
        let reply = admin.get("/admin/bench").ok()?;
        has(&reply.body, b"\"state\":\"done\"").then_some(reply.body)
    });
    let mut said = vec![("/admin/bench".to_owned(), report)];
    for order in [&br#"{"action":"isolate","node":"n2"}"#[..], br#"{"action":"nonsense"}"#] {
        said.push((
            "/admin/fail".to_owned(),
            admin.post("/admin/fail", &json, order).unwrap().body,
        ));
    }
    let restore = admin.post("/admin/restore", &json, br#"{"node":"n2"}"#).unwrap();
    assert_eq!(restore.status, 200, "{}", restore.text());
    said.push(("/admin/restore".to_owned(), restore.body));
    cluster.whole();
    said
}
