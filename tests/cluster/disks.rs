//! Disks that fail under a running node: every write, sync and read may. `faulty_io.c`, loaded into
//! the real process, makes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use stegcluster::api::cluster::Mode;
use stegcluster::clock;
use stegcluster::trust::make;

use crate::flips::raised;
use crate::support::{Client, Cluster, PATIENCE, commit_all, poll};

const EIO: i32 = 5;
const EROFS: i32 = 30;

/// The library, compiled once; `None`, said loudly, where there is no C compiler.
#[allow(clippy::print_stderr, reason = "says that nothing was tested")]
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/faulty_io.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faulty_io.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-o"]).arg(&library).args([source, "-ldl"]);
        match cc.status() {
            Ok(status) => {
                assert!(status.success(), "{source} does not compile");
                Some(library)
            }
            Err(error) => {
                eprintln!("SKIPPED: faulty disks need a C compiler, cc: {error}");
                None
            }
        }
    };
    LIBRARY.get_or_init(compile).as_deref()
}

/// Three nodes whose disks fail as told; `None` where that cannot be done.
fn faulty() -> Option<Cluster> {
    let library = library()?;
    let mut cluster = Cluster::configured(3, &["solo_after=never"]);
    for index in 0..3 {
        let control = control(&cluster, index);
        cluster.nodes[index].env = vec![("LD_PRELOAD", library.to_owned()), ("FAULTY_IO", control)];
        cluster.start(index);
    }
    cluster.whole();
    Some(cluster)
}

fn control(cluster: &Cluster, index: usize) -> PathBuf {
    cluster.folder().join(format!("faults-of-{index}"))
}

/// From now on `rule` holds for the node's files.
fn fail(cluster: &Cluster, index: usize, rule: &str) {
    let file = control(cluster, index);
    let new = file.with_extension("new");
    fs::write(&new, rule).expect("it can be written");
    fs::rename(new, file).expect("it can be renamed");
}

fn survivors(cluster: &Cluster, but: usize) -> Vec<Client> {
    let others = cluster.nodes.iter().enumerate().filter(|(index, _)| *index != but);
    others.map(|(_, node)| node.client.clone()).collect()
}

/// Commits through `clients` until each has acknowledged ten; those that were.
fn commit_some(clients: &[Client], prefix: &str) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    let deadline = clock::now() + PATIENCE;
    for number in 0.. {
        let id = format!("{prefix}-{number:04}");
        let client = &clients[number % clients.len()];
        if client.commit(&id).is_ok_and(|reply| reply.status == 200) {
            acknowledged.insert(id);
        }
        if acknowledged.len() == 10 * clients.len() {
            break;
        }
        assert!(clock::now() < deadline, "{prefix}: only {} were acknowledged", acknowledged.len());
    }
    acknowledged
}

/// The leader's disk fails as `rule` says; it must end, and say `said`. Then the disk is well again.
fn a_leader_steps_aside(rule: &str, said: &str) {
    let Some(mut cluster) = faulty() else { return };
    let old = cluster.whole();
    let (term, number) = (cluster.term(old), cluster.own(old).and_then(|own| own.raft_id));
    let all: Vec<Client> = cluster.nodes.iter().map(|node| node.client.clone()).collect();
    let mut acknowledged = commit_some(&all, "before");
    fail(&cluster, old, rule);
    // Also through the node whose disk fails: what it acknowledges must be kept.
    for number in 0..20 {
        let id = format!("during-{number}");
        if all[old].commit(&id).is_ok_and(|reply| reply.status == 200) {
            acknowledged.insert(id);
        }
    }
    acknowledged.extend(commit_some(&survivors(&cluster, old), "after"));
    let code = cluster.gone(old, PATIENCE);
    let log = cluster.nodes[old].log();
    assert!(code.is_some_and(|code| code != 0), "{rule}: it goes on: {code:?}");
    assert!(code == Some(-1) || log.contains(said), "{rule}: {log}");
    fail(&cluster, old, "");
    cluster.start(old);
    cluster.whole();
    assert!(cluster.term(old) > term, "{rule}");
    let own = cluster.own(old).and_then(|own| own.raft_id);
    assert_eq!(own, number, "{rule}: it lost nothing, and is the same member");
    cluster.assert_kept(&acknowledged);
}

