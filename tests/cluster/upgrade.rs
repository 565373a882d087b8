//! Data folders of other versions: the one before is read and raised, a newer one refused and left
//! as it is. `version-1` was written by the last build that knew no other version; a whole cluster is
//! rolled from that build to this one by `make upgrade-test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use stegcluster::datadir::{DataDir, FORMAT};

use crate::support::{Cluster, PATIENCE, commit_all, copy_folder, poll};

fn contents(folder: &Path) -> BTreeSet<(PathBuf, Vec<u8>)> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "LOCK") {
                let bytes = fs::read(&path).expect("it can be read");
                files.insert((path, bytes));
            }
        }
    }
    files
}

#[test]
fn a_folder_of_the_version_before_is_read_and_raised() {
    let mut cluster = Cluster::configured(1, &[]);
    let folder = cluster.nodes[0].data_dir.clone();
    copy_folder(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/version-1")),
        &folder,
    );
    assert_eq!(DataDir::peek(&folder).expect("read").expect("there").format, 1);
    let old: BTreeSet<String> = (0..12).map(|number| format!("old-{number:04}")).collect();
    cluster.start(0);
    cluster.whole();
    cluster.assert_kept(&old);
    let format = || DataDir::peek(&folder).ok().flatten().map(|identity| identity.format);
    assert!(poll(PATIENCE, || format().filter(|format| *format == FORMAT)).is_some());
    let mut all = commit_all(&[&cluster.nodes[0].client], "new", 12);
    all.extend(old);
    // What is old lies beside what is new.
    for _ in 0..2 {
        cluster.kill(0);
        cluster.start(0);
        cluster.whole();
        cluster.assert_kept(&all);
    }
}

#[test]
fn a_newer_folder_is_refused_and_left_as_it_is() {
    let mut cluster = Cluster::configured(1, &[]);
    let folder = cluster.nodes[0].data_dir.clone();
    copy_folder(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/version-1")),
        &folder,
    );
    let identity = folder.join("identity.json");
    let newer = format!("\"format\": {}", FORMAT + 1);
    let text = fs::read_to_string(&identity).expect("it is there");
    fs::write(&identity, text.replace("\"format\": 1", &newer)).expect("it can be written");
    let before = contents(&folder);
    cluster.start(0);
    assert_eq!(cluster.exit(0), Some(2));
    let log = cluster.nodes[0].log();
    let both = format!(
        "has format {}, and stegcluster {} knows up to {FORMAT}",
        FORMAT + 1,
        env!("CARGO_PKG_VERSION")
    );
    assert!(log.contains(&both), "{log}");
    assert!(contents(&folder) == before, "it was changed");
}
