//! The I/O around `core`: holds the watch connection, probes, and lets the pre-round
//! run when the rules accuse.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::sync::{Notify, mpsc};

use super::core::{Action, Cause, Core, Event};
use super::lateness::Lateness;
use super::pause::pause;
use super::preround::{self, PROBE, WATCH};
use super::pulse::promised;
use super::warm::warm_up;
use super::{Held, Opinion, Parts};
use crate::clock;
use crate::ident::{RaftId, Term};
use crate::observe::events::Change;
use crate::peer::PeerError;
use crate::peer::link::Lane;
use crate::view::{LeaderView, Member};

/// A probe that this machine itself delayed by more than this proves nothing.
const LATENESS_MAX: Duration = Duration::from_millis(25);
/// Dials in the place of one where the leader resets connections: it is going, and soon gone.
const RESETS_PER_CONFIRM: u32 = 5;
/// Probe timeouts that opening the watch may take.
const OPEN_PATIENCE: u32 = 10;
/// Probe intervals between attempts to open the watch on a leader that cannot be watched.
const REOPEN_PROBES: u32 = 4;
/// Pulses in the place of as many probes: that the way there and back is open is worth a question
/// now and then.
const PULSES_PER_PROBE: u32 = 10;
/// A pulse may be late by this part of the time within which it was said to come.
const PULSE_SLACK: u32 = 8;
/// Events of one leader that wait to be weighed; when full, its watchers wait.
const EVENTS_MAX: usize = 64;

/// Watches each leader in turn, until the node stops.
pub async fn run(parts: Parts) {
    let mut views = parts.views.clone();
    loop {
        let (watched, seen) = {
            let view = views.borrow_and_update();
            let leader = view.leader_member().filter(|_| !view.i_lead()).cloned();
            (leader.map(|leader| (leader, view.term)), Seen::of(&view))
        };
        let follow = async {
            match watched {
                Some((leader, term)) => watch_leader(&parts, &leader, term).await,
                None => {
                    parts.verdict.set(Held::default());
                    std::future::pending().await
                }
            }
        };
        let changed = async { views.wait_for(|view| Seen::of(view) != seen).await.is_ok() };
        tokio::select! {
            () = follow => {}
            more = changed => if !more { return },
        }
    }
}

/// What must change for another leader to be watched, or the same one elsewhere.
#[derive(PartialEq, Eq)]
struct Seen {
    leader: Option<RaftId>,
    term: Term,
    lead: bool,
    raft_addr: Option<String>,
}

impl Seen {
    fn of(view: &LeaderView) -> Self {
        Self {
            leader: view.leader,
            term: view.term,
            lead: view.i_lead(),
            raft_addr: view.leader_member().map(|leader| leader.raft_addr.clone()),
        }
    }
}

/// Everything about one leader of one term.
struct Watched<'a> {
    parts: &'a Parts,
    leader: &'a Member,
    term: Term,
    core: Core,
    /// The evidence was told in full; repeating it would only fill the log.
    told: bool,
}

