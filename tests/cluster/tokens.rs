//! Nodes that ask for tokens, and the commands that bring one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{Client, Cluster, command};

const READ: &str = "read-token-5f1c9a7e";
const EMBED: &str = "embed-token-b2d8e0c4";
const ADMIN: &str = "admin-token-93a6f1d5";
const JSON: (&str, &str) = ("content-type", "application/json");

fn write(file: &Path, tokens: &[(&str, &str)]) {
    let lines: Vec<String> =
        tokens.iter().map(|(role, token)| format!("{role} {role}er {token}\n")).collect();
    fs::write(file, format!("# who may do what\n{}", lines.concat())).expect("a file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its mode");
}

fn code(client: &Client, path: &str, body: Option<&str>) -> u16 {
    let reply = match body {
        None => client.get(path),
        Some(body) => client.post(path, &[JSON], body.as_bytes()),
    };
    reply.expect("an answer").status
}

fn run(cluster: &Cluster, args: &[&str], token: Option<&str>) -> Output {
    let servers: Vec<String> =
        cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.http_port)).collect();
    let args = args.iter().map(|arg| (*arg).to_owned());
    let args: Vec<String> = args.chain([format!("--servers={}", servers.join(","))]).collect();
    let mut command = command(&args);
    if let Some(token) = token {
        command.env("STEGCLUSTER_TOKEN", token);
    }
    command.output().expect("it runs")
}

#[test]
fn each_role_may_do_its_part_and_a_changed_file_counts_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens");
    let all = [("read", READ), ("embed", EMBED), ("admin", ADMIN)];
    write(&file, &all);
    let tokens = format!("tokens={}", file.display());
    let mut cluster = Cluster::configured(3, &[&tokens, "log.filter=stegcluster=debug"]);
    for index in 0..3 {
        cluster.nodes[index].client = cluster.nodes[index].client.with_token(READ);
        cluster.start(index);
    }
    cluster.whole();
    let reader = cluster.nodes[0].client.clone();
    let status = reader.status().expect("a status");
    assert_eq!(serde_json::to_value(status.access).expect("a word"), "tokens");

    let open = reader.without_token();
    for (client, expected) in [
        (&open, [200, 401, 401, 401]),
        (&reader.with_token("no-such-token-0123456789"), [200, 401, 401, 401]),
        (&reader, [200, 200, 403, 403]),
        (&reader.with_token(EMBED), [200, 200, 200, 403]),
        (&reader.with_token(ADMIN), [200, 200, 200, 200]),
    ] {
        let found = [
            code(client, "/healthz", None),
            code(client, "/api/records", None),
            code(client, "/api/commit", Some("")),
            code(client, "/admin/restore", Some("")),
        ];
        assert_eq!(found, expected, "{client:?}");
    }

    // A load goes to all nodes with the token of who asked for it.
    let admin = reader.with_token(ADMIN);
    let plan = r#"{"mode":"commit","clients":3,"requests":10}"#;
    assert_eq!(code(&admin, "/admin/bench", Some(plan)), 201);
    let ended: Value = cluster.wait("the load is done", |_| {
        let status: Value = admin.get("/admin/bench").ok()?.ok();
        (status["state"] == "done").then_some(status)
    });
    assert_eq!((&ended["report"]["ok"], &ended["report"]["failed"]), (&30.into(), &0.into()));

    // Commands bring a token from a file or from the environment.
    let own = folder.path().join("mine");
    fs::write(&own, format!("{READ}\n")).expect("a file");
    let from_file = format!("--token-file={}", own.display());
    let listed = run(&cluster, &["records", "list", "--json", &from_file], None);
    assert!(listed.status.success(), "{listed:?}");
    let listed = run(&cluster, &["status"], Some(READ));
    assert!(listed.status.success(), "{listed:?}");
    let refused = run(&cluster, &["records", "list"], None);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("needs a token"), "{refused:?}");
    let refused = run(&cluster, &["transfer-leader"], Some(EMBED));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("has the role embed"), "{refused:?}");
    let moved = run(&cluster, &["transfer-leader"], Some(ADMIN));
    assert!(moved.status.success(), "{moved:?}");

    write(&file, &all[1..]);
    cluster.wait("the token is worth nothing any more", |_| {
        (code(&reader, "/api/records", None) == 401).then_some(())
    });
    assert_eq!(code(&reader.with_token(EMBED), "/api/records", None), 200);
    for node in &cluster.nodes {
        let log = node.log();
        for token in [READ, EMBED, ADMIN] {
            assert!(!log.contains(token), "{} logs a token", node.name);
        }
    }
}

#[test]
fn a_node_does_not_start_with_a_file_it_cannot_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens");
    write(&file, &[("root", ADMIN)]);
    let tokens = format!("tokens={}", file.display());
    let mut cluster = Cluster::configured(1, &[&tokens]);
    cluster.start(0);
    assert_eq!(cluster.exit(0), Some(2));
    let log = cluster.nodes[0].log();
    assert!(log.contains("line 2: the role is none of read, embed, admin"), "{log}");
    assert!(!log.contains(ADMIN), "{log}");
}
