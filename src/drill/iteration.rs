//! One failover after the other: wait for the cluster to be whole, take its leader away, time
//! what follows, end the fault, await the leader's return.

use std::time::Duration;

use super::board::{Old, Seen};
use super::faults::{FaultKind, Ground, Schedule, Timing};
use super::history::{Counts, History};
use super::plan::DrillPlan;
use super::probe::Watch;
use super::report::IterationReport;
use super::stages::Stages;
use super::{DrillError, Progress};
use crate::api::cluster::{ClusterStatus, Role};
use crate::client::events::EventWatch;
use crate::client::{Client, Interrupt, Server};
use crate::clock::{self, Instant, millis};
use crate::fleet::whole;
use crate::ident::Term;
use crate::load::Meter;
use crate::load::random::Random;

const LOOK_EVERY: Duration = Duration::from_millis(5);
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// Load before each fault, so that a gap has something to stand out from. With the wait for a
/// whole cluster it also outlasts the least time between two campaigns of one node.
const WARM_UP: Duration = Duration::from_millis(200);
/// Up to this much more, by the seed: faults should not keep step with heartbeats.
const JITTER_MS: u64 = 120;
/// The load must have gone on for this long before the gap is taken as over.
const AFTERMATH: Duration = Duration::from_millis(150);

/// How the iterations ended.
pub(super) enum Ended {
    AsPlanned,
    Interrupted,
    /// The cluster did not get over a fault in the time that the plan gives it.
    Stuck(String),
}

pub(super) struct Drill<'a> {
    client: Client,
    events: EventWatch,
    plan: &'a DrillPlan,
    interrupt: &'a Interrupt,
    random: Random,
    schedule: Schedule,
    faults: u64,
    highest_term: u64,
}

impl<'a> Drill<'a> {
    pub fn new(client: Client, plan: &'a DrillPlan, interrupt: &'a Interrupt) -> Self {
        let random = Random::stream(plan.seed, 2);
        let schedule = Schedule::new(&plan.faults, plan.seed);
        let events = EventWatch::open(client.servers());
        Self { client, events, plan, interrupt, random, schedule, faults: 0, highest_term: 0 }
    }

