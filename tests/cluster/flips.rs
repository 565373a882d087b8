//! Bits that flip in the files of a node that does not run: hundreds, in every kind of file. It must
//! find everything as it was, or find the damage; never a record, a vote or an entry that is wrong
//! or not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use stegcluster::datadir::{DataDir, DataDirError, FORMAT};
use stegcluster::store::{Column, Disk, Expected, Reader as _, RocksStore, WatchedStore};

use crate::support::{Client, Cluster, PATIENCE, commit_all, copy_folder, poll};

/// Of each kind, in files opened by the test itself, unless `STEGCLUSTER_FLIPS` says otherwise.
const FLIPS: u64 = 60;
/// Of nodes that run.
const ROUNDS: usize = 12;

/// A small generator of its own, so that a seed gives the same flips for ever (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }
}

fn asked(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok().and_then(|number| number.parse().ok());
    given.unwrap_or(default)
}

fn seed() -> u64 {
    asked("STEGCLUSTER_FLIP_SEED", u64::from(std::process::id()))
}

/// In memory where the system has that: a thousand stores are opened there, and none must last.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let memory = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    memory.unwrap_or_else(|| tempfile::tempdir().expect("a folder"))
}

/// Every file below `folder`, by kind.
fn files(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let below = fs::read_dir(folder).into_iter().chain(fs::read_dir(folder.join("store")));
    for path in below.flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // What the database writes for people, and never reads.
        let unread = name == "LOCK" || name.starts_with("LOG") || name.ends_with(".token");
        if path.is_file() && !unread && fs::metadata(&path).is_ok_and(|meta| meta.len() > 0) {
            let kind = match path.extension() {
                Some(extension) => extension.to_string_lossy().into_owned(),
                None => name.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).to_owned(),
            };
            let kind = if kind == "json" { name } else { kind };
            kinds.entry(kind).or_default().push(path);
        }
    }
    kinds
}

fn flip(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).expect("it is there");
    let (at, bit) = (random.below(bytes.len()), random.below(8));
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("it can be written");
    format!("{}, byte {at}, bit {bit}", path.display())
}

/// Everything that a node would know.
type Knowledge = (String, Vec<(Column, Vec<u8>, Vec<u8>)>);

