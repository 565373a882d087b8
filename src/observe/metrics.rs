//! Every metric, its name and its unit, in one table.
//!
//! Each node has its own registry, so that several nodes in one test process do
//! not share figures.

use std::sync::{Mutex, PoisonError};

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::traffic::{Endings, Traffic};

/// Bucket bounds from 0.1 ms to about 13 s, doubling: a commit takes some 1 ms and a
/// stalled disk some seconds, and both must be told apart from their neighbours.
fn latency_buckets() -> Vec<f64> {
    (0..18).map(|power| 0.0001 * f64::powi(2.0, power)).collect()
}

/// All metrics of one node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// One at a time brings counters up to date.
    counting: Mutex<()>,
    /// Requests by `call` and HTTP `status`.
    pub http_requests_total: IntCounterVec,
    /// Seconds from request head to response head, by `call`.
    pub http_request_seconds: HistogramVec,
    pub http_in_progress: IntGauge,
    pub requests_held_bytes: IntGauge,
    /// Requests turned away by admission, by `reason` (`requests`, `memory`, `size`, `queue`).
    pub requests_refused_total: IntCounterVec,
    /// Codec jobs by `outcome` (`ok`, `error`, `refused`, `abandoned`).
    pub codec_jobs_total: IntCounterVec,
    pub codec_seconds: Histogram,
    pub codec_queue: IntGauge,
    /// Covers looked for in the cache, by `outcome` (`hit`, `miss`).
    pub cover_lookups_total: IntCounterVec,
    pub covers_evicted_total: IntCounter,
    pub covers: IntGauge,
    pub covers_bytes: IntGauge,
    pub raft_term: IntGauge,
    pub raft_is_leader: IntGauge,
    pub raft_committed_index: IntGauge,
    pub raft_applied_index: IntGauge,
    pub raft_last_log_index: IntGauge,
    /// Changes of leader that this node saw.
    pub raft_leader_changes_total: IntCounter,
    /// Campaigns that this node began.
    pub raft_campaigns_total: IntCounter,
    pub raft_fsync_seconds: Histogram,
    /// Age of the log write under way; 0 where none is.
    pub raft_write_age_seconds: Gauge,
    /// Log writes that shared one fsync.
    pub raft_group_commit_writes: Histogram,
    /// Records that this node applied.
    pub ledger_records_total: IntCounter,
    /// 1 while this node serves alone.
    pub solo: IntGauge,
    /// Records that wait in the journal.
    pub journal_records: IntGauge,
    pub journal_bytes: IntGauge,
    /// Records that went from the journal to the ledger.
    pub journal_drained_total: IntCounter,
    /// Of these: entered under another id, because theirs belongs to another embed.
    pub journal_conflicts_total: IntCounter,
    /// Messages to peers by `peer`, `message` and `outcome` (`ok`, `refused`, `lost`); see
    /// [`Metrics::count_messages`].
    pub peer_requests_total: IntCounterVec,
    /// Unanswered probes of the leader.
    pub detector_missed_probes_total: IntCounter,
    /// Time added to every probe's because this machine itself runs late.
    pub detector_patience_seconds: Gauge,
    /// 1 where the peer answered lately, by `peer`.
    pub peer_healthy: IntGaugeVec,
    pub process_cpu_percent: GaugeVec,
}

