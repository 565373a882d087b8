//! Who may do what on the client port: tokens and their roles.
//!
//! Knows no HTTP: `http::guard` says which call needs which role. Tokens are kept as SHA-256
//! digests only, and nothing here prints one. Begin with [`Access`]; `tokens` has the file's form,
//! `own` the token that a node makes for itself.

mod own;
mod tokens;

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub use own::OWN_FILE;
pub use tokens::TokensError;

use crate::limits::TOKENS_FILE_BYTES_MAX;
use crate::observe::warnings::Warnings;
use tokens::Tokens;

/// What a token allows. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read the ledger and the cluster's state.
    Read,
    /// Embed and extract.
    Embed,
    /// Fail nodes, change members, run a load.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Embed => "embed",
            Self::Admin => "admin",
        })
    }
}

/// The node could not start with the tokens that it was given.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("tokens {}: {cause}", path.display())]
    Tokens { path: PathBuf, cause: TokensError },
    #[error("cannot read or make {}: {cause}", path.display())]
    Own { path: PathBuf, cause: io::Error },
}

/// The bits by which others than the owner could read the file, or the group write it.
const OTHERS_MODE: u32 = 0o027;

/// A file as it was when it was read. One that is written again has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    bytes: u64,
    /// Nanoseconds since the Unix epoch.
    written: (i64, i64),
    mode: u32,
}

impl Version {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self {
            inode: found.ino(),
            bytes: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
        })
    }
}

#[derive(Debug)]
struct Book {
    /// `None` until the file was found, and after it went.
    version: Option<Version>,
    tokens: Tokens,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    book: RwLock<Arc<Book>>,
}

#[derive(Debug)]
struct Inner {
    /// Where the operator gave one.
    file: Option<File>,
    /// This node's own token for its admin calls, as a digest, and the file that has it.
    own: [u8; 32],
    own_path: PathBuf,
    warnings: Warnings,
}

/// Says what a token allows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

/// Names the tokens file in the warnings.
const SUBJECT: &str = "tokens";

impl Access {
    /// Reads the tokens of `file`, if the operator gave one, and the node's own, which is made
    /// where `data_dir` has none. Waits for the disk.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn open(
        file: Option<&Path>,
        data_dir: &Path,
        warnings: Warnings,
    ) -> Result<Self, AccessError> {
        let file = file.map(|path| {
            let book = read(path).map_err(|cause| {
                let path = path.to_owned();
                AccessError::Tokens { path, cause }
            })?;
            warn_of_mode(path, &book, &warnings);
            Ok(File { path: path.to_owned(), book: RwLock::new(Arc::new(book)) })
        });
        let own_path = data_dir.join(OWN_FILE);
        let own = own::read_or_make(data_dir)
            .map_err(|cause| AccessError::Own { path: own_path.clone(), cause })?;
        let file = file.transpose()?;
        Ok(Self { inner: Arc::new(Inner { file, own, own_path, warnings }) })
    }

    /// True where each call needs a token of the operator's file.
    pub fn asks_for_tokens(&self) -> bool {
        self.inner.file.is_some()
    }

    /// Where the node's own token for its admin calls lies. It counts only where the operator
    /// gave no tokens.
    pub fn own_path(&self) -> &Path {
        &self.inner.own_path
    }

    /// What `token` allows; `None` where it is not known. Takes as long whatever it is.
    pub fn role_of(&self, token: &str) -> Option<Role> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        match &self.inner.file {
            Some(file) => {
                let book = file.book.read().unwrap_or_else(PoisonError::into_inner).clone();
                book.tokens.role_of(&digest)
            }
            None => bool::from(digest.ct_eq(&self.inner.own)).then_some(Role::Admin),
        }
    }

    /// Reads the operator's file again where it changed. One that cannot be used leaves the
    /// tokens as they were, and is warned of. Waits for the disk.
    pub fn look(&self) {
        let Some(file) = &self.inner.file else { return };
        let known = file.book.read().unwrap_or_else(PoisonError::into_inner).version;
        let version = Version::of(&file.path).ok();
        if known == version && known.is_some() {
            return;
        }
        let path = file.path.display();
        match read(&file.path) {
            Ok(book) => {
                tracing::info!("tokens {path}: changed, and read again");
                warn_of_mode(&file.path, &book, &self.inner.warnings);
                *file.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
            }
            Err(cause) => {
                let sentence = format!("tokens {path}: {cause}; those read before still count");
                self.inner.warnings.set(SUBJECT, sentence);
            }
        }
    }
}

