//! The data folder's files on a real disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{DataDirError, IDENTITY_FILE, LOCK_FILE, io_error};
use crate::clock;
use crate::rt::pause_thread;

const TEMPORARY_SUFFIX: &str = ".tmp";
/// What a new file system holds in its root, which may well be mounted for us.
pub const LOST_AND_FOUND: &str = "lost+found";

/// A node that ends closes its ports first and its folder last: who starts the next one at once,
/// by a script or in a new terminal, is not refused for that.
const ENDING_MAX: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Held while the folder is in use.
pub type Lock = File;

/// Makes sure that the folder is there, ours, and used by nobody else.
pub fn open_folder(path: &Path) -> Result<Lock, DataDirError> {
    fs::create_dir_all(path).map_err(io_error("create data folder", path))?;
    // Before the lock: nothing is to be written into somebody else's folder.
    refuse_foreign(path)?;
    lock(path)
}

/// A folder with contents is ours only with an identity. A lock and half-written
/// files are what a crash during creation leaves.
fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    if path.join(IDENTITY_FILE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(io_error("read data folder", path))? {
        let entry = entry.map_err(io_error("read data folder", path))?;
        let name = entry.file_name();
        let half_written = format!("{IDENTITY_FILE}{TEMPORARY_SUFFIX}");
        if ![LOCK_FILE, LOST_AND_FOUND, half_written.as_str()].iter().any(|known| name == *known) {
            return Err(DataDirError::Foreign { path: path.to_owned() });
        }
    }
    Ok(())
}

/// Takes the lock, within [`ENDING_MAX`] where another process has it, and leaves this process's
/// id in it, for whoever finds it taken.
fn lock(folder: &Path) -> Result<Lock, DataDirError> {
    let path = folder.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error("write", &path))?;
    let until = clock::now() + ENDING_MAX;
    let taken = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if clock::now() < until => pause_thread(LOCK_POLL),
            taken => break taken,
        }
    };
    match taken {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Without the id the message is poorer, not wrong.
            let _ = file.read_to_string(&mut pid);
            let pid = match pid.trim() {
                "" => "(unknown)".to_owned(),
                pid => pid.to_owned(),
            };
            return Err(DataDirError::Locked { path: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(cause)) => return Err(io_error("lock", &path)(cause)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        // A full disk must show now, not at the first vote.
        file.sync_all()
    };
    write(&mut file).map_err(io_error("write", &path))?;
    Ok(file)
}

/// The process that has the folder's lock; `None` where nobody has it, or none is there.
pub fn holder(folder: &Path) -> Option<String> {
    let mut file = File::open(folder.join(LOCK_FILE)).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {}
        // The lock ends with the file.
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    Some(pid.trim().to_owned())
}

/// `None` if there is no such file.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Replaces a file as a whole. Durable once the folder is synced too.
pub fn replace(folder: &Path, file: &str, bytes: Vec<u8>) -> io::Result<()> {
    let temporary = folder.join(format!("{file}{TEMPORARY_SUFFIX}"));
    let mut written = File::create(&temporary)?;
    written.write_all(&bytes)?;
    // Content before name: else a crash could leave the name on an empty file.
    written.sync_all()?;
    fs::rename(&temporary, folder.join(file))
}

pub fn sync_folder(folder: &Path) -> Result<(), DataDirError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync", folder))
}
