//! Configuration: flags over environment over `cluster.yaml` over defaults,
//! merged once into values that are valid or were never built. No code below
//! this room reads the environment.
//!
//! `raw` holds one layer as text with each value's source, `nodes` the addresses,
//! `timings` the patience of Raft and the detector, `resolve` merges and checks. Begin with [`ServeConfig`], then
//! [`resolve::resolve`].

mod memory;
pub mod nodes;
pub mod raw;
pub mod resolve;
pub mod security;
mod timings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use security::Security;
pub use timings::{Preset, Timings};

use crate::ident::NodeName;
use crate::limits;
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
    /// Orders (`/admin/...`) are taken from other machines too, not from this one only.
    pub remote_admin: bool,
    /// Who may do what; `None`: anything but orders is open to anyone.
    pub tokens: Option<PathBuf>,
    /// How nodes know each other, and who may see this one's memory.
    pub security: Security,
    /// Threads for the codec; at least 1.
    pub codec_threads: usize,
    /// Memory of the node, in MiB.
    pub memory_mib: u64,
    /// Of it, for covers seen before.
    pub cover_cache_mib: u64,
    /// Client connections at once.
    pub connections_max: usize,
    /// Those from one address.
    pub connections_per_client_max: usize,
    pub log_format: LogFormat,
    /// A level, or levels of modules.
    pub log_filter: String,
    pub timings: Timings,
    pub snapshots: Snapshots,
}

impl ServeConfig {
    /// What requests may hold together, in bytes.
    pub fn request_bytes(&self) -> u64 {
        (self.memory_mib - limits::MEMORY_OWN_MIB - self.cover_cache_mib) << 20
    }

    /// What must be equal on all nodes of a cluster, by the keys of `cluster.yaml`: a node that
    /// is more or less patient than the others spoils what their timings were chosen for.
    /// `nodes` is every node known by configuration, as `NAME=CLIENT/RAFT` addresses.
    pub fn shared_settings(&self) -> BTreeMap<String, String> {
        let mut nodes: Vec<String> = self
            .peers
            .iter()
            .map(|peer| format!("{}={}/{}", peer.name, peer.http_addr, peer.raft_addr))
            .collect();
        nodes.push(format!("{}={}/{}", self.id, self.advertise, self.raft_advertise));
        nodes.sort();
        let mut settings = BTreeMap::from([
            (raw::key::CLUSTER.to_owned(), self.cluster_name.clone()),
            (raw::key::SOLO_AFTER.to_owned(), resolve::show_patience(&self.solo_after)),
            ("nodes".to_owned(), nodes.join(",")),
            ("peer_trust".to_owned(), self.security.peer_trust().to_owned()),
        ]);
        let groups = [
            ("timings", serde_json::to_value(self.timings)),
            ("snapshots", serde_json::to_value(self.snapshots)),
        ];
        for (group, value) in groups {
            let value = value.expect("timings and snapshots are plain numbers");
            for (key, value) in value.as_object().into_iter().flatten() {
                settings.insert(format!("{group}.{key}"), value.to_string());
            }
        }
        settings
    }
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
