//! A node that has to be started again in its own place: its disk was full, and there is room.
//!
//! The process runs the same program anew instead of building the node up again inside of it: a
//! database whose write failed, and threads that may hang in it, are gone for certain then. It
//! keeps its process id, so whoever supervises it sees no end.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::rt;
use crate::store::Disk;

/// Between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the log says that the node still waits.
const REMIND: Duration = Duration::from_secs(10);

/// Waits for room at `folder`, without ports and without a voice. False where `stop` was
/// cancelled first.
pub fn await_room(folder: &Path, disk: &Disk, stop: &CancellationToken) -> bool {
    let limit_bytes = crate::limits::DISK_ENOUGH_BYTES;
    let mut reminded = None;
    while !stop.is_cancelled() {
        if disk.has_enough(folder) {
            tracing::info!("there is room on the disk again: starting again");
            return true;
        }
        if reminded.is_none_or(|at: clock::Instant| at.elapsed() >= REMIND) {
            reminded = Some(clock::now());
            tracing::error!(
                folder = %folder.display(), limit_bytes,
                "the disk is full: this node serves nobody and waits for room; free some space"
            );
        }
        rt::pause_thread(LOOK_EVERY);
    }
    false
}

/// Runs this program with the same arguments in place of this process. Returns only to say why
/// that failed.
pub fn start_again() -> io::Error {
    match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}
