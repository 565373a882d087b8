//! Composition: the only room that sees all the others. Opens, builds, connects and
//! spawns everything a node is made of, and stops it in reverse. Begin with [`serve`].

mod faults;
mod hand_over;
mod leadership;
mod runtimes;
mod self_watch;
mod status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::ServeConfig;
use crate::datadir::{DataDir, DataDirError};
use crate::detector::introspect::Health;
use crate::detector::{self, Contact, Verdict};
use crate::formation::{self, Formation, FormationError, Membership};
use crate::http::PauseGate;
use crate::limits;
use crate::net::gate::Gate;
use crate::net::serve::ServeLimits;
use crate::net::{self, ListenError, Reserved, TcpListener};
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::peer::envelope::Sender;
use crate::peer::link::Links;
use crate::peer::routes::Routes;
use crate::pool::Pool;
use crate::raft::{self, Consensus, LateConsensus};
use crate::service::operate::Operator;
use crate::service::submit::Submitter;
use crate::service::{RequestStats, Service, ServiceParts, submit};
use crate::stego;
use crate::store::{RocksStore, Stall, StallingStore, Store, StoreError};
use crate::view::LeaderView;
use runtimes::Runtimes;
use status::StatusParts;

/// Commands of an operator that wait; beyond it he is told to try again.
const OPERATIONS_MAX: usize = 16;
/// How long the other founders wait for the first one before they form the cluster too.
const FOUNDER_TURN: Duration = Duration::from_millis(700);
/// How long the founders may take to be able to vote.
const READY_MAX: Duration = Duration::from_millis(500);
/// How long Raft may take to write its last entries and end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// How long the client port waits for a leader before it opens without one.
const LED_MAX: Duration = Duration::from_millis(300);
/// How long tasks for clients may take to end when the node stops. Longer than the port may.
const CLIENTS_MAX: Duration = Duration::from_secs(7);

/// The node could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("{}: {cause}", folder.display())]
    Store { folder: std::path::PathBuf, cause: StoreError },
    #[error("cover {}: {cause}", file.display())]
    Cover { file: std::path::PathBuf, cause: String },
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(String),
    #[error(transparent)]
    Formation(#[from] FormationError),
    #[error(transparent)]
    Raft(#[from] raft::StartError),
    /// A write to the store hung for so long that the node is of use to nobody.
    #[error(
        "a write to {} has not ended for {} ms (timings.fsync_exit_ms = {limit_ms}): the disk is \
         stuck; see the kernel's log, mend the disk or move the folder, and start the node again",
        folder.display(), stalled.as_millis()
    )]
    DiskStuck { folder: std::path::PathBuf, stalled: Duration, limit_ms: u64 },
    /// It ran, and had to stop: it must not vote on what it cannot trust.
    #[error("this node had to stop: {0}")]
    Failed(String),
}

impl NodeError {
    /// True where the user can mend it by starting the node differently.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::DataDir(_) | Self::Listen(_) | Self::Store { .. } | Self::Cover { .. } => true,
            Self::Runtime(_)
            | Self::Signals(_)
            | Self::Formation(_)
            | Self::Raft(_)
            | Self::DiskStuck { .. }
            | Self::Failed(_) => false,
        }
    }
}

/// Runs a node until it is told to stop (SIGINT, SIGTERM) or fails.
///
/// # Errors
/// See [`NodeError`].
pub fn serve(config: ServeConfig) -> Result<(), NodeError> {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    ctrlc::set_handler(move || signalled.cancel())
        .map_err(|error| NodeError::Signals(error.to_string()))?;
    run_until(config, &stop)
}

/// Like [`serve`], stopped by a token instead of a signal.
///
/// # Errors
/// See [`NodeError`].
pub fn run_until(config: ServeConfig, stop: &CancellationToken) -> Result<(), NodeError> {
    let datadir = Arc::new(DataDir::open(&config.data_dir, &config.id)?);
    let cover = read_cover(&config)?;
    let runtimes = Runtimes::start().map_err(NodeError::Runtime)?;
    let result = runtimes.block_on(async {
        let node = Node::open(&config, &runtimes, datadir, cover).await?;
        node.run(&config, stop).await
    });
    if matches!(result, Err(NodeError::DiskStuck { .. })) {
        // Whatever waited for the disk would wait for ever.
        runtimes.abandon();
    } else {
        runtimes.stop();
    }
    result
}

