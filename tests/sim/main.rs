//! Whole clusters in deterministic simulation: the consensus side of every node is the
//! real code, over a simulated network, clock and disk, and everything that happens is
//! drawn from one seed. `make sim` runs it; a failure prints the command that replays it.
//!
//! `run` is one run: `schedule` draws its faults, `cluster` and `host` carry them out,
//! `clients` write and read meanwhile, and `properties` judge, one file each.

#![cfg_attr(sim, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]
#![cfg_attr(sim, allow(clippy::print_stdout, reason = "seeds, traces and totals are for people"))]

#[cfg(sim)]
mod clients;
#[cfg(sim)]
mod cluster;
#[cfg(sim)]
mod disk;
#[cfg(sim)]
mod faults;
#[cfg(sim)]
mod host;
#[cfg(sim)]
mod planted;
#[cfg(sim)]
mod properties;
#[cfg(sim)]
mod replay;
#[cfg(sim)]
mod run;
#[cfg(sim)]
mod scenarios;
#[cfg(sim)]
mod schedule;
#[cfg(sim)]
mod seeds;
#[cfg(sim)]
mod trace;

#[cfg(not(sim))]
#[test]
#[ignore = "the simulation is built apart, with --cfg sim: `make sim`"]
fn simulation() {}
