//! One fault after the other: wait for the cluster to be whole, inflict it, time what follows, end
//! it, await the return. Here is what all faults share; `failover` has those that take the leader
//! away, `outage` the others.

use std::time::Duration;

use super::clients::Pulse;
use super::faults::{FaultKind, Schedule};
use super::ground::{Ground, Victim};
use super::history::History;
use super::leaders::Leaders;
use super::plan::DrillPlan;
use super::report::IterationReport;
use super::{DrillError, Telling};
use crate::api::cluster::{ClusterStatus, NodeStatus, Role};
use crate::client::events::EventWatch;
use crate::client::{Client, Interrupt, Server};
use crate::clock::{self, Instant};
use crate::fleet::whole;
use crate::load::random::Random;

pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);
pub(super) const STATUS_WITHIN: Duration = Duration::from_secs(1);
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

/// What all that takes part in a drill shares.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub pulse: &'a Pulse,
    pub history: &'a History,
    pub leaders: &'a Leaders,
}

/// An iteration's report, and why there can be no further one, if so.
pub(super) type Inflicted = (IterationReport, Option<String>);

pub(super) struct Drill<'a> {
    pub client: Client,
    pub events: EventWatch,
    pub plan: &'a DrillPlan,
    pub interrupt: &'a Interrupt,
    pub stage: Stage<'a>,
    pub random: Random,
    schedule: Schedule,
    /// Elections that the faults so far may account for.
    accounted: u64,
    /// Sentences about what must never be, and was seen.
    pub violations: Vec<String>,
}

impl<'a> Drill<'a> {
    pub fn new(
        client: Client,
        plan: &'a DrillPlan,
        interrupt: &'a Interrupt,
        stage: Stage<'a>,
    ) -> Self {
        Self {
            events: EventWatch::open(client.servers()),
            client,
            plan,
            interrupt,
            stage,
            random: Random::stream(plan.seed, 2),
            schedule: Schedule::new(&plan.faults, plan.seed),
            accounted: 0,
            violations: Vec::new(),
        }
    }