fn read_cover(config: &ServeConfig) -> Result<Bytes, NodeError> {
    let Some(file) = &config.cover else { return Ok(Bytes::from_static(stego::default_cover())) };
    let wrong = |cause: String| NodeError::Cover { file: file.clone(), cause };
    let cover = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    stego::capacity(&cover, 1, false).map_err(|error| wrong(error.to_string()))?;
    Ok(cover.into())
}

/// Everything that lives from start to stop.
struct Node {
    runtimes: Runtimes,
    raft_listener: TcpListener,
    client_port: Reserved,
    store: Arc<dyn Store>,
    stall: Stall,
    datadir: Arc<DataDir>,
    links: Links,
    late: LateConsensus,
    views: watch::Sender<Arc<LeaderView>>,
    metrics: Arc<Metrics>,
    events: Events,
    pool: Pool,
    cover: Bytes,
}

impl Node {
    async fn open(
        config: &ServeConfig,
        runtimes: &Runtimes,
        datadir: Arc<DataDir>,
        cover: Bytes,
    ) -> Result<Self, NodeError> {
        // Ports first: the likeliest mistake, and nothing has been written yet.
        let raft_listener = net::listen(config.raft_listen, "Raft port").await?;
        let client_port = net::reserve(config.listen, "client port").await?;
        let folder = datadir.store();
        let store = runtimes
            .raft
            .blocking(move || {
                RocksStore::open(&folder).map_err(|cause| NodeError::Store { folder, cause })
            })
            .await?;
        let stall = Stall::default();
        let metrics = Arc::new(Metrics::new());
        let sender = Sender::new(config.id.clone());
        let links = Links::new(runtimes.raft.clone(), sender, Gate::default());
        let pool = Pool::new(config.codec_threads, limits::POOL_QUEUE_MAX, Arc::clone(&metrics));
        Ok(Self {
            runtimes: runtimes.clone(),
            raft_listener,
            client_port,
            store: Arc::new(StallingStore::new(store, stall.clone())),
            stall,
            datadir,
            links,
            late: LateConsensus::default(),
            views: watch::Sender::default(),
            events: Events::new(config.id.clone()),
            metrics,
            pool,
            cover,
        })
    }

    async fn run(self, config: &ServeConfig, stop: &CancellationToken) -> Result<(), NodeError> {
        let rt = self.runtimes.raft.clone();
        let contact = Contact::default();
        let verdict = Verdict::default();
        let stats = RequestStats::default();
        let pause = PauseGate::default();
        let health = Health::default();
        let mounts = formation::Mounts::new(
            rt.clone(),
            Arc::clone(&self.datadir),
            config.advertise.clone(),
            config.raft_advertise.clone(),
        )?;

        let (status_parts, statuses) = StatusParts::new(
            config,
            self.views.subscribe(),
            Arc::clone(&self.late),
            (contact.clone(), verdict.clone(), health.clone(), stats.clone()),
            (self.links.clone(), Arc::clone(&self.metrics), pause.clone()),
        );
        let mut routes = Routes::default();
        raft::mount(&mut routes, &self.late, &contact, &verdict);
        detector::mount(&mut routes, &rt, &verdict, &self.views.subscribe());
        formation::mount(&mut routes, &mounts, &self.late);
        submit::mount(&mut routes, &self.late, &health);
        hand_over::mount(&mut routes, &self.late, &self.links, &self.events);
        status_parts.mount(&mut routes);

        self.start_detector(config, contact, verdict);
        rt.spawn_until_stop(
            "leadership",
            leadership::report(
                self.views.subscribe(),
                self.events.clone(),
                Arc::clone(&self.metrics),
            ),
        );
        rt.spawn_until_stop("status", status_parts.publish(self.events.clone()));

        let (operator, operations) = Operator::channel(OPERATIONS_MAX);
        let links = self.links.clone();
        let late = Arc::clone(&self.late);
        rt.spawn_until_stop(
            "operations",
            faults::operate(
                operations,
                faults::Switches {
                    gate: links.gate().clone(),
                    pause: pause.clone(),
                    stall: self.stall.clone(),
                },
                Arc::clone(&late),
                links.clone(),
                self.events.clone(),
            ),
        );
        let formation = Formation {
            mounts: mounts.clone(),
            links: links.clone(),
            peers: config.peers.clone(),
            events: self.events.clone(),
        };
        let membership = rt.spawn("formation", async move { formation.run().await });
        let starter = Starter {
            store: Arc::clone(&self.store),
            late: Arc::clone(&late),
            views: self.views.clone(),
            links: links.clone(),
            metrics: Arc::clone(&self.metrics),
            events: self.events.clone(),
            health: health.clone(),
            mounts,
            config: config.clone(),
        };
        let (clients, events) = (self.runtimes.client.clone(), self.events.clone());
        let (port, not_listening) =
            self.serve_ports(routes, operator, statuses, (stats, health), pause, config);
        let result = tokio::select! {
            result = watch_over(membership, starter, stop) => result,
            Ok(error) = not_listening => Err(NodeError::Listen(error)),
        };
        if !matches!(result, Err(NodeError::DiskStuck { .. })) {
            let consensus = late.get();
            if let Some(consensus) = consensus {
                hand_over::before_stop(consensus, &links, &events).await;
            }
            tracing::info!("stopping");
            port.cancel();
            // Raft goes last: until the client port is empty, what arrives there is passed on
            // to the new leader.
            if tokio::time::timeout(CLIENTS_MAX, clients.stop()).await.is_err() {
                tracing::warn!("some requests did not end in time");
            }
            if let Some(consensus) = consensus
                && tokio::time::timeout(SHUTDOWN_MAX, consensus.shutdown()).await.is_err()
            {
                return Err(disk_stuck(consensus, config));
            }
        }
        result
    }

