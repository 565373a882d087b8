//! The report of `failover-drill`, schema 1, and its verdict.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::Verdict;
use super::faults::Ground;
use super::history::Counts;
use super::linear::Linear;
use super::plan::DrillPlan;
use super::stages::Stages;
use crate::load::meter::Totals;

/// One failover. Milliseconds; `None` where it was not seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IterationReport {
    pub fault: &'static str,
    pub old_leader: String,
    pub new_leader: Option<String>,
    pub term: u64,
    /// From the fault until a survivor showed that it no longer takes the leader for alive.
    pub detect_ms: Option<f64>,
    /// From the fault until a survivor showed a new leader.
    pub elect_ms: Option<f64>,
    /// From the fault until a survivor acknowledged a write.
    pub first_commit_ms: Option<f64>,
    /// Longest time without a success that touched the fault: of the load, or of the probe's
    /// writes where there is no load.
    pub client_gap_ms: Option<f64>,
    /// From the old leader's first answer, or from the end of its fault where it never stopped
    /// answering, until it had stepped down and caught up.
    pub rejoin_ms: Option<f64>,
    /// From the first commit until every survivor's status named the new leader and called no
    /// other node a leader; 0 where that came first.
    pub view_ms: Option<f64>,
    /// What lies between the fault and the new leader.
    pub stages: Stages,
    pub ok: u64,
    pub failed: u64,
    pub unknown: u64,
}

impl IterationReport {
    pub fn sentence(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let new = self.new_leader.as_deref().unwrap_or("nobody");
        format!(
            "{} of {}: {new} leads after {}, first commit {}, rejoin {}",
            self.fault,
            self.old_leader,
            ms(self.elect_ms),
            ms(self.first_commit_ms),
            ms(self.rejoin_ms)
        )
    }
}

/// Of the iterations that measured it, by nearest rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

impl Spread {
    fn of(values: impl Iterator<Item = Option<f64>>) -> Self {
        let mut values: Vec<f64> = values.flatten().collect();
        values.sort_unstable_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (share * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied()
        };
        Self { p50: rank(0.5), p99: rank(0.99), max: rank(1.0) }
    }
}

/// The times of some iterations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    pub detect_ms: Spread,
    pub elect_ms: Spread,
    pub first_commit_ms: Spread,
    pub client_gap_ms: Spread,
    pub rejoin_ms: Spread,
    pub view_ms: Spread,
    pub suspected_ms: Spread,
    pub condemned_ms: Spread,
    pub agreed_ms: Spread,
    pub won_ms: Spread,
}

impl Times {
    fn of<'a>(iterations: impl Iterator<Item = &'a IterationReport> + Clone) -> Self {
        let spread =
            |pick: fn(&IterationReport) -> Option<f64>| Spread::of(iterations.clone().map(pick));
        Self {
            detect_ms: spread(|iteration| iteration.detect_ms),
            elect_ms: spread(|iteration| iteration.elect_ms),
            first_commit_ms: spread(|iteration| iteration.first_commit_ms),
            client_gap_ms: spread(|iteration| iteration.client_gap_ms),
            rejoin_ms: spread(|iteration| iteration.rejoin_ms),
            view_ms: spread(|iteration| iteration.view_ms),
            suspected_ms: spread(|iteration| iteration.stages.suspected_ms),
            condemned_ms: spread(|iteration| iteration.stages.condemned_ms),
            agreed_ms: spread(|iteration| iteration.stages.agreed_ms),
            won_ms: spread(|iteration| iteration.stages.won_ms),
        }
    }
}

/// All faults of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct FaultSummary {
    pub iterations: usize,
    #[serde(flatten)]
    pub times: Times,
}

/// The drill as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    pub times: Times,
    /// By the iterations' word for the fault.
    pub by_fault: BTreeMap<&'static str, FaultSummary>,
    pub ok: u64,
    pub failed: u64,
    pub retried: u64,
    pub unknown: u64,
    pub acked: u64,
    pub lost: u64,
    pub duplicated: u64,
    /// True only if acknowledged writes were read back from other nodes and all were found.
    pub linearizable: bool,
    pub linearizable_reads: u64,
    pub linearizable_missed: u64,
    /// Rises of the term beyond one for each fault.
    pub spurious_elections: u64,
    /// Longest time of the whole drill without a success; the longest of the iterations' where
    /// there is no load.
    pub max_gap_ms: f64,
    pub p99_ms: Option<f64>,
    /// True where Ctrl-C ended the drill early.
    pub interrupted: bool,
    /// Why iterations are missing, if not by Ctrl-C.
    pub unfinished: Option<String>,
    /// Targets that were missed, a sentence each.
    pub missed: Vec<String>,
    /// Records that were lost or doubled, the first few.
    pub examples: Vec<String>,
}

/// How the drill was set up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setup {
    pub local: bool,
    pub servers: Vec<String>,
    #[serde(flatten)]
    pub plan: DrillPlan,
    pub version: &'static str,
}

/// What `failover-drill --json` writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillReport {
    pub schema: u32,
    pub iterations: Vec<IterationReport>,
    pub summary: Summary,
    pub seed: u64,
    pub config: Setup,
}

/// What the report is made of, beside the iterations.
pub(super) struct Outcome {
    pub counts: Counts,
    pub verdict: Verdict,
    pub linear: Linear,
    pub spurious_elections: u64,
    pub interrupted: bool,
    pub unfinished: Option<String>,
}

