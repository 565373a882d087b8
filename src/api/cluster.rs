//! The cluster's state as clients see it, and the bodies of the admin calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ident::{ClusterUuid, LogPosition, NodeName, RecordId};
use crate::observe::traffic::Sent;

/// A node's part in Raft, spelled as the guide's `jq` lines expect it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    Learner,
    #[default]
    Unknown,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Leader => "Leader",
            Self::Follower => "Follower",
            Self::Candidate => "Candidate",
            Self::Learner => "Learner",
            Self::Unknown => "Unknown",
        })
    }
}

/// What a node is busy with, beside its role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Part of a cluster.
    Normal,
    /// Waiting for a majority to form a cluster with.
    #[default]
    Forming,
    /// Being added to an existing cluster.
    Joining,
    /// Serving alone, without a quorum.
    Solo,
    /// Cut off or paused on purpose, by `/admin/fail`.
    Faulted,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Normal => "normal",
            Self::Forming => "forming",
            Self::Joining => "joining",
            Self::Solo => "solo",
            Self::Faulted => "faulted",
        })
    }
}

/// Answer to `GET /cluster/status`: one node's view of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub cluster_name: String,
    pub cluster_uuid: Option<ClusterUuid>,
    /// The node that answers.
    pub node: Option<NodeName>,
    pub term: u64,
    pub leader_id: Option<NodeName>,
    /// `HOST:PORT` of the leader's client port.
    pub leader_address: Option<String>,
    /// When this node learnt that the leader leads this term, in milliseconds since the Unix
    /// epoch.
    #[serde(default)]
    pub leader_since_ms: Option<u64>,
    /// True while this node reaches a leader that a majority follows.
    pub quorum: bool,
    /// How many more of the voters that are up now may fail without losing the quorum.
    pub can_lose: u32,
    /// What about this node an operator should mend, in sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    #[serde(default)]
    pub access: Access,
    /// Sorted by name.
    pub nodes: Vec<NodeStatus>,
}

/// What this node asks of its clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nothing, but for orders.
    #[default]
    Open,
    /// A token with each call.
    Tokens,
}

/// What a node sent to its peers since the last report on the same stream: the event `traffic`
/// of `GET /cluster/events?traffic=1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The sender.
    pub node: NodeName,
    pub sent: Vec<Sent>,
}

/// One node, as it last told about itself, or as far as is known of a silent one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub id: NodeName,
    pub raft_id: Option<u64>,
    /// Host part of its client address.
    pub ip: String,
    pub http_port: u16,
    pub raft_port: u16,
    pub role: Role,
    pub healthy: bool,
    pub mode: Mode,
    pub voter: bool,
    pub term: u64,
    /// Name of the leader that this node follows.
    pub leader: Option<NodeName>,
    /// Last committed log index known to it.
    pub commit: u64,
    /// Last log index applied to its ledger.
    pub applied: u64,
    /// Entries that it is behind the highest commit index known in the cluster.
    pub lag: u64,
    /// Milliseconds since the reporting node last heard of it; 0 for itself.
    pub last_contact_ms: Option<f64>,
    /// Round trip of the reporting node's last question to its Raft port, in milliseconds,
    /// with the time that the other took to answer; `None` for itself.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// Why the reporting node's last question to its Raft port went unanswered.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The last entry of its log.
    #[serde(default)]
    pub last_log: LogPosition,
    /// Without a leader: who denied it a vote, or a pre-vote, when it last asked, and why.
    #[serde(default)]
    pub denied: Vec<Denial>,
    /// On the leader: milliseconds since a quorum last acknowledged it.
    pub quorum_ack_ms: Option<f64>,
    pub fsync_p99_ms: Option<f64>,
    /// Milliseconds since its oldest unfinished write of the Raft log began, if one is under
    /// way. Past `timings.fsync_handover_ms` a leader hands over, past
    /// `timings.fsync_exit_ms` a node ends.
    #[serde(default)]
    pub write_age_ms: Option<f64>,
    /// How it finds itself: `well`, `slow disk`, `stuck disk` or `no quorum`.
    #[serde(default)]
    pub condition: String,
    /// It leads, and is handing over to another node.
    #[serde(default)]
    pub handing_over: bool,
    /// What its detector holds of the leader, in a word or two.
    pub detector: String,
    /// Records in its ledger.
    pub records: u64,
    /// Records that it acknowledged alone and that wait for a quorum.
    #[serde(default)]
    pub journal: u64,
    /// Of one core; may pass 100.
    pub cpu_pct: f64,
    /// Of the machine's memory.
    pub mem_pct: f64,
    /// Client requests a second, over the last minute.
    pub qps_1m: f64,
    /// 95th percentile of client requests over the last minute, in milliseconds.
    pub p95_ms: f64,
    pub uptime_s: f64,
    pub version: String,
}

/// A vote that a candidate did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The voter.
    pub by: NodeName,
    /// The term that was asked for.
    pub term: u64,
    /// False where it gave no answer at all.
    pub answered: bool,
    /// In words, such as `its log is newer`.
    pub cause: String,
}

impl std::fmt::Display for Denial {
    /// To be read after the voter's name and before the candidate's: `denied`, `gave no vote to`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(if self.answered { "denied" } else { "gave no vote to" })
    }
}

