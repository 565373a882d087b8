//! Tells `--version` the commit and the target. Reads two small files of git's, so that
//! a plain `cargo build` in a clone knows them too, and reruns only when they change.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=STEGCLUSTER_COMMIT");
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".into());
    println!("cargo::rustc-env=STEGCLUSTER_TARGET={target}");
    let given = std::env::var("STEGCLUSTER_COMMIT").ok();
    let commit = given.or_else(commit).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=STEGCLUSTER_COMMIT={}", commit.get(..12).unwrap_or(&commit));
}

/// The commit that is checked out, from `.git` itself: git need not be installed.
fn commit() -> Option<String> {
    let mut git = PathBuf::from(".git");
    if git.is_file() {
        // A worktree: `.git` says where its folder is.
        let text = std::fs::read_to_string(&git).ok()?;
        git = PathBuf::from(text.strip_prefix("gitdir:")?.trim());
    }
    let head = read(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:") else { return Some(head) };
    let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |dir| git.join(dir));
    let name = name.trim();
    read(&common.join(name)).or_else(|| packed(&common, name))
}

/// A branch that git has put into its one file of packed references.
fn packed(git: &Path, name: &str) -> Option<String> {
    let references = read(&git.join("packed-refs"))?;
    let line = references.lines().find(|line| line.split(' ').nth(1) == Some(name))?;
    line.split(' ').next().map(str::to_owned)
}

fn read(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    Some(text.trim().to_owned())
}
