//! From a finished record to an acknowledged one, from whichever node has it.
//!
//! The leader commits; every other node sends the record to the leader. While the
//! leadership changes hands the node waits and repeats, under the same record id, so
//! that a client sees a slower answer and not an error.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::groups::{Entered, Groups, Leader, PUT, PUT_ALL};
use crate::clock;
use crate::detector::introspect::{Condition, Health};
use crate::ident::NodeName;
use crate::ledger::query::Ledger;
use crate::ledger::{Command, Outcome};
use crate::limits::{READ_MAX, SUBMIT_MAX};
use crate::observe::metrics::Metrics;
use crate::peer::PeerError;
use crate::peer::link::{Lane, Link, Links};
use crate::peer::routes::{Admit, Refusal, Routes};
use crate::raft::{Consensus, LateConsensus, ProposeError};
use crate::record::{Durability, Record};
use crate::solo::JournalError;
use crate::view::LeaderView;

const READ_INDEX: &str = "/service/read-index";
/// The same for who needs the proof and not the index. Nodes before it answer 404.
const PROVE_QUORUM: &str = "/service/prove-quorum";

/// How a leader without a quorum refuses other nodes.
const NO_QUORUM: StatusCode = StatusCode::GATEWAY_TIMEOUT;

/// First pause before the next attempt where nothing says that the view will change: a new
/// leader takes entries a round trip after it won. Twice as long each time after.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(16);
/// How long a leader without a quorum keeps a record that is to be committed here.
const NEW_LEADER_MAX: Duration = Duration::from_millis(300);

/// A record was not acknowledged, or a read could not be made linearizable.
/// The outcome of a submitted record is unknown: a retry under the same id is safe.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    #[error("this node does not belong to a cluster yet")]
    NotReady,
    #[error("no quorum answered within {} ms", waited.as_millis())]
    NoQuorum { waited: Duration, leader: Option<NodeName> },
    /// This node knows of itself that waiting would be for nothing.
    #[error("this node cannot serve this now ({condition}); ask another node")]
    Unwell { condition: Condition },
    /// Nothing less than a quorum was asked for, and there is none.
    #[error(
        "this node reaches no quorum and serves alone; ask another node, or for less: \
         without X-Durability: quorum, or with ?consistency=stale"
    )]
    Solo,
    #[error("{records} records that this node acknowledged alone are on their way to the ledger")]
    Draining { records: u64 },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("this node is stopping")]
    Stopped,
}

/// An acknowledged record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submitted {
    /// What the ledger holds under this id: the one submitted, or an earlier one.
    pub record: Record,
    /// True where the id was there before.
    pub replayed: bool,
    /// How far this acknowledgement reaches. What crosses between nodes is by a quorum.
    #[serde(skip, default = "by_quorum")]
    pub durability: Durability,
}

fn by_quorum() -> Durability {
    Durability::Quorum
}

/// Gets records acknowledged, and orders reads after them. Cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    late: LateConsensus,
    views: watch::Receiver<Arc<LeaderView>>,
    links: Links,
    groups: Groups,
    health: Health,
}

/// One attempt failed; another may not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attempt {
    Again,
    /// The leader itself says that it has no quorum.
    NoQuorum,
    Stopped,
}

impl From<ProposeError> for Attempt {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } => Self::Again,
            ProposeError::Stopped(_) => Self::Stopped,
        }
    }
}

impl From<PeerError> for Attempt {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Rejected { status, .. } if status == NO_QUORUM.as_u16() => Self::NoQuorum,
            _ => Self::Again,
        }
    }
}

impl Submitter {
    pub fn new(
        late: LateConsensus,
        views: watch::Receiver<Arc<LeaderView>>,
        links: Links,
        health: Health,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { late, views, groups: Groups::new(links.rt().clone(), metrics), links, health }
    }

