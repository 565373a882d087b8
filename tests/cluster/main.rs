//! Whole clusters of real processes on loopback: formed, used, killed and restarted.
//!
//! `support` starts the processes, waits on conditions and speaks HTTP. Each test has
//! ports and a folder of its own; clusters run one at a time, because each is three
//! processes whose timings count.

mod failover;
mod formation;
mod lone;
mod mistakes;
mod pictures;
mod snapshots;
mod solo;
mod support;