    /// Leaders that were taken away.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    pub fn highest_term(&self) -> u64 {
        self.highest_term
    }

    /// Waits for every node to follow one leader; returns its term.
    pub fn await_whole(&mut self, ground: &mut Ground) -> Result<u64, DrillError> {
        let within = self.plan.settle_max;
        if let Ground::Local(fleet) = ground {
            fleet.wait_formed(within, &self.interrupt.clean)?;
        }
        let status = self.whole(clock::now() + within);
        status.map(|status| status.term).ok_or_else(|| {
            DrillError::NotReady(format!("not all nodes follow one leader within {within:?}"))
        })
    }

    /// After the last iteration, however it ended: every node must be there to be asked.
    pub fn bring_all_back(&mut self, ground: &mut Ground) -> Result<(), DrillError> {
        ground.relieve_all(&self.client, &self.plan.faults)?;
        if let Ground::Local(fleet) = ground {
            // Says why, where a node ends by itself.
            fleet.wait_formed(self.plan.return_max, &self.interrupt.at_once)?;
        }
        let until = clock::now() + self.plan.return_max;
        loop {
            let statuses = self.look();
            if whole(&statuses) {
                return Ok(());
            }
            // Only a second Ctrl-C ends this: without it there is no verdict.
            if clock::now() >= until || self.interrupt.at_once.wait(LOOK_EVERY) {
                return Err(DrillError::NotReady("not all nodes came back".to_owned()));
            }
        }
    }

    fn look(&mut self) -> Vec<Option<ClusterStatus>> {
        let statuses: Vec<Option<ClusterStatus>> =
            self.client.statuses(STATUS_WITHIN).into_iter().map(Result::ok).collect();
        let terms = statuses.iter().flatten().map(|status| status.term);
        self.highest_term = terms.max().unwrap_or(0).max(self.highest_term);
        statuses
    }

    fn whole(&mut self, until: Instant) -> Option<ClusterStatus> {
        loop {
            let statuses = self.look();
            if whole(&statuses) {
                return statuses.into_iter().next().flatten();
            }
            if clock::now() >= until || self.interrupt.clean.wait(LOOK_EVERY) {
                return None;
            }
        }
    }

    pub fn iterate(
        &mut self,
        ground: &mut Ground,
        meter: &Meter,
        history: &History,
        iterations: &mut Vec<IterationReport>,
        progress: Progress<'_>,
    ) -> Result<Ended, DrillError> {
        for number in 1..=self.plan.iterations {
            let of = self.plan.iterations;
            progress(&format!("failover {number} of {of}: load, then the fault"));
            let jitter = Duration::from_millis(self.random.below(JITTER_MS));
            if self.interrupt.clean.wait(WARM_UP + jitter) {
                return Ok(Ended::Interrupted);
            }
            let Some(status) = self.whole(clock::now() + self.plan.settle_max) else {
                return Ok(self.stuck(number, "the cluster was not whole again"));
            };
            let kind = self.schedule.next();
            let (report, stuck) = self.failover(kind, ground, meter, history, &status)?;
            progress(&format!("failover {number} of {of}: {}", report.sentence()));
            iterations.push(report);
            if let Some(why) = stuck {
                return Ok(self.stuck(number, why));
            }
        }
        Ok(Ended::AsPlanned)
    }

    fn stuck(&self, number: u32, why: &str) -> Ended {
        if self.interrupt.clean.is_tripped() {
            Ended::Interrupted
        } else {
            Ended::Stuck(format!("failover {number}: {why}"))
        }
    }

    /// Takes away the leader that `status` names. What could not be measured is `None`; the second
    /// value then says why there can be no further iteration.
    fn failover(
        &mut self,
        kind: FaultKind,
        ground: &mut Ground,
        meter: &Meter,
        history: &History,
        status: &ClusterStatus,
    ) -> Result<(IterationReport, Option<&'static str>), DrillError> {
        let before = history.counts();
        let (leader, number) = self.leader(status)?;
        let victim = self.client.servers().nth(number).clone();
        let survivors: Vec<Server> =
            self.client.servers().iter().filter(|server| **server != victim).cloned().collect();
        let (client, old) = (self.client.clone(), Old { leader, term: Term(status.term) });
        let watch = Watch {
            client: &client,
            history,
            survivors: &survivors,
            cut_off: (kind == FaultKind::Isolate).then_some(&victim),
            old: &old,
        };
        self.faults += 1;
        let (timing, seen) = watch.run(self.plan.failover_max, &self.interrupt.at_once, || {
            meter.open_gap_window(clock::now());
            ground.inflict(&client, number, kind)
        })?;
        self.highest_term = self.highest_term.max(seen.term);
        let over = seen.first_commit.is_some() && seen.elected.is_some();
        if over {
            self.await_load(meter);
        }
        let gap = meter.close_gap_window(clock::now()).filter(|_| self.plan.clients > 0);
        meter.set_leader(seen.new_leader.clone());
        let relieved = ground.relieve(&client, number, kind)?;
        let known = !ground.returns_unannounced(kind);
        let rejoin =
            if over { self.await_rejoin(&victim, relieved, known, seen.term) } else { None };
        let stuck = match (over, rejoin) {
            (false, _) => Some("no new leader acknowledged a write in time"),
            (true, None) => Some("the old leader did not come back and catch up in time"),
            (true, Some(_)) => None,
        };
        let counts = history.counts().since(&before);
        let events = self.events.since(timing.at);
        let report = IterationReport {
            stages: Stages::of(&events, timing.at, &old.leader, seen.new_leader.as_deref()),
            client_gap_ms: gap.or(seen.longest_gap).map(millis),
            rejoin_ms: rejoin.map(millis),
            ..report(ground.word(kind), &old, timing, &seen, counts)
        };
        Ok((report, stuck))
    }

    /// The leader's name and its number among the servers.
    fn leader(&mut self, status: &ClusterStatus) -> Result<(String, usize), DrillError> {
        let leader = status.leader_id.as_ref();
        let leader = leader.ok_or_else(|| DrillError::NotReady("no leader".to_owned()))?;
        // Each server tells its own name: an address may be written in several ways.
        let statuses = self.look();
        let is_leader = |status: &Option<ClusterStatus>| {
            status.as_ref().is_some_and(|status| status.node.as_ref() == Some(leader))
        };
        let number = statuses.iter().position(is_leader).ok_or_else(|| {
            DrillError::NotReady(format!("the leader {leader} is none of the servers"))
        })?;
        Ok((leader.to_string(), number))
    }

    /// Until the load has had successes for a while, so that the gap is over.
    fn await_load(&self, meter: &Meter) {
        let until = clock::now() + self.plan.failover_max;
        let (already, _) = meter.counts();
        self.interrupt.at_once.wait(AFTERMATH);
        while self.plan.clients > 0 && !self.interrupt.clean.is_tripped() {
            if meter.counts().0 > already || clock::now() >= until {
                return;
            }
            self.interrupt.clean.wait(LOOK_EVERY);
        }
    }

    /// From `relieved`, or where that is not `known` to be its return from when `victim` answers
    /// again, until it follows in `term` or later and has applied what its leader had committed
    /// at that moment.
    fn await_rejoin(
        &mut self,
        victim: &Server,
        relieved: Instant,
        known: bool,
        term: u64,
    ) -> Option<Duration> {
        let until = relieved + self.plan.return_max;
        let mut back: Option<(Instant, u64)> = None;
        if known {
            back = Some((relieved, self.leaders_commit(term)?));
        }
        while clock::now() < until {
            if let Ok(status) = self.client.status(victim, STATUS_WITHIN) {
                let (since, goal) = match back {
                    Some(known) => known,
                    None => {
                        let since = clock::now();
                        *back.insert((since, self.leaders_commit(term)?))
                    }
                };
                if follows(&status, term, goal) {
                    return Some(clock::now().saturating_duration_since(since));
                }
            }
            if self.interrupt.at_once.wait(LOOK_EVERY) {
                return None;
            }
        }
        None
    }

    /// The commit index of the node that leads in `term` or later, by its own word.
    fn leaders_commit(&mut self, term: u64) -> Option<u64> {
        let own = |status: &ClusterStatus| {
            let own = status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref())?;
            let leads = status.leader_id == status.node && status.term >= term;
            leads.then_some((status.term, own.commit))
        };
        let statuses = self.look();
        statuses.iter().flatten().filter_map(own).max().map(|(_, commit)| commit)
    }
}