#[test]
fn a_sync_that_failed_once_is_never_tried_again() {
    // The next would be told that all is well, though nothing is on the disk.
    a_leader_steps_aside(&format!("sync /store/0 0 1 {EIO}"), "the disk failed");
}

#[test]
fn a_write_that_fails_ends_the_node() {
    a_leader_steps_aside(&format!("write /store/0 2 1000000 {EIO}"), "the disk failed");
}

#[test]
fn a_disk_that_turns_read_only_ends_the_node() {
    let rule = format!("write /store 0 1000000 {EROFS}\nsync /store 0 1000000 {EROFS}\n");
    a_leader_steps_aside(&rule, "Read-only file system");
}

#[test]
fn a_guard_that_cannot_be_written_acknowledges_nothing() {
    a_leader_steps_aside(&format!("write store.guard 0 1000000 {EIO}"), "the disk failed");
}

#[test]
fn a_write_torn_by_a_crash_is_no_loss() {
    a_leader_steps_aside("write /store/0 3 1 torn", "it was killed");
}

#[test]
fn what_cannot_be_read_ends_the_node() {
    let Some(mut cluster) = faulty() else { return };
    let leader = cluster.whole();
    let node = (leader + 1) % 3;
    let acknowledged = commit_some(&survivors(&cluster, node), "before");
    cluster.caught_up(node);
    // That writes to the store, and would go on after the start.
    raised(&cluster, node);
    // Started again, it has its records in files, and no longer in memory.
    cluster.kill(node);
    cluster.start(node);
    cluster.whole();
    fail(&cluster, node, &format!("read /store/0 0 1000000 {EIO}"));
    let client = cluster.nodes[node].client.clone();
    let served = client.get("/api/records?consistency=stale");
    assert!(served.is_err() || served.is_ok_and(|reply| reply.status >= 500));
    assert!(cluster.gone(node, PATIENCE).is_some_and(|code| code > 0));
    let log = cluster.nodes[node].log();
    assert!(log.contains("the disk failed"), "{log}");
    fail(&cluster, node, "");
    cluster.start(node);
    cluster.whole();
    cluster.assert_kept(&acknowledged);
}

#[test]
fn syncs_that_lie_lose_what_the_others_have() {
    // The machine of a follower says that it synced, and then loses what it had: cut back by hand
    // to what is surely less than was promised.
    let mut cluster = Cluster::formed(3, &["solo_after=never"]);
    let node = (cluster.whole() + 1) % 3;
    let number = cluster.own(node).and_then(|own| own.raft_id);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let acknowledged = commit_all(&all, "before", 30);
    cluster.caught_up(node);
    cluster.kill(node);
    let log = newest_log(&cluster.nodes[node].data_dir);
    let bytes = fs::read(&log).expect("it is there");
    fs::write(&log, &bytes[..bytes.len() - 3000]).expect("it can be written");
    cluster.start(node);
    cluster.whole();
    let healed = cluster.wait("it comes back as another member", |cluster| {
        cluster.own(node).and_then(|own| own.raft_id).filter(|own| Some(*own) != number)
    });
    assert!(healed > 3);
    let log = cluster.nodes[node].log();
    assert!(log.contains("what came last is lost"), "{log}");
    cluster.assert_kept(&acknowledged);
    let aside = fs::read_dir(&cluster.nodes[node].data_dir).expect("a folder").flatten();
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("damaged-"));
    let kept: Vec<PathBuf> = aside.map(|entry| entry.path().join("store")).collect();
    assert!(kept.len() == 1 && kept[0].is_dir(), "nothing is deleted: {kept:?}");
}

pub fn newest_log(data_dir: &Path) -> PathBuf {
    let files = fs::read_dir(data_dir.join("store")).expect("a store").flatten();
    let logs = files.map(|entry| entry.path());
    logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max()
        .expect("a log")
}

/// A file system of its own in a file, which the kernel makes read-only at the first error.
struct Fragile {
    image: PathBuf,
    folder: PathBuf,
}

