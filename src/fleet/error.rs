//! What may go wrong with local nodes.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::ident::NodeName;

/// Local nodes could not be started, or did not do what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("{asked} local nodes: 1 to {max} can be started")]
    Size { asked: usize, max: usize },
    #[error("cannot tell where this program is: {0}")]
    Binary(#[source] io::Error),
    #[error("cannot write to {}: {cause}", folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// Certificates could not be made, or not be read.
    #[error("{0}")]
    Trust(String),
    #[error("no free ports on 127.0.0.1: {0}")]
    Ports(#[source] io::Error),
    #[error("cannot run {}: {cause}", binary.display())]
    Start {
        binary: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{0} does not run")]
    NotRunning(NodeName),
    #[error("{0} still runs")]
    Running(NodeName),
    /// A node that nobody told to end has ended.
    #[error("{node} ended by itself ({status}); its last words:\n{last_lines}")]
    Ended { node: NodeName, status: ExitStatus, last_lines: String },
    /// `said` has what each node said at the end.
    #[error("waited {within:?} for {what}, in vain: {}", said.join("; "))]
    Late { what: String, within: Duration, said: Vec<String> },
    #[error("stopped while waiting")]
    Stopped,
}
