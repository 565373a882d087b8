//! The report of `bench`, schema 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::generator::LoadPlan;
use super::histogram::Percentiles;
use super::meter::{Part, Totals};
use super::monitor::Learned;
use super::timeline::Second;
use crate::client::Client;
use crate::clock::{self, Instant};

/// What `bench --json` writes. Times are milliseconds unless a name says otherwise. Reports of
/// earlier versions lack some keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BenchReport {
    pub schema: u32,
    /// Of the program.
    pub version: String,
    /// When the load began, in milliseconds since the Unix epoch.
    pub begun_unix_ms: u64,
    pub mode: String,
    /// `closed`: each client waits for its answer before it asks again, and latency counts from
    /// when a request was sent. `open`: requests are due at a steady rate, and latency counts
    /// from when each was due.
    pub model: String,
    pub clients: usize,
    /// Requests that were due each second, in an open loop.
    pub rate_rps: Option<f64>,
    pub warm_up_s: f64,
    /// Requests that were made, warm-up aside.
    pub requests: u64,
    pub ok: u64,
    /// With those whose outcome is unknown.
    pub failed: u64,
    pub unknown: u64,
    pub retried: u64,
    /// Results that were read back and were right, and that were not (those count as failed).
    pub verified: u64,
    pub mismatched: u64,
    /// 0 to 1.
    pub error_rate: f64,
    pub duration_s: f64,
    pub throughput_rps: f64,
    pub latency_ms: Percentiles,
    /// In an open loop: latency from when a request was sent, which leaves out what it waited
    /// for a free client. What a closed loop would have shown.
    pub service_ms: Option<Percentiles>,
    /// In an open loop: from when a request was due until it was sent.
    pub send_delay_ms: Option<Percentiles>,
    pub max_gap_ms: f64,
    pub per_node: BTreeMap<String, PartReport>,
    pub by_mode: BTreeMap<String, PartReport>,
    /// Rises of the term during the run.
    pub elections: u64,
    pub leader_changes: Vec<LeaderChangeReport>,
    pub timeline: Vec<Second>,
    pub secret_bytes: usize,
    /// Files given with `--cover` and `--secret`.
    pub covers: usize,
    pub secrets: usize,
    pub method: Option<String>,
    pub seed: u64,
    pub servers: Vec<String>,
    /// True where Ctrl-C ended the run early.
    pub interrupted: bool,
    /// What failed and how often, the first few kinds.
    pub failures: BTreeMap<String, u64>,
}

/// Requests of one mode, or of one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartReport {
    pub ok: u64,
    pub failed: u64,
    pub latency_ms: Percentiles,
}

impl From<&Part> for PartReport {
    fn from(part: &Part) -> Self {
        Self { ok: part.ok, failed: part.failed, latency_ms: part.latency.percentiles() }
    }
}

/// A node became leader.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LeaderChangeReport {
    /// Seconds since the load began. Negative in the warm-up.
    pub t_s: f64,
    pub leader: String,
    pub term: u64,
}

impl BenchReport {
    /// `started` is when counting began.
    pub fn new(
        client: &Client,
        plan: &LoadPlan,
        totals: &Totals,
        learned: &Learned,
        started: Instant,
        interrupted: bool,
    ) -> Self {
        let named = |(server, part): (&usize, &Part)| (learned.name(client, *server), part.into());
        let open = plan.rate_rps.is_some();
        let age_ms = clock::now().saturating_duration_since(started).as_millis() as u64;
        Self {
            schema: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            begun_unix_ms: clock::unix_ms().saturating_sub(age_ms),
            mode: plan.mix.to_string(),
            model: if open { "open" } else { "closed" }.to_owned(),
            clients: plan.clients,
            rate_rps: plan.rate_rps,
            warm_up_s: plan.warm_up.unwrap_or_default().as_secs_f64(),
            requests: totals.ok + totals.failed,
            ok: totals.ok,
            failed: totals.failed,
            unknown: totals.unknown,
            retried: totals.retried,
            verified: totals.verified,
            mismatched: totals.mismatched,
            error_rate: totals.error_rate(),
            duration_s: totals.duration.as_secs_f64(),
            throughput_rps: totals.throughput_rps(),
            latency_ms: totals.latency,
            service_ms: open.then_some(totals.service),
            send_delay_ms: open.then_some(totals.send_delay),
            max_gap_ms: totals.max_gap_ms(),
            per_node: totals.per_server.iter().map(named).collect(),
            by_mode: totals.by_mode.iter().map(|(m, part)| (m.to_string(), part.into())).collect(),
            elections: learned.elections(),
            leader_changes: changes(learned, started),
            timeline: totals.timeline.clone(),
            secret_bytes: plan.secret_bytes,
            covers: plan.material.covers.len(),
            secrets: plan.material.secrets.len(),
            method: plan.material.method.map(|method| method.to_string()),
            seed: plan.seed,
            servers: client.servers().iter().map(|server| server.url().to_owned()).collect(),
            interrupted,
            failures: totals.failures.iter().cloned().collect(),
        }
    }

    /// The timeline as comma-separated values (RFC 4180), a row a second.
    pub fn csv(&self) -> String {
        let mut text = "t_s,ok,failed,p50_ms,p90_ms,p99_ms,max_ms,leader\r\n".to_owned();
        let ms = |value: Option<f64>| value.map(|ms| format!("{ms:.3}")).unwrap_or_default();
        for row in &self.timeline {
            text += &format!(
                "{},{},{},{},{},{},{},{}\r\n",
                row.t_s,
                row.ok,
                row.failed,
                ms(row.p50_ms),
                ms(row.p90_ms),
                ms(row.p99_ms),
                ms(row.max_ms),
                // Names have neither commas nor quotes.
                row.leader.as_deref().unwrap_or_default(),
            );
        }
        text
    }
}

fn changes(learned: &Learned, started: Instant) -> Vec<LeaderChangeReport> {
    let since = |at: Instant| match at.checked_duration_since(started) {
        Some(after) => after.as_secs_f64(),
        None => -(started - at).as_secs_f64(),
    };
    let report = |change: &super::monitor::LeaderChange| LeaderChangeReport {
        t_s: since(change.at),
        leader: change.leader.clone(),
        term: change.term,
    };
    learned.changes.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_earlier_versions_can_be_read() {
        let old = r#"{"schema":1,"mode":"embed","model":"closed","clients":2,"requests":4,"ok":4,
            "failed":0,"latency_ms":{"p50":1.0,"p90":null,"p95":null,"p99":2.0,"p999":2.0,"max":3.0},
            "per_node":{"n1":{"ok":4,"failed":0}},
            "timeline":[{"t_s":0.0,"ok":4,"failed":0,"p50_ms":1.0,"p99_ms":2.0,"leader":"n1"}]}"#;
        let report: BenchReport = serde_json::from_str(old).unwrap();
        assert_eq!(
            (report.ok, report.latency_ms.p99, report.latency_ms.p9999),
            (4, Some(2.0), None)
        );
        let csv = report.csv();
        let lines: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!(lines[1], "0,4,0,1.000,,2.000,,n1");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }
}
