//! The data directory: whose it is, that only one process uses it, and small files
//! that survive a crash whole. What the store inside means is not known here.
//!
//! | name | what |
//! |---|---|
//! | `LOCK` | locked by the running node; holds its process id |
//! | `identity.json` | format, node, instance, cluster, Raft id; marks the folder as ours |
//! | `admin.token` | what a web page must know to give this node orders (room `access`) |
//! | `formation.json` | what was promised while a cluster formed |
//! | `store/` | the database |
//! | `store.guard` | how much of it was on stable storage |
//! | `damaged.json` | there was damage: see `damage` |
//! | `damaged-SECONDS/` | what was there before; never deleted |
//!
//! Each JSON file has a member `crc32`: that of the others, written without spaces and in order
//! of their names. Format 1 had none. A folder begins with format 1, which the version before can
//! read, and is raised to 2 when the whole cluster can (`node::version`).

mod damage;
#[cfg_attr(sim, path = "datadir/files_sim.rs")]
mod files;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::ident::{ClusterUuid, InstanceUuid, NodeName, RaftId};

/// The newest format that this version knows. Raised when an older version could misread it.
pub const FORMAT: u32 = 2;
/// The format of a new folder: that of the version before.
pub const FORMAT_FIRST: u32 = 1;
/// From this format on no checksum may be missing, and the store has a guard.
pub const FORMAT_CHECKED: u32 = 2;

/// Names inside the folder, as the manual lists them.
pub const LOCK_FILE: &str = "LOCK";
pub const IDENTITY_FILE: &str = "identity.json";
pub const PROMISES_FILE: &str = "formation.json";
pub const STORE_FOLDER: &str = "store";
pub const GUARD_FILE: &str = "store.guard";
pub const MARK_FILE: &str = "damaged.json";

pub use damage::Ward;

/// The member of each JSON file that holds its checksum.
const CRC: &str = "crc32";

/// Why a data folder cannot be used. One line each, saying what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "data folder {} is in use by process {pid}; stop that node, or give this one its own --data-dir",
        path.display()
    )]
    Locked { path: PathBuf, pid: String },
    #[error(
        "{} is not empty and no data folder of stegcluster (it has no {IDENTITY_FILE}); \
         name an empty or new folder with --data-dir",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error(
        "data folder {} has format {found}, and stegcluster {} knows up to {FORMAT}; it is left as \
         it is. Run a version that knows format {found}; back to this one leads only a backup made \
         with that one, restored into a new cluster",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    NewerFormat { path: PathBuf, found: u32 },
    #[error(
        "data folder {} belongs to {owner}, this node is {node}; correct --id or --data-dir",
        path.display()
    )]
    OtherNode { path: PathBuf, owner: NodeName, node: NodeName },
    #[error("{} is damaged: {cause}", path.display())]
    Damaged { path: PathBuf, cause: String },
    #[error("cannot {action} {}: {cause}{}", path.display(), advice(cause))]
    Io { action: &'static str, path: PathBuf, cause: io::Error },
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; make the folder writable for this user, or name another with --data-dir"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or name a folder on another disk with --data-dir"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; a file is in the way, name a folder with --data-dir"
        }
        _ => "",
    }
}

/// Who the folder's node is. Read by operators too: kept as plain JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub format: u32,
    pub node: NodeName,
    /// New with each new folder: a node with a wiped disk is another instance.
    pub instance: InstanceUuid,
    /// `None` until the node belongs to a cluster.
    pub cluster_uuid: Option<ClusterUuid>,
    /// `None` until the cluster gave it one.
    pub raft_id: Option<RaftId>,
}

/// An opened, locked data folder. The lock ends with this value, or with the process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held for its lock.
    _lock: files::Lock,
    /// Where what was damaged went, until what can be saved of it is.
    remains: Mutex<Option<damage::Mark>>,
    /// What `identity.json` says. Its mutex also keeps two writers apart, who would
    /// share a temporary file.
    identity: Mutex<Identity>,
}

impl DataDir {
    /// Opens, or creates, the folder of `node` and locks it. Blocks on the disk.
    ///
    /// # Errors
    /// In use, not ours, newer, another node's, damaged, unwritable or full.
    pub fn open(path: &Path, node: &NodeName) -> Result<Self, DataDirError> {
        let this = Self::open_marked(path, node)?;
        match this.mark() {
            Some(mark) if !mark.is_done(&this.identity()) => {
                Err(DataDirError::Damaged { path: path.to_owned(), cause: mark.cause })
            }
            _ => Ok(this),
        }
    }

