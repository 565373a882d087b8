//! The operator's commands against real nodes, by what they print and how they end.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{Cluster, command, commit_all, free_port};

/// Runs a command against all nodes of the cluster.
fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    let servers: Vec<String> =
        cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.http_port)).collect();
    let mut all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    all.push(format!("--servers={}", servers.join(",")));
    output(&all)
}

fn output(arguments: &[String]) -> Output {
    let mut command = command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn ends(output: &Output, code: i32, parts: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

#[test]
fn two_disks_gone_the_third_is_recovered_and_two_new_nodes_join() {
    let mut cluster = Cluster::formed(3, &["solo_after=never"]);
    let clients: Vec<_> = cluster.nodes.iter().map(|node| node.client.clone()).collect();
    let before = commit_all(&clients.iter().collect::<Vec<_>>(), "before", 30);
    cluster.whole();
    let folder = cluster.nodes[0].data_dir.clone();
    let recover = |flags: &[&str]| {
        let mut arguments = vec!["recover".to_owned(), format!("--data-dir={}", folder.display())];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        output(&arguments)
    };
    // A node that runs is not touched, and neither is one whose majority is only one start away.
    ends(&recover(&["--majority-is-lost"]), 1, &["is in use by process"]);
    cluster.kill(0);
    let majority = "2 of 3 voters answer, and with this node they are a majority";
    ends(&recover(&["--majority-is-lost"]), 1, &[majority]);

    for gone in [1, 2] {
        cluster.kill(gone);
        std::fs::remove_dir_all(&cluster.nodes[gone].data_dir).expect("its disk is lost");
    }
    ends(&recover(&["--dry-run"]), 0, &["dry run: nothing was changed"]);
    ends(&recover(&[]), 1, &["nothing was changed", "--majority-is-lost"]);
    let backup = folder.with_file_name("backup-of-n1");
    let to = format!("--backup={}", backup.display());
    ends(
        &recover(&["--majority-is-lost", &to]),
        0,
        &["n1 is the only member of cluster", "with 30 records"],
    );
    assert!(backup.join("identity.json").is_file() && backup.join("store").is_dir());
    ends(&recover(&["--majority-is-lost"]), 1, &["n1 is a cluster of one already; start it"]);

    cluster.start(0);
    assert_eq!(cluster.whole(), 0);
    assert_eq!(cluster.caught_up(0), before);
    let after = commit_all(&[&clients[0]], "after", 5);
    cluster.start(1);
    cluster.start(2);
    cluster.wait("the two new nodes are voters", |cluster| {
        let status = cluster.nodes[0].client.status()?;
        (status.nodes.iter().filter(|node| node.voter && node.healthy).count() == 3).then_some(())
    });
    cluster.whole();
    let all = before.union(&after).cloned().collect();
    cluster.assert_kept(&all);
    // It is a cluster like any other.
    cluster.kill(0);
    cluster.whole();
    cluster.assert_kept(&all);
}

#[test]
fn members_come_and_go_in_a_safe_order() {
    let mut cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let gone = cluster.nodes[leader].name.clone();
    // The leader hands over before it goes, and ends by itself.
    ends(
        &run(&cluster, &["members", "remove", &gone]),
        0,
        &["leads: handing over first", &format!("{gone} was removed"), "is out"],
    );
    assert_eq!(cluster.exit(leader), Some(7));
    assert!(cluster.nodes[leader].log().contains("was removed from its cluster"));
    // With its old disk it is not let in again.
    cluster.start(leader);
    assert_eq!(cluster.exit(leader), Some(7));
    // With one of two voters down the other must stay.
    let rest: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
    let (stays, down) = (rest[0], rest[1]);
    cluster.kill(down);
    let name = cluster.nodes[stays].name.clone();
    let refused = run(&cluster, &["members", "remove", &name]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    cluster.start(down);
    cluster.whole();

    // With an empty disk it is a new node, and `add` tells how it gets on.
    std::fs::remove_dir_all(&cluster.nodes[leader].data_dir).expect("its folder is there");
    cluster.start(leader);
    let new = format!("{gone}=127.0.0.1:{}", cluster.nodes[leader].http_port);
    ends(&run(&cluster, &["members", "add", &new]), 0, &[&format!("{gone} is a voter")]);
    ends(&run(&cluster, &["members", "remove", "n9"]), 1, &["n9 is no member"]);
    ends(&run(&cluster, &["members", "promote", "n9"]), 1, &["is not a member of this cluster"]);
    let list = run(&cluster, &["members", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let voters = list.as_array().expect("a list").iter().filter(|node| node["voter"] == true);
    assert_eq!(voters.count(), 3, "{list:#}");
}

#[test]
fn a_backup_of_one_cluster_fills_another_and_may_be_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.jsonl");
    let ids = {
        let cluster = Cluster::formed(3, &[]);
        let clients: Vec<_> = cluster.nodes.iter().map(|node| &node.client).collect();
        let ids = commit_all(&clients, "kept", 40);
        let out = format!("--out={}", text(&file));
        ends(&run(&cluster, &["backup", &out]), 0, &["40 records"]);
        ends(&run(&cluster, &["backup", &out]), 1, &["is there already; --force overwrites it"]);
        let jsonl = folder.path().join("records.jsonl");
        let out = format!("--out={}", text(&jsonl));
        ends(&run(&cluster, &["records", "export", &out]), 0, &["40 records written"]);
        let lines = std::fs::read_to_string(&jsonl).expect("it was written");
        let first: Value =
            serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert_eq!((lines.lines().count(), first["id"].as_str()), (40, Some("kept-0000")));
        ids
    };
    let cluster = Cluster::formed(1, &[]);
    ends(&run(&cluster, &["restore", text(&file)]), 0, &["40 added, 0 were there"]);
    ends(&run(&cluster, &["restore", text(&file)]), 0, &["0 added, 40 were there"]);
    assert_eq!(cluster.caught_up(0), ids);

    let whole = std::fs::read(&file).expect("it is there");
    let cut = folder.path().join("cut.jsonl");
    std::fs::write(&cut, &whole[..whole.len() - 20]).expect("written");
    ends(&run(&cluster, &["restore", text(&cut)]), 1, &["it was cut short"]);
}

#[test]
fn killing_the_leader_is_told_step_by_step() {
    let mut cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let stopped =
        run(&cluster, &["kill-leader", "--signal=stop", "--stop-ms=800", "--wait", "--json"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", said(&stopped));
    let report: Value = serde_json::from_slice(&stopped.stdout).expect("JSON");
    assert_eq!(report["old_leader"], cluster.nodes[old].name.as_str());
    assert_ne!(report["new_leader"], report["old_leader"]);
    let ms = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("no {key}: {report:#}"));
    // The old leader took writes until it was stopped, if any came in these milliseconds.
    assert!(ms("write_pause_ms") <= ms("first_commit_ms"), "{report:#}");
    assert!(ms("elect_ms") < 800.0, "{report:#}");
    assert!(ms("caught_up_ms") > 700.0, "{report:#}");
    let old = cluster.whole();
    let killed = run(&cluster, &["kill-leader"]);
    ends(&killed, 0, &["SIGKILL to", "stands for election", "writes go on", "no write for"]);
    cluster.kill(old);
    cluster.start(old);
    let ended = cluster.whole();
    ends(&run(&cluster, &["kill-leader", "--signal=term"]), 0, &["SIGTERM to", "writes go on"]);
    // Told so by a fault, it ends as one who wants to be started again.
    assert_eq!(cluster.exit(ended), Some(6));
}

#[test]
fn doctor_and_status_say_what_is_wrong_and_what_to_do() {
    let mut cluster = Cluster::formed(3, &["solo_after=never"]);
    let well = run(&cluster, &["status"]);
    ends(&well, 0, &["healthy: ", "can lose 1 more"]);
    let mine = |cluster: &Cluster, index: usize| {
        cluster.args(index)[1..].iter().filter(|a| !a.starts_with("--set")).cloned().collect()
    };
    let doctor = |cluster: &Cluster, index: usize| {
        let mine: Vec<String> = mine(cluster, index);
        let mine: Vec<&str> = mine.iter().map(String::as_str).collect();
        run(cluster, &[&["doctor"], &mine[..]].concat())
    };
    let sound = doctor(&cluster, 0);
    let text = said(&sound);
    assert!(matches!(sound.status.code(), Some(0 | 1)), "{text}");
    for part in ["listens here (process", "clocks: within", "settings: those that must be equal"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }

    let leader = cluster.whole();
    let (dead, left) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(dead);
    cluster.wait("the leader knows of it", |cluster| {
        let status = cluster.nodes[leader].client.status()?;
        (status.can_lose == 0).then_some(())
    });
    let name = cluster.nodes[dead].name.clone();
    let down = format!("{name} is down: ");
    ends(&run(&cluster, &["status"]), 1, &["DEGRADED", "can lose 0 more", &down]);
    let unreached = format!("Raft port of {name}");
    ends(&doctor(&cluster, leader), 3, &[&unreached, "not reached by", "start that node"]);
    // On the machine of the one that is down: its ports are free, its folder is nobody's.
    ends(&doctor(&cluster, dead), 3, &["free", "no process has it"]);

    cluster.kill(leader);
    cluster.wait("the last one knows that it has no quorum", |cluster| {
        let status = cluster.nodes[left].client.status()?;
        (!status.quorum).then_some(())
    });
    ends(&run(&cluster, &["status"]), 2, &["NO QUORUM"]);
    ends(&doctor(&cluster, left), 3, &["nobody can lead: 1 of 3 voters answer, 2 are needed"]);
    cluster.kill(left);
    ends(&run(&cluster, &["status"]), 4, &["UNREACHABLE", "connection refused"]);
    ends(&doctor(&cluster, left), 4, &["no node answers", "nobody listens there"]);
}

#[test]
fn a_port_that_somebody_else_has_is_told_with_his_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one");
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "doctor".to_owned(),
        format!("--listen={address}"),
        format!("--raft-listen=127.0.0.1:{}", free_port()),
        format!("--data-dir={}", folder.path().join("n1").display()),
        format!("--servers=127.0.0.1:{}", free_port()),
        "--timeout-ms=200".to_owned(),
    ];
    let held = format!("(process {})", std::process::id());
    ends(&output(&arguments), 4, &[&format!("client port {address}: held by"), &held]);
}