    /// Commits `record` through the leader, wherever it is, retrying under the same
    /// id within [`SUBMIT_MAX`]. Run it in its own task: a client that hangs up must
    /// not cancel it.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn put(&self, record: Record) -> Result<Submitted, SubmitError> {
        // A follower only passes it on: its own disk does not matter.
        self.retry(SUBMIT_MAX, false, |consensus, leader| {
            let record = record.clone();
            async move {
                let leader = match leader {
                    None => Leader::Here(consensus),
                    Some(link) => Leader::There(link),
                };
                self.groups.put(&leader, record).await
            }
        })
        .await
    }

    /// Waits until this node's ledger holds everything that was acknowledged anywhere
    /// before the call (ReadIndex, Raft dissertation section 6.4), within [`READ_MAX`].
    ///
    /// # Errors
    /// See [`SubmitError`].
    ///
    /// # Cancel safety
    /// Safe: it only asks and waits.
    pub async fn barrier(&self) -> Result<(), SubmitError> {
        let started = clock::now();
        // Each attempt asks for an index of its own: one from before a change of leader
        // would prove nothing.
        let index: u64 = self
            .retry(READ_MAX, true, |consensus, leader| async move {
                match leader {
                    None => consensus.read_index().await.map_err(Attempt::from),
                    Some(link) => link.call(READ_INDEX, &(), READ_MAX).await.map_err(Attempt::from),
                }
            })
            .await?;
        let consensus = self.late.get().ok_or(SubmitError::NotReady)?;
        let rest = READ_MAX.saturating_sub(started.elapsed());
        tokio::select! {
            applied = tokio::time::timeout(rest, consensus.applied(index)) => match applied {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(SubmitError::Stopped),
                Err(_) => Err(self.no_quorum(READ_MAX)),
            },
            condition = hopeless(&self.health, false, true) => Err(SubmitError::Unwell { condition }),
        }
    }

    /// Asks the leader once whether a quorum still follows it; false where none answers
    /// within `within`.
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn reaches_quorum(&self, within: Duration) -> bool {
        let Some(consensus) = self.late.get() else { return false };
        let leader = {
            let view = self.views.borrow();
            view.leader_member().map(|leader| (view.i_lead(), leader.raft_addr.clone()))
        };
        let asking = async {
            match leader {
                None => false,
                Some((true, _)) => consensus.prove_quorum().await.is_ok(),
                Some((false, addr)) => {
                    let link = self.links.to(addr, Lane::Service);
                    let ask = async |path| link.call::<_, u64>(path, &(), within).await;
                    match ask(PROVE_QUORUM).await {
                        Err(PeerError::Rejected { status, .. })
                            if status == StatusCode::NOT_FOUND.as_u16() =>
                        {
                            ask(READ_INDEX).await.is_ok()
                        }
                        proof => proof.is_ok(),
                    }
                }
            }
        };
        tokio::time::timeout(within, asking).await.unwrap_or(false)
    }

    /// This node's copy; `None` until it belongs to a cluster.
    pub fn ledger(&self) -> Option<Ledger> {
        self.late.get().map(Consensus::ledger)
    }

    /// Calls `attempt` with the leader's link, or `None` where this node leads, until
    /// it succeeds or `within` is over. An attempt is given up when the view changes, and
    /// all are once this node knows that they are for nothing.
    async fn retry<T, F>(
        &self,
        within: Duration,
        needs_disk: bool,
        attempt: impl Fn(Consensus, Option<Link>) -> F,
    ) -> Result<T, SubmitError>
    where
        F: Future<Output = Result<T, Attempt>>,
    {
        let deadline = clock::now() + within;
        let mut views = self.views.clone();
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let (leader, term) = {
                let view = views.borrow_and_update();
                let leader = view.leader_member();
                let to = leader.map(|leader| (view.i_lead(), leader.raft_addr.clone()));
                (to, view.term)
            };
            if let (Some((here, addr)), Some(consensus)) = (&leader, self.late.get()) {
                let link = (!here).then(|| self.links.to(addr, Lane::Service));
                tokio::select! {
                    biased;
                    condition = hopeless(&self.health, *here, needs_disk) => {
                        return Err(SubmitError::Unwell { condition });
                    }
                    result = attempt(consensus.clone(), link) => match result {
                        Ok(value) => return Ok(value),
                        Err(Attempt::Stopped) => return Err(SubmitError::Stopped),
                        Err(Attempt::NoQuorum) => {
                            return Err(self.no_quorum(within - (deadline - clock::now())));
                        }
                        Err(Attempt::Again) => {}
                    },
                    _ = other_leader(&mut views, term) => continue,
                    () = tokio::time::sleep_until(deadline) => return Err(self.no_quorum(within)),
                }
            }
            // The next view may bring a leader; and a leader that refused for a moment
            // may soon be ready.
            tokio::select! {
                changed = views.changed() => match changed {
                    Ok(()) => pause = RETRY_PAUSE_MIN,
                    Err(_) => return Err(SubmitError::Stopped),
                },
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_PAUSE_MAX),
            }
            if clock::now() >= deadline {
                return Err(self.no_quorum(within));
            }
        }
    }

    fn no_quorum(&self, waited: Duration) -> SubmitError {
        if self.late.get().is_none() {
            return SubmitError::NotReady;
        }
        let view = self.views.borrow();
        SubmitError::NoQuorum { waited, leader: view.leader_member().map(|m| m.name.clone()) }
    }
}

/// Resolves when the term is another one: what was asked of the old leader may never be answered.
async fn other_leader(views: &mut watch::Receiver<Arc<LeaderView>>, term: crate::ident::Term) {
    if views.wait_for(|view| view.term != term && view.leader.is_some()).await.is_err() {
        std::future::pending().await
    }
}

