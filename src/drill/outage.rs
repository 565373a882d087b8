//! Faults that leave the leader in place, or take every node in turn: the quorum lost and the
//! lone node, a rolling restart, a wiped follower.

use std::time::Duration;

use super::DrillError;
use super::clients::commit;
use super::faults::FaultKind;
use super::ground::{Ground, STOP_MAX, Victim};
use super::iteration::{Drill, Inflicted, LOOK_EVERY, own};
use super::report::IterationReport;
use super::timeline::Timeline;
use crate::api::cluster::{ClusterStatus, Direction, Mode};
use crate::client::Server;
use crate::clock::{self, Instant, millis};
use crate::fleet::whole;
use crate::record::Durability;

/// Records that the lone node must acknowledge by itself before the others return.
const LOCAL_MIN: u32 = 20;
/// The patience with a write at the lone node. Longer than the time until a node serves alone.
const LONE_WRITE_MAX: Duration = Duration::from_secs(9);

/// What an iteration began with.
struct Scene {
    fault: &'static str,
    leader: Victim,
    counts: super::history::Counts,
    term: u64,
}

impl Drill<'_> {
    fn scene(
        &self,
        kind: FaultKind,
        ground: &Ground,
        status: &ClusterStatus,
    ) -> Result<Scene, DrillError> {
        Ok(Scene {
            fault: ground.word(kind),
            leader: self.leader(status)?,
            counts: self.stage.history.counts(),
            term: status.term,
        })
    }

    /// The report of a scene whose fault took effect at `effective`.
    fn told(&self, scene: &Scene, effective: Instant, timeline: Timeline) -> IterationReport {
        let gap = self.stage.pulse.close_gap_window().filter(|_| self.plan.clients > 0);
        let statuses = self.look();
        let now = statuses.iter().flatten().max_by_key(|status| status.term);
        let report = IterationReport {
            fault: scene.fault,
            old_leader: scene.leader.name.clone(),
            new_leader: now.and_then(|status| status.leader_id.as_ref().map(ToString::to_string)),
            term: now.map_or(scene.term, |status| status.term),
            client_gap_ms: gap.map(millis),
            first_answer_ms: self.stage.history.first_answer(effective).map(|at| timeline.ms(at)),
            ..IterationReport::default()
        };
        let mut timeline = timeline;
        timeline.after(report.first_answer_ms, "first client answer");
        let report = report.counted(self.stage.history.counts().since(&scene.counts));
        IterationReport { timeline: timeline.into_moments(), ..report }
    }

    /// Kills every follower, has the lone leader serve alone, starts them again, and waits until
    /// what was acknowledged alone is everywhere.
    pub(super) fn kill_followers(
        &mut self,
        ground: &mut Ground,
        status: &ClusterStatus,
    ) -> Result<Inflicted, DrillError> {
        let kind = FaultKind::KillBothFollowers;
        let scene = self.scene(kind, ground, status)?;
        let lone = self.client.servers().nth(scene.leader.number).clone();
        let fleet = ground.fleet(kind)?;
        let followers: Vec<usize> =
            (0..fleet.len()).filter(|number| *number != scene.leader.number).collect();
        self.stage.pulse.open_gap_window();
        let fault = clock::now();
        for number in &followers {
            fleet.kill(*number)?;
        }
        let killed = clock::now();
        let mut timeline = Timeline::new(fault, format!("{} followers killed", followers.len()));
        let mut report = IterationReport::default();
        let alone = self.serve_alone(&scene, &lone, &mut timeline, &mut report);
        if alone.is_ok() {
            self.await_load();
        }
        let returned = clock::now();
        ground.fleet(kind)?.start_all()?;
        timeline.at(returned, "followers started");
        let drained = alone.and_then(|()| self.reunite(&lone, returned, &mut timeline));
        let (rejoin, stuck) = match drained {
            Ok(drained) => (Some(millis(drained - returned)), None),
            Err(why) => (None, Some(why)),
        };
        let caught_up_ms = rejoin.map(|_| timeline.ms(clock::now()));
        let told = self.told(&scene, killed, timeline);
        let report = IterationReport {
            detect_ms: report.detect_ms,
            first_commit_ms: report.first_commit_ms,
            rejoin_ms: rejoin,
            caught_up_ms,
            ..told
        };
        Ok((report, stuck))
    }

    /// Until the lone node has acknowledged enough by itself.
    fn serve_alone(
        &self,
        scene: &Scene,
        lone: &Server,
        timeline: &mut Timeline,
        report: &mut IterationReport,
    ) -> Result<(), String> {
        let within = self.plan.failover_max;
        let lost = self.await_own(lone, within, |status, _| !status.quorum);
        let lost = lost.ok_or("the lone node did not notice that it has no quorum")?;
        report.detect_ms = Some(timeline.ms(lost));
        timeline.at(lost, "quorum lost");
        let solo = self.await_own(lone, within, |_, own| own.mode == Mode::Solo);
        timeline.at(solo.ok_or("the lone node did not begin to serve alone")?, "serves alone");
        let until = clock::now() + within;
        let mut local = 0;
        while local < LOCAL_MIN {
            let number = Some(scene.leader.number);
            let history = self.stage.history;
            let how = commit(&self.client, history, number, lone, LONE_WRITE_MAX);
            if how == Some(Durability::Local) {
                local += 1;
                if local == 1 {
                    let now = clock::now();
                    report.first_commit_ms = Some(timeline.ms(now));
                    timeline.at(now, "first write on one disk");
                }
            }
            if clock::now() >= until || self.interrupt.at_once.wait(LOOK_EVERY) {
                return Err(format!("the lone node acknowledged only {local} records alone"));
            }
        }
        Ok(())
    }

    /// Until a quorum is back, the journal is empty and every node has all. Says when.
    fn reunite(
        &self,
        lone: &Server,
        returned: Instant,
        timeline: &mut Timeline,
    ) -> Result<Instant, String> {
        let within = self.plan.return_max;
        let quorum =
            self.await_own(lone, within, |status, own| status.quorum && own.mode == Mode::Normal);
        timeline.at(quorum.ok_or("no quorum came back in time")?, "quorum back");
        let drained = self.await_own(lone, within, |_, own| own.journal == 0);
        timeline.at(drained.ok_or("the journal was not drained in time")?, "journal drained");
        self.await_level(returned + within, timeline)
    }

    /// Until all follow one leader and have applied what it had committed when they did.
    fn await_level(&self, until: Instant, timeline: &mut Timeline) -> Result<Instant, String> {
        let late = || "not every node came back and caught up in time".to_owned();
        let status = self.whole(until).ok_or_else(late)?;
        let goal = self.leaders_commit(status.term).ok_or_else(late)?;
        loop {
            let statuses = self.look();
            let level = |status: &Option<ClusterStatus>| {
                let own = status.as_ref().and_then(own);
                own.is_some_and(|own| own.applied >= goal && own.journal == 0)
            };
            let now = clock::now();
            if whole(&statuses) && statuses.iter().all(level) {
                timeline.at(now, "all caught up");
                return Ok(now);
            }
            if now >= until || self.interrupt.at_once.wait(LOOK_EVERY) {
                return Err(late());
            }
        }
    }

    /// Stops each node in turn as an upgrade does, the next one when the last is back.
    pub(super) fn rolling_restart(
        &mut self,
        ground: &mut Ground,
        status: &ClusterStatus,
    ) -> Result<Inflicted, DrillError> {
        let scene = self.scene(FaultKind::RollingRestart, ground, status)?;
        let client = self.client.clone();
        self.stage.pulse.open_gap_window();
        let fault = clock::now();
        let mut timeline = Timeline::new(fault, "rolling restart");
        let mut stuck = None;
        let mut longest = Duration::ZERO;
        for victim in self.nodes() {
            let begun = clock::now();
            ground.inflict(&client, &victim, FaultKind::Term, Direction::default())?;
            timeline.at(begun, format!("{} stops", victim.name));
            ground.relieve(&client, &victim, FaultKind::Term)?;
            let server = client.servers().nth(victim.number);
            let answered = self.await_own(server, STOP_MAX + self.plan.return_max, |_, _| true);
            let until = clock::now() + self.plan.return_max;
            let back = self.await_level(until, &mut Timeline::new(fault, ""));
            match (answered, back) {
                (Some(answered), Ok(back)) => {
                    longest = longest.max(back - answered);
                    timeline.at(back, format!("{} back", victim.name));
                }
                (_, Err(why)) => stuck = Some(format!("{}: {why}", victim.name)),
                (None, Ok(_)) => stuck = Some(format!("{} did not answer again", victim.name)),
            }
            if stuck.is_some() {
                break;
            }
        }
        self.await_load();
        let caught_up = stuck.is_none().then(|| timeline.ms(clock::now()));
        let report = IterationReport {
            rejoin_ms: stuck.is_none().then_some(millis(longest)),
            caught_up_ms: caught_up,
            ..self.told(&scene, fault, timeline)
        };
        Ok((report, stuck))
    }

    /// Kills a follower, empties its data folder and starts it: it must come back as a new node.
    pub(super) fn wipe(
        &mut self,
        ground: &mut Ground,
        status: &ClusterStatus,
    ) -> Result<Inflicted, DrillError> {
        let kind = FaultKind::Wipe;
        let scene = self.scene(kind, ground, status)?;
        let followers: Vec<Victim> =
            self.nodes().into_iter().filter(|node| node.number != scene.leader.number).collect();
        let drawn = self.random.below(followers.len() as u64) as usize;
        let Some(victim) = followers.get(drawn).cloned() else {
            return Err(DrillError::NotReady("no follower answers".to_owned()));
        };
        let server = self.client.servers().nth(victim.number).clone();
        let number_before = self.raft_id(&server);
        let fleet = ground.fleet(kind)?;
        self.stage.pulse.open_gap_window();
        let fault = fleet.kill(victim.number)?;
        let mut timeline = Timeline::new(fault, format!("{} wiped", victim.name));
        fleet.wipe(victim.number)?;
        let started = fleet.start(victim.number)?;
        timeline.at(started, "started empty");
        let within = self.plan.return_max;
        let answered = self.await_own(&server, within, |_, _| true);
        if let Some(answered) = answered {
            timeline.at(answered, "answers");
        }
        let level = self.await_level(started + within, &mut timeline);
        let number = self.raft_id(&server);
        if number_before.is_some() && number == number_before {
            // It could vote in a term in which it has voted, and has forgotten that.
            self.violations.push(format!(
                "{} was wiped and came back with its old number {}",
                victim.name,
                number.unwrap_or_default()
            ));
        }
        self.await_load();
        let report = self.told(&scene, fault, timeline.clone());
        let rejoin = level
            .as_ref()
            .ok()
            .zip(answered)
            .map(|(level, answered)| millis(level.saturating_duration_since(answered)));
        let caught_up_ms = level.as_ref().ok().map(|level| timeline.ms(*level));
        Ok((IterationReport { rejoin_ms: rejoin, caught_up_ms, ..report }, level.err()))
    }

    /// The number that `server` has in Raft, by its own word.
    fn raft_id(&self, server: &Server) -> Option<u64> {
        let status = self.client.status(server, super::iteration::STATUS_WITHIN).ok()?;
        own(&status)?.raft_id
    }
}