    /// Rises of the term since `first_term` that no fault accounts for.
    pub fn spurious_elections(&self, first_term: u64) -> u64 {
        let rises = self.stage.leaders.highest_term().saturating_sub(first_term);
        rises.saturating_sub(self.accounted)
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

    /// What every node says, in the order of the servers.
    pub fn look(&self) -> Vec<Option<ClusterStatus>> {
        let statuses: Vec<Option<ClusterStatus>> =
            self.client.statuses(STATUS_WITHIN).into_iter().map(Result::ok).collect();
        statuses.iter().flatten().for_each(|status| self.stage.leaders.said(status));
        statuses
    }

    /// What the first node says once all follow one leader; `None` where that takes too long.
    pub fn whole(&self, until: Instant) -> Option<ClusterStatus> {
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
        iterations: &mut Vec<IterationReport>,
        telling: &Telling<'_>,
    ) -> Result<Ended, DrillError> {
        for number in 1..=self.plan.iterations {
            let of = self.plan.iterations;
            (telling.progress)(&format!("{number} of {of}: load, then the fault"));
            let jitter = Duration::from_millis(self.random.below(JITTER_MS));
            if self.interrupt.clean.wait(WARM_UP + jitter) {
                return Ok(Ended::Interrupted);
            }
            let Some(status) = self.whole(clock::now() + self.plan.settle_max) else {
                return Ok(self.stuck(number, "the cluster was not whole again"));
            };
            let kind = self.schedule.next();
            let begun = clock::now();
            let (report, stuck) = self.inflict(kind, ground, &status)?;
            self.stage.leaders.told(&self.events.since(begun));
            let rises = self.stage.leaders.highest_term().saturating_sub(status.term);
            self.accounted += rises.min(kind.elections_max(self.client.servers().len()));
            (telling.iteration)(number, &report);
            iterations.push(report);
            if let Some(why) = stuck {
                return Ok(self.stuck(number, &why));
            }
        }
        Ok(Ended::AsPlanned)
    }

    fn inflict(
        &mut self,
        kind: FaultKind,
        ground: &mut Ground,
        status: &ClusterStatus,
    ) -> Result<Inflicted, DrillError> {
        match kind {
            FaultKind::KillBothFollowers => self.kill_followers(ground, status),
            FaultKind::RollingRestart => self.rolling_restart(ground, status),
            FaultKind::Wipe => self.wipe(ground, status),
            FaultKind::Crash
            | FaultKind::Term
            | FaultKind::Freeze
            | FaultKind::Isolate
            | FaultKind::IsolateOneway
            | FaultKind::DiskSlow
            | FaultKind::DiskFull
            | FaultKind::Transfer => self.failover(kind, ground, status),
        }
    }

    fn stuck(&self, number: u32, why: &str) -> Ended {
        if self.interrupt.clean.is_tripped() {
            Ended::Interrupted
        } else {
            Ended::Stuck(format!("iteration {number}: {why}"))
        }
    }

    /// The leader that `status` names.
    pub fn leader(&self, status: &ClusterStatus) -> Result<Victim, DrillError> {
        let leader = status.leader_id.as_ref();
        let leader = leader.ok_or_else(|| DrillError::NotReady("no leader".to_owned()))?;
        let found = self.nodes().into_iter().find(|node| node.name == leader.as_str());
        found.ok_or_else(|| {
            DrillError::NotReady(format!("the leader {leader} is none of the servers"))
        })
    }

    /// Every server that answers, by the name it gives itself: an address may be written in
    /// several ways.
    pub fn nodes(&self) -> Vec<Victim> {
        let named = |(number, status): (usize, Option<ClusterStatus>)| {
            Some(Victim { name: status?.node?.to_string(), number })
        };
        self.look().into_iter().enumerate().filter_map(named).collect()
    }

    /// Until the load has had successes for a while, so that the gap is over.
    pub fn await_load(&self) {
        let until = clock::now() + self.plan.failover_max;
        let already = self.stage.pulse.successes();
        self.interrupt.at_once.wait(AFTERMATH);
        while self.plan.clients > 0 && !self.interrupt.clean.is_tripped() {
            if self.stage.pulse.successes() > already || clock::now() >= until {
                return;
            }
            self.interrupt.clean.wait(LOOK_EVERY);
        }
    }

    /// Asks `server` again and again until `within` what it says of itself satisfies `condition`,
    /// and says when.
    pub fn await_own(
        &self,
        server: &Server,
        within: Duration,
        mut condition: impl FnMut(&ClusterStatus, &NodeStatus) -> bool,
    ) -> Option<Instant> {
        let until = clock::now() + within;
        while clock::now() < until {
            if let Ok(status) = self.client.status(server, STATUS_WITHIN) {
                self.stage.leaders.said(&status);
                if own(&status).is_some_and(|own| condition(&status, own)) {
                    return Some(clock::now());
                }
            }
            if self.interrupt.at_once.wait(LOOK_EVERY) {
                return None;
            }
        }
        None
    }

    /// The commit index of the node that leads in `term` or later, by its own word.
    pub fn leaders_commit(&self, term: u64) -> Option<u64> {
        let commit = |status: &ClusterStatus| {
            let leads = status.leader_id == status.node && status.term >= term;
            leads.then_some((status.term, own(status)?.commit))
        };
        let statuses = self.look();
        statuses.iter().flatten().filter_map(commit).max().map(|(_, commit)| commit)
    }
}

/// What the node that answers says of itself.
pub(super) fn own(status: &ClusterStatus) -> Option<&NodeStatus> {
    status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref())
}

/// True where the node that answers follows a leader of `term` or later, or has been elected
/// anew since, and has applied up to `goal`.
pub(super) fn follows(status: &ClusterStatus, term: u64, goal: u64) -> bool {
    let in_place = |role| match role {
        Role::Follower | Role::Learner => true,
        Role::Leader => status.term > term,
        Role::Candidate | Role::Unknown => false,
    };
    status.leader_id.is_some()
        && status.term >= term
        && own(status).is_some_and(|own| in_place(own.role) && own.applied >= goal)
}