/// Commits on this node, which leads. A leader just elected refuses until a quorum has
/// acknowledged it, for about a round trip: what waits here need not ask again from afar.
/// One answer for each record, in their order.
pub(super) async fn put_all_here(
    consensus: &Consensus,
    records: Vec<Record>,
) -> Vec<Result<Submitted, ProposeError>> {
    let until = clock::now() + NEW_LEADER_MAX;
    let mut views = consensus.views();
    let mut answers: Vec<_> = records.iter().map(|_| None).collect();
    let mut left: Vec<usize> = (0..records.len()).collect();
    loop {
        let leads = views.borrow_and_update().i_lead();
        let put = |at: &usize| Command::Put { record: records[*at].clone() };
        let outcomes = consensus.propose_all(left.iter().map(put)).await;
        let again = leads && clock::now() < until;
        left = std::iter::zip(left, outcomes)
            .filter_map(|(at, outcome)| match outcome {
                Err(ProposeError::NotLeader { .. }) if again => Some(at),
                outcome => {
                    answers[at] = Some(submitted(outcome));
                    None
                }
            })
            .collect();
        if left.is_empty() {
            return answers.into_iter().flatten().collect();
        }
        // The quorum's acknowledgement shows in the view.
        tokio::select! {
            _ = views.changed() => {}
            () = tokio::time::sleep(RETRY_PAUSE_MIN) => {}
        }
    }
}

fn submitted(outcome: Result<Outcome, ProposeError>) -> Result<Submitted, ProposeError> {
    match outcome? {
        Outcome::Put { record, replayed } => {
            Ok(Submitted { record, replayed, durability: Durability::Quorum })
        }
        other => Err(ProposeError::Stopped(format!("a put had the outcome {other:?}"))),
    }
}

/// Resolves once this node's condition makes it pointless to wait any longer.
///
/// # Cancel safety
/// Safe: it only waits.
async fn hopeless(health: &Health, leads: bool, needs_disk: bool) -> Condition {
    let mut conditions = health.subscribe();
    let hopeless = |condition: &Condition| match condition {
        // One that is full says so by the write that fails.
        Condition::Well | Condition::SlowDisk | Condition::FullDisk => false,
        Condition::StuckDisk | Condition::FailedDisk | Condition::DamagedDisk => {
            leads || needs_disk
        }
        Condition::NoQuorum => leads,
    };
    let found = conditions.wait_for(hopeless).await.map(|condition| *condition);
    match found {
        Ok(condition) => condition,
        // The node is ending, which others tell.
        Err(_) => std::future::pending().await,
    }
}

impl Submitter {
    /// Mounts what other nodes' submitters ask of the leader.
    pub fn mount(&self, routes: &mut Routes) {
        let this = self.clone();
        routes.json(PUT, Admit::Members, move |_, record: Record| {
            let this = this.clone();
            async move {
                let leader = Leader::Here(leading(&this.late)?);
                while_well(&this.health, this.groups.put(&leader, record)).await?.map_err(refused)
            }
        });
        let this = self.clone();
        routes.json(PUT_ALL, Admit::Members, move |_, records: Vec<Record>| {
            let this = this.clone();
            async move {
                let leader = Leader::Here(leading(&this.late)?);
                let answers =
                    while_well(&this.health, this.groups.put_all(&leader, records)).await?;
                Ok(answers.into_iter().map(Entered::from).collect::<Vec<_>>())
            }
        });
        let this = self.clone();
        routes.json(READ_INDEX, Admit::Members, move |_, (): ()| {
            let this = this.clone();
            async move {
                let consensus = leading(&this.late)?;
                let index = while_well(&this.health, consensus.read_index()).await?;
                index.map_err(|error| refused(Attempt::from(error)))
            }
        });
        let this = self.clone();
        routes.json(PROVE_QUORUM, Admit::Members, move |_, (): ()| {
            let this = this.clone();
            async move {
                let consensus = leading(&this.late)?;
                let index = while_well(&this.health, consensus.prove_quorum()).await?;
                index.map_err(|error| refused(Attempt::from(error)))
            }
        });
    }
}

impl From<Result<Submitted, Attempt>> for Entered {
    fn from(answer: Result<Submitted, Attempt>) -> Self {
        match answer {
            Ok(submitted) => Self::Submitted(submitted),
            Err(attempt) => Self::Refused(refused(attempt).reason),
        }
    }
}

/// A leader's answer to another node, given up when it is hopeless.
async fn while_well<T>(health: &Health, answer: impl Future<Output = T>) -> Result<T, Refusal> {
    tokio::select! {
        biased;
        condition = hopeless(health, true, true) => {
            Err(Refusal { status: NO_QUORUM, reason: condition.to_string() })
        }
        answer = answer => Ok(answer),
    }
}

fn leading(late: &LateConsensus) -> Result<Consensus, Refusal> {
    late.get().cloned().ok_or_else(|| Refusal::unavailable("this node is still starting"))
}

fn refused(attempt: Attempt) -> Refusal {
    Refusal::unavailable(match attempt {
        Attempt::Again | Attempt::NoQuorum => "this node is not the leader",
        Attempt::Stopped => "consensus has stopped on this node",
    })
}
