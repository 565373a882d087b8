//! Why a node could not start, or could not go on.

use std::path::PathBuf;
use std::time::Duration;

use crate::access::AccessError;
use crate::datadir::DataDirError;
use crate::formation::FormationError;
use crate::net::ListenError;
use crate::raft;
use crate::store::StoreError;
use crate::trust::TrustError;

/// The node could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Trust(TrustError),
    #[error("{}: {cause}", folder.display())]
    Store { folder: PathBuf, cause: StoreError },
    #[error("{}: the journal of records acknowledged alone: {cause}", folder.display())]
    Journal { folder: PathBuf, cause: std::io::Error },
    #[error("cover {}: {cause}", file.display())]
    Cover { file: PathBuf, cause: String },
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(String),
    #[error(transparent)]
    Formation(#[from] FormationError),
    #[error(transparent)]
    Raft(#[from] raft::StartError),
    /// A write to the store hung for so long that the node is of use to nobody.
    #[error(
        "a write to {} has not ended for {} ms (timings.fsync_exit_ms = {limit_ms}): the disk is \
         stuck; see the kernel's log, mend the disk or move the folder, and start the node again",
        folder.display(), stalled.as_millis()
    )]
    DiskStuck { folder: PathBuf, stalled: Duration, limit_ms: u64 },
    /// The disk took no more. What reached it is unknown until the database is opened anew.
    #[error("{}: no space left on the disk; free some, and start the node again", folder.display())]
    DiskFull { folder: PathBuf },
    /// A write failed, or a sync did. What reached the disk is unknown, and no second attempt
    /// would tell.
    #[error(
        "{}: {cause}; this node acknowledges nothing any more and ends. See the kernel's log, mend \
         the disk, and start the node again; where the disk is lost, start it with an empty data \
         folder, and it joins its cluster anew", folder.display()
    )]
    DiskFailed { folder: PathBuf, cause: String },
    /// What it had promised is damaged or gone, and nobody can replace it.
    #[error(
        "{folder}: what this node had on stable storage is damaged or lost: {cause}. There are no \
         other nodes to heal it from, so it does not start, and the folder is as it was. Restore a \
         backup into an empty folder (stegcluster restore), or keep what can still be read: \
         stegcluster recover --data-dir {folder} --damage-is-accepted", folder = folder.display()
    )]
    Damaged { folder: PathBuf, cause: String },
    /// It was damaged too often.
    #[error(
        "{}: damaged for the {times}th time ({cause}); this disk, or this machine's memory, is not \
         to be trusted: replace it, and start the node with an empty data folder", folder.display()
    )]
    BadDisk { folder: PathBuf, times: usize, cause: String },
    /// An operator removed it from its cluster.
    #[error(
        "this node was removed from its cluster (stegcluster members remove); to add it again, \
         start it with an empty data folder instead of {}", folder.display()
    )]
    Removed { folder: PathBuf },
    /// It ran, and had to stop: it must not vote on what it cannot trust.
    #[error("this node had to stop: {0}")]
    Failed(String),
}

impl NodeError {
    /// True where the user can mend it by starting the node differently.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::DataDir(_)
            | Self::Listen(_)
            | Self::Access(_)
            | Self::Trust(_)
            | Self::Store { .. }
            | Self::Cover { .. } => true,
            Self::Journal { .. }
            | Self::Runtime(_)
            | Self::Signals(_)
            | Self::Formation(_)
            | Self::Raft(_)
            | Self::DiskStuck { .. }
            | Self::DiskFull { .. }
            | Self::DiskFailed { .. }
            | Self::Damaged { .. }
            | Self::BadDisk { .. }
            | Self::Removed { .. }
            | Self::Failed(_) => false,
        }
    }

    /// True where the disk cannot be written or trusted any more: nothing is handed over or
    /// waited for.
    pub(super) fn is_disk(&self) -> bool {
        matches!(
            self,
            Self::DiskStuck { .. }
                | Self::DiskFull { .. }
                | Self::DiskFailed { .. }
                | Self::Damaged { .. }
        )
    }

    /// What was found to be damaged, where it is that.
    pub(super) fn damage(&self) -> Option<String> {
        match self {
            Self::Damaged { cause, .. } => Some(cause.clone()),
            Self::Store { cause, folder } if cause.is_damage() => {
                Some(format!("{}: {cause}", folder.display()))
            }
            Self::DataDir(error @ DataDirError::Damaged { .. })
            | Self::Formation(FormationError::DataDir(error @ DataDirError::Damaged { .. })) => {
                Some(error.to_string())
            }
            _ => None,
        }
    }
}