/// Opens the folder as a node does.
fn know(folder: &Path) -> Result<Knowledge, String> {
    let node = "n1".parse().expect("a name");
    let datadir = DataDir::open(folder, &node).map_err(|error| match error {
        DataDirError::Damaged { .. } | DataDirError::NewerFormat { .. } => error.to_string(),
        // A bit of its name: it is then another node's folder, and refused as such.
        DataDirError::OtherNode { .. } => error.to_string(),
        error => panic!("{error}"),
    })?;
    let promises: Option<serde_json::Value> =
        datadir.load("formation.json").map_err(|error| error.to_string())?;
    let words = format!("{:?} {promises:?}", datadir.identity());
    let expected = Expected { store: true, guard: true };
    let store = RocksStore::open_expected(&datadir.store(), expected).map_err(|error| {
        assert!(error.is_damage(), "{error}");
        error.to_string()
    })?;
    let store = WatchedStore::new(store, Disk::default());
    let mut pairs = Vec::new();
    for column in Column::ALL {
        let visit = &mut |key: &[u8], value: &[u8]| {
            pairs.push((column, key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        store.scan(column, b"", &[0xff; 64], visit).map_err(|error| {
            assert!(error.is_damage(), "{error}");
            error.to_string()
        })?;
    }
    Ok((words, pairs))
}

#[test]
#[allow(clippy::print_stderr, reason = "the seed, and how often what happened")]
fn no_flipped_bit_changes_what_a_node_knows() {
    let folder = folder();
    let kept = folder.path().join("kept");
    {
        let mut cluster =
            Cluster::formed(1, &["snapshots.every_entries=50", "snapshots.keep_entries=20"]);
        raised(&cluster, 0);
        // Some in files of the database, some in its log.
        commit_all(&[&cluster.nodes[0].client], "first", 120);
        cluster.kill(0);
        cluster.start(0);
        cluster.whole();
        commit_all(&[&cluster.nodes[0].client], "second", 60);
        cluster.kill(0);
        copy_folder(&cluster.nodes[0].data_dir, &kept);
    }
    let whole = folder.path().join("whole");
    copy_folder(&kept, &whole);
    let truth = know(&whole).expect("it is whole");
    assert!(truth.1.len() > 300, "{} pairs", truth.1.len());
    let seed = seed();
    eprintln!("STEGCLUSTER_FLIP_SEED={seed}");
    let (mut random, flips) = (Random(seed), asked("STEGCLUSTER_FLIPS", FLIPS));
    let kinds: Vec<String> = files(&kept).into_keys().collect();
    for kind in kinds {
        let (mut found, mut harmless) = (0, 0);
        for number in 0..flips {
            let trial = folder.path().join(format!("{kind}-{number}"));
            copy_folder(&kept, &trial);
            let paths = &files(&trial)[&kind];
            let what = flip(&paths[random.below(paths.len())], &mut random);
            match know(&trial) {
                Ok(known) => {
                    assert!(known == truth, "{what}: something else is known, and no error");
                    harmless += 1;
                }
                Err(_) => found += 1,
            }
            fs::remove_dir_all(&trial).expect("it can be removed");
        }
        eprintln!("{kind}: {flips} flips, {found} found, {harmless} without effect, 0 unseen");
    }
}

/// Waits until the node's folder has the newest format, in which everything has its checksum.
pub fn raised(cluster: &Cluster, index: usize) {
    let folder = cluster.nodes[index].data_dir.clone();
    let format = || DataDir::peek(&folder).ok().flatten().map(|identity| identity.format);
    let raised = poll(PATIENCE, || format().filter(|format| *format == FORMAT));
    assert!(raised.is_some(), "{}: format {:?}", folder.display(), format());
}

#[test]
#[allow(clippy::print_stderr, reason = "the seed, and how often what happened")]
fn a_cluster_keeps_everything_whatever_bit_flips_in_one_of_its_nodes() {
    let mut cluster = Cluster::formed(3, &["solo_after=never"]);
    (0..3).for_each(|index| raised(&cluster, index));
    let seed = seed();
    eprintln!("STEGCLUSTER_FLIP_SEED={seed}");
    let mut random = Random(seed);
    let mut acknowledged = BTreeSet::new();
    let (mut healed, mut well) = (0, 0);
    for round in 0..ROUNDS {
        let all: Vec<&Client> = cluster.nodes.iter().map(|node| &node.client).collect();
        acknowledged.extend(commit_all(&all, &format!("round-{round}"), 15));
        let node = random.below(3);
        cluster.caught_up(node);
        let number = cluster.own(node).and_then(|own| own.raft_id);
        cluster.kill(node);
        let kinds: Vec<Vec<PathBuf>> = files(&cluster.nodes[node].data_dir).into_values().collect();
        let paths = &kinds[random.below(kinds.len())];
        let what = flip(&paths[random.below(paths.len())], &mut random);
        cluster.start(node);
        let refused = poll(PATIENCE, || {
            let ended = cluster.gone(node, std::time::Duration::ZERO);
            let serves = cluster.nodes[node].client.status().is_some();
            (ended.is_some() || serves).then_some(ended)
        })
        .flatten();
        if let Some(code) = refused {
            // The name or the format itself: nobody can tell that it was a flip.
            assert!(code == 2 && what.contains("identity.json"), "{what}: code {code}");
            fs::remove_dir_all(&cluster.nodes[node].data_dir).expect("it can be removed");
            cluster.start(node);
        }
        // Damage that only a read meets makes it come back, too.
        let read = || cluster.nodes[node].client.get("/api/records?consistency=stale&limit=1000");
        let served = poll(PATIENCE, || read().ok().filter(|reply| reply.status == 200));
        assert!(served.is_some(), "{what}: {:?}", read());
        cluster.whole();
        cluster.assert_kept(&acknowledged);
        let now = cluster.own(node).and_then(|own| own.raft_id);
        if now == number { well += 1 } else { healed += 1 }
    }
    eprintln!("{ROUNDS} flips: {healed} healed as a new member, {well} without effect, 0 lost");
}
