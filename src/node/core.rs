//! The consensus side of a node: formation, Raft, the detector and what other nodes ask
//! of them, over a store and a port that are given. It serves no clients itself; they
//! reach it through the [`Submitter`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{NodeError, hand_over, leadership, members, self_watch, solo, version};
use crate::config::ServeConfig;
use crate::datadir::DataDir;
use crate::detector::introspect::{Condition, Health};
use crate::detector::{self, Contact, Verdict};
use crate::formation::{self, Formation, Membership};
use crate::limits;
use crate::net::gate::Gate;
use crate::net::secured::Guard;
use crate::net::serve::ServeLimits;
use crate::net::{self, TcpListener};
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::observe::recent::Recent;
use crate::peer::envelope::Sender;
use crate::peer::link::Links;
use crate::peer::routes::Routes;
use crate::raft::{self, Consensus, LateConsensus};
use crate::rt::{ClientRt, RaftRt};
use crate::service::LedgerOrJournal;
use crate::service::submit::Submitter;
use crate::solo::{Drain, Journal, Solo};
use crate::store::{Disk, Store, StoreError, Trouble};
use crate::trust::PeerTrust;
use crate::view::LeaderView;

/// How long the other founders wait for the first one before they form the cluster too.
const FOUNDER_TURN: Duration = Duration::from_millis(700);
/// How long the founders may take to be able to vote.
const READY_MAX: Duration = Duration::from_millis(500);
/// How long Raft may take to write its last entries and end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    pub rt: RaftRt,
    pub links: Links,
    pub late: LateConsensus,
    pub views: watch::Sender<Arc<LeaderView>>,
    pub metrics: Arc<Metrics>,
    pub events: Events,
    pub contact: Contact,
    pub verdict: Verdict,
    pub health: Health,
    pub solo: Solo,
    pub journal: Journal,
    /// Below the store; one that is always well where none was given.
    pub disk: Disk,
    store: Arc<dyn Store>,
    datadir: Arc<DataDir>,
    mounts: formation::Mounts,
    config: Arc<ServeConfig>,
    /// Those that consensus had to answer.
    requests: Recent,
    /// One for all, so that what they submit can go together.
    submitter: Arc<OnceLock<Submitter>>,
}

impl Core {
    /// May wait for the disk.
    ///
    /// # Errors
    /// The data folder or the journal cannot be read.
    pub fn open(
        config: &ServeConfig,
        rt: RaftRt,
        store: Arc<dyn Store>,
        datadir: Arc<DataDir>,
    ) -> Result<Self, NodeError> {
        let mounts = formation::Mounts::new(
            rt.clone(),
            Arc::clone(&datadir),
            config.advertise.clone(),
            config.raft_advertise.clone(),
        )?;
        let metrics = Arc::new(Metrics::new());
        let journal = Journal::open(Arc::clone(&store), Arc::clone(&metrics))
            .map_err(|cause| NodeError::Journal { folder: datadir.store(), cause })?;
        Ok(Self {
            links: Links::new(rt.clone(), Sender::new(config.id.clone()), Gate::default()),
            late: LateConsensus::default(),
            views: watch::Sender::default(),
            metrics,
            events: Events::new(config.id.clone()),
            contact: Contact::default(),
            verdict: Verdict::default(),
            health: Health::default(),
            solo: Solo::default(),
            journal,
            disk: Disk::default(),
            rt,
            store,
            datadir,
            mounts,
            config: Arc::new(config.clone()),
            requests: Recent::new(detector::BUSY_FOR),
            submitter: Arc::default(),
        })
    }

    /// Where everything of this node is kept.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The way to the ledger for what serves clients.
    pub fn submitter(&self) -> Submitter {
        let submitter = self.submitter.get_or_init(|| {
            Submitter::new(
                Arc::clone(&self.late),
                self.views.subscribe(),
                self.links.clone(),
                self.health.clone(),
                Arc::clone(&self.metrics),
            )
        });
        submitter.clone()
    }

    /// The same, that also serves without a quorum.
    pub fn ledger(&self, rt: &ClientRt) -> LedgerOrJournal {
        LedgerOrJournal {
            submitter: self.submitter(),
            solo: self.solo.clone(),
            journal: self.journal.clone(),
            store: Arc::clone(&self.store),
            rt: rt.clone(),
        }
    }

    /// Mounts what other nodes ask.
    pub fn mount(&self, routes: &mut Routes) {
        let gate = self.links.gate();
        raft::mount(routes, &self.late, &self.contact, &self.verdict, &self.events, gate);
        let (views, timings) = (self.views.subscribe(), &self.config.timings);
        detector::mount(routes, &self.links, &self.verdict, &views, timings, &self.requests);
        formation::mount(routes, &self.mounts, &self.late);
        self.submitter().mount(routes);
        hand_over::mount(routes, &self.late, &self.links, &self.events);
        members::mount(routes, &self.late, &self.links);
    }

