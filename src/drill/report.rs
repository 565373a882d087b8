//! The report of `failover-drill`, schema 1, and its verdict.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::Verdict;
use super::ground::Ground;
use super::history::Counts;
use super::linear::Linear;
use super::plan::DrillPlan;
use super::stages::Stages;
use super::timeline::{self, Moment};

/// One fault and what followed. Milliseconds; `None` where it was not seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct IterationReport {
    pub fault: &'static str,
    pub old_leader: String,
    /// The same where the fault leaves the leader in place.
    pub new_leader: Option<String>,
    pub term: u64,
    /// From the fault until a survivor showed that it no longer takes the leader for alive, or,
    /// alone, that it has no quorum.
    pub detect_ms: Option<f64>,
    /// From the fault until a survivor showed a new leader.
    pub elect_ms: Option<f64>,
    /// From the fault until a survivor acknowledged a write.
    pub first_commit_ms: Option<f64>,
    /// From the fault until a client of the load that asked after it had its answer.
    pub first_answer_ms: Option<f64>,
    /// Longest time without a success that touched the fault: of the load, or of the probe's
    /// writes where there is no load.
    pub client_gap_ms: Option<f64>,
    /// From the node's first answer, or from the end of its fault where it never stopped
    /// answering, until it had stepped down and caught up. In a rolling restart the longest; after
    /// the loss of the quorum from the followers' start until all nodes had caught up.
    pub rejoin_ms: Option<f64>,
    /// From the fault until the node, or all of them, had caught up.
    pub caught_up_ms: Option<f64>,
    /// From the first commit until every survivor's status named the new leader and called no
    /// other node a leader; 0 where that came first.
    pub view_ms: Option<f64>,
    /// What lies between the fault and the new leader.
    pub stages: Stages,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    pub ok: u64,
    pub failed: u64,
    pub unknown: u64,
    /// True where another node had to take over.
    #[serde(skip)]
    pub takes_leader: bool,
}

impl IterationReport {
    /// With the load's writes of this iteration.
    pub(super) fn counted(self, counts: Counts) -> Self {
        Self { ok: counts.ok, failed: counts.failed, unknown: counts.unknown, ..self }
    }

    /// Two lines or more: what became of the leadership, and what happened.
    pub fn told(&self, number: u32, of: u32, width: usize) -> String {
        let gap = self.client_gap_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let failed = match self.failed + self.unknown {
            0 => String::new(),
            _ => format!(", {} failed, {} unknown", self.failed, self.unknown),
        };
        let ok = self.ok;
        let head = format!("{number}/{of} {}: client gap {gap}, {ok} ok{failed}\n", self.fault);
        head + &timeline::lines(&self.timeline, width)
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
    pub first_answer_ms: Spread,
    pub client_gap_ms: Spread,
    pub rejoin_ms: Spread,
    pub caught_up_ms: Spread,
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
            first_answer_ms: spread(|iteration| iteration.first_answer_ms),
            client_gap_ms: spread(|iteration| iteration.client_gap_ms),
            rejoin_ms: spread(|iteration| iteration.rejoin_ms),
            caught_up_ms: spread(|iteration| iteration.caught_up_ms),
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
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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
    /// True only if there were reads, and the history of every record is linearizable.
    pub linearizable: bool,
    /// Operations of the history with a known answer.
    pub linearizable_checked: u64,
    /// Of these, reads.
    pub linearizable_reads: u64,
    /// Records whose history is not linearizable.
    pub linearizable_missed: u64,
    /// Terms in which somebody led.
    pub terms_led: u64,
    /// Of these, terms in which several did.
    pub terms_conflicting: u64,
    /// Rises of the term that no fault accounts for.
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
    /// What must never be, and was: records lost or doubled, histories that are not
    /// linearizable, two leaders of one term. The first few of each.
    pub examples: Vec<String>,
    /// What must never be, and was, beside records.
    #[serde(skip)]
    pub violations: usize,
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
    pub terms_led: u64,
    /// Sentences about what must never be, beside records: two leaders of one term.
    pub violations: Vec<String>,
    pub conflicts: u64,
    pub max_gap_ms: f64,
    pub p99_ms: Option<f64>,
    pub interrupted: bool,
    pub unfinished: Option<String>,
}

impl DrillReport {
    pub(super) fn new(
        plan: &DrillPlan,
        ground: &Ground,
        iterations: Vec<IterationReport>,
        outcome: Outcome,
    ) -> Self {
        let times = Times::of(iterations.iter());
        let max_gap_ms = match plan.clients {
            0 => times.client_gap_ms.max.unwrap_or(0.0),
            _ => outcome.max_gap_ms,
        };
        let violations = outcome.violations.len();
        let mut examples = outcome.violations;
        examples.extend(outcome.linear.examples.iter().cloned());
        examples.extend(outcome.verdict.examples);
        let mut summary = Summary {
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
            linearizable_checked: outcome.linear.checked,
            linearizable_reads: outcome.linear.reads,
            linearizable_missed: outcome.linear.missed,
            terms_led: outcome.terms_led,
            terms_conflicting: outcome.conflicts,
            spurious_elections: outcome.spurious_elections,
            max_gap_ms,
            p99_ms: outcome.p99_ms,
            interrupted: outcome.interrupted,
            unfinished: outcome.unfinished,
            missed: missed(plan, &iterations),
            examples,
            violations,
        };
        let missed_slo: Vec<String> =
            plan.slo.iter().filter_map(|target| target.missed(&summary)).collect();
        summary.missed.extend(missed_slo);
        let config = Setup {
            local: matches!(ground, Ground::Local(_)),
            servers: ground.servers().iter().map(|server| server.url().to_owned()).collect(),
            plan: plan.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        Self { schema: 1, iterations, summary, seed: plan.seed, config }
    }

    /// True where every acknowledged record is there once and as acknowledged, the history of
    /// each is linearizable, and no term had two leaders.
    pub fn is_sound(&self) -> bool {
        let Summary { lost, duplicated, linearizable_missed, violations, .. } = &self.summary;
        (*lost, *duplicated, *linearizable_missed, *violations) == (0, 0, 0, 0)
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
            if value.is_none() && !iteration.takes_leader {
                // This fault has no such time.
                continue;
            }
            if value.is_none_or(|value| value > target) {
                let value = value.map_or("not seen".to_owned(), |ms| format!("{ms:.0} ms"));
                let number = number + 1;
                missed.push(format!("iteration {number}: {what} {value}, target {target:.0} ms"));
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
            first_commit_ms,
            takes_leader: true,
            ..IterationReport::default()
        }
    }

    #[test]
    fn a_target_is_missed_by_a_time_too_long_or_never_seen() {
        let mut plan = DrillPlan::default();
        plan.targets.first_commit_ms = Some(100.0);
        let iterations = [Some(99.0), Some(101.0), None].map(iteration);
        let missed = missed(&plan, &iterations);
        assert_eq!(missed[0], "iteration 2: first commit 101 ms, target 100 ms");
        assert_eq!(missed[1], "iteration 3: first commit not seen, target 100 ms");
        assert_eq!(missed.len(), 2);
    }
}
