//! The glue to openraft, which is named nowhere else in src.
//!
//! The rest of the node sees [`Consensus`]: propose a command, order a read, watch who
//! leads, change members. Begin there; then `options`, the log (`log_writer`,
//! `log_store`), `state_machine`, and the messages (`network` out, `rpc` in).

mod ballots;
mod campaign;
mod denials;
mod hand_over;
mod log_store;
mod log_writer;
mod members;
mod network;
mod options;
mod pipeline;
pub mod recover;
mod rpc;
#[cfg(sim)]
mod sim_runtime;
mod state_machine;
mod types;
mod view;

#[cfg(test)]
#[cfg(not(sim))]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::{Instant as _, ReadPolicy, ServerState};
use tokio::sync::watch;

pub use campaign::run_campaigns;
pub use hand_over::{HandOverError, HandedOver};
pub use members::MembersError;
pub use rpc::{LateConsensus, mount};
use state_machine::StateMachine;
use types::{MemberNode, TypeConfig};

use crate::api::cluster::{Denial, Role};
use crate::clock;
use crate::config::{Snapshots, Timings};
use crate::ident::{ClusterUuid, RaftId};
use crate::ledger::query::Ledger;
use crate::ledger::{Command, Outcome};
use crate::observe::metrics::Metrics;
use crate::observe::recent::Recent;
use crate::peer::link::{Lane, Links};
use crate::rt::RaftRt;
#[cfg(sim)]
use crate::sim::sabotage::{self, Bug};
use crate::store::{Disk, Store, StoreError};
use crate::view::{LeaderView, Member};

type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// Between two questions to a founder that is still starting.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// Why a command was not committed, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node cannot commit it now. After a change of leader it may still be
    /// committed later: repeat it only under the same id.
    #[error("this node is not the leader")]
    NotLeader { leader: Option<RaftId> },
    /// Raft has stopped on this node for good.
    #[error("consensus has stopped: {0}")]
    Stopped(String),
}

/// Consensus could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the timings contradict each other: {0}")]
    Options(#[from] openraft::ConfigError),
    #[error("no thread for the Raft log: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the Raft log and the ledger do not fit together: {0}")]
    State(String),
}

/// What Raft needs from the node.
pub struct Parts {
    pub me: RaftId,
    pub cluster: ClusterUuid,
    pub cluster_name: String,
    pub timings: Timings,
    pub snapshots: Snapshots,
    pub rt: RaftRt,
    pub store: Arc<dyn Store>,
    pub links: Links,
    pub metrics: Arc<Metrics>,
    /// Below the store.
    pub disk: Disk,
    /// Told of each that is answered here.
    pub requests: Recent,
}

/// A running member of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    me: RaftId,
    cluster: ClusterUuid,
    raft: Raft,
    rt: RaftRt,
    store: Arc<dyn Store>,
    view: watch::Receiver<Arc<LeaderView>>,
    snapshot_slot: Arc<tokio::sync::Mutex<()>>,
    /// One change of membership at a time.
    members_slot: Arc<tokio::sync::Mutex<()>>,
    handing_over: hand_over::UnderWay,
    writer: log_writer::LogWriter,
    log: log_store::LogView,
    disk: Disk,
    denials: denials::Denials,
    requests: Recent,
}

fn not_written(error: ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward)
        | ClientWriteError::LogEntryDiscarded(forward) => {
            ProposeError::NotLeader { leader: forward.leader_id.map(RaftId) }
        }
        other => ProposeError::Stopped(other.to_string()),
    }
}

