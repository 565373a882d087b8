//! Whole clusters of real processes on loopback: formed, used, killed and restarted.
//!
//! `support` starts the processes, waits on conditions and speaks HTTP. Each test has
//! ports and a folder of its own; clusters run one at a time, because each is three
//! processes whose timings count.

mod bench;
mod bench_in_a_node;
mod deposed;
#[cfg(target_os = "linux")]
mod disks;
mod drills;
mod failover;
#[cfg(target_os = "linux")]
mod flips;
mod formation;
mod full_disk;
#[cfg(target_os = "linux")]
mod guide;
mod hand_over;
mod hostile;
mod lone;
mod mistakes;
#[cfg(target_os = "linux")]
mod netns;
mod operate;
mod orders;
#[cfg(target_os = "linux")]
#[path = "../it/pages.rs"]
mod pages;
mod partition;
mod pictures;
mod secrets;
mod signals;
mod silent;
mod snapshots;
mod solo;
mod strangers;
mod support;
mod tokens;
mod upgrade;
mod watching;
