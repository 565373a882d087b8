//! A node whose disk is full steps aside, says so, loses nothing, and comes back when there is
//! room: by a fault on purpose, and on a small file system that really fills up.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use stegcluster::api::cluster::Role;

use crate::support::{Client, Cluster, PATIENCE, command, commit_all, named, poll};

fn others(cluster: &Cluster, but: usize) -> Vec<&Client> {
    let others = cluster.nodes.iter().enumerate().filter(|(index, _)| *index != but);
    others.map(|(_, node)| &node.client).collect()
}

/// Waits until another node than `old` leads, in the eyes of all but `old`.
fn succeeded(cluster: &Cluster, old: usize) {
    let old_name = &cluster.nodes[old].name;
    cluster.wait("another node leads", |cluster| {
        let leads = |client: &&Client| {
            let status = client.status()?;
            status.leader_id.filter(|leader| leader.as_str() != old_name)
        };
        others(cluster, old).iter().map(leads).collect::<Option<Vec<_>>>()
    });
}

#[test]
fn a_leader_whose_disk_takes_no_more_steps_aside_and_starts_again_by_itself() {
    let cluster = Cluster::formed(3, &[]);
    let old = cluster.whole();
    let term = cluster.term(old);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&all, "before", 9);
    cluster.nodes[old].client.fail(r#"{"action":"disk-full","duration_ms":2000}"#);
    succeeded(&cluster, old);
    acknowledged.extend(commit_all(&others(&cluster, old), "meanwhile", 9));
    // What it last said of itself is what the others go on saying.
    let name = cluster.nodes[old].name.clone();
    let survivor = others(&cluster, old)[0].clone();
    let said = poll(PATIENCE, || {
        let status = survivor.status()?;
        let node = named(&status, &name)?;
        (!node.healthy && node.role == Role::Unknown).then(|| node.condition.clone())
    });
    assert_eq!(said.as_deref(), Some("full disk"));
    // The same process, which nobody started again.
    cluster.whole();
    assert!(cluster.term(old) > term);
    cluster.assert_kept(&acknowledged);
    let log = cluster.nodes[old].log();
    for sentence in ["this node serves nobody and waits for room", "starting again"] {
        assert!(log.contains(sentence), "{sentence}: {log}");
    }
}

#[test]
fn a_follower_whose_disk_takes_no_more_costs_nobody_the_leadership() {
    let cluster = Cluster::formed(3, &[]);
    let leader = cluster.whole();
    let (term, follower) = (cluster.term(leader), (leader + 1) % 3);
    cluster.nodes[follower].client.fail(r#"{"action":"disk-full","duration_ms":1500}"#);
    let survivors = others(&cluster, follower);
    let acknowledged = commit_all(&survivors, "meanwhile", 20);
    let gone = || survivors[0].status().filter(|status| status.can_lose == 0);
    assert!(poll(PATIENCE, gone).is_some(), "it counts as lost");
    assert_eq!((cluster.whole(), cluster.term(leader)), (leader, term));
    cluster.assert_kept(&acknowledged);
}

/// A file system of its own, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path, mib: usize) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let size = format!("size={mib}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "stegcluster-test"]).arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves `left` MiB at the most.
    fn fill(&self, left: u64) {
        let mut filler = File::create(self.filler()).expect("a file");
        let mib = vec![1_u8; 1 << 20];
        let free = || {
            let disk = rustix::fs::statvfs(&self.0).expect("it is mounted");
            disk.f_bavail * disk.f_frsize
        };
        while free() > left << 20 && filler.write_all(&mib).is_ok() {}
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Small records through `others`, until `done`.
fn write_until(cluster: &Cluster, but: usize, done: impl Fn() -> bool) {
    let servers: Vec<String> = (0..cluster.nodes.len())
        .filter(|index| *index != but)
        .map(|index| format!("127.0.0.1:{}", cluster.nodes[index].http_port))
        .collect();
    let servers = format!("--servers={}", servers.join(","));
    let args = ["bench", &servers, "--mode=commit", "--clients=16", "--reqs=200"];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    for _ in 0..50 {
        let output = command(&args).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if done() {
            return;
        }
    }
    panic!("so many writes, and the disk is not full");
}

#[test]
#[allow(clippy::print_stderr, reason = "says that nothing was tested")]
fn a_file_system_that_fills_up_makes_a_leader_hand_over_and_a_follower_step_aside() {
    let mut cluster = Cluster::configured(3, &[]);
    let Some(small) = Small::mount(&cluster.nodes[0].data_dir, 192) else {
        eprintln!("skipped: mounting a file system needs root");
        return;
    };
    (0..3).for_each(|index| cluster.start(index));
    if cluster.whole() != 0 {
        let order = format!(r#"{{"to":"{}"}}"#, cluster.nodes[0].name);
        let told = cluster.nodes[1].client.post("/admin/transfer-leader", &[], order.as_bytes());
        assert_eq!(told.expect("an answer").status, 200);
    }
    assert_eq!(cluster.whole(), 0);
    let mut acknowledged: BTreeSet<String> = commit_all(&others(&cluster, 0), "before", 9);

    // Little room: it hands over before anything fails.
    small.fill(32);
    succeeded(&cluster, 0);
    let own = cluster
        .wait("it says so", |cluster| cluster.own(0).filter(|own| own.condition == "full disk"));
    assert!(!own.healthy && own.role == Role::Follower, "{own:#?}");
    acknowledged.extend(commit_all(&others(&cluster, 0), "little", 9));

    // None: as soon as the database needs another block, it steps aside.
    small.fill(0);
    let client = cluster.nodes[0].client.clone();
    write_until(&cluster, 0, || client.status().is_none());
    acknowledged.extend(commit_all(&others(&cluster, 0), "without", 9));
    assert!(cluster.nodes[0].log().contains("No space left on device"), "by the system's own word");

    fs::remove_file(small.filler()).expect("it is there");
    cluster.whole();
    cluster.assert_kept(&acknowledged);
}
