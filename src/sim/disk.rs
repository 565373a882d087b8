//! Disks: how long an fsync takes, whether it fails or never ends, and the small files of
//! a data folder. The database itself is `store::MemoryStore`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{process, random};

struct Disk {
    /// The shortest and longest fsync, in milliseconds.
    fsync_ms: (u64, u64),
    failing: bool,
    stuck: bool,
    waiting: Vec<Waker>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            fsync_ms: HEALTHY_MS,
            failing: false,
            stuck: false,
            waiting: Vec::new(),
            files: BTreeMap::new(),
        }
    }
}

/// An fsync of a healthy disk.
const HEALTHY_MS: (u64, u64) = (0, 2);

thread_local! {
    static DISKS: RefCell<BTreeMap<IpAddr, Disk>> = const { RefCell::new(BTreeMap::new()) };
}

pub(super) fn forget_all() {
    DISKS.take();
}

fn with<T>(host: IpAddr, change: impl FnOnce(&mut Disk) -> T) -> T {
    DISKS.with_borrow_mut(|disks| change(disks.entry(host).or_default()))
}

/// From now on an fsync takes so long.
pub fn slow_down(host: IpAddr, shortest_ms: u64, longest_ms: u64) {
    with(host, |disk| disk.fsync_ms = (shortest_ms, longest_ms));
}

/// From now on nothing can be written.
pub fn fail(host: IpAddr) {
    with(host, |disk| disk.failing = true);
}

/// From now on an fsync does not end.
pub fn stick(host: IpAddr) {
    with(host, |disk| disk.stuck = true);
}

/// Ends all of the above; the files are as they are.
pub fn mend(host: IpAddr) {
    let waiting = with(host, |disk| {
        disk.fsync_ms = HEALTHY_MS;
        disk.failing = false;
        disk.stuck = false;
        std::mem::take(&mut disk.waiting)
    });
    waiting.into_iter().for_each(Waker::wake);
}

/// A new, empty disk.
pub fn replace(host: IpAddr) {
    mend(host);
    with(host, |disk| disk.files.clear());
}

/// The time that an fsync takes on the present process's disk.
pub async fn fsync() {
    let Some(host) = process::try_host() else { return };
    let ms = with(host, |disk| {
        let (shortest, longest) = disk.fsync_ms;
        random::draw(|random| random.within(shortest..=longest))
    });
    if ms > 0 {
        super::pass(Duration::from_millis(ms)).await;
    }
    poll_fn(|context| {
        with(host, |disk| {
            if !disk.stuck {
                return Poll::Ready(());
            }
            disk.waiting.push(context.waker().clone());
            Poll::Pending
        })
    })
    .await;
}

/// # Errors
/// The present process's disk fails.
pub fn check() -> io::Result<()> {
    let failing = process::try_host().is_some_and(|host| with(host, |disk| disk.failing));
    if failing { Err(io::Error::other("input/output error (simulated)")) } else { Ok(()) }
}

/// Reads a small file of the present process's disk; `None` if there is none.
///
/// # Errors
/// The disk fails.
pub fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    check()?;
    Ok(with(process::host(), |disk| disk.files.get(path).cloned()))
}

/// Replaces a small file as a whole; durable once this returns.
///
/// # Errors
/// The disk fails.
pub fn replace_file(path: &Path, bytes: Vec<u8>) -> io::Result<()> {
    check()?;
    with(process::host(), |disk| disk.files.insert(path.to_owned(), bytes));
    Ok(())
}
