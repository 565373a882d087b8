//! Files that people name: patterns, `-`, and results that overwrite nothing unasked.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Standard input or output.
pub const STD: &str = "-";

pub fn is_std(path: &Path) -> bool {
    path == Path::new(STD)
}

/// The files that are meant: a name that is there as it stands, a pattern with `*`, `?` or
/// `[...]` as what it matches, in order. For shells that leave that to the program, and for
/// more files than a command line holds.
///
/// # Errors
/// A pattern that is none, or that matches nothing.
pub fn expand(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in named {
        let text = name.to_string_lossy();
        if is_std(name) || name.exists() || !text.contains(['*', '?', '[']) {
            files.push(name.clone());
            continue;
        }
        let matches = glob::glob(&text).with_context(|| format!("{text} is no pattern"))?;
        let before = files.len();
        for found in matches {
            let found = found.with_context(|| format!("{text} cannot be looked up"))?;
            if found.is_file() {
                files.push(found);
            }
        }
        anyhow::ensure!(files.len() > before, "no file matches {text}");
    }
    Ok(files)
}

/// A whole file, or all of standard input.
///
/// # Errors
/// Names the file.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if is_std(path) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where each result goes: `out` itself for one file, else into the folder `out`, under the
/// file's own name as `rename` changes it. A folder takes one file as well.
///
/// # Errors
/// Several files and no folder, or two files of one name.
pub fn targets(
    files: &[PathBuf],
    out: &Path,
    rename: impl Fn(&str) -> String,
) -> anyhow::Result<Vec<PathBuf>> {
    if !out.is_dir() {
        anyhow::ensure!(
            files.len() == 1,
            "{} files, and {} is no folder to put the results in",
            files.len(),
            out.display()
        );
        return Ok(vec![out.to_owned()]);
    }
    let mut targets: Vec<PathBuf> = Vec::new();
    for file in files {
        let name = file.file_name().map_or("stdin".into(), |name| name.to_string_lossy());
        let name = if is_std(file) { "stdin".into() } else { name };
        let target = out.join(rename(&name));
        anyhow::ensure!(!targets.contains(&target), "two files would go to {}", target.display());
        targets.push(target);
    }
    Ok(targets)
}

/// Says before any work is done that a result would overwrite something.
///
/// # Errors
/// There is such a file, and `force` is not set.
pub fn check_free(path: &Path, force: bool) -> anyhow::Result<()> {
    let taken = !force && !is_std(path) && path.symlink_metadata().is_ok();
    anyhow::ensure!(!taken, "{} is there already; --force overwrites it", path.display());
    Ok(())
}

/// Writes a result: to standard output for `-`, else beside its name first, so that what is
/// there under the name is always whole.
///
/// # Errors
/// Names the file. One that is there already is only replaced with `force`.
pub fn write(path: &Path, bytes: &[u8], force: bool) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", path.display());
    if is_std(path) {
        let mut stdout = io::stdout().lock();
        return stdout.write_all(bytes).and_then(|()| stdout.flush()).with_context(named);
    }
    check_free(path, force)?;
    let is_special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    if is_special {
        // A device such as /dev/null, or a pipe, is written and not replaced.
        return fs::write(path, bytes).with_context(named);
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut temporary = tempfile::Builder::new()
        .prefix(".stegcluster-")
        .permissions(readable())
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(named)?;
    temporary.write_all(bytes).with_context(named)?;
    if force {
        temporary.persist(path).map_err(|error| error.error).with_context(named)?;
    } else {
        // Somebody may have made it meanwhile.
        temporary.persist_noclobber(path).map_err(|error| error.error).with_context(named)?;
    }
    Ok(())
}

/// As a shell's redirection makes files, but for the user's mask, which applies.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o666)
}

/// Opens a file for writing as it comes.
///
/// # Errors
/// Names the file. One that is there already is only replaced with `force`.
pub fn create(path: &Path, force: bool) -> anyhow::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true);
    let options = if force {
        options.create(true).truncate(true)
    } else {
        check_free(path, force)?;
        options.create_new(true)
    };
    options.open(path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        write(&file, b"first", false).unwrap();
        let error = write(&file, b"second", false).unwrap_err().to_string();
        assert!(error.ends_with("a.png is there already; --force overwrites it"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"first");
        write(&file, b"second", true).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        write(Path::new("/dev/null"), b"gone", true).unwrap();
    }

    #[test]
    fn patterns_are_looked_up_and_names_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.png", "a.png", "c.jpg", "odd[1].png"] {
            fs::write(path(name), b"").unwrap();
        }
        let named = [path("?.png"), path("odd[1].png"), PathBuf::from("-")];
        let expanded = expand(&named).unwrap();
        assert_eq!(
            expanded,
            [path("a.png"), path("b.png"), path("odd[1].png"), PathBuf::from("-")]
        );
        let error = expand(&[path("*.gif")]).unwrap_err().to_string();
        assert!(error.starts_with("no file matches"), "{error}");
        assert_eq!(expand(&[path("absent.png")]).unwrap(), [path("absent.png")]);
    }
}
