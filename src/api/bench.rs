//! Bodies of `/admin/bench`: a load that runs in a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Body of `POST /admin/bench`. The load ends after `requests` of each client or after
/// `duration_s`, whichever comes first; one of them must be given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchRequest {
    /// `embed`, `extract`, `roundtrip` or `commit`, or a mix such as `embed=70,extract=30`.
    pub mode: String,
    /// That ask at the same time.
    pub clients: usize,
    /// Of each client, in a closed loop.
    #[serde(default)]
    pub requests: Option<u64>,
    #[serde(default)]
    pub duration_s: Option<f64>,
    /// An open loop: so many requests a second by all clients together. Needs `duration_s`.
    #[serde(default)]
    pub rate_rps: Option<f64>,
}

/// Answer to `POST /admin/bench`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchStarted {
    pub id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchState {
    Running,
    Done,
    Cancelled,
    /// It could not begin.
    Failed,
}

/// Answer to `GET` and `DELETE /admin/bench`, and the event `end`: the load that runs, or the
/// last that did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchStatus {
    pub id: String,
    pub state: BenchState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    pub plan: BenchRequest,
    /// Schema 1 of `stegcluster bench --json`; `None` while it runs, and where it failed.
    pub report: Option<serde_json::Value>,
}

/// Requests that were answered with what was asked for, and that were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchCounts {
    pub ok: u64,
    pub failed: u64,
}

/// How a load is going: the event `tick`, every 250 ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchTick {
    /// Seconds since the load began.
    pub t_s: f64,
    /// Since the load began.
    pub ok: u64,
    pub failed: u64,
    /// Successes a second in the last 250 ms.
    pub rps: f64,
    /// Latencies of the successes since the last tick, in milliseconds.
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Since the load began, by the node that answered.
    pub per_node: BTreeMap<String, BenchCounts>,
    /// As this node sees it.
    pub leader: Option<String>,
}