/// True where the node that answers follows a leader of `term` or later, or has been elected
/// anew since, and has applied up to `goal`.
fn follows(status: &ClusterStatus, term: u64, goal: u64) -> bool {
    let own = status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref());
    let in_place = |role| match role {
        Role::Follower | Role::Learner => true,
        Role::Leader => status.term > term,
        Role::Candidate | Role::Unknown => false,
    };
    status.leader_id.is_some()
        && status.term >= term
        && own.is_some_and(|own| in_place(own.role) && own.applied >= goal)
}

fn report(
    fault: &'static str,
    old: &Old,
    timing: Timing,
    seen: &Seen,
    counts: Counts,
) -> IterationReport {
    let since = |at: Option<Instant>| at.map(|at| millis(at.saturating_duration_since(timing.at)));
    let view = seen.viewed.zip(seen.first_commit);
    IterationReport {
        fault,
        old_leader: old.leader.clone(),
        new_leader: seen.new_leader.clone(),
        term: seen.term,
        detect_ms: since(seen.detected),
        elect_ms: since(seen.elected),
        first_commit_ms: since(seen.first_commit),
        client_gap_ms: None,
        rejoin_ms: None,
        view_ms: view.map(|(viewed, first)| millis(viewed.saturating_duration_since(first))),
        stages: Stages::default(),
        ok: counts.ok,
        failed: counts.failed,
        unknown: counts.unknown,
    }
}