    /// Serves `routes` to peers, watches the leader and reports changes of leadership,
    /// until the runtime stops.
    pub fn start(&self, listener: TcpListener, routes: Routes) {
        for peer in &self.config.peers {
            self.links.expect(&peer.raft_addr, &peer.name);
        }
        self.start_detector();
        self.start_solo();
        self.rt.spawn_until_stop(
            "leadership",
            leadership::report(
                self.views.subscribe(),
                self.events.clone(),
                Arc::clone(&self.metrics),
            ),
        );
        let peers = ServeLimits {
            connections_max: limits::PEER_CONNECTIONS_MAX,
            connections_per_client_max: limits::PEER_CONNECTIONS_PER_ADDRESS_MAX,
            buffer_bytes: limits::PEER_BUFFER_BYTES,
            header_read_max: limits::HEADER_READ_MAX,
            // A peer that is frozen takes nothing, and is to be found as it was.
            write_pace: None,
            linger: Duration::ZERO,
            drain_max: Duration::ZERO,
        };
        let service = routes.service_for(self.links.sender().clone(), self.links.gate().clone());
        let stop = self.rt.token().clone();
        let gate = self.links.gate().clone();
        let guard = Guard::Peers(self.links.trust().clone());
        if matches!(self.links.trust(), PeerTrust::Tls(_)) {
            let names = know_names(self.links.clone(), self.views.subscribe());
            self.rt.spawn_until_stop("names", names);
        }
        self.rt.spawn("Raft port", async move {
            net::serve::serve(listener, Some(&gate), guard, peers, stop, service).await;
        });
    }

    /// Serving alone, and giving to the ledger what was acknowledged then.
    fn start_solo(&self) {
        let submitter = self.submitter();
        let parts = solo::Parts {
            solo: self.solo.clone(),
            journal: self.journal.clone(),
            late: Arc::clone(&self.late),
            views: self.views.subscribe(),
            contact: self.contact.clone(),
            verdict: self.verdict.clone(),
            health: self.health.clone(),
            submitter: submitter.clone(),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        self.rt.spawn_until_stop("solo", solo::watch(parts, ServeConfig::clone(&self.config)));
        let drain = Drain {
            journal: self.journal.clone(),
            sink: Arc::new(submitter),
            solo: self.solo.clone(),
            rt: self.rt.clone(),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        self.rt.spawn_until_stop("drain", drain.run());
    }

    fn start_detector(&self) {
        let (campaigns, campaigning) = mpsc::channel(1);
        self.rt.spawn_until_stop(
            "campaigns",
            raft::run_campaigns(
                campaigning,
                Arc::clone(&self.late),
                self.config.timings,
                self.events.clone(),
                Arc::clone(&self.metrics),
            ),
        );
        // Under simulation nobody has either, and no task more draws from its chances.
        if !matches!(self.links.trust(), PeerTrust::Open) {
            let warm = detector::keep_warm(self.links.clone(), self.views.subscribe());
            self.rt.spawn_until_stop("warm connections", warm);
        }
        self.rt.spawn_until_stop(
            "detector",
            detector::run(detector::Parts {
                timings: self.config.timings,
                links: self.links.clone(),
                views: self.views.subscribe(),
                contact: self.contact.clone(),
                verdict: self.verdict.clone(),
                campaigns,
                events: self.events.clone(),
                metrics: Arc::clone(&self.metrics),
            }),
        );
    }

    /// Forms or joins a cluster, then runs until `stop` or until Raft fails.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), NodeError> {
        let formation = Formation {
            mounts: self.mounts.clone(),
            links: self.links.clone(),
            peers: self.config.peers.clone(),
            events: self.events.clone(),
        };
        let membership = self.rt.spawn("formation", async move { formation.run().await });
        let membership = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            formed = membership => {
                formed.map_err(|error| NodeError::Failed(error.to_string()))??
            }
        };
        let started = self.start_consensus(membership).await;
        let (consensus, stuck, removed) = started.map_err(|error| match error {
            // What is found here is as much damage as what the database itself finds.
            NodeError::Raft(raft::StartError::Store(cause)) if cause.is_damage() => {
                self.in_trouble(&Trouble { cause })
            }
            error => error,
        })?;
        // On the runtime whose news it waits for: this thread would be woken for each.
        let (tell_failed, failed) = oneshot::channel();
        let failing = consensus.clone();
        self.rt.spawn_until_stop("failure watch", async move {
            // Nobody hears it where the node is ending already.
            let _ = tell_failed.send(failing.failed().await);
        });
        let end = tokio::select! {
            () = stop.cancelled() => Ok(()),
            trouble = self.disk.failed() => Err(self.in_trouble(&trouble)),
            Ok(cause) = failed => Err(NodeError::Failed(cause)),
            Ok(stalled) = stuck => Err(self.disk_stuck(stalled)),
            Ok(()) = removed => Err(NodeError::Removed { folder: self.config.data_dir.clone() }),
        };
        // Raft may tell first that it failed, and does not tell why.
        match self.disk.trouble() {
            Some(trouble) if end.is_err() => Err(self.in_trouble(&trouble)),
            _ => end,
        }
    }

