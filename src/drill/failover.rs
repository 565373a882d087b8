//! Faults that take the leader away: another node has to take over.

use super::DrillError;
use super::board::{Old, Seen};
use super::faults::FaultKind;
use super::ground::{Ground, Timing};
use super::iteration::{Drill, Inflicted, LOOK_EVERY, STATUS_WITHIN, follows};
use super::probe::Watch;
use super::report::IterationReport;
use super::stages::Stages;
use super::timeline::Timeline;
use crate::api::cluster::{ClusterStatus, Direction};
use crate::client::Server;
use crate::clock::{self, Instant, millis};
use crate::ident::Term;

/// How the old leader came back.
#[derive(Debug, Clone, Copy)]
struct Return {
    /// Its first answer, or the end of its fault where it never stopped answering.
    since: Instant,
    /// It had stepped down and caught up.
    caught_up: Instant,
}

impl Drill<'_> {
    /// Takes away the leader that `status` names. What could not be measured is `None`.
    pub(super) fn failover(
        &mut self,
        kind: FaultKind,
        ground: &mut Ground,
        status: &ClusterStatus,
    ) -> Result<Inflicted, DrillError> {
        let history = self.stage.history;
        let before = history.counts();
        let leader = self.leader(status)?;
        let victim = self.client.servers().nth(leader.number).clone();
        let survivors: Vec<Server> =
            self.client.servers().iter().filter(|server| **server != victim).cloned().collect();
        let old = Old { leader: leader.name.clone(), term: Term(status.term) };
        let client = self.client.clone();
        let way = self.way();
        let watch = Watch {
            client: &client,
            history,
            leaders: self.stage.leaders,
            survivors: &survivors,
            cut_off: kind.cuts_off().then_some(&victim),
            old: &old,
        };
        let (timing, seen) = watch.run(self.plan.failover_max, &self.interrupt.at_once, || {
            self.stage.pulse.open_gap_window();
            ground.inflict(&client, &leader, kind, way)
        })?;
        let over = seen.first_commit.is_some() && seen.elected.is_some();
        if over {
            self.await_load();
        }
        let gap = self.stage.pulse.close_gap_window().filter(|_| self.plan.clients > 0);
        let relieved = ground.relieve(&client, &leader, kind)?;
        let known = !ground.returns_unannounced(kind);
        let back = if over { self.await_return(&victim, relieved, known, seen.term) } else { None };
        let stuck = match (over, back) {
            (false, _) => Some("no new leader acknowledged a write in time"),
            (true, None) => Some("the old leader did not come back and catch up in time"),
            (true, Some(_)) => None,
        };
        let events = self.events.since(timing.at);
        let report = IterationReport {
            stages: Stages::of(&events, timing.at, &old.leader, seen.new_leader.as_deref()),
            client_gap_ms: gap.or(seen.longest_gap).map(millis),
            rejoin_ms: back.map(|back| millis(back.caught_up - back.since)),
            first_answer_ms: history.first_answer(timing.effective).map(|at| since(timing, at)),
            caught_up_ms: back.map(|back| since(timing, back.caught_up)),
            ..report(ground.word(kind), &old, timing, &seen)
        };
        let report = report.counted(history.counts().since(&before));
        let what = match (kind, way) {
            (FaultKind::IsolateOneway, Direction::In) => format!("{} (incoming)", report.fault),
            (FaultKind::IsolateOneway, _) => format!("{} (outgoing)", report.fault),
            _ => report.fault.to_owned(),
        };
        let mut timeline = Timeline::new(timing.at, format!("{what} of {}", leader.name));
        tell(&mut timeline, &report, kind);
        if let Some(back) = back {
            timeline.at(back.since, format!("{} back", leader.name));
            timeline.at(back.caught_up, format!("{} caught up", leader.name));
        }
        let timeline = timeline.into_moments();
        Ok((IterationReport { timeline, ..report }, stuck.map(str::to_owned)))
    }

    /// Which way the next fault that goes one way goes, by the seed.
    fn way(&mut self) -> Direction {
        if self.random.below(2) == 0 { Direction::Out } else { Direction::In }
    }

    /// From `relieved`, or where that is not `known` to be its return from when `victim` answers
    /// again, until it follows in `term` or later and has applied what its leader had committed
    /// at that moment.
    fn await_return(
        &self,
        victim: &Server,
        relieved: Instant,
        known: bool,
        term: u64,
    ) -> Option<Return> {
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
                    return Some(Return { since, caught_up: clock::now().max(since) });
                }
            }
            if self.interrupt.at_once.wait(LOOK_EVERY) {
                return None;
            }
        }
        None
    }
}

fn since(timing: Timing, at: Instant) -> f64 {
    millis(at.saturating_duration_since(timing.at))
}

fn report(fault: &'static str, old: &Old, timing: Timing, seen: &Seen) -> IterationReport {
    let since = |at: Option<Instant>| at.map(|at| since(timing, at));
    let view = seen.viewed.zip(seen.first_commit);
    IterationReport {
        fault,
        takes_leader: true,
        old_leader: old.leader.clone(),
        new_leader: seen.new_leader.clone(),
        term: seen.term,
        detect_ms: since(seen.detected),
        elect_ms: since(seen.elected),
        first_commit_ms: since(seen.first_commit),
        view_ms: view.map(|(viewed, first)| millis(viewed.saturating_duration_since(first))),
        ..IterationReport::default()
    }
}

/// The stages that were seen of: detection, pre-round, vote, first commit, first client answer.
fn tell(timeline: &mut Timeline, report: &IterationReport, kind: FaultKind) {
    let stages = report.stages;
    timeline.after(stages.suspected_ms, "suspected");
    match stages.condemned_ms.filter(|condemned| Some(*condemned) != stages.suspected_ms) {
        Some(condemned) => timeline.after(Some(condemned), "held dead"),
        // In a hand-over nobody is held dead.
        None if stages.suspected_ms.is_none() && kind == FaultKind::Crash => {
            timeline.after(report.detect_ms, "detected");
        }
        None => {}
    }
    timeline.after(stages.agreed_ms, "pre-round agreed");
    let new = report.new_leader.as_deref().unwrap_or("nobody");
    let won = stages.won_ms.or(report.elect_ms);
    timeline.after(won, format!("{new} elected, term {}", report.term));
    timeline.after(report.first_commit_ms, "first commit");
    timeline.after(report.first_answer_ms, "first client answer");
}
