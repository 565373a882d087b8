//! The I/O around `solo::core`: looks at what this node hears of its quorum, asks for proofs,
//! and tells everybody when the node begins to serve alone and when it stops.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use crate::clock;
use crate::config::ServeConfig;
use crate::detector::introspect::{Condition, Health};
use crate::detector::{Contact, Opinion, Verdict};
use crate::ident::Term;
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::raft::LateConsensus;
use crate::service::submit::Submitter;
use crate::solo::{Core, Journal, Rules, Sight, Solo, Step};
use crate::view::LeaderView;

/// What the watch needs from the node.
pub struct Parts {
    pub solo: Solo,
    pub journal: Journal,
    pub late: LateConsensus,
    pub views: watch::Receiver<Arc<LeaderView>>,
    pub contact: Contact,
    pub verdict: Verdict,
    pub health: Health,
    pub submitter: Submitter,
    pub events: Events,
    pub metrics: Arc<Metrics>,
}

/// Watches until the node stops; not at all where the configuration says never.
///
/// # Cancel safety
/// Safe: it changes nothing but the flag.
pub async fn watch(parts: Parts, config: ServeConfig) {
    let Some(after) = config.solo_after else { return };
    let timings = config.timings;
    let rules = Rules {
        after,
        heartbeat: Duration::from_millis(timings.heartbeat_interval_ms),
        fresh: Duration::from_millis(timings.election_timeout_max_ms),
    };
    let answer_max = Duration::from_millis(timings.election_timeout_min_ms);
    let mut core = Core::new(rules, clock::now());
    // One at a time.
    let mut proofs = FuturesUnordered::new();
    loop {
        let now = clock::now();
        let sight = parts.sight(now);
        if let Some(step) = core.look(now, &sight) {
            parts.take(step);
        }
        if proofs.is_empty() && core.wants_proof(now, &sight) {
            let asking = parts.submitter.reaches_quorum(answer_max);
            proofs.push(async move { (now, asking.await) });
        }
        tokio::select! {
            () = tokio::time::sleep_until(core.next_look(now)) => {}
            Some((asked, held)) = proofs.next() => {
                if let Some(step) = core.proof(asked, held) {
                    parts.take(step);
                }
            }
        }
    }
}

impl Parts {
    fn sight(&self, now: clock::Instant) -> Sight {
        let able = self.health.condition() != Condition::StuckDisk;
        let view = Arc::clone(&self.views.borrow());
        let Some(consensus) = self.late.get() else {
            return Sight { heard: None, both_ways: false, able };
        };
        if view.i_lead() {
            let alone = view.voters().count() <= 1;
            let heard = if alone { Some(now) } else { consensus.quorum_acked_at() };
            return Sight { heard, both_ways: true, able };
        }
        // A leader that this node holds dead is none, even if it can still be heard.
        let led = view.leader.is_some() && !matches!(self.verdict.opinion(), Opinion::Dead(_));
        let heard = self.contact.age().filter(|_| led).and_then(|age| now.checked_sub(age));
        Sight { heard, both_ways: false, able }
    }

    fn take(&self, step: Step) {
        let node = self.events.reporter().clone();
        let records = self.journal.size().records;
        let change = match step {
            Step::Begin { alone } => {
                tracing::warn!(
                    elapsed_ms = clock::millis(alone),
                    "no quorum: serving alone, and journalling what is acknowledged (solo)"
                );
                Change::SoloBegan { node }
            }
            Step::End => {
                tracing::warn!(records, "a quorum is back: serving with it again (solo ended)");
                Change::SoloEnded { node, records }
            }
        };
        let on = matches!(step, Step::Begin { .. });
        self.metrics.solo.set(i64::from(on));
        self.solo.set(on);
        let term: Term = self.views.borrow().term;
        self.events.emit(term, change);
    }
}