impl DrillReport {
    pub(super) fn new(
        plan: &DrillPlan,
        ground: &Ground,
        iterations: Vec<IterationReport>,
        outcome: Outcome,
        totals: &Totals,
    ) -> Self {
        let missed = missed(plan, &iterations);
        let times = Times::of(iterations.iter());
        let max_gap_ms = match plan.clients {
            0 => times.client_gap_ms.max.unwrap_or(0.0),
            _ => totals.max_gap_ms(),
        };
        let summary = Summary {
            times,
            by_fault: by_fault(&iterations),
            ok: outcome.counts.ok,
            failed: outcome.counts.failed,
            retried: outcome.counts.retried,
            unknown: outcome.counts.unknown,
            acked: outcome.verdict.acked,
            lost: outcome.verdict.lost,
            duplicated: outcome.verdict.duplicated,
            linearizable: outcome.linear.holds(),
            linearizable_reads: outcome.linear.reads,
            linearizable_missed: outcome.linear.missed,
            spurious_elections: outcome.spurious_elections,
            max_gap_ms,
            p99_ms: totals.latency.p99,
            interrupted: outcome.interrupted,
            unfinished: outcome.unfinished,
            missed,
            examples: outcome.verdict.examples,
        };
        let config = Setup {
            local: matches!(ground, Ground::Local(_)),
            servers: ground.servers().iter().map(|server| server.url().to_owned()).collect(),
            plan: plan.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        Self { schema: 1, iterations, summary, seed: plan.seed, config }
    }

    /// True where every acknowledged record is there once and as acknowledged, and every read
    /// that was made found what it had to.
    pub fn is_sound(&self) -> bool {
        let summary = &self.summary;
        summary.lost == 0 && summary.duplicated == 0 && summary.linearizable_missed == 0
    }

    /// True where the cluster got over every fault, each within its targets.
    pub fn met_targets(&self) -> bool {
        self.summary.unfinished.is_none() && self.summary.missed.is_empty()
    }
}

fn by_fault(iterations: &[IterationReport]) -> BTreeMap<&'static str, FaultSummary> {
    let mut by_fault = BTreeMap::new();
    for IterationReport { fault, .. } in iterations {
        by_fault.entry(*fault).or_insert_with(|| {
            let same = iterations.iter().filter(|iteration| iteration.fault == *fault);
            FaultSummary { iterations: same.clone().count(), times: Times::of(same) }
        });
    }
    by_fault
}

fn missed(plan: &DrillPlan, iterations: &[IterationReport]) -> Vec<String> {
    let mut missed = Vec::new();
    for (number, iteration) in iterations.iter().enumerate() {
        let targets = [
            ("first commit", iteration.first_commit_ms, plan.targets.first_commit_ms),
            ("client gap", iteration.client_gap_ms, plan.targets.client_gap_ms),
            ("rejoin", iteration.rejoin_ms, plan.targets.rejoin_ms),
            ("view", iteration.view_ms, plan.targets.view_ms),
        ];
        for (what, value, target) in targets {
            let Some(target) = target else { continue };
            if value.is_none_or(|value| value > target) {
                let value = value.map_or("not seen".to_owned(), |ms| format!("{ms:.0} ms"));
                let number = number + 1;
                missed.push(format!("failover {number}: {what} {value}, target {target:.0} ms"));
            }
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_take_the_nearest_rank_and_skip_what_was_not_seen() {
        let spread = Spread::of([Some(3.0), None, Some(1.0), Some(2.0)].into_iter());
        assert_eq!(spread, Spread { p50: Some(2.0), p99: Some(3.0), max: Some(3.0) });
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }

    #[test]
    fn each_fault_is_summed_up_apart_and_all_together() {
        let iterations = [("sigkill", 4.0), ("sigstop", 200.0), ("sigkill", 6.0)].map(
            |(fault, first_commit)| IterationReport { fault, ..iteration(Some(first_commit)) },
        );
        let by_fault = by_fault(&iterations);
        assert_eq!(by_fault.keys().copied().collect::<Vec<_>>(), ["sigkill", "sigstop"]);
        assert_eq!(by_fault["sigkill"].iterations, 2);
        assert_eq!(by_fault["sigkill"].times.first_commit_ms.max, Some(6.0));
        let all = serde_json::to_value(by_fault["sigstop"]).unwrap();
        assert_eq!(all["first_commit_ms"]["p50"], 200.0);
        assert_eq!(Times::of(iterations.iter()).first_commit_ms.max, Some(200.0));
    }

    fn iteration(first_commit_ms: Option<f64>) -> IterationReport {
        IterationReport {
            fault: "sigkill",
            old_leader: "n1".into(),
            new_leader: None,
            term: 2,
            detect_ms: None,
            elect_ms: None,
            first_commit_ms,
            client_gap_ms: None,
            rejoin_ms: None,
            view_ms: None,
            stages: Stages::default(),
            ok: 0,
            failed: 0,
            unknown: 0,
        }
    }

    #[test]
    fn a_target_is_missed_by_a_time_too_long_or_never_seen() {
        let mut plan = DrillPlan::default();
        plan.targets.first_commit_ms = Some(100.0);
        let iterations = [Some(99.0), Some(101.0), None].map(iteration);
        let missed = missed(&plan, &iterations);
        assert_eq!(missed[0], "failover 2: first commit 101 ms, target 100 ms");
        assert_eq!(missed[1], "failover 3: first commit not seen, target 100 ms");
        assert_eq!(missed.len(), 2);
    }
}