    /// The same, also where the folder is marked as damaged.
    ///
    /// # Errors
    /// As for [`Self::open`], but for that.
    pub fn open_marked(path: &Path, node: &NodeName) -> Result<Self, DataDirError> {
        let lock = files::open_folder(path)?;
        let identity = match load_value(&path.join(IDENTITY_FILE))? {
            Some(found) => read_identity(path, found, node)?,
            None => {
                let identity = Identity {
                    format: FORMAT_FIRST,
                    node: node.clone(),
                    instance: InstanceUuid(clock::fresh_uuid()),
                    cluster_uuid: None,
                    raft_id: None,
                };
                save_json(path, IDENTITY_FILE, &identity)?;
                // The folder's own name must survive a power cut too.
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                files::sync_folder(parent.unwrap_or(Path::new(".")))?;
                identity
            }
        };
        let remains = Mutex::new(damage::load(path)?);
        Ok(Self { path: path.to_owned(), _lock: lock, remains, identity: Mutex::new(identity) })
    }

    fn mark(&self) -> Option<damage::Mark> {
        self.remains.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Marks the folder as damaged, for good. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn mark_damaged(path: &Path, cause: &str) -> Result<(), DataDirError> {
        damage::mark(path, cause)
    }

    /// The folder with what was damaged, where this node came back in its place and has not yet
    /// saved what can be.
    pub fn remains(&self) -> Option<PathBuf> {
        self.mark().map(|mark| mark.aside(&self.path))
    }

    /// Removes the mark: what could be saved is. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn healed(&self) -> Result<(), DataDirError> {
        let mut remains = self.remains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = &*remains {
            mark.remove(&self.path)?;
        }
        *remains = None;
        Ok(())
    }

    /// Folders with what was damaged before, as long as nobody removes them.
    pub fn set_aside(&self) -> Vec<PathBuf> {
        // They only cost space: where the folder cannot be read, worse will be told.
        damage::asides(&self.path).unwrap_or_default()
    }

    /// Raises the folder's format to the newest: every file gets its checksum, and older versions
    /// refuse the folder. Does nothing where that is so. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed; the next attempt goes on.
    pub fn raise_format(&self) -> Result<(), DataDirError> {
        if self.identity().format >= FORMAT {
            return Ok(());
        }
        if let Some(promises) = self.load::<serde_json::Value>(PROMISES_FILE)? {
            self.save(PROMISES_FILE, &promises)?;
        }
        // Last: from then on nothing may lack one.
        let identity = Identity { format: FORMAT, ..self.identity() };
        self.save_identity(&identity)
    }

    /// What the folder's `identity.json` says, without a lock and without a change; `None`
    /// where there is none.
    ///
    /// # Errors
    /// Newer, damaged or unreadable.
    pub fn peek(path: &Path) -> Result<Option<Identity>, DataDirError> {
        let found = load_value(&path.join(IDENTITY_FILE))?;
        found.map(|found| parse_identity(path, found)).transpose()
    }

