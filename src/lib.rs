//! stegcluster: a steganography service that keeps answering when machines die.
//!
//! The modules are rooms; each has one job, and imports only from rooms above it
//! in this list. `docs/ARCHITECTURE.md` has the picture. This library exists for
//! the binary, the tests and the benches; it is not a published API.

// Words: plain types, no I/O.
pub mod api;
pub mod clock;
pub mod ident;
pub mod limits;
pub mod observe;
pub mod record;
#[cfg(sim)]
pub mod sim;
pub mod view;

// Tools: each ignorant of the cluster.
pub mod access;
pub mod config;
pub mod datadir;
pub mod net;
pub mod plot;
pub mod pool;
pub mod rt;
pub mod stego;
pub mod store;
pub mod trust;

// What the log means, and how nodes and clients speak.
pub mod client;
pub mod ledger;
pub mod peer;

// Watching, loading, starting.
pub mod detector;
pub mod fleet;
pub mod load;
pub mod solo;

// Consensus, and the proof.
pub mod drill;
pub mod raft;

pub mod formation;
pub mod service;

pub mod http;

// The only room that sees all the others, and the command line before it.
pub mod cli;
pub mod node;
