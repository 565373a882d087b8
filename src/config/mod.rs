//! Configuration: flags over environment over `cluster.yaml` over defaults,
//! merged once into values that are valid or were never built. No code below
//! this room reads the environment.
//!
//! `raw` holds one layer as text with each value's source, `nodes` the addresses,
//! `resolve` merges and checks. Begin with [`ServeConfig`], then
//! [`resolve::resolve`].

pub mod nodes;
pub mod raw;
pub mod resolve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::ident::NodeName;
use crate::observe::log::LogFormat;

/// Everything `serve` needs, resolved and checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServeConfig {
    pub cluster_name: String,
    pub id: NodeName,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where peers connect.
    pub raft_listen: SocketAddr,
    /// `HOST:PORT` under which clients and other nodes reach this node's client port.
    pub advertise: String,
    /// `HOST:PORT` under which other nodes reach this node's Raft port.
    pub raft_advertise: String,
    /// The other configured nodes, sorted by name, without this one. Empty: a cluster of one.
    pub peers: Vec<PeerConfig>,
    pub data_dir: PathBuf,
    /// The cover used when a request brings none; `None`: the built-in photograph.
    pub cover: Option<PathBuf>,
    /// How long without a quorum until the node serves alone; `None`: never.
    pub solo_after: Option<Duration>,
    /// Restart the node after a crash.
    pub supervise: bool,
    /// Threads for the codec; at least 1.
    pub codec_threads: usize,
    pub log_format: LogFormat,
    /// A level or tracing directives.
    pub log_filter: String,
    pub timings: Timings,
    pub snapshots: Snapshots,
}

/// Another node, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerConfig {
    pub name: NodeName,
    /// `HOST:PORT` of its client port.
    pub http_addr: String,
    /// `HOST:PORT` of its Raft port.
    pub raft_addr: String,
}

/// Intervals and patience of Raft and of the failure detector, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// Leader to followers.
    pub heartbeat_interval_ms: u64,
    /// Raft's own election timer: the floor under the detector.
    pub election_timeout_min_ms: u64,
    pub election_timeout_max_ms: u64,
    /// Follower to leader.
    pub probe_interval_ms: u64,
    /// How long an answer to a probe may take.
    pub probe_timeout_ms: u64,
    /// Probes in a row that must fail before a leader is suspected.
    pub probe_misses: u32,
    /// Between two campaigns of one node.
    pub campaign_spacing_ms: u64,
    /// A leader with a write of the log unfinished for longer hands over.
    pub fsync_handover_ms: u64,
    /// A node with a write of the log unfinished for longer ends.
    pub fsync_exit_ms: u64,
}

impl Timings {
    /// For a LAN or one machine.
    pub const DEFAULT: Self = Self {
        // Ten to an election timeout: one or two lost heartbeats change nothing.
        heartbeat_interval_ms: 100,
        // The detector is the fast path; this floor only has to outlast any pause
        // that a busy but healthy machine makes.
        election_timeout_min_ms: 1000,
        election_timeout_max_ms: 2000,
        probe_interval_ms: 25,
        // A healthy Raft runtime answers in well under 1 ms even on a saturated machine.
        probe_timeout_ms: 60,
        probe_misses: 3,
        campaign_spacing_ms: 300,
        // Some hundred times what an fsync takes: a disk that is only busy stays below.
        fsync_handover_ms: 500,
        // Others lead by then. A journal of a file system that is being flooded may hold an
        // fsync for seconds, and a node that would have recovered should not be gone.
        fsync_exit_ms: 10_000,
    };

    /// The longest that the detector needs to suspect a silent leader, in milliseconds.
    pub const fn suspect_after_ms(&self) -> u64 {
        (self.probe_misses as u64)
            .saturating_mul(self.probe_interval_ms.saturating_add(self.probe_timeout_ms))
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// When the log is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Snapshots {
    /// Log entries since the last snapshot that cause the next.
    pub every_entries: u64,
    /// Entries kept in the log behind a snapshot, for followers a little late.
    pub keep_entries: u64,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            // A record is some 500 bytes, so the log stays in the low megabytes.
            every_entries: 10_000,
            // A follower away for a minute at full speed still catches up from the log.
            keep_entries: 20_000,
        }
    }
}

// The same relations that `resolve` checks at run time, for the defaults.
const _: () = {
    let t = Timings::DEFAULT;
    assert!(t.suspect_after_ms() < t.election_timeout_min_ms);
    assert!(t.heartbeat_interval_ms * 3 < t.election_timeout_min_ms);
    assert!(t.election_timeout_min_ms < t.election_timeout_max_ms);
    assert!(t.fsync_handover_ms * 2 < t.fsync_exit_ms);
};