    /// The process that has the folder, as its lock file names it; `None` where nobody has it.
    pub fn holder(path: &Path) -> Option<String> {
        files::holder(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database's folder. The database creates it.
    pub fn store(&self) -> PathBuf {
        self.path.join(STORE_FOLDER)
    }

    pub fn identity(&self) -> Identity {
        self.lock_identity().clone()
    }

    /// Replaces the identity; durable once this returns. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed; the old identity is then still in force.
    pub fn save_identity(&self, identity: &Identity) -> Result<(), DataDirError> {
        let mut current = self.lock_identity();
        save_json(&self.path, IDENTITY_FILE, identity)?;
        *current = identity.clone();
        Ok(())
    }

    /// Reads a file written by [`Self::save`]; `None` if there is none.
    ///
    /// # Errors
    /// Unreadable, or not what was asked for.
    pub fn load<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, DataDirError> {
        load_json(&self.path.join(file), self.identity().format >= FORMAT_CHECKED)
    }

    /// Replaces `file` in the folder as a whole, as JSON: after a crash at any moment
    /// it is the old or the new one, and the new one once this returned. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// The disk failed; the old file is then still there.
    pub fn save<T: Serialize>(&self, file: &str, value: &T) -> Result<(), DataDirError> {
        let _one_writer = self.lock_identity();
        save_json(&self.path, file, value)
    }

    fn lock_identity(&self) -> MutexGuard<'_, Identity> {
        // The identity is assigned whole, so it is good even after a panic elsewhere.
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// For a user without privileges.
    pub free: u64,
    pub total: u64,
}

/// Room on the file system that holds `path`, or that would: of the nearest folder above that
/// is there. `None` where the system does not say. May wait for the disk.
pub fn space(path: &Path) -> Option<Space> {
    let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |cause| DataDirError::Io { action, path, cause }
}

fn parse_identity(path: &Path, found: serde_json::Value) -> Result<Identity, DataDirError> {
    // The format first: a newer identity may have any shape.
    let format = found.get("format").and_then(serde_json::Value::as_u64);
    if let Some(format) = format.and_then(|format| u32::try_from(format).ok())
        && format > FORMAT
    {
        return Err(DataDirError::NewerFormat { path: path.to_owned(), found: format });
    }
    let checked = format.is_some_and(|format| format >= u64::from(FORMAT_CHECKED));
    open_json(&path.join(IDENTITY_FILE), found, checked)
}

fn read_identity(
    path: &Path,
    found: serde_json::Value,
    node: &NodeName,
) -> Result<Identity, DataDirError> {
    let identity = parse_identity(path, found)?;
    if identity.node != *node {
        let (owner, node) = (identity.node, node.clone());
        return Err(DataDirError::OtherNode { path: path.to_owned(), owner, node });
    }
    Ok(identity)
}

fn load_value(path: &Path) -> Result<Option<serde_json::Value>, DataDirError> {
    let Some(bytes) = files::read(path).map_err(io_error("read", path))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| damaged(path, cause))
}

/// `checked` where the file may not lack its checksum. One that is there must be right in any case.
fn load_json<T: DeserializeOwned>(path: &Path, checked: bool) -> Result<Option<T>, DataDirError> {
    let value = load_value(path)?;
    value.map(|value| open_json(path, value, checked)).transpose()
}

fn damaged(path: &Path, cause: impl std::fmt::Display) -> DataDirError {
    DataDirError::Damaged { path: path.to_owned(), cause: cause.to_string() }
}

fn open_json<T: DeserializeOwned>(
    path: &Path,
    mut value: serde_json::Value,
    checked: bool,
) -> Result<T, DataDirError> {
    let crc = value.as_object_mut().and_then(|members| members.remove(CRC));
    match crc.as_ref().map(|crc| crc.as_str().unwrap_or_default()) {
        None if checked => return Err(damaged(path, "its checksum is missing")),
        Some(crc) if crc != checksum(&value) => {
            return Err(damaged(path, "its checksum is wrong"));
        }
        _ => {}
    }
    serde_json::from_value(value).map_err(|cause| damaged(path, cause))
}

/// The CRC-32 of `value` without spaces, its members in order of their names.
fn checksum(value: &serde_json::Value) -> String {
    format!("{:08x}", crc32fast::hash(value.to_string().as_bytes()))
}

fn save_json<T: Serialize>(folder: &Path, file: &str, value: &T) -> Result<(), DataDirError> {
    let path = folder.join(file);
    let encoded = serde_json::to_value(value).and_then(|mut value| {
        let crc = checksum(&value);
        if let Some(members) = value.as_object_mut() {
            members.insert(CRC.to_owned(), crc.into());
        }
        serde_json::to_vec_pretty(&value)
    });
    let mut bytes = encoded.map_err(|error| io_error("write", &path)(io::Error::other(error)))?;
    bytes.push(b'\n');
    files::replace(folder, file, bytes).map_err(io_error("write", &path))?;
    files::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::files::LOST_AND_FOUND;
    use super::*;
    use std::fs;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    #[test]
    fn a_folder_keeps_its_identity() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data/n1");
        let first = DataDir::open(&path, &name("n1")).unwrap();
        let mut identity = first.identity();
        assert_eq!(
            (identity.format, identity.cluster_uuid, identity.raft_id),
            (FORMAT_FIRST, None, None)
        );
        identity.raft_id = Some(RaftId(7));
        identity.cluster_uuid = Some(ClusterUuid(clock::fresh_uuid()));
        first.save_identity(&identity).unwrap();
        assert_eq!(first.identity(), identity);
        assert_eq!(first.store(), path.join("store"));
        drop(first);
        assert_eq!(DataDir::open(&path, &name("n1")).unwrap().identity(), identity);
    }

