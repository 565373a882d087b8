//! The committed manual and completions are those that the code makes.
//!
//! `STEGCLUSTER_REGENERATE=1 cargo test --test it generated` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs};

use stegcluster::cli::reference;

const FOLDERS: [&str; 2] = ["man", "completions"];

#[test]
fn manual_and_completions_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted: BTreeMap<String, Vec<u8>> = reference::files().unwrap().into_iter().collect();
    if env::var_os("STEGCLUSTER_REGENERATE").is_some() {
        write(root, &wanted);
    }
    let names: BTreeSet<&String> = wanted.keys().collect();
    let committed = committed(root);
    let stray: Vec<_> = committed.iter().filter(|name| !names.contains(name)).collect();
    assert!(stray.is_empty(), "not generated, remove: {stray:?}");
    for (name, bytes) in &wanted {
        let found = fs::read(root.join(name)).unwrap_or_default();
        assert!(
            found == *bytes,
            "{name} is not what the code makes; run STEGCLUSTER_REGENERATE=1 cargo test --test it generated"
        );
    }
}

#[test]
fn generating_twice_gives_the_same() {
    assert_eq!(reference::files().unwrap(), reference::files().unwrap());
}

fn committed(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            names.insert(format!("{folder}/{}", entry.unwrap().file_name().display()));
        }
    }
    names
}

fn write(root: &Path, wanted: &BTreeMap<String, Vec<u8>>) {
    for folder in FOLDERS {
        let folder = root.join(folder);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
    }
    for (name, bytes) in wanted {
        fs::write(root.join(name), bytes).unwrap();
    }
}
