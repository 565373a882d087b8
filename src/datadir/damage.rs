//! A data folder that lost what it had promised, and how it becomes another node's.
//!
//! Whoever finds damage leaves a mark, so that no later start forgets it: a bad block may be read
//! again only days later. A marked folder is opened for healing only. What was in it is moved
//! into a folder inside of it, since the folder itself may be a mount point; nothing is deleted.
//! The mark says how far that went, so that a crash at any moment is gone on from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    DataDirError, GUARD_FILE, IDENTITY_FILE, Identity, MARK_FILE, PROMISES_FILE, STORE_FOLDER,
    files, io_error, load_json, save_json,
};
use crate::clock;
use crate::ident::ClusterUuid;

/// Before the seconds at which damage was found, in the name of the folder with what was there.
const ASIDE: &str = "damaged-";
/// A disk that damages more is not to be healed, but replaced.
const ASIDE_MAX: usize = 8;
/// What makes the folder this node's, and no other's.
const MOVED: [&str; 3] = [STORE_FOLDER, GUARD_FILE, PROMISES_FILE];

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub cause: String,
    /// Where what was there goes.
    aside: String,
    /// As whom the node is to come back, once its cluster gave it a number.
    pub rejoin: Option<Identity>,
}

/// Leaves the mark, unless there is one. Durable once this returns.
///
/// # Errors
/// The disk failed.
pub(super) fn mark(folder: &Path, cause: &str) -> Result<(), DataDirError> {
    if load(folder)?.is_some() {
        return Ok(());
    }
    let aside = aside_name(folder);
    save_json(folder, MARK_FILE, &Mark { cause: cause.to_owned(), aside, rejoin: None })
}

/// A name that nothing in the folder has: a disk may do damage twice in one second.
fn aside_name(folder: &Path) -> String {
    let mut number = clock::unix_ms() / 1000;
    loop {
        let name = format!("{ASIDE}{number}");
        if !folder.join(&name).exists() {
            return name;
        }
        number += 1;
    }
}

/// The mark, if there is one. One that cannot be read is as good as one that says nothing.
pub(super) fn load(folder: &Path) -> Result<Option<Mark>, DataDirError> {
    match load_json(&folder.join(MARK_FILE), false) {
        Err(DataDirError::Damaged { cause, .. }) => Ok(Some(Mark {
            cause: format!("unknown, for its mark is too: {cause}"),
            aside: aside_name(folder),
            rejoin: None,
        })),
        loaded => loaded,
    }
}

impl Mark {
    /// True once the folder is that of the node as which it is to come back.
    pub fn is_done(&self, identity: &Identity) -> bool {
        self.rejoin.as_ref().is_some_and(|rejoin| rejoin.instance == identity.instance)
    }

    pub fn aside(&self, folder: &Path) -> PathBuf {
        folder.join(&self.aside)
    }

    /// Puts the mark to what it told of.
    pub fn remove(&self, folder: &Path) -> Result<(), DataDirError> {
        let aside = self.aside(folder);
        fs::create_dir_all(&aside).map_err(io_error("create", &aside))?;
        let mark = folder.join(MARK_FILE);
        fs::rename(&mark, aside.join(MARK_FILE)).map_err(io_error("move", &mark))?;
        files::sync_folder(folder)
    }
}

/// A marked folder, locked.
#[derive(Debug)]
pub struct Ward {
    path: PathBuf,
    _lock: files::Lock,
    mark: Mark,
    former: Option<Identity>,
}

impl Ward {
    /// Locks the folder, and marks it with `cause` where it is not marked yet.
    ///
    /// # Errors
    /// In use, not ours, or the disk failed.
    pub fn open(path: &Path, cause: &str) -> Result<Self, DataDirError> {
        let lock = files::open_folder(path)?;
        mark(path, cause)?;
        let found =
            load(path)?.ok_or_else(|| io_error("read", path)(io::ErrorKind::NotFound.into()));
        let former = load_json(&path.join(IDENTITY_FILE), false).unwrap_or_default();
        Ok(Self { path: path.to_owned(), _lock: lock, mark: found?, former })
    }

    /// What was found to be damaged.
    pub fn cause(&self) -> &str {
        &self.mark.cause
    }

    /// The cluster that the node belonged to, if that can be read.
    pub fn cluster(&self) -> Option<ClusterUuid> {
        self.former.as_ref()?.cluster_uuid
    }

    /// True where a former attempt got a number already.
    pub fn is_numbered(&self) -> bool {
        self.mark.rejoin.is_some()
    }

    /// How often this disk has damaged data, this time not counted.
    ///
    /// # Errors
    /// The disk failed.
    pub fn damages(&self) -> Result<usize, DataDirError> {
        asides(&self.path).map(|asides| asides.len()).map_err(io_error("read", &self.path))
    }

    /// True where it has done so too often.
    ///
    /// # Errors
    /// The disk failed.
    pub fn is_hopeless(&self) -> Result<bool, DataDirError> {
        Ok(!self.is_numbered() && self.damages()? >= ASIDE_MAX)
    }

    /// Remembers as whom the node comes back. Durable once this returns.
    ///
    /// # Errors
    /// The disk failed.
    pub fn come_back_as(&mut self, identity: Identity) -> Result<(), DataDirError> {
        let mark = Mark { rejoin: Some(identity), ..self.mark.clone() };
        save_json(&self.path, MARK_FILE, &mark)?;
        self.mark = mark;
        Ok(())
    }

    /// Moves aside what was there, and makes the folder the new node's. Returns where it went.
    ///
    /// # Errors
    /// The disk failed: the next start goes on.
    pub fn exchange(self) -> Result<PathBuf, DataDirError> {
        let aside = self.mark.aside(&self.path);
        let Some(identity) = &self.mark.rejoin else { return Ok(aside) };
        fs::create_dir_all(&aside).map_err(io_error("create", &aside))?;
        for name in MOVED {
            let from = self.path.join(name);
            match fs::rename(&from, aside.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("move", &from)(error));
                }
                _ => {}
            }
        }
        // Last, and never missing: without it the folder would be nobody's.
        let from = self.path.join(IDENTITY_FILE);
        fs::copy(&from, aside.join(IDENTITY_FILE)).map_err(io_error("copy", &from))?;
        files::sync_folder(&aside)?;
        save_json(&self.path, IDENTITY_FILE, identity)?;
        Ok(aside)
    }
}

/// The folders with what was damaged before.
pub(super) fn asides(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut asides = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE));
        if named && entry.file_type()?.is_dir() {
            asides.push(entry.path());
        }
    }
    Ok(asides)
}