    #[test]
    fn a_wiped_folder_is_another_instance() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("n1");
        let first = DataDir::open(&path, &name("n1")).unwrap().identity();
        fs::remove_dir_all(&path).unwrap();
        let second = DataDir::open(&path, &name("n1")).unwrap().identity();
        assert_ne!(first.instance, second.instance);
    }

    #[test]
    fn a_second_process_is_told_who_has_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        let held = DataDir::open(temp.path(), &name("n1")).unwrap();
        let error = DataDir::open(temp.path(), &name("n1")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("in use by process {};", std::process::id())), "{text}");
        drop(held);
        DataDir::open(temp.path(), &name("n1")).unwrap();
    }

    #[test]
    fn a_foreign_folder_is_refused_and_left_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("thesis.txt"), "mine").unwrap();
        let error = DataDir::open(temp.path(), &name("n1")).unwrap_err();
        assert!(matches!(error, DataDirError::Foreign { .. }), "{error}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_creation_cut_short_is_taken_up_again() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(LOCK_FILE), "1").unwrap();
        fs::write(temp.path().join("identity.json.tmp"), "{").unwrap();
        fs::create_dir(temp.path().join(LOST_AND_FOUND)).unwrap();
        DataDir::open(temp.path(), &name("n1")).unwrap();
    }

    #[test]
    fn an_unfit_identity_is_answered_with_what_to_do() {
        let instance = "00000000-0000-4000-8000-000000000000";
        let table = [
            (
                format!(r#"{{"format":1,"node":"n2","instance":"{instance}"}}"#),
                "belongs to n2, this node is n1",
            ),
            (r#"{"format":3,"new":[],"crc32":9}"#.to_owned(), "has format 3, and stegcluster "),
            (
                r#"{"format":2,"node":"n1"}"#.to_owned(),
                "identity.json is damaged: its checksum is missing",
            ),
            ("{\"format\":1".to_owned(), "identity.json is damaged: EOF"),
            (r#"{"format":1}"#.to_owned(), "identity.json is damaged: missing field"),
        ];
        for (identity, expected) in table {
            let temp = tempfile::tempdir().unwrap();
            fs::write(temp.path().join(IDENTITY_FILE), identity).unwrap();
            let error = DataDir::open(temp.path(), &name("n1")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        fs::write(&path, "").unwrap();
        for path in [path.clone(), path.join("n1")] {
            let error = DataDir::open(&path, &name("n1")).unwrap_err().to_string();
            assert!(error.contains("a file is in the way"), "{error}");
        }
    }

    #[test]
    fn a_full_or_unwritable_disk_comes_with_advice() {
        let table = [
            (io::ErrorKind::StorageFull, "free some space"),
            (io::ErrorKind::PermissionDenied, "make the folder writable"),
            (io::ErrorKind::ReadOnlyFilesystem, "make the folder writable"),
        ];
        for (kind, expected) in table {
            let error = io_error("write", Path::new("/d"))(kind.into()).to_string();
            assert!(error.starts_with("cannot write /d: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn small_files_are_replaced_whole() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Peers {
            peers: Vec<u32>,
        }
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path(), &name("n1")).unwrap();
        assert_eq!(dir.load::<Peers>("peers.json").unwrap(), None);
        dir.save("peers.json", &Peers { peers: vec![1, 2, 3] }).unwrap();
        dir.save("peers.json", &Peers { peers: vec![4] }).unwrap();
        let peers = dir.load("peers.json").unwrap();
        assert_eq!(peers, Some(Peers { peers: vec![4] }));
        assert!(!temp.path().join("peers.json.tmp").exists());
        fs::write(temp.path().join("peers.json"), "{\"peers\":[4").unwrap();
        let error = dir.load::<Peers>("peers.json").unwrap_err();
        assert!(matches!(error, DataDirError::Damaged { .. }), "{error}");
    }

    /// A process that another test starts has a copy of the lock until it becomes another program.
    fn open_alone(folder: &Path) -> Result<DataDir, DataDirError> {
        loop {
            match DataDir::open(folder, &name("n1")) {
                Err(DataDirError::Locked { .. }) => std::thread::yield_now(),
                opened => return opened,
            }
        }
    }

    #[test]
    fn no_flipped_bit_in_a_small_file_changes_what_it_says() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path(), &name("n1")).unwrap();
        dir.save_identity(&Identity { raft_id: Some(RaftId(1)), ..dir.identity() }).unwrap();
        dir.raise_format().unwrap();
        let identity = dir.identity();
        assert_eq!(identity.format, FORMAT);
        drop(dir);
        let path = temp.path().join(IDENTITY_FILE);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                fs::write(&path, &flipped).unwrap();
                match open_alone(temp.path()) {
                    // A space became another one.
                    Ok(dir) => assert_eq!(dir.identity(), identity, "byte {at}, bit {bit}"),
                    Err(DataDirError::Damaged { .. } | DataDirError::NewerFormat { .. }) => {}
                    Err(error) => panic!("byte {at}, bit {bit}: {error}"),
                }
            }
        }
    }

    #[test]
    fn a_format_is_raised_once_and_everything_has_its_checksum_then() {
        let temp = tempfile::tempdir().unwrap();
        let instance = "00000000-0000-4000-8000-000000000000";
        let old = format!(r#"{{"format":1,"node":"n1","instance":"{instance}"}}"#);
        fs::write(temp.path().join(IDENTITY_FILE), old).unwrap();
        fs::write(temp.path().join(PROMISES_FILE), r#"{"promised":null}"#).unwrap();
        let dir = DataDir::open(temp.path(), &name("n1")).unwrap();
        assert_eq!(dir.identity().format, 1);
        assert!(dir.load::<serde_json::Value>(PROMISES_FILE).unwrap().is_some());
        dir.raise_format().unwrap();
        dir.raise_format().unwrap();
        for file in [IDENTITY_FILE, PROMISES_FILE] {
            assert!(fs::read_to_string(temp.path().join(file)).unwrap().contains("crc32"));
        }
        fs::write(temp.path().join(PROMISES_FILE), r#"{"promised":null}"#).unwrap();
        let error = dir.load::<serde_json::Value>(PROMISES_FILE).unwrap_err();
        assert!(error.to_string().contains("its checksum is missing"), "{error}");
    }

    #[test]
    fn a_damaged_folder_is_remembered_and_exchanged_whenever_the_power_fails() {
        let temp = tempfile::tempdir().unwrap();
        let former = DataDir::open(temp.path(), &name("n1")).unwrap().identity();
        fs::create_dir(temp.path().join(STORE_FOLDER)).unwrap();
        fs::write(temp.path().join("store/000001.sst"), "bad").unwrap();
        DataDir::mark_damaged(temp.path(), "a bad block").unwrap();
        let error = DataDir::open(temp.path(), &name("n1")).unwrap_err();
        assert!(error.to_string().contains("is damaged: a bad block"), "{error}");
        let mut ward = Ward::open(temp.path(), "something else").unwrap();
        assert_eq!((ward.cause(), ward.damages().unwrap()), ("a bad block", 0));
        let instance = InstanceUuid(clock::fresh_uuid());
        let new = Identity { instance, raft_id: Some(RaftId(4)), ..former };
        ward.come_back_as(new.clone()).unwrap();
        drop(ward);
        // Not exchanged yet, and known to be promised a number.
        assert!(DataDir::open(temp.path(), &name("n1")).is_err());
        let aside = Ward::open(temp.path(), "").unwrap().exchange().unwrap();
        assert_eq!(fs::read(aside.join("store/000001.sst")).unwrap(), b"bad");
        let dir = DataDir::open(temp.path(), &name("n1")).unwrap();
        assert_eq!((dir.identity(), dir.remains()), (new.clone(), Some(aside.clone())));
        dir.healed().unwrap();
        assert_eq!((dir.remains(), dir.set_aside()), (None, vec![aside]));
        drop(dir);
        assert_eq!(DataDir::open(temp.path(), &name("n1")).unwrap().identity(), new);
    }
}