impl NodeStatus {
    /// A node of which nothing is known but where it should be.
    pub fn unknown(id: NodeName, http_addr: &str, raft_addr: &str) -> Self {
        let (ip, http_port) = split_addr(http_addr);
        let (_, raft_port) = split_addr(raft_addr);
        Self {
            id,
            raft_id: None,
            ip,
            http_port,
            raft_port,
            role: Role::Unknown,
            healthy: false,
            mode: Mode::Forming,
            voter: false,
            term: 0,
            leader: None,
            commit: 0,
            applied: 0,
            lag: 0,
            last_contact_ms: None,
            rtt_ms: None,
            trouble: None,
            last_log: LogPosition::default(),
            denied: Vec::new(),
            quorum_ack_ms: None,
            fsync_p99_ms: None,
            write_age_ms: None,
            condition: String::new(),
            handing_over: false,
            detector: String::new(),
            records: 0,
            journal: 0,
            cpu_pct: 0.0,
            mem_pct: 0.0,
            qps_1m: 0.0,
            p95_ms: 0.0,
            uptime_s: 0.0,
            version: String::new(),
        }
    }
}

/// Host and port of `HOST:PORT`; an IPv6 host loses its brackets. Port 0 if there is none.
pub fn split_addr(addr: &str) -> (String, u16) {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "0"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), port.parse().unwrap_or(0))
}

/// Answer to `GET /cluster/node`: what one node runs with, and what its machine gives it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: Option<NodeName>,
    pub version: String,
    /// Milliseconds since the Unix epoch, by its clock, when it answered.
    pub time_ms: u64,
    /// Settings that must be equal on all nodes, by their keys in `cluster.yaml`. `nodes` is
    /// every node that it knows by configuration, itself included.
    pub settings: BTreeMap<String, String>,
    pub data_dir: String,
    /// Free for this user on the file system of the data folder, and its size.
    pub disk_free_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
    /// Files and sockets that the process may have open; `None`: no limit.
    pub open_files_max: Option<u64>,
}

/// A fault on purpose, for drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultAction {
    /// The process ends at once, as by SIGKILL.
    Crash,
    /// The client port answers 503 until restored.
    Pause,
    /// The process stops, as by SIGSTOP, for `duration_ms`.
    Freeze,
    /// Peer traffic is dropped until restored.
    Isolate,
    /// The process hands over and stops as by SIGTERM, and ends with a code that tells its
    /// supervisor to start it again.
    Term,
    /// The database's writes neither end nor fail until restored, as on a disk that hangs.
    #[serde(rename = "disk-stall")]
    DiskStall,
    /// Each of the database's writes takes `delay_ms` longer until restored.
    #[serde(rename = "disk-slow")]
    DiskSlow,
    /// The database's writes find no space for `duration_ms`: the node steps aside, and starts
    /// again after it.
    #[serde(rename = "disk-full")]
    DiskFull,
    /// The Raft port is closed and refuses new connections until restored; those that are
    /// open stay.
    Deafen,
}

impl std::fmt::Display for FaultAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::Freeze => "freeze",
            Self::Isolate => "isolate",
            Self::Term => "term",
            Self::DiskStall => "disk-stall",
            Self::DiskSlow => "disk-slow",
            Self::DiskFull => "disk-full",
            Self::Deafen => "deafen",
        })
    }
}

/// Which way traffic is dropped, as seen from the node that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What peers send does not arrive.
    In,
    /// What the node sends does not arrive.
    Out,
    #[default]
    Both,
}

/// Body of `POST /admin/fail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailRequest {
    pub action: FaultAction,
    /// The node that shall fail; the one that is asked if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// How long the fault lasts, in milliseconds; for `freeze` 2000 and for `disk-full` 5000 if
    /// absent, for `pause`, `isolate`, `deafen`, `disk-stall` and `disk-slow` until
    /// `/admin/restore` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// For `disk-slow`: how much longer each write takes, in milliseconds; 800 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// For `isolate`: only the traffic of these peers is dropped; of all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<NodeName>,
    /// For `isolate`; both ways if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

impl FailRequest {
    /// The whole node fails, until restored or for the action's usual time.
    pub fn new(action: FaultAction) -> Self {
        Self {
            action,
            node: None,
            duration_ms: None,
            delay_ms: None,
            peers: Vec::new(),
            direction: None,
        }
    }
}

/// Body of `POST /admin/restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// The node whose faults shall end; the one that is asked if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}

/// Body of `POST /admin/transfer-leader`; without `to`, the most current follower.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeName>,
}

/// What is to become of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MembersAction {
    /// Out of the cluster, for good.
    Remove,
    /// From learner to voter.
    Promote,
}

/// Body of `POST /admin/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersRequest {
    pub action: MembersAction,
    pub node: NodeName,
}

/// Answer to `POST /admin/records`: what became of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreResponse {
    /// New in the ledger.
    pub added: u64,
    /// There already, the same to the byte.
    pub present: u64,
    /// Ids that the ledger holds with other contents; those stay.
    pub conflicts: Vec<RecordId>,
}

/// Answer to the admin calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdminResponse {
    /// The node that did it, or that gave the order on to the leader.
    pub node: NodeName,
    /// What was done, in a sentence.
    pub done: String,
    /// For `transfer-leader`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transferred>,
}

/// A hand-over of leadership that took place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transferred {
    pub old_leader: NodeName,
    /// The same as `old_leader` where it led already.
    pub new_leader: NodeName,
    /// The new leader's.
    pub term: u64,
    /// Milliseconds from the order until the old leader knew the new one.
    pub took_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_split_into_host_and_port() {
        assert_eq!(split_addr("10.0.0.1:8081"), ("10.0.0.1".into(), 8081));
        assert_eq!(split_addr("[::1]:8081"), ("::1".into(), 8081));
        assert_eq!(split_addr("nohost"), ("nohost".into(), 0));
    }
}
