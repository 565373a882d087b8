//! Covers and secrets from files and folders, read before the load.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::LoadArgs;
use crate::cli::embed::passphrase;
use crate::limits::BODY_BYTES_MAX;
use crate::load::Material;

/// All files together, in bytes: they are held in memory.
const BYTES_MAX: u64 = 2 << 30;
/// What a picture's name ends in. Other files of a folder of covers are left out.
const PICTURES: [&str; 5] = ["bmp", "jpeg", "jpg", "png", "webp"];

pub(super) fn material(args: &LoadArgs) -> anyhow::Result<Material> {
    let mut left = BYTES_MAX;
    let covers = read_all(&args.cover, is_picture, &mut left).context("--cover")?;
    let secrets = read_all(&args.secret, |_| true, &mut left).context("--secret")?;
    Ok(Material {
        covers: Arc::new(covers),
        secrets: Arc::new(secrets),
        passphrase: passphrase(args.passphrase_file.as_ref())?.map(|text| text.to_string()),
        method: args.method,
        bits: args.bits,
    })
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| PICTURES.contains(&ending.as_str()))
}

/// The files named, and of folders named those that are wanted, by name; not of folders below.
fn read_all(
    paths: &[PathBuf],
    wanted: fn(&Path) -> bool,
    left: &mut u64,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let files = files_of(path, wanted)?;
            anyhow::ensure!(!files.is_empty(), "no such file in folder {}", path.display());
            for file in files {
                all.push(read(&file, left)?);
            }
        } else {
            all.push(read(path, left)?);
        }
    }
    Ok(all)
}

fn files_of(folder: &Path, wanted: fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_file() && wanted(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path, left: &mut u64) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let bytes = std::fs::metadata(path).with_context(cannot)?.len();
    let name = path.display();
    anyhow::ensure!(
        bytes <= BODY_BYTES_MAX,
        "{name} has {bytes} bytes, and a request takes {BODY_BYTES_MAX}"
    );
    *left = left.checked_sub(bytes).with_context(|| {
        format!(
            "{name}: with the files before it, more than {BYTES_MAX} bytes to be held in memory"
        )
    })?;
    std::fs::read(path).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_files_in_order_and_covers_only_pictures() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.JPG", "notes.txt"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("c.png")).unwrap();
        let paths = [folder.path().to_owned()];
        let covers = read_all(&paths, is_picture, &mut 100).unwrap();
        assert_eq!(covers, [b"a.JPG".to_vec(), b"b.png".to_vec()]);
        assert_eq!(read_all(&paths, |_| true, &mut 100).unwrap().len(), 3);
        let one = read_all(&[folder.path().join("notes.txt")], is_picture, &mut 100).unwrap();
        assert_eq!(one, [b"notes.txt".to_vec()]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: PathBuf, left: u64| {
            format!("{:#}", read_all(&[path], is_picture, &mut { left }).unwrap_err())
        };
        assert!(refused(folder.path().join("x"), 9).contains("cannot read /"));
        assert!(refused(folder.path().to_owned(), 9).contains("no such file in folder"));
        std::fs::write(folder.path().join("big.png"), "0123456789").unwrap();
        assert!(refused(folder.path().join("big.png"), 9).contains("held in memory"));
    }
}