    fn start_detector(&self, config: &ServeConfig, contact: Contact, verdict: Verdict) {
        let rt = &self.runtimes.raft;
        let (campaigns, campaigning) = mpsc::channel(1);
        rt.spawn_until_stop(
            "campaigns",
            raft::run_campaigns(
                campaigning,
                Arc::clone(&self.late),
                Duration::from_millis(config.timings.campaign_spacing_ms),
                self.events.clone(),
                Arc::clone(&self.metrics),
            ),
        );
        rt.spawn_until_stop(
            "detector",
            detector::run(detector::Parts {
                timings: config.timings,
                links: self.links.clone(),
                views: self.views.subscribe(),
                contact,
                verdict,
                campaigns,
                events: self.events.clone(),
                metrics: Arc::clone(&self.metrics),
            }),
        );
    }

    /// Opens both ports to the world; the token ends the client port, and the receiver hears
    /// why that could not be opened.
    fn serve_ports(
        self,
        routes: Routes,
        operator: Operator,
        status: watch::Receiver<Arc<crate::api::cluster::ClusterStatus>>,
        (stats, health): (RequestStats, Health),
        pause: PauseGate,
        config: &ServeConfig,
    ) -> (CancellationToken, oneshot::Receiver<ListenError>) {
        let mut views = self.views.subscribe();
        let submitter = Submitter::new(
            Arc::clone(&self.late),
            self.views.subscribe(),
            self.links.clone(),
            health,
        );
        let peers = ServeLimits {
            connections_max: limits::PEER_CONNECTIONS_MAX,
            header_read_max: limits::HEADER_READ_MAX,
            linger: Duration::ZERO,
            drain_max: Duration::ZERO,
        };
        let rt = &self.runtimes.raft;
        let sender = self.links.sender().clone();
        let peer_service = routes.service_for(sender, self.links.gate().clone());
        let stop_peers = rt.token().clone();
        rt.spawn(
            "Raft port",
            net::serve::serve(self.raft_listener, peers, stop_peers, peer_service),
        );

        let client_rt = self.runtimes.client.clone();
        let service = Service::new(ServiceParts {
            rt: client_rt.clone(),
            node: config.id.clone(),
            ledger: Arc::new(submitter),
            pool: self.pool,
            default_cover: self.cover,
            metrics: self.metrics,
            stats,
            status,
            operator,
            events: self.events,
        });
        let clients = ServeLimits {
            connections_max: limits::CLIENT_CONNECTIONS_MAX,
            header_read_max: limits::HEADER_READ_MAX,
            linger: limits::LINGER,
            drain_max: limits::DRAIN_MAX,
        };
        let stop = client_rt.token().child_token();
        tracing::info!(
            node = %config.id, listen = %config.listen, raft_listen = %config.raft_listen,
            "node started"
        );
        let (failed, not_listening) = oneshot::channel();
        let (port, stopped) = (self.client_port, stop.clone());
        client_rt.spawn("client port", async move {
            // A returning node's clients would wait for its first word of the leader, and the
            // other nodes serve them at once.
            let led = views.wait_for(|view| view.leader.is_some());
            let _ = tokio::time::timeout(LED_MAX, led).await;
            match port.listen() {
                Ok(listener) => {
                    let service_for = crate::http::service_for(service, pause);
                    net::serve::serve(listener, clients, stopped, service_for).await;
                }
                // Nobody hears it where the node is ending already.
                Err(error) => drop(failed.send(error)),
            }
        });
        (stop, not_listening)
    }
}

