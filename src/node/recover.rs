//! A node whose cluster lost its majority for good becomes a cluster of one, offline.
//!
//! It gets a new cluster UUID, so that the lost nodes, should they come back after all, are
//! strangers to it and can neither vote here nor be sent anything. Order of the writes: first
//! who the node is, then what Raft knows. After a crash between the two it is a member of the
//! new cluster with the old membership, which has no quorum: it cannot do harm, and to recover
//! again finishes the work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::NodeError;
use crate::datadir::{self, DataDir, Identity};
use crate::formation;
use crate::ident::ClusterUuid;
use crate::raft::recover::{Survey, recount, rewrite, survey};
use crate::store::{Durability, Store, StoreError};
use crate::view::Member;

/// A stopped node's data folder, locked, and what it says.
pub struct Survivor {
    datadir: DataDir,
    pub identity: Identity,
    pub survey: Survey,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub cluster: ClusterUuid,
    /// The copy of the folder as it was.
    pub backup: PathBuf,
    pub survey: Survey,
}

/// Why a folder cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("{} is no data folder of a node: it has no {}", .0.display(), datadir::IDENTITY_FILE)]
    NoNode(PathBuf),
    #[error("{node} belongs to no cluster yet: there is nothing to recover")]
    NoCluster { node: String },
    #[error("{node} is no member by its own log: the cluster removed it, or never took it in")]
    NoMember { node: String },
    #[error("{node} is a cluster of one already; start it")]
    Alone { node: String },
    #[error(
        "{}: too little can be read to go on with ({cause}); restore a backup into an empty folder",
        folder.display()
    )]
    Hopeless { folder: PathBuf, cause: StoreError },
    #[error("the folder cannot be copied to {}: {cause}", to.display())]
    Backup { to: PathBuf, cause: io::Error },
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl Survivor {
    /// Locks the folder and reads what it says. Changes nothing.
    ///
    /// # Errors
    /// A node runs there, or it is nothing that could be recovered.
    pub fn open(path: &Path) -> Result<Self, RecoverError> {
        let identity = DataDir::peek(path).map_err(NodeError::from)?;
        let identity = identity.ok_or_else(|| RecoverError::NoNode(path.to_owned()))?;
        let datadir = DataDir::open(path, &identity.node).map_err(NodeError::from)?;
        let node = identity.node.to_string();
        if identity.cluster_uuid.is_none() {
            return Err(RecoverError::NoCluster { node });
        }
        let survey = read(&datadir.store()).map_err(|cause| store(&datadir, cause))?;
        let survivor = Self { datadir, identity, survey };
        survivor.me()?;
        Ok(survivor)
    }

    /// This node as a member.
    ///
    /// # Errors
    /// It is none, or the only one.
    pub fn me(&self) -> Result<&Member, RecoverError> {
        let node = self.identity.node.to_string();
        let me = self.survey.members.iter().find(|m| Some(m.raft_id) == self.identity.raft_id);
        match me {
            None => Err(RecoverError::NoMember { node }),
            Some(_) if self.survey.members.len() == 1 => Err(RecoverError::Alone { node }),
            Some(me) => Ok(me),
        }
    }

    /// Copies the folder to `backup`, then makes this node the only member of a new cluster.
    ///
    /// # Errors
    /// The disk failed. Without a whole copy nothing is changed.
    pub fn recover(self, backup: &Path) -> Result<Recovered, RecoverError> {
        let me = Member { voter: true, ..self.me()?.clone() };
        copy(self.datadir.path(), backup)
            .map_err(|cause| RecoverError::Backup { to: backup.to_owned(), cause })?;
        let cluster = formation::refound(&self.datadir, &me).map_err(NodeError::from)?;
        let failed = |cause| store(&self.datadir, cause);
        let opened = open(&self.datadir.store(), Access::Write).map_err(failed)?;
        let batch = rewrite(&*opened, &me).map_err(failed)?;
        opened.write(batch, Durability::Synced).map_err(failed)?;
        let survey = survey(&*opened).map_err(failed)?;
        Ok(Recovered { cluster, backup: backup.to_owned(), survey })
    }
}

/// Makes a node that starts out of a damaged folder, with what can still be read: a cluster of its
/// own, since it cannot know what it had promised to others. The folder is copied to `backup`
/// first.
///
/// # Errors
/// The disk failed, or too little can be read.
pub fn repair(path: &Path, backup: &Path) -> Result<Recovered, RecoverError> {
    let identity = DataDir::peek(path).map_err(NodeError::from)?;
    let identity = identity.ok_or_else(|| RecoverError::NoNode(path.to_owned()))?;
    let datadir = DataDir::open_marked(path, &identity.node).map_err(NodeError::from)?;
    let node = identity.node.to_string();
    if identity.cluster_uuid.is_none() {
        return Err(RecoverError::NoCluster { node });
    }
    copy(path, backup).map_err(|cause| RecoverError::Backup { to: backup.to_owned(), cause })?;
    let hopeless = |cause| RecoverError::Hopeless { folder: path.to_owned(), cause };
    let store = open(&datadir.store(), Access::Repair).map_err(hopeless)?;
    let found = survey(&*store).map_err(hopeless)?;
    let me = found.members.iter().find(|member| Some(member.raft_id) == identity.raft_id);
    let me = Member { voter: true, ..me.ok_or(RecoverError::NoMember { node })?.clone() };
    let cluster = formation::refound(&datadir, &me).map_err(NodeError::from)?;
    let write = |batch| store.write(batch, Durability::Synced);
    recount(&*store).and_then(write).map_err(hopeless)?;
    rewrite(&*store, &me).and_then(write).map_err(hopeless)?;
    datadir.healed().map_err(NodeError::from)?;
    let survey = survey(&*store).map_err(hopeless)?;
    Ok(Recovered { cluster, backup: backup.to_owned(), survey })
}

fn read(folder: &Path) -> Result<Survey, StoreError> {
    survey(&*open(folder, Access::Read)?)
}

#[derive(Debug, Clone, Copy)]
enum Access {
    Read,
    Write,
    /// What can be read, of a damaged one.
    Repair,
}

#[cfg(not(sim))]
fn open(folder: &Path, access: Access) -> Result<Box<dyn Store>, StoreError> {
    use crate::store::{Disk, Expected, RocksStore, WatchedStore};
    let store = match access {
        Access::Read => RocksStore::open_read_only(folder)?,
        Access::Write => RocksStore::open_expected(folder, Expected { store: true, guard: false })?,
        Access::Repair => RocksStore::repair(folder)?,
    };
    // Values may carry checksums. What is written here has none, which every version reads.
    Ok(Box::new(WatchedStore::new(store, Disk::default())))
}

/// A simulated node's disk lives only as long as its simulation.
#[cfg(sim)]
fn open(_folder: &Path, _access: Access) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(crate::store::MemoryStore::default()))
}

fn store(datadir: &DataDir, cause: StoreError) -> NodeError {
    NodeError::Store { folder: datadir.store(), cause }
}

/// Copies a folder with all below it, and makes the copy durable. What the lock file says is
/// nobody's any more.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != datadir::LOCK_FILE {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}
