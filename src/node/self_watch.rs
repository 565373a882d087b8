//! The I/O around `detector::introspect`: looks at this node's disk and at its quorum, and
//! acts. On a thread of its own, since what hangs may be anything else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::hand_over;
use crate::clock;
use crate::config::Timings;
use crate::detector::introspect::{Condition, Core, Health, Limits, Sight, Step};
use crate::limits;
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::peer::link::Links;
use crate::raft::Consensus;
use crate::store::{Disk, Room};

/// What the watch needs from the node.
pub struct Parts {
    pub consensus: Consensus,
    pub disk: Disk,
    pub links: Links,
    pub timings: Timings,
    pub health: Health,
    pub events: Events,
    pub metrics: Arc<Metrics>,
}

struct Watch {
    parts: Parts,
    limits: Limits,
    core: Core,
    /// Told once, with the age of the write, when the node has to end.
    exit: Option<oneshot::Sender<Duration>>,
}

/// Watches until the runtime stops. The receiver hears when the node has to end, with the
/// age of the write that does.
///
/// # Errors
/// The operating system gives no thread.
#[cfg(not(sim))]
pub fn start(parts: Parts) -> std::io::Result<oneshot::Receiver<Duration>> {
    let (mut watch, end) = Watch::new(parts);
    let stop = watch.parts.links.rt().token().clone();
    std::thread::Builder::new().name("self-watch".into()).spawn(move || {
        while !stop.is_cancelled() {
            let time = watch.look();
            crate::rt::pause_thread(time);
        }
    })?;
    Ok(end)
}

/// In simulation a task takes the thread's place.
#[cfg(sim)]
pub fn start(parts: Parts) -> std::io::Result<oneshot::Receiver<Duration>> {
    let (mut watch, end) = Watch::new(parts);
    let rt = watch.parts.links.rt().clone();
    rt.spawn_until_stop("self-watch", async move {
        loop {
            let time = watch.look();
            tokio::time::sleep(time).await;
        }
    });
    Ok(end)
}

impl Watch {
    fn new(parts: Parts) -> (Self, oneshot::Receiver<Duration>) {
        let limits = Limits::of(&parts.timings);
        let (exit, end) = oneshot::channel();
        (Self { parts, limits, core: Core::new(limits), exit: Some(exit) }, end)
    }

    /// Says how soon to look again.
    fn look(&mut self) -> Duration {
        let consensus = &self.parts.consensus;
        // A disk that hangs while nobody writes harms nobody yet: a write that comes then is seen not
        // to end within the limit, as ever.
        consensus.try_disk(self.limits.hand_over * 2);
        let view = consensus.view();
        let sight = Sight {
            leads: view.i_lead(),
            alone: view.voters().count() <= 1,
            full: self.parts.disk.room() != Room::Enough,
            writing_since: consensus.writing_since(),
            acked: consensus.quorum_acked_at(),
        };
        let now = clock::now();
        let age = sight.writing_since.map_or(0.0, |since| (now - since).as_secs_f64());
        self.parts.metrics.raft_write_age_seconds.set(age);
        let (condition, step) = self.core.look(now, &sight);
        if let Some(before) = self.parts.health.set(condition) {
            self.tell(before, condition);
        }
        match step {
            None => {}
            Some(Step::HandOver { stalled }) => {
                tracing::warn!(
                    elapsed_ms = clock::millis(stalled),
                    "the disk of this node, which believes to lead, is stuck; another should lead"
                );
                self.hand_over("its disk is stuck");
            }
            Some(Step::HandOverFull) => {
                tracing::warn!("the disk of this node, which leads, is full; another should lead");
                self.hand_over("its disk is full");
            }
            Some(Step::Exit { stalled }) => {
                if let Some(exit) = self.exit.take() {
                    // Nobody hears it where the node is ending already.
                    let _ = exit.send(stalled);
                }
            }
        }
        let well = condition == Condition::Well && sight.writing_since.is_none();
        let calm = well && self.parts.consensus.is_calm();
        if calm { self.limits.calm_tick() } else { self.limits.tick() }
    }

    fn tell(&self, before: Condition, now: Condition) {
        match now {
            Condition::Well => tracing::info!(%before, "this node is well again"),
            Condition::SlowDisk | Condition::StuckDisk => tracing::warn!(
                limit_ms = clock::millis(self.limits.hand_over),
                "this node: {now}: a write of the Raft log does not end"
            ),
            Condition::FullDisk => tracing::warn!(
                limit_bytes = limits::DISK_LOW_BYTES,
                "this node: full disk: free some space; without any it ends, and starts again when \
                 there is some"
            ),
            // Set by `core` when the node ends, and never found here.
            Condition::FailedDisk | Condition::DamagedDisk => {}
            Condition::NoQuorum => tracing::warn!(
                limit_ms = clock::millis(self.limits.quorum),
                "this leader has no quorum: it answers writes and reads with 503"
            ),
        }
        let node = self.parts.events.reporter().clone();
        let change = Change::ConditionChanged { node, condition: now.to_string() };
        self.parts.events.emit(self.parts.consensus.view().term, change);
    }

    fn hand_over(&self, cause: &'static str) {
        let Parts { consensus, links, events, .. } = &self.parts;
        let rt = links.rt().clone();
        rt.spawn(
            "hand-over",
            hand_over::off_bad_disk(consensus.clone(), links.clone(), events.clone(), cause),
        );
    }
}