    /// Tells others, and says how the node ends.
    fn in_trouble(&self, trouble: &Trouble) -> NodeError {
        let (folder, cause) = (self.config.data_dir.clone(), &trouble.cause);
        let (condition, error) = match cause {
            StoreError::Full(_) => (Condition::FullDisk, NodeError::DiskFull { folder }),
            damage if damage.is_damage() => {
                let cause = damage.to_string();
                (Condition::DamagedDisk, NodeError::Damaged { folder, cause })
            }
            other => {
                let cause = other.to_string();
                (Condition::FailedDisk, NodeError::DiskFailed { folder, cause })
            }
        };
        // The last that clients and the others may hear of this node for a while.
        if self.health.set(condition).is_some() {
            let (node, condition) = (self.config.id.clone(), condition.to_string());
            self.events
                .emit(self.views.borrow().term, Change::ConditionChanged { node, condition });
            tracing::error!(cause = %error, "this node steps aside");
        }
        error
    }

    /// The second value hears when the disk is stuck for too long, the third when an operator
    /// removed this node from the cluster.
    async fn start_consensus(
        &self,
        membership: Membership,
    ) -> Result<(Consensus, oneshot::Receiver<Duration>, oneshot::Receiver<()>), NodeError> {
        // From here on strangers are refused.
        self.links.sender().join(membership.cluster, membership.raft_id);
        let consensus = Consensus::start(
            raft::Parts {
                me: membership.raft_id,
                cluster: membership.cluster,
                cluster_name: self.config.cluster_name.clone(),
                timings: self.config.timings,
                snapshots: self.config.snapshots,
                rt: self.rt.clone(),
                store: Arc::clone(&self.store),
                links: self.links.clone(),
                metrics: Arc::clone(&self.metrics),
                disk: self.disk.clone(),
                requests: self.requests.clone(),
            },
            self.views.clone(),
        )
        .await?;
        let stuck = self_watch::start(self_watch::Parts {
            consensus: consensus.clone(),
            disk: self.disk.clone(),
            links: self.links.clone(),
            timings: self.config.timings,
            health: self.health.clone(),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
        })
        .map_err(NodeError::Runtime)?;
        // Set once, here.
        let _ = self.late.set(consensus.clone());
        let founding = found(consensus.clone(), self.links.clone(), membership);
        self.rt.spawn_until_stop("founding", founding);
        let versions = version::Parts {
            consensus: consensus.clone(),
            links: self.links.clone(),
            disk: self.disk.clone(),
            datadir: Arc::clone(&self.datadir),
        };
        self.rt.spawn_until_stop("version", version::keep(versions));
        let (tell_removed, removed) = oneshot::channel();
        if !self.config.peers.is_empty() {
            let configured = self.config.peers.iter().map(|peer| peer.raft_addr.clone()).collect();
            let keeping = formation::keep_joined(
                self.links.clone(),
                self.mounts.clone(),
                consensus.clone(),
                configured,
                self.events.clone(),
                self.contact.clone(),
            );
            self.rt.spawn_until_stop("membership", async move {
                if keeping.await {
                    // Nobody hears it where the node is ending already.
                    let _ = tell_removed.send(());
                }
            });
        }
        Ok((consensus, stuck, removed))
    }

    /// A leader that stops hands over first, so that clients hardly notice.
    pub async fn hand_over(&self) {
        if let Some(consensus) = self.late.get() {
            hand_over::before_stop(consensus, &self.links, &self.events).await;
        }
    }

    /// Stops Raft, and writes what it had queued.
    ///
    /// # Errors
    /// The disk did not take it in time.
    pub async fn shutdown(&self) -> Result<(), NodeError> {
        let Some(consensus) = self.late.get() else { return Ok(()) };
        if tokio::time::timeout(SHUTDOWN_MAX, consensus.shutdown()).await.is_ok() {
            return Ok(());
        }
        let age = consensus.writing_since().map(|since| since.elapsed());
        Err(self.disk_stuck(age.unwrap_or(SHUTDOWN_MAX)))
    }

    fn disk_stuck(&self, stalled: Duration) -> NodeError {
        NodeError::DiskStuck {
            folder: self.config.data_dir.clone(),
            stalled,
            limit_ms: self.config.timings.fsync_exit_ms,
        }
    }
}

/// Which member is to be found where: each address leads to one node, and no other is believed there.
async fn know_names(links: Links, mut views: watch::Receiver<Arc<LeaderView>>) {
    loop {
        let members = views.borrow_and_update().members.clone();
        for member in &members {
            links.expect(&member.raft_addr, &member.name);
        }
        if views.changed().await.is_err() {
            return;
        }
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