impl Metrics {
    /// # Panics
    /// Never: the names are constants, and a registry is new for each call.
    pub fn new() -> Self {
        let registry = Registry::new();
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric.expect("metric names and labels are valid constants");
                registry
                    .register(Box::new(metric.clone()))
                    .expect("each metric is registered once in a new registry");
                metric
            }};
        }
        let opts = |name: &str, help: &str| Opts::new(format!("stegcluster_{name}"), help);
        let seconds = |name: &str, help: &str| {
            HistogramOpts::new(format!("stegcluster_{name}"), help).buckets(latency_buckets())
        };
        macro_rules! counter {
            ($name:literal, $help:literal) => {
                register!(IntCounter::with_opts(opts($name, $help)))
            };
        }
        macro_rules! gauge {
            ($name:literal, $help:literal) => {
                register!(IntGauge::with_opts(opts($name, $help)))
            };
        }
        Self {
            http_requests_total: register!(IntCounterVec::new(
                opts("http_requests_total", "Requests on the client port."),
                &["call", "status"]
            )),
            http_request_seconds: register!(HistogramVec::new(
                seconds("http_request_seconds", "Seconds to answer a client request."),
                &["call"]
            )),
            http_in_progress: gauge!("http_in_progress", "Client requests in progress."),
            requests_held_bytes: gauge!(
                "requests_held_bytes",
                "Memory that requests in progress hold, of what memory_mib leaves for them."
            ),
            requests_refused_total: register!(IntCounterVec::new(
                opts("requests_refused_total", "Requests turned away by admission, by reason."),
                &["reason"]
            )),
            codec_jobs_total: register!(IntCounterVec::new(
                opts("codec_jobs_total", "Codec jobs by outcome."),
                &["outcome"]
            )),
            codec_seconds: register!(Histogram::with_opts(seconds(
                "codec_seconds",
                "Seconds of one codec job, without waiting."
            ))),
            codec_queue: gauge!("codec_queue", "Codec jobs waiting for a thread."),
            cover_lookups_total: register!(IntCounterVec::new(
                opts("cover_lookups_total", "Covers looked for in the cache, by outcome."),
                &["outcome"]
            )),
            covers_evicted_total: counter!(
                "covers_evicted_total",
                "Covers dropped from the cache to make room."
            ),
            covers: gauge!("covers", "Covers in the cache."),
            covers_bytes: gauge!("covers_bytes", "Memory that the covers in the cache take."),
            raft_term: gauge!("raft_term", "Current Raft term."),
            raft_is_leader: gauge!("raft_is_leader", "1 on the leader."),
            raft_committed_index: gauge!("raft_committed_index", "Last committed log index."),
            raft_applied_index: gauge!("raft_applied_index", "Last applied log index."),
            raft_last_log_index: gauge!("raft_last_log_index", "Last log index."),
            raft_leader_changes_total: counter!(
                "raft_leader_changes_total",
                "Changes of leader seen by this node."
            ),
            raft_campaigns_total: counter!(
                "raft_campaigns_total",
                "Campaigns begun by this node's detector."
            ),
            raft_fsync_seconds: register!(Histogram::with_opts(seconds(
                "raft_fsync_seconds",
                "Seconds of one fsync of the Raft log."
            ))),
            raft_write_age_seconds: register!(Gauge::with_opts(opts(
                "raft_write_age_seconds",
                "Age of the write of the Raft log that is under way; 0 where none is."
            ))),
            raft_group_commit_writes: register!(Histogram::with_opts(
                HistogramOpts::new(
                    "stegcluster_raft_group_commit_writes",
                    "Log writes that shared one fsync."
                )
                .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
            )),
            ledger_records_total: counter!(
                "ledger_records_total",
                "Records applied to the ledger by this process."
            ),
            solo: gauge!("solo", "1 while this node reaches no quorum and serves alone."),
            journal_records: gauge!(
                "journal_records",
                "Records that this node acknowledged alone and that wait for a quorum."
            ),
            journal_bytes: gauge!("journal_bytes", "Bytes of the records that wait."),
            journal_drained_total: counter!(
                "journal_drained_total",
                "Records acknowledged by this node alone that are in the ledger now."
            ),
            journal_conflicts_total: counter!(
                "journal_conflicts_total",
                "Records of these whose id belongs to another embed, and that have another."
            ),
            peer_requests_total: register!(IntCounterVec::new(
                opts("peer_requests_total", "Messages to peers by outcome."),
                &["peer", "message", "outcome"]
            )),
            detector_missed_probes_total: counter!(
                "detector_missed_probes_total",
                "Probes of the leader that it did not answer in time."
            ),
            detector_patience_seconds: register!(Gauge::with_opts(opts(
                "detector_patience_seconds",
                "Time added to each probe's because this machine itself runs late."
            ))),
            peer_healthy: register!(IntGaugeVec::new(
                opts("peer_healthy", "1 where the peer answered lately."),
                &["peer"]
            )),
            process_cpu_percent: register!(GaugeVec::new(
                opts("process_percent", "Processor and memory use of this process."),
                &["resource"]
            )),
            registry,
            counting: Mutex::default(),
        }
    }

    /// Brings `peer_requests_total` up to what `traffic` has counted. To be called before the figures
    /// are read: messages themselves cost an addition each, and no search for labels.
    pub fn count_messages(&self, traffic: &Traffic) {
        let _one = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        for Endings { to, kind, answered, refused, lost } in traffic.endings() {
            for (outcome, total) in [("ok", answered), ("refused", refused), ("lost", lost)] {
                let labels = [to.as_str(), kind.word(), outcome];
                if total > 0 {
                    let counter = self.peer_requests_total.with_label_values(&labels);
                    // Two addresses of one peer have a counter each, and the metric the greater.
                    counter.inc_by(total.saturating_sub(counter.get()));
                }
            }
        }
    }

    /// The Prometheus text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(cause = %error, "metrics could not be rendered");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::observe::traffic::{Kind, Outcome};

    #[test]
    fn messages_to_peers_are_counted_by_peer_kind_and_outcome() {
        let (metrics, traffic) = (Metrics::new(), Traffic::default());
        let (known, unknown) = (traffic.peer("10.0.0.2:5002"), traffic.peer("10.0.0.3:5003"));
        traffic.set_names(BTreeMap::from([("10.0.0.2:5002".to_owned(), "n2".parse().unwrap())]));
        known.sent(Kind::Vote);
        for outcome in [Outcome::Answered, Outcome::Answered, Outcome::Refused, Outcome::Lost] {
            known.ended(Kind::Append, outcome);
            unknown.ended(Kind::Append, outcome);
        }
        // Read twice, counted once.
        metrics.count_messages(&traffic);
        metrics.count_messages(&traffic);
        let of = |outcome, count| {
            format!(
                "stegcluster_peer_requests_total{{message=\"append\",outcome=\"{outcome}\",peer=\"n2\"}} {count}"
            )
        };
        let text = metrics.render();
        let counted: Vec<&str> =
            text.lines().filter(|line| line.starts_with("stegcluster_peer_requests")).collect();
        assert_eq!(counted, [of("lost", 1), of("ok", 2), of("refused", 1)]);
        known.ended(Kind::Append, Outcome::Answered);
        metrics.count_messages(&traffic);
        assert!(metrics.render().contains(&of("ok", 3)));
    }
}