impl Fragile {
    fn mount(image: PathBuf, folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        fs::File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("an image");
        let made = Command::new("mkfs.ext4").arg("-q").arg(&image).status();
        let this = Self { image, folder: folder.to_owned() };
        (made.is_ok_and(|status| status.success()) && this.mount_again()).then_some(this)
    }

    fn mount_again(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.folder);
        mount.output().is_ok_and(|output| output.status.success())
    }

    /// Tells the kernel that the file system met an error. False where it takes no such word.
    fn break_down(&self) -> bool {
        let mounts = fs::read_to_string("/proc/mounts").expect("Linux");
        let folder = self.folder.to_string_lossy();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(&*folder));
        let device = line.and_then(|line| line.split(' ').next()?.strip_prefix("/dev/"));
        let Some(device) = device else { return false };
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "by a test\n").is_ok()
    }

    fn unmount(&self) {
        let _ = Command::new("umount").arg(&self.folder).status();
    }

    /// As an operator would.
    fn mend(&self) {
        self.unmount();
        let _ = Command::new("e2fsck").args(["-p", "-f"]).arg(&self.image).output();
        assert!(self.mount_again(), "it can be mounted again");
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says that nothing was tested")]
fn a_file_system_that_the_kernel_makes_read_only_ends_the_node() {
    let mut cluster = Cluster::configured(3, &["solo_after=never"]);
    let image = cluster.folder().join("image");
    let Some(fragile) = Fragile::mount(image, &cluster.nodes[0].data_dir) else {
        eprintln!("SKIPPED: mounting an ext4 file system needs root, mkfs.ext4 and a loop device");
        return;
    };
    (0..3).for_each(|index| cluster.start(index));
    if cluster.whole() != 0 {
        let order = br#"{"to":"n1"}"#;
        let told = cluster.nodes[1].client.post("/admin/transfer-leader", &[], order);
        assert_eq!(told.expect("an answer").status, 200);
    }
    assert_eq!(cluster.whole(), 0);
    let number = cluster.own(0).and_then(|own| own.raft_id);
    let all: Vec<Client> = cluster.nodes.iter().map(|node| node.client.clone()).collect();
    let mut acknowledged = commit_some(&all, "before");
    if !fragile.break_down() {
        eprintln!("SKIPPED: this kernel has no /sys/fs/ext4/*/trigger_fs_error");
        return;
    }
    for number in 0..20 {
        let id = format!("during-{number}");
        if all[0].commit(&id).is_ok_and(|reply| reply.status == 200) {
            acknowledged.insert(id);
        }
    }
    acknowledged.extend(commit_some(&survivors(&cluster, 0), "after"));
    let code = cluster.gone(0, PATIENCE);
    assert!(code.is_some_and(|code| code > 0), "{code:?}");
    assert!(cluster.nodes[0].log().contains("the disk failed"), "{}", cluster.nodes[0].log());
    // Nor does it start before it is mended.
    cluster.start(0);
    assert_eq!(cluster.exit(0), Some(2));
    assert!(cluster.nodes[0].log().contains("make the folder writable"));
    fragile.mend();
    cluster.start(0);
    cluster.whole();
    assert_eq!(cluster.own(0).and_then(|own| own.raft_id), number, "the same member");
    cluster.assert_kept(&acknowledged);
    for index in 0..3 {
        cluster.kill(index);
    }
    fragile.unmount();
}

#[test]
fn a_quorum_of_damaged_nodes_forms_no_new_cluster() {
    let mut cluster = Cluster::formed(3, &["solo_after=never"]);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let acknowledged = commit_all(&all, "before", 9);
    (0..3).for_each(|index| {
        cluster.caught_up(index);
    });
    (0..3).for_each(|index| cluster.kill(index));
    let saved: Vec<(PathBuf, Vec<u8>)> = (0..2)
        .map(|index| {
            let log = newest_log(&cluster.nodes[index].data_dir);
            let bytes = fs::read(&log).expect("it is there");
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 16;
            fs::write(&log, flipped).expect("it can be written");
            (log, bytes)
        })
        .collect();
    (0..3).for_each(|index| cluster.start(index));
    for index in 0..2 {
        let waits = poll(PATIENCE, || {
            cluster.nodes[index].log().contains("waits for a quorum of").then_some(())
        });
        assert!(waits.is_some(), "{}", cluster.nodes[index].log());
        assert!(cluster.nodes[index].client.status().is_none(), "it serves nobody");
    }
    // The folders were left as they were: whoever mends them has everything back.
    for (index, (log, bytes)) in saved.into_iter().enumerate() {
        assert_eq!(cluster.terminate(index), Some(0));
        fs::write(&log, bytes).expect("it can be written");
        fs::remove_file(cluster.nodes[index].data_dir.join("damaged.json")).expect("a mark");
        cluster.start(index);
    }
    cluster.whole();
    cluster.assert_kept(&acknowledged);
}

#[test]
fn what_a_damaged_node_acknowledged_alone_is_saved_from_its_remains() {
    // With a secret: a node that heals has to show it to the others.
    let outside = tempfile::tempdir().expect("a folder");
    let secret = outside.path().join("secret");
    make::write_new(&secret, b"a secret that all of the nodes have", 0o600).expect("a secret");
    let settings = [
        &format!("secret_file={}", secret.display()),
        "solo_after=1200ms",
        "timings.election_timeout_min_ms=500",
        "timings.election_timeout_max_ms=1000",
    ];
    let mut cluster = Cluster::formed(3, &settings);
    raised(&cluster, 0);
    let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
    let mut acknowledged = commit_all(&all, "together", 9);
    let number = cluster.own(0).and_then(|own| own.raft_id);
    cluster.caught_up(1);
    cluster.caught_up(2);
    cluster.kill(1);
    cluster.kill(2);
    cluster.wait("it serves alone", |cluster| cluster.own(0).filter(|own| own.mode == Mode::Solo));
    let alone = commit_all(&[&cluster.nodes[0].client], "alone", 20);
    cluster.kill(0);
    let log = newest_log(&cluster.nodes[0].data_dir);
    let mut bytes = fs::read(&log).expect("it is there");
    let late = bytes.len() - 20;
    bytes[late] ^= 4;
    fs::write(&log, bytes).expect("it can be written");
    for index in [1, 2, 0] {
        cluster.start(index);
    }
    cluster.whole();
    let now = cluster.own(0).and_then(|own| own.raft_id);
    assert!(now.is_some() && now != number, "it came back as another member");
    // What was hit cannot be read by anybody; that is the last, if it is one of these.
    acknowledged.extend(alone.into_iter().filter(|id| id != "alone-0019"));
    cluster.wait("it handed on what it had", |cluster| {
        cluster.own(0).filter(|own| own.journal == 0).and_then(|_| {
            let held = cluster.nodes[0].client.record_ids().ok()?;
            acknowledged.is_subset(&held).then_some(())
        })
    });
    cluster.assert_kept(&acknowledged);
    let said = cluster.nodes[0].log();
    assert!(said.contains("acknowledged alone"), "{said}");
}

#[test]
fn a_lone_node_refuses_what_is_damaged_and_says_how_to_go_on() {
    let mut cluster = Cluster::formed(1, &[]);
    commit_all(&[&cluster.nodes[0].client], "before", 20);
    cluster.kill(0);
    let data_dir = cluster.nodes[0].data_dir.clone();
    let log = newest_log(&data_dir);
    let mut bytes = fs::read(&log).expect("it is there");
    let late = bytes.len() - 200;
    bytes[late] ^= 1;
    fs::write(&log, bytes).expect("it can be written");
    for _ in 0..2 {
        cluster.start(0);
        assert_eq!(cluster.exit(0), Some(8));
    }
    let said = cluster.nodes[0].log();
    for word in ["damaged or lost", "stegcluster restore", "--damage-is-accepted"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let folder = format!("--data-dir={}", data_dir.display());
    let args = ["recover", &folder, "--damage-is-accepted"].map(str::to_owned);
    let output = crate::support::command(&args).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    cluster.start(0);
    cluster.whole();
    let kept = cluster.caught_up(0);
    assert!(told.contains(&format!("{} records can be read", kept.len())), "{told}");
    assert!(kept.len() >= 15, "only the last could not be read: {kept:?}");
}
