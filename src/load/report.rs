//! The report of `bench`, schema 1.

use std::collections::BTreeMap;

use serde::Serialize;

use super::generator::LoadPlan;
use super::histogram::Percentiles;
use super::meter::{PerNode, Second, Totals};
use super::monitor::Learned;
use crate::client::Client;

/// What `bench --json` writes. Times are milliseconds unless a name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    pub schema: u32,
    pub mode: String,
    /// `closed`: each client waits for its answer before it asks again.
    pub model: &'static str,
    pub clients: usize,
    /// Requests that were made, of those that were planned.
    pub requests: u64,
    pub ok: u64,
    /// With those whose outcome is unknown.
    pub failed: u64,
    pub unknown: u64,
    pub retried: u64,
    /// 0 to 1.
    pub error_rate: f64,
    pub duration_s: f64,
    pub throughput_rps: f64,
    pub latency_ms: Percentiles,
    pub max_gap_ms: f64,
    pub per_node: BTreeMap<String, PerNode>,
    /// Rises of the term during the run.
    pub elections: u64,
    pub timeline: Vec<Second>,
    pub secret_bytes: usize,
    pub seed: u64,
    pub servers: Vec<String>,
    /// True where Ctrl-C ended the run early.
    pub interrupted: bool,
    /// What failed and how often, the first few kinds.
    pub failures: BTreeMap<String, u64>,
}

impl BenchReport {
    pub fn new(
        client: &Client,
        plan: &LoadPlan,
        totals: Totals,
        learned: &Learned,
        interrupted: bool,
    ) -> Self {
        let named = |(server, counts): (&usize, &PerNode)| (learned.name(client, *server), *counts);
        Self {
            schema: 1,
            mode: plan.mode.to_string(),
            model: "closed",
            clients: plan.clients,
            requests: totals.ok + totals.failed,
            ok: totals.ok,
            failed: totals.failed,
            unknown: totals.unknown,
            retried: totals.retried,
            error_rate: totals.error_rate(),
            duration_s: totals.duration.as_secs_f64(),
            throughput_rps: totals.throughput_rps(),
            latency_ms: totals.latency,
            max_gap_ms: totals.max_gap_ms(),
            per_node: totals.per_server.iter().map(named).collect(),
            elections: learned.elections(),
            timeline: totals.timeline,
            secret_bytes: plan.secret_bytes,
            seed: plan.seed,
            servers: client.servers().iter().map(|server| server.url().to_owned()).collect(),
            interrupted,
            failures: totals.failures.into_iter().collect(),
        }
    }
}
