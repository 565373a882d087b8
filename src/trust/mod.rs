//! By what nodes know each other, and clients know nodes: certificates, or a secret that all
//! nodes of a cluster share. Opens no sockets: `net` runs the handshakes that are prepared here.
//!
//! Begin with [`PeerTrust`]. `certificates` reads the files, `tls` makes the handshake's rules of
//! them and keeps them fresh, `verify` says which certificate is a node's, `make` issues
//! certificates, `roots` is a client's side, `secret` the shared secret, `words` says in a
//! sentence what was wrong with somebody.

pub mod certificates;
pub mod make;
pub mod roots;
pub mod secret;
pub mod tls;
mod verify;
pub mod words;

use std::path::PathBuf;
use std::sync::Arc;

pub use certificates::Facts;
pub use roots::Roots;
pub use secret::ClusterSecret;
pub use tls::{Tls, TlsFiles};

use crate::ident::NodeName;

/// How a node knows its peers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum PeerTrust {
    /// Whoever reaches the Raft port is believed.
    #[default]
    Open,
    /// By certificates of one CA; nobody else can read along.
    Tls(Tls),
    /// By a secret that all nodes have; nobody else can read along.
    Secret(ClusterSecret),
}

/// The names that a peer has proven to bear; `None` where any member of the cluster may bear
/// any name, or where nothing is proven at all.
pub type Proven = Option<Arc<[NodeName]>>;

/// Files that cannot be trusted, or not read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: std::io::Error },
    #[error("{}: {cause}", file.display())]
    Unusable { file: PathBuf, cause: String },
}

impl TrustError {
    fn unusable(file: &std::path::Path, cause: impl Into<String>) -> Self {
        Self::Unusable { file: file.to_owned(), cause: cause.into() }
    }
}

/// What is read from one of these files, at most: a chain of certificates is a few thousand bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

fn read(file: &std::path::Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TrustError> {
    use std::io::Read as _;

    let unreadable = |cause| TrustError::Unreadable { file: file.to_owned(), cause };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    // Room for all of it at once: a buffer that grows leaves copies of a key behind.
    let room = opened.metadata().map_or(0, |about| about.len()).min(FILE_BYTES_MAX) + 1;
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or(0)));
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TrustError::unusable(file, format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// A sentence where others than its owner may read `file`, or write it.
fn too_open(file: &std::path::Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let file = file.display();
        format!("{file} can be read by others (mode {mode:03o}): chmod 600 {file}")
    })
}
