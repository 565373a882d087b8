//! Packs the dashboard's files, and tells `--version` the commit and the target: two small files
//! of git's say which, so that a plain `cargo build` in a clone knows them too.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

const DASHBOARD: &str = "src/http/dashboard";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=STEGCLUSTER_COMMIT");
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".into());
    println!("cargo::rustc-env=STEGCLUSTER_TARGET={target}");
    let given = std::env::var("STEGCLUSTER_COMMIT").ok();
    let commit = given.or_else(commit).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=STEGCLUSTER_COMMIT={}", commit.get(..12).unwrap_or(&commit));

    let packed = PathBuf::from(std::env::var("OUT_DIR")?).join("page");
    std::fs::create_dir_all(&packed)?;
    pack(&Path::new(DASHBOARD).join("openapi.json"), &packed)?;
    for folder in ["page", "page/vendor"] {
        let folder = Path::new(DASHBOARD).join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in std::fs::read_dir(&folder)? {
            let file = entry?.path();
            if file.is_file() {
                pack(&file, &packed)?;
            }
        }
    }
    Ok(())
}

/// Writes `file` as gzip (RFC 1952), without a date, so that the same file gives the same bytes.
fn pack(file: &Path, into: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let out = std::fs::File::create(into.join(format!("{name}.gz")))?;
    let mut gzip = GzBuilder::new().mtime(0).write(out, Compression::best());
    gzip.write_all(&std::fs::read(file)?)?;
    gzip.finish()?;
    Ok(())
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
