//! The machines of a simulation: their processes, network and disks, all on one thread
//! and on tokio's paused clock, drawn from one seed. Compiled only with `--cfg sim`.
//!
//! A *host* is an IP address with a kernel, a disk and at most one process. Other rooms
//! change here instead of meeting the operating system: `rt`, `net`, `clock`, `datadir`
//! and the two threads of `raft`. Begin with [`begin`]; `process` says what a crash is,
//! `net` what a connection sees of it.

pub mod disk;
pub mod net;
pub mod process;
pub mod random;
pub mod sabotage;
pub mod witness;

use std::time::Duration;

/// A run on this thread; what it left is forgotten when this is dropped, which must be
/// after its runtime.
pub struct Run(());

/// Begins a run with `seed` on this thread.
pub fn begin(seed: u64) -> Run {
    random::seed(seed);
    Run(())
}

impl Drop for Run {
    fn drop(&mut self) {
        process::forget_all();
        net::forget_all();
        disk::forget_all();
        witness::forget_all();
        sabotage::set(None);
        crate::clock::begin();
    }
}

/// Lets simulated time pass.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
