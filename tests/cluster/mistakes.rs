//! What a user gets wrong when starting a node: exit code 2, and one line that says what.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::{Cluster, PATIENCE, command, free_port, poll};

/// Runs until it exits. Its code, and what it wrote on standard error.
fn run(args: &[String]) -> (Option<i32>, String) {
    let mut child =
        command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("binary starts");
    let exited = poll(PATIENCE, || child.try_wait().expect("a child can be waited for"));
    if exited.is_none() {
        child.kill().expect("a child that was not waited for can be killed");
    }
    let mut errors = String::new();
    let mut stderr = child.stderr.take().expect("it is piped");
    stderr.read_to_string(&mut errors).expect("errors are text");
    let status = exited.unwrap_or_else(|| panic!("{args:?} keeps running: {errors}"));
    (status.code(), errors)
}

/// One line, with each of `parts`.
fn refused(args: &[String], parts: &[&str]) {
    let (code, errors) = run(args);
    assert_eq!(code, Some(2), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for part in parts {
        assert!(errors.contains(part), "no {part:?} in: {errors}");
    }
}

fn serve(data_dir: &Path, client_port: u16, raft_port: u16) -> Vec<String> {
    vec![
        "serve".to_owned(),
        format!("--data-dir={}", data_dir.display()),
        format!("--listen=127.0.0.1:{client_port}"),
        format!("--raft-listen=127.0.0.1:{raft_port}"),
    ]
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("stegcluster-").tempdir().expect("a folder")
}

#[test]
fn an_address_in_use_is_named_and_which_port_it_is() {
    let folder = folder();
    let (taken, free) = (free_port(), free_port());
    let _listener = TcpListener::bind(("127.0.0.1", taken)).expect("the port was free");
    let address = format!("127.0.0.1:{taken}");
    refused(&serve(&folder.path().join("a"), taken, free), &[&address, "client port"]);
    refused(&serve(&folder.path().join("b"), free, taken), &[&address, "Raft port"]);
}

#[test]
fn a_data_folder_in_use_is_refused_and_its_node_lives_on() {
    let mut cluster = Cluster::configured(1, &[]);
    cluster.start(0);
    cluster.whole();
    let data_dir = &cluster.nodes[0].data_dir;
    let shown = data_dir.display().to_string();
    refused(&serve(data_dir, free_port(), free_port()), &[&shown, "in use by process"]);
    cluster.whole();
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_alone() {
    let folder = folder();
    fs::write(folder.path().join("thesis.txt"), "do not touch").expect("a file is written");
    let shown = folder.path().display().to_string();
    refused(&serve(folder.path(), free_port(), free_port()), &[&shown, "--data-dir"]);
    let left = fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 1);
}

#[test]
fn a_data_folder_of_another_node_is_refused() {
    let mut cluster = Cluster::configured(1, &[]);
    cluster.start(0);
    cluster.whole();
    cluster.kill(0);
    let mut args = serve(&cluster.nodes[0].data_dir, free_port(), free_port());
    args.push("--id=other".to_owned());
    refused(&args, &["belongs to n1", "other"]);
}

#[test]
fn an_unreadable_configuration_is_refused_with_its_name() {
    let folder = folder();
    let missing = folder.path().join("missing.yaml").display().to_string();
    refused(&["serve".into(), format!("--config={missing}")], &[&missing]);
    let wrong = folder.path().join("cluster.yaml");
    fs::write(&wrong, "timings:\n  probe_interval: soon\n").expect("a file is written");
    refused(&["serve".into(), format!("--config={}", wrong.display())], &["cluster.yaml line 2"]);
}

/// Clap's own message has several lines: it shows the usage too.
#[test]
fn an_unknown_flag_is_refused_with_its_name() {
    let (code, errors) = run(&["serve".into(), "--no-such-flag".into()]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.lines().next().is_some_and(|line| line.contains("--no-such-flag")), "{errors}");
}
