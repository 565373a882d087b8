//! openraft's configuration from ours, each choice with its reason.

use openraft::{Config, SnapshotPolicy};

use crate::config::{Snapshots, Timings};

/// # Errors
/// The timings contradict each other in a way that `config` does not check.
pub fn options(
    cluster_name: &str,
    timings: &Timings,
    snapshots: &Snapshots,
) -> Result<Config, openraft::ConfigError> {
    Config {
        cluster_name: cluster_name.to_owned(),
        heartbeat_interval: timings.heartbeat_interval_ms,
        election_timeout_min: timings.election_timeout_min_ms,
        election_timeout_max: timings.election_timeout_max_ms,
        // A node that cannot win must not raise the term when it comes back.
        enable_pre_vote: Some(true),
        // A restarted leader asks for votes like anyone else: its log may be behind by now.
        enable_leader_restore: Some(false),
        // A leader without a quorum falls silent in turns, so that its followers' timers can fire.
        quorum_loss_probe_interval: Some(timings.election_timeout_max_ms * 2),
        max_payload_entries: 1024,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshots.every_entries),
        max_in_snapshot_log_to_keep: snapshots.keep_entries,
        // Beyond what the log keeps, only a snapshot helps.
        replication_lag_threshold: snapshots.keep_entries.max(snapshots.every_entries) + 1,
        // Deleting one entry at a time would cost a write each.
        purge_batch_size: (snapshots.every_entries / 10).clamp(1, 1000),
        // A whole ledger may have to be sent within this.
        install_snapshot_timeout: 120_000,
        // Replication begins while the leader's own fsync is still under way: one fsync
        // time less on the path of every commit.
        broadcast_submitted_on_append: Some(true),
        ..Config::default()
    }
    .validate()
}