fn read(path: &Path) -> Result<Book, TokensError> {
    // Before the content: what is written meanwhile is read again.
    let version = Version::of(path)?;
    if version.bytes > TOKENS_FILE_BYTES_MAX {
        return Err(TokensError::TooLarge);
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path)?);
    Ok(Book { version: Some(version), tokens: text.parse()? })
}

fn warn_of_mode(path: &Path, book: &Book, warnings: &Warnings) {
    if book.version.is_some_and(|version| version.mode & OTHERS_MODE != 0) {
        let path = path.display();
        let sentence = format!("tokens {path}: other users may read or write it; chmod 600 {path}");
        warnings.set(SUBJECT, sentence);
    } else {
        warnings.clear(SUBJECT);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const READER: &str = "reader-token-0123456789";
    const ADMIN: &str = "admin-token-0123456789ab";

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn without_a_file_only_the_nodes_own_token_counts_and_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(None, folder.path(), Warnings::default()).unwrap();
        assert!(!access.asks_for_tokens());
        let token = std::fs::read_to_string(access.own_path()).unwrap();
        // 32 bytes in base64url without padding, and the line's end.
        assert_eq!((token.len(), token.trim().len()), (44, 43));
        let mode = std::fs::metadata(access.own_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(access.role_of(token.trim()), Some(Role::Admin));
        for other in ["", "x", &token.trim()[1..]] {
            assert_eq!(access.role_of(other), None, "{other}");
        }
        let again = Access::open(None, folder.path(), Warnings::default()).unwrap();
        assert_eq!(again.role_of(token.trim()), Some(Role::Admin));
        assert!(!format!("{access:?}").contains(token.trim()));
    }

    #[test]
    fn the_file_is_read_again_when_it_changes_and_kept_when_it_breaks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        write(&path, &format!("read r {READER}\n"), 0o600);
        let warnings = Warnings::default();
        let access = Access::open(Some(&path), folder.path(), warnings.clone()).unwrap();
        assert!(access.asks_for_tokens());
        assert_eq!(access.role_of(READER), Some(Role::Read));
        let own = std::fs::read_to_string(access.own_path()).unwrap();
        assert_eq!(access.role_of(own.trim()), None, "only the operator's tokens count");

        write(&path, &format!("embed r {READER}\nadmin a {ADMIN}\n"), 0o644);
        access.look();
        assert_eq!(access.role_of(READER), Some(Role::Embed));
        assert_eq!(access.role_of(ADMIN), Some(Role::Admin));
        assert!(warnings.list()[0].contains("chmod 600"), "{:?}", warnings.list());

        write(&path, "admin a short\n", 0o600);
        access.look();
        assert_eq!(access.role_of(ADMIN), Some(Role::Admin));
        assert!(warnings.list()[0].contains("line 1"), "{:?}", warnings.list());
        std::fs::remove_file(&path).unwrap();
        access.look();
        assert_eq!(access.role_of(ADMIN), Some(Role::Admin));

        write(&path, &format!("admin a {ADMIN}\n"), 0o600);
        access.look();
        assert_eq!((access.role_of(READER), warnings.list()), (None, vec![]));
    }

    #[test]
    fn a_node_does_not_start_with_tokens_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let open = || Access::open(Some(&path), folder.path(), Warnings::default());
        let missing = open().unwrap_err().to_string();
        assert!(missing.contains("tokens: No such file"), "{missing}");
        write(&path, &format!("admin a {ADMIN}\nroot b {READER}\n"), 0o600);
        let wrong = open().unwrap_err().to_string();
        assert!(wrong.contains("line 2") && !wrong.contains(READER), "{wrong}");
    }
}
