//! What a drill is to do.

use std::time::Duration;

use serde::Serialize;

use super::faults::FaultKind;
use super::slo::Slo;

/// What faults, how many, under what load, and how long to wait for what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillPlan {
    pub iterations: u32,
    /// Each round has all of these, in an order drawn by the seed; one named twice comes twice.
    pub faults: Vec<FaultKind>,
    /// Clients that embed; if there are any, one more for each server enters small records.
    pub clients: usize,
    /// Least time between the starts of two embeds of one client, in milliseconds: a steady
    /// load, not a flood, so that the gap measures the failover and not the machine.
    pub pace_ms: u64,
    pub secret_bytes: usize,
    pub seed: u64,
    /// Whole cluster, before a fault.
    pub settle_max: Duration,
    /// From the fault to the first write acknowledged.
    pub failover_max: Duration,
    /// From the fault's end to the node's return.
    pub return_max: Duration,
    pub targets: Targets,
    /// For the drill as a whole.
    pub slo: Vec<Slo>,
}

/// What each iteration must stay below, in milliseconds; `None`: anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Targets {
    pub first_commit_ms: Option<f64>,
    pub client_gap_ms: Option<f64>,
    pub rejoin_ms: Option<f64>,
    pub view_ms: Option<f64>,
}

impl Default for DrillPlan {
    fn default() -> Self {
        Self {
            iterations: 5,
            faults: vec![FaultKind::Crash],
            clients: 4,
            pace_ms: 50,
            secret_bytes: 1024,
            seed: 0,
            settle_max: Duration::from_secs(30),
            failover_max: Duration::from_secs(15),
            return_max: Duration::from_secs(60),
            targets: Targets::default(),
            slo: Vec::new(),
        }
    }
}