/// For a node that waited for its disk in vain.
fn disk_stuck(consensus: &Consensus, config: &ServeConfig) -> NodeError {
    NodeError::DiskStuck {
        folder: config.data_dir.clone(),
        stalled: consensus.writing_since().map_or(SHUTDOWN_MAX, |since| since.elapsed()),
        limit_ms: config.timings.fsync_exit_ms,
    }
}

/// What turns a membership into a running member.
struct Starter {
    store: Arc<dyn Store>,
    late: LateConsensus,
    views: watch::Sender<Arc<LeaderView>>,
    links: Links,
    metrics: Arc<Metrics>,
    events: Events,
    health: Health,
    mounts: formation::Mounts,
    config: ServeConfig,
}

/// Forms or joins, then runs until `stop` or until Raft fails.
async fn watch_over(
    membership: tokio::task::JoinHandle<Result<Membership, FormationError>>,
    starter: Starter,
    stop: &CancellationToken,
) -> Result<(), NodeError> {
    let membership = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        formed = membership => formed.map_err(|error| NodeError::Failed(error.to_string()))??,
    };
    let config = starter.config.clone();
    let (consensus, stuck) = starter.start(membership).await?;
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        cause = consensus.failed() => Err(NodeError::Failed(cause)),
        Ok(stalled) = stuck => {
            let limit_ms = config.timings.fsync_exit_ms;
            Err(NodeError::DiskStuck { folder: config.data_dir, stalled, limit_ms })
        }
    }
}

impl Starter {
    /// The second value hears when the disk is stuck for too long.
    async fn start(
        self,
        membership: Membership,
    ) -> Result<(Consensus, oneshot::Receiver<Duration>), NodeError> {
        let rt = self.links.rt().clone();
        // From here on strangers are refused.
        self.links.sender().join(membership.cluster, membership.raft_id);
        let consensus = Consensus::start(
            raft::Parts {
                me: membership.raft_id,
                cluster: membership.cluster,
                cluster_name: self.config.cluster_name.clone(),
                timings: self.config.timings,
                snapshots: self.config.snapshots,
                rt: rt.clone(),
                store: self.store,
                links: self.links.clone(),
                metrics: Arc::clone(&self.metrics),
            },
            self.views,
        )
        .await?;
        let stuck = self_watch::start(self_watch::Parts {
            consensus: consensus.clone(),
            links: self.links.clone(),
            timings: self.config.timings,
            health: self.health,
            events: self.events.clone(),
            metrics: self.metrics,
        })
        .map_err(NodeError::Runtime)?;
        // Set once, here.
        let _ = self.late.set(consensus.clone());
        rt.spawn_until_stop("founding", found(consensus.clone(), self.links.clone(), membership));
        if !self.config.peers.is_empty() {
            let configured = self.config.peers.iter().map(|peer| peer.raft_addr.clone()).collect();
            let keeping = formation::keep_joined(
                self.links,
                self.mounts,
                consensus.clone(),
                configured,
                self.events,
            );
            rt.spawn_until_stop("membership", keeping);
        }
        Ok((consensus, stuck))
    }
}

/// The first founder initialises Raft at once; the others only if it does not, one
/// after the other. All would write the same entry, so any of them may.
async fn found(consensus: Consensus, links: Links, membership: Membership) {
    let founders: Vec<_> = membership.founders.iter().map(formation::Founder::member).collect();
    let Some(turn) = founders.iter().position(|founder| founder.raft_id == consensus.me()) else {
        return;
    };
    let mut views = consensus.views();
    if turn > 0 {
        let led = views.wait_for(|view| view.leader.is_some());
        let wait = FOUNDER_TURN * u32::try_from(turn).unwrap_or(u32::MAX);
        if tokio::time::timeout(wait, led).await.is_ok() {
            return;
        }
    }
    if matches!(consensus.is_initialized().await, Ok(true)) {
        return;
    }
    // An election among nodes that cannot vote yet would only cost an election timeout.
    consensus.await_founders(&links, &founders, READY_MAX).await;
    if let Err(error) = consensus.initialize(&founders).await {
        tracing::error!(cause = %error, "the cluster could not be initialised");
    }
}