/// # Cancel safety
/// Safe: it holds connections and evidence only, both void with another leader.
async fn watch_leader(parts: &Parts, leader: &Member, term: Term) {
    let (events, mut received) = mpsc::channel(EVENTS_MAX);
    let mut watched =
        Watched { parts, leader, term, core: Core::new(parts.timings.probe_misses), told: false };
    watched.publish();
    tracing::debug!(leader = %leader.name, term = term.0, "watching the leader");
    let weigh = async {
        // Evidence is weighed while the others are asked, too: a leader that speaks meanwhile
        // is not accused any more.
        let mut round = None;
        loop {
            let asking = async {
                match round.as_mut() {
                    Some(round) => Pin::new(round).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = received.recv() => {
                    let Some(event) = event else { return };
                    if watched.weigh(event) && round.is_none() {
                        let accused = (leader.raft_id, &leader.name);
                        round = Some(Box::pin(preround::run(parts, accused, term)));
                    }
                }
                () = asking => round = None,
            }
        }
    };
    let signs = Signs::default();
    tokio::select! {
        () = hold_watch(parts, leader, &events, &signs) => {}
        () = probe(parts, leader, &events, &signs) => {}
        () = weigh => {}
    }
}

/// What the watch tells the probes.
#[derive(Default)]
struct Signs {
    /// The watch has closed.
    closed: Notify,
    /// The leader's runtime runs.
    pulse: Notify,
    /// How long the next pulse may take, by the last one.
    promise: Mutex<Duration>,
}

impl Signs {
    fn pulsed(&self, next_within: Duration) {
        *self.promise.lock().unwrap_or_else(PoisonError::into_inner) = next_within;
        self.pulse.notify_one();
    }

    fn promise(&self) -> Duration {
        *self.promise.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched<'_> {
    fn publish(&self) {
        let opinion = match self.core.dead() {
            Some(cause) => Opinion::Dead(cause),
            None if self.core.suspected() => Opinion::Suspected,
            None => Opinion::Alive,
        };
        self.parts.verdict.set(Held { leader: self.leader.raft_id, term: self.term, opinion });
    }

    /// True where the others are to be asked.
    fn weigh(&mut self, event: Event) -> bool {
        let heard = self.parts.contact.last_of(self.leader.raft_id, self.term);
        let action = self.core.step(event, clock::now(), heard);
        tracing::trace!(leader = %self.leader.name, ?event, ?action, "evidence weighed");
        self.publish();
        self.told &= self.core.dead().is_some();
        match action {
            None => false,
            Some(Action::Report { attempt, cause }) => {
                if attempt == 1 {
                    warm_up(self.parts, self.leader.raft_id);
                }
                self.report(attempt, cause);
                // A refusal is rarely the only one: the others are asked while the rest of the
                // evidence is gathered, here and there.
                attempt == 1 && cause == Cause::Crashed
            }
            Some(Action::Accuse(cause)) => {
                if !self.told {
                    self.told = true;
                    self.report(self.parts.timings.probe_misses, cause);
                }
                true
            }
        }
    }

    fn report(&self, attempt: u32, cause: Cause) {
        let how = match cause {
            Cause::Crashed => "connection refused",
            Cause::Silent => "no answer",
        };
        tracing::warn!(
            leader = %self.leader.name, term = self.term.0, attempt, cause = how,
            "failed to reach the leader"
        );
        self.parts.events.emit(
            self.term,
            Change::Suspected { leader: self.leader.name.clone(), cause: how.into(), attempt },
        );
    }
}

/// Holds a connection to the leader with a read pending. When it closes, tries again at
/// once, and reports each refusal. A dying process may still accept a connection after
/// it closed another one, so only a watch that opens ends the trying.
async fn hold_watch(parts: &Parts, leader: &Member, events: &mpsc::Sender<Event>, signs: &Signs) {
    let timings = &parts.timings;
    let probe_interval = Duration::from_millis(timings.probe_interval_ms);
    let open_max = Duration::from_millis(timings.probe_timeout_ms) * OPEN_PATIENCE;
    let link = parts.links.to_member(leader.raft_id, &leader.raft_addr, Lane::Watch);
    let mut opened = false;
    let mut refusals = 0;
    loop {
        // A dying process may still accept for a moment; then it resets what it accepted.
        let mut reset = false;
        let seen = match link.hold(WATCH, open_max).await {
            Ok(mut body) => {
                (opened, refusals) = (true, 0);
                if events.send(Event::WatchOpened).await.is_err() {
                    return;
                }
                // Each frame is a pulse. The read ends when its process, or its node, does.
                while let Some(Ok(frame)) = body.frame().await {
                    if link.hears() {
                        let said = frame.into_data().unwrap_or_default();
                        signs.pulsed(promised(&said, timings));
                    }
                }
                tracing::debug!(leader = %leader.name, "watch connection closed; probing");
                Some(Event::WatchClosed { at: clock::now() })
            }
            Err(PeerError::Refused { .. }) => {
                refusals += 1;
                Some(Event::Refused)
            }
            // Silence is the probes' business.
            Err(PeerError::Timeout { .. }) => None,
            // It will not be watched until somebody changes a certificate, and each try costs both
            // sides some arithmetic.
            Err(PeerError::Untrusted { .. }) => {
                opened = false;
                None
            }
            Err(_) => {
                reset = opened;
                None
            }
        };
        if let Some(seen) = seen {
            if events.send(seen).await.is_err() {
                return;
            }
            if matches!(seen, Event::WatchClosed { .. }) {
                signs.closed.notify_one();
                continue;
            }
        }
        let time = if !opened {
            // A leader that cannot be watched is only probed.
            probe_interval * REOPEN_PROBES
        } else if reset && refusals == 0 {
            Duration::from_millis(timings.confirm_interval_ms) / RESETS_PER_CONFIRM
        } else if refusals < timings.probe_misses {
            Duration::from_millis(timings.confirm_interval_ms)
        } else {
            // It is dead for certain; what follows only repeats the accusation until there
            // is a new leader.
            probe_interval
        };
        pause(time).await;
    }
}

/// Asks the leader's Raft runtime, again and again, whether it runs; but while it says so by itself,
/// by pulses that come when it said, only now and then. Asks at once where its watch has closed: a process
/// that lives answers by the connection that it still has, before the refusals condemn it.
async fn probe(parts: &Parts, leader: &Member, events: &mpsc::Sender<Event>, signs: &Signs) {
    let link = parts.links.to_member(leader.raft_id, &leader.raft_addr, Lane::Probe);
    let timings = &parts.timings;
    let timeout = Duration::from_millis(timings.probe_timeout_ms);
    let interval = Duration::from_millis(timings.probe_interval_ms);
    // Beyond the election timer it would be of no use.
    let patience_max = Duration::from_millis(timings.election_timeout_min_ms);
    let mut lateness = Lateness::new(patience_max, clock::now());
    let mut next = clock::now();
    // When a pulse is missing.
    let mut pulse_due = next;
    let (mut pulses, mut missed) = (0, false);
    loop {
        // Late is only who was asleep: a probe that took longer than the interval was not.
        let due = next.max(clock::now());
        tokio::select! {
            biased;
            () = signs.closed.notified() => pulse_due = clock::now(),
            // Pulses that come say nothing of the way there, which the last question was lost on.
            () = signs.pulse.notified(), if !missed => {
                lateness.woke(due, clock::now());
                let within = signs.promise();
                pulse_due = clock::now() + within + within / PULSE_SLACK;
                pulses += 1;
                if pulses < PULSES_PER_PROBE {
                    next = pulse_due;
                    continue;
                }
            }
            () = tokio::time::sleep_until(due) => lateness.woke(due, clock::now()),
        }
        pulses = 0;
        next = clock::now() + interval;
        let patience = lateness.patience(clock::now());
        parts.metrics.detector_patience_seconds.set(patience.as_secs_f64());
        let sent = clock::now();
        let answer = link.call::<_, serde::de::IgnoredAny>(PROBE, &(), timeout + patience).await;
        let overdue = sent.elapsed().saturating_sub(timeout + patience);
        let event = match answer {
            Ok(_) => Event::ProbeAnswered { sent },
            Err(PeerError::Timeout { .. }) if overdue <= LATENESS_MAX => Event::ProbeMissed,
            Err(PeerError::Timeout { .. }) => {
                // This machine slept through the time for the answer and must accuse nobody.
                lateness.woke(sent + timeout + patience, clock::now());
                continue;
            }
            // A refusal or a broken connection is weighed by the watch.
            Err(_) => continue,
        };
        missed = event == Event::ProbeMissed;
        if missed {
            parts.metrics.detector_missed_probes_total.inc();
        } else {
            next = next.max(pulse_due);
        }
        if events.send(event).await.is_err() {
            return;
        }
    }
}