impl Consensus {
    /// Starts Raft on what the store holds. `views` receives who leads, whenever it changes.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        parts: Parts,
        views: watch::Sender<Arc<LeaderView>>,
    ) -> Result<Self, StartError> {
        let Parts { me, cluster, cluster_name, timings, snapshots, .. } = parts;
        let Parts { rt, store, links, metrics, disk, requests, .. } = parts;
        let options = Arc::new(options::options(&cluster_name, &timings, &snapshots)?);
        let writer = log_writer::LogWriter::start(Arc::clone(&store), Arc::clone(&metrics))?;
        let ballots = ballots::Ballots::new(me.0);
        let log = {
            let (rt_log, store, writer) = (rt.clone(), Arc::clone(&store), writer.clone());
            let ballots = ballots.clone();
            rt.blocking(move || log_store::LogStore::open(rt_log, store, writer, ballots)).await?
        };
        let machine =
            state_machine::StateMachine::new(rt.clone(), Arc::clone(&store), Arc::clone(&metrics));
        let denials = denials::Denials::default();
        let network = network::Network::new(links, ballots, log.view(), denials.clone());
        let log_view = log.view();
        let raft = Raft::new(me.0, options, network, log, machine)
            .await
            .map_err(|error| StartError::State(error.to_string()))?;
        let view = views.subscribe();
        rt.spawn_until_stop(
            "leader view",
            view::publish(me, raft.clone(), views, metrics, timings.election_timeout_max_ms),
        );
        let consensus = Self {
            me,
            cluster,
            raft,
            rt: rt.clone(),
            store,
            view,
            snapshot_slot: Arc::default(),
            members_slot: Arc::default(),
            handing_over: hand_over::UnderWay::default(),
            writer,
            log: log_view,
            disk,
            denials,
            requests,
        };
        rt.spawn_until_stop("membership changes", consensus.clone().keep_changes_finished());
        Ok(consensus)
    }

    pub fn me(&self) -> RaftId {
        self.me
    }

    pub fn cluster(&self) -> ClusterUuid {
        self.cluster
    }

    pub fn rt(&self) -> &RaftRt {
        &self.rt
    }

    /// Who leads, whenever it changes.
    pub fn views(&self) -> watch::Receiver<Arc<LeaderView>> {
        self.view.clone()
    }

    /// Who leads, as this node sees it now.
    pub fn view(&self) -> Arc<LeaderView> {
        Arc::clone(&self.view.borrow())
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::new(Arc::clone(&self.store))
    }

    /// Forms the cluster with `founders`. Every founder may call it with the same ones;
    /// a second call does nothing.
    ///
    /// # Errors
    /// Raft has stopped.
    pub async fn initialize(&self, founders: &[Member]) -> Result<(), ProposeError> {
        let members: BTreeMap<u64, MemberNode> =
            founders.iter().map(|member| (member.raft_id.0, members::node_of(member))).collect();
        match self.raft.initialize(members).await {
            // `NotAllowed` means that it was initialised before.
            Ok(()) | Err(RaftError::APIError(_)) => Ok(()),
            Err(RaftError::Fatal(fatal)) => Err(ProposeError::Stopped(fatal.to_string())),
        }
    }

    /// Asks the founders, until all can vote or `within` is over.
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn await_founders(&self, links: &Links, founders: &[Member], within: Duration) {
        let ready = async |founder: &Member| {
            let link = links.to_member(founder.raft_id, &founder.raft_addr, Lane::Vote);
            while link.call::<_, ()>(network::READY, &(), within).await.is_err() {
                tokio::time::sleep(READY_INTERVAL).await;
            }
        };
        let others = founders.iter().filter(|founder| founder.raft_id != self.me);
        let all = futures_util::future::join_all(others.map(ready));
        // Whoever is not ready by then gets its entries later.
        let _ = tokio::time::timeout(within, all).await;
    }

    /// True once this node's log holds anything.
    ///
    /// # Errors
    /// Raft has stopped.
    pub async fn is_initialized(&self) -> Result<bool, ProposeError> {
        self.raft.is_initialized().await.map_err(|fatal| ProposeError::Stopped(fatal.to_string()))
    }

    /// Commits a command on a majority and applies it, if this node leads.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        let mut outcomes = self.propose_all([command]).await;
        outcomes.pop().unwrap_or_else(|| Err(ProposeError::Stopped("no outcome".into())))
    }

    /// The same for several commands, which share the log's writes and the messages to followers.
    /// One outcome for each, in their order.
    pub async fn propose_all(
        &self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Vec<Result<Outcome, ProposeError>> {
        self.requests.note();
        let commands: Vec<Command> = commands.into_iter().collect();
        let count = commands.len();
        let mut outcomes = Vec::with_capacity(count);
        let fatal = match self.raft.client_write_many(commands).await {
            Err(fatal) => Some(fatal.to_string()),
            Ok(mut written) => loop {
                match written.next().await {
                    None => break None,
                    Some(Err(fatal)) => break Some(fatal.to_string()),
                    Some(Ok(Ok(entry))) => outcomes.push(Ok(entry.response)),
                    Some(Ok(Err(error))) => outcomes.push(Err(not_written(error))),
                }
            },
        };
        let cause = fatal.unwrap_or_else(|| "the Raft task ended".into());
        outcomes.resize(count, Err(ProposeError::Stopped(cause)));
        outcomes
    }

    /// The log index that a linearizable read must have applied (ReadIndex: a quorum
    /// confirms, after the call, that this node still leads). Never a lease read.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn read_index(&self) -> Result<u64, ProposeError> {
        self.requests.note();
        self.prove_quorum().await
    }

    /// The same, for a node that only wants to know whether a quorum follows its leader.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn prove_quorum(&self) -> Result<u64, ProposeError> {
        #[cfg(sim)]
        if sabotage::is(Bug::ReadWithoutIndex) && self.view().i_lead() {
            return Ok(self.view().committed);
        }
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read_log_id, _)) => Ok(read_log_id.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { leader: forward.leader_id.map(RaftId) })
            }
            Err(RaftError::APIError(_)) => Err(ProposeError::NotLeader { leader: None }),
            Err(RaftError::Fatal(fatal)) => Err(ProposeError::Stopped(fatal.to_string())),
        }
    }

    /// Waits until this node has applied `index`.
    ///
    /// # Errors
    /// Raft has stopped before: this node's ledger may be behind for good.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn applied(&self, index: u64) -> Result<(), ProposeError> {
        let mut metrics = self.raft.data_metrics();
        loop {
            let applied = metrics.borrow_watched().last_applied.map_or(0, |last| last.index());
            if applied >= index {
                return Ok(());
            }
            if metrics.changed().await.is_err() {
                return Err(ProposeError::Stopped("the Raft task ended".into()));
            }
        }
    }

    /// True where this node was asked nothing for a while.
    pub fn is_calm(&self) -> bool {
        !self.requests.is()
    }

    /// When the write of the log that is under way began, if one is.
    pub fn writing_since(&self) -> Option<clock::Instant> {
        self.writer.progress().writing_since
    }

    /// Makes sure that the disk is asked at least once in `interval`: where nothing was
    /// written for so long, a few bytes are. Never waits.
    pub fn try_disk(&self, interval: Duration) {
        let progress = self.writer.progress();
        let idle = progress.synced_at.is_none_or(|at| at.elapsed() >= interval);
        if idle && progress.writing_since.is_none() {
            self.writer.write_canary();
        }
    }

    /// When a quorum last acknowledged this leader: the moment at which the message left
    /// that it answered.
    pub fn quorum_acked_at(&self) -> Option<clock::Instant> {
        let acked = self.raft.metrics().borrow_watched().last_quorum_acked?;
        clock::now().checked_sub(acked.into_inner().elapsed())
    }

    /// What this node is in Raft, and milliseconds since a quorum acknowledged it, if it leads.
    pub fn role(&self) -> (Role, Option<f64>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let role = match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Unknown,
        };
        (role, view::quorum_ack_ms(&metrics))
    }

    /// Who denied this node a vote when it last asked, and why. Of interest while there is no
    /// leader; kept until the same voter grants one.
    pub fn denials(&self) -> Vec<Denial> {
        self.denials.list()
    }

    /// Waits until Raft stops by itself, and says why. It does so on a disk error: a
    /// node that doubts its state must not vote.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn failed(&self) -> String {
        // These change with the leader, the term and the members only, and end with Raft's task,
        // however that ends; the others, which say why, change with each record and heartbeat.
        let mut server = self.raft.server_metrics();
        while server.changed().await.is_ok() {}
        match &self.raft.metrics().borrow_watched().running_state {
            Err(fatal) => fatal.to_string(),
            Ok(()) => "the Raft task ended".into(),
        }
    }

    /// Stops Raft on this node, and writes what it had queued.
    pub async fn shutdown(&self) {
        // An error means that it had stopped before.
        let _ = self.raft.shutdown().await;
        self.writer.close().await;
    }
}
