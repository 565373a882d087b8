//! Composition: the only room that sees all the others. Opens, builds, connects and
//! spawns everything a node is made of, and stops it in reverse. Begin with [`serve`].

mod again;
mod core;
mod error;
mod faults;
mod hand_over;
mod heal;
mod leadership;
mod members;
mod order;
mod passed_on;
pub mod recover;
mod runtimes;
mod security;
mod self_watch;
pub mod signals;
mod solo;
mod status;
mod version;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::core::Core;
pub use self::error::NodeError;

use crate::access::Access;
use crate::clock;
use crate::config::ServeConfig;
use crate::datadir::{DataDir, DataDirError, FORMAT_CHECKED};
use crate::http::PauseGate;
use crate::limits;
use crate::net::secured::Guard;
use crate::net::serve::{Caller, ServeLimits};
use crate::net::{self, ListenError, Reserved, TcpListener};
use crate::observe::recent::Recent;
use crate::observe::warnings::Warnings;
use crate::peer::routes::Routes;
use crate::pool::Pool;
use crate::rt::{self, ClientRt};
use crate::service::operate::Operator;
use crate::service::{About, RequestStats, Service, ServiceParts};
use crate::stego;
use crate::store::{Disk, Store, StoreError, WatchedStore};
use runtimes::Runtimes;
use security::Trusted;
use status::StatusParts;

/// Commands of an operator that wait; beyond it he is told to try again.
const OPERATIONS_MAX: usize = 16;
/// How long threads may take to let the database go, and how often to look.
const CLOSE_MAX: Duration = Duration::from_secs(2);
const CLOSE_POLL: Duration = Duration::from_millis(1);
/// How long the client port waits for a leader before it opens without one.
const LED_MAX: Duration = Duration::from_millis(300);
/// Between two looks at the file of tokens.
const TOKENS_EVERY: Duration = Duration::from_millis(500);
/// How long tasks for clients may take to end when the node stops. Longer than the port may.
const CLIENTS_MAX: Duration = Duration::from_secs(7);

/// How a node ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is to stay so.
    Stopped,
    /// As a drill asked; whoever supervises it is to start it again.
    ForRestart,
}

/// Runs a node until it is told to stop (SIGINT, SIGTERM) or fails. Where the disk is full it
/// ends, and starts again when there is room.
///
/// # Errors
/// See [`NodeError`].
pub fn serve(config: ServeConfig) -> Result<Ended, NodeError> {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    signals::on_stop(move || signalled.cancel(), signals::say_hung_up)
        .map_err(|error| NodeError::Signals(error.to_string()))?;
    let (disk, restart) = (Disk::default(), Restart::default());
    if let Some(cause) = marked(&config)?
        && heal::heal(&config, &cause, &stop)? == heal::Healed::Stopped
    {
        return Ok(Ended::Stopped);
    }
    let (folder, alone) = (config.data_dir.clone(), config.peers.is_empty());
    match run_until(config, &stop, &disk, &restart) {
        Ok(()) if restart.is_asked() => Ok(Ended::ForRestart),
        Ok(()) => Ok(Ended::Stopped),
        Err(NodeError::DiskFull { folder }) => {
            if again::await_room(&folder, &disk, &stop) {
                tracing::error!(cause = %again::start_again(), "this node cannot start again");
                return Err(NodeError::DiskFull { folder });
            }
            Ok(Ended::Stopped)
        }
        Err(error) => {
            let Some(cause) = error.damage() else { return Err(error) };
            DataDir::mark_damaged(&folder, &cause)?;
            if alone {
                return Err(NodeError::Damaged { folder, cause });
            }
            // In another life, as in `again`: threads of this one may still hold the folder.
            tracing::error!(%cause, "this node is damaged: starting again to heal");
            tracing::error!(cause = %again::start_again(), "this node cannot start again");
            Err(NodeError::Damaged { folder, cause })
        }
    }
}

/// What is damaged in the data folder, by its mark or because it shows at once. Whatever else is
/// wrong shows again when the node starts, but a folder in use: that was waited for already.
fn marked(config: &ServeConfig) -> Result<Option<String>, DataDirError> {
    if !config.data_dir.join(crate::datadir::IDENTITY_FILE).exists() {
        return Ok(None);
    }
    match DataDir::open(&config.data_dir, &config.id) {
        Err(error @ DataDirError::Damaged { .. }) => Ok(Some(error.to_string())),
        Err(error @ DataDirError::Locked { .. }) => Err(error),
        _ => Ok(None),
    }
}

/// Told by an operator's command, asked at the end.
#[derive(Debug, Clone, Default)]
struct Restart(Arc<AtomicBool>);

impl Restart {
    fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

fn run_until(
    config: ServeConfig,
    stop: &CancellationToken,
    disk: &Disk,
    restart: &Restart,
) -> Result<(), NodeError> {
    let trusted = Trusted::read(&config)?;
    let datadir = Arc::new(DataDir::open(&config.data_dir, &config.id)?);
    // Locked until the database in it is closed: whoever waits for it finds both free.
    let locked = Arc::clone(&datadir);
    let cover = read_cover(&config)?;
    let runtimes = Runtimes::start().map_err(NodeError::Runtime)?;
    let mut store = None;
    let result = runtimes.block_on(async {
        let node = Node::open(&config, &runtimes, datadir, (cover, trusted), disk).await?;
        store = Some(node.core.store());
        node.run(&config, stop, restart).await
    });
    let on_disk = result.as_ref().is_err_and(NodeError::is_disk);
    if let (true, Some(store)) = (on_disk, &store) {
        // Its threads go on while the process exits, and none of them may close it: see `close`.
        Box::leak(Box::new(Arc::clone(store)));
    }
    if matches!(result, Err(NodeError::DiskStuck { .. })) {
        // Whatever waited for the disk would wait for ever.
        runtimes.abandon();
        runtimes::kill_later();
    } else if on_disk {
        // The others should notice at once, and what this database still writes is of no use.
        runtimes.abandon();
    } else {
        runtimes.stop();
        drop(runtimes);
        if let Some(store) = store {
            close(&store);
        }
    }
    drop(locked);
    result
}

/// Waits until nobody else uses the database, so that it is closed here: a thread that closes
/// it while the process exits meets what the library has cleaned up already, and aborts.
fn close(store: &Arc<dyn Store>) {
    let until = clock::now() + CLOSE_MAX;
    while Arc::strong_count(store) > 1 {
        if clock::now() >= until {
            tracing::warn!("the database is still in use, and is not closed before the end");
            return;
        }
        rt::pause_thread(CLOSE_POLL);
    }
}

fn read_cover(config: &ServeConfig) -> Result<Bytes, NodeError> {
    let Some(file) = &config.cover else { return Ok(Bytes::from_static(stego::default_cover())) };
    let wrong = |cause: String| NodeError::Cover { file: file.clone(), cause };
    let cover = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    stego::capacity(&cover, None, None, false).map_err(|error| wrong(error.to_string()))?;
    Ok(cover.into())
}

/// Everything that lives from start to stop.
struct Node {
    core: Core,
    runtimes: Runtimes,
    raft_listener: TcpListener,
    client_port: Reserved,
    pool: Pool,
    cover: Bytes,
    access: Access,
    warnings: Warnings,
    trusted: Trusted,
}

impl Node {
    async fn open(
        config: &ServeConfig,
        runtimes: &Runtimes,
        datadir: Arc<DataDir>,
        (cover, trusted): (Bytes, Trusted),
        disk: &Disk,
    ) -> Result<Self, NodeError> {
        // Ports first: the likeliest mistake, and nothing has been written yet.
        let raft_listener = net::listen(config.raft_listen, "Raft port").await?;
        let client_port = net::reserve(config.listen, "client port").await?;
        let (opened, watched) = (Arc::clone(&datadir), disk.clone());
        let store = runtimes.raft.blocking(move || open_store(&opened, watched)).await?;
        let (known, rt) = (config.clone(), runtimes.raft.clone());
        let opening = move || Core::open(&known, rt, store, datadir);
        let mut core = runtimes.raft.blocking(opening).await?;
        core.disk = disk.clone();
        let warnings = warnings_of(config);
        let (known, warned) = (config.clone(), warnings.clone());
        let opening = move || Access::open(known.tokens.as_deref(), &known.data_dir, warned);
        let access = runtimes.client.blocking(opening).await?;
        core.links = core.links.clone().trusting(trusted.peers.clone());
        let metrics = Arc::clone(&core.metrics);
        let pool = Pool::new(config.codec_threads, limits::POOL_QUEUE_MAX, metrics);
        let runtimes = runtimes.clone();
        Ok(Self {
            core,
            runtimes,
            raft_listener,
            client_port,
            pool,
            cover,
            access,
            warnings,
            trusted,
        })
    }

    async fn run(
        self,
        config: &ServeConfig,
        stop: &CancellationToken,
        restart: &Restart,
    ) -> Result<(), NodeError> {
        let core = self.core.clone();
        let stats = RequestStats::default();
        let (pause, readers) = (PauseGate::default(), Recent::new(status::READ_WITHIN));
        let (status_parts, statuses) = StatusParts::new(
            config,
            core.views.subscribe(),
            Arc::clone(&core.late),
            (core.contact.clone(), core.verdict.clone(), core.health.clone(), stats.clone()),
            (core.links.clone(), Arc::clone(&core.metrics), pause.clone()),
            (core.solo.clone(), core.journal.clone(), self.warnings.clone()),
            (self.trusted.clone(), readers.clone()),
        );
        let fresh = self.trusted.clone().keep_fresh(core.rt.clone());
        core.rt.spawn_until_stop("certificates", fresh);
        let mut routes = Routes::default();
        let (operator, operations) = Operator::channel(OPERATIONS_MAX);
        core.mount(&mut routes);
        passed_on::mount(&mut routes, &config.id, &operator);
        status_parts.mount(&mut routes);
        core.rt.spawn_until_stop("status", status_parts.publish(core.events.clone()));

        core.rt.spawn_until_stop(
            "operations",
            faults::operate(
                operations,
                faults::Faults {
                    gate: core.links.gate().clone(),
                    pause: pause.clone(),
                    disk: core.disk.clone(),
                    restart: restart.clone(),
                    events: core.events.clone(),
                    neighbours: faults::Neighbours {
                        views: core.views.subscribe(),
                        configured: config.peers.clone(),
                    },
                },
                Arc::clone(&core.late),
                core.links.clone(),
            ),
        );
        watch_room(core.disk.clone(), &config.data_dir, core.rt.token().clone())
            .map_err(NodeError::Runtime)?;
        let clients = self.runtimes.client.clone();
        let (port, not_listening) =
            self.serve_ports(routes, operator, (statuses, readers), stats, pause, config);
        let result = tokio::select! {
            result = core.run(stop) => result,
            Ok(error) = not_listening => Err(NodeError::Listen(error)),
        };
        if !result.as_ref().is_err_and(NodeError::is_disk) {
            core.hand_over().await;
            tracing::info!("stopping");
            port.cancel();
            // Raft goes last: until the client port is empty, what arrives there is passed on
            // to the new leader.
            if tokio::time::timeout(CLIENTS_MAX, clients.stop()).await.is_err() {
                tracing::warn!("some requests did not end in time");
            }
            return core.shutdown().await.and(result);
        }
        result
    }

    /// Opens both ports to the world; the token ends the client port, and the receiver hears
    /// why that could not be opened.
    fn serve_ports(
        self,
        routes: Routes,
        operator: Operator,
        (status, readers): (watch::Receiver<Arc<crate::api::cluster::ClusterStatus>>, Recent),
        stats: RequestStats,
        pause: PauseGate,
        config: &ServeConfig,
    ) -> (CancellationToken, oneshot::Receiver<ListenError>) {
        let mut views = self.core.views.subscribe();
        self.core.start(self.raft_listener, routes);
        let client_rt = self.runtimes.client.clone();
        let service = Service::new(ServiceParts {
            rt: client_rt.clone(),
            node: config.id.clone(),
            ledger: Arc::new(self.core.ledger(&client_rt)),
            pool: self.pool,
            default_cover: self.cover,
            covers: stego::Covers::new(config.cover_cache_mib * 1024 * 1024),
            memory_bytes: config.request_bytes(),
            metrics: self.core.metrics,
            stats,
            status,
            readers,
            operator,
            events: self.core.events,
            traffic: self.core.links.traffic().clone(),
            about: About {
                settings: config.shared_settings(),
                data_dir: std::path::absolute(&config.data_dir)
                    .unwrap_or_else(|_| config.data_dir.clone()),
            },
            ca: config.security.tls.as_ref().map(|files| files.ca.clone()),
        });
        let clients = ServeLimits {
            connections_max: config.connections_max,
            connections_per_client_max: config.connections_per_client_max,
            buffer_bytes: limits::CLIENT_BUFFER_BYTES,
            header_read_max: limits::HEADER_READ_MAX,
            write_pace: Some(limits::ANSWER_PACE),
            linger: limits::LINGER,
            drain_max: limits::DRAIN_MAX,
        };
        let stop = client_rt.token().child_token();
        let access = self.access;
        if access.asks_for_tokens() {
            client_rt.spawn_until_stop("tokens", keep_tokens(access.clone(), client_rt.clone()));
        }
        tracing::info!(
            node = %config.id, listen = %config.listen, raft_listen = %config.raft_listen,
            "node started"
        );
        let page = format!("{}://{}/", service.scheme(), config.advertise);
        if access.asks_for_tokens() {
            tracing::info!("the dashboard is at {page}, for whoever has a token");
        } else {
            let file = access.own_path().display();
            tracing::info!(
                "the dashboard is at {page}; for orders it asks for the token in {file}"
            );
        }
        let (failed, not_listening) = oneshot::channel();
        let (port, stopped, remote_admin) = (self.client_port, stop.clone(), config.remote_admin);
        let guard = Guard::Clients(self.trusted.tls);
        client_rt.spawn("client port", async move {
            // A returning node's clients would wait for its first word of the leader, and the
            // other nodes serve them at once.
            let led = views.wait_for(|view| view.leader.is_some());
            let _ = tokio::time::timeout(LED_MAX, led).await;
            match port.listen() {
                Ok(listener) => {
                    let service_for =
                        crate::http::service_for(service, pause, access, remote_admin);
                    let service_for = move |caller: Caller| service_for(caller.addr);
                    net::serve::serve(listener, None, guard, clients, stopped, service_for).await;
                }
                // Nobody hears it where the node is ending already.
                Err(error) => drop(failed.send(error)),
            }
        });
        (stop, not_listening)
    }
}

/// Reads the operator's tokens again whenever their file changed.
///
/// # Cancel safety
/// Safe: it only waits and reads.
async fn keep_tokens(access: Access, rt: ClientRt) {
    loop {
        tokio::time::sleep(TOKENS_EVERY).await;
        let looking = access.clone();
        rt.blocking(move || looking.look()).await;
    }
}

/// What an operator should know of how this node is configured.
fn warnings_of(config: &ServeConfig) -> Warnings {
    let warnings = Warnings::default();
    if config.remote_admin && config.tokens.is_none() {
        let sentence = "orders to fail or to hand over are taken from any machine that reaches \
                        the client port (--remote-admin)";
        warnings.set("remote_admin", sentence.to_owned());
    }
    warnings
}

/// Looks for room on a thread of its own, since the question may hang with the disk.
fn watch_room(
    disk: Disk,
    folder: &std::path::Path,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let folder = folder.to_owned();
    let look = move || {
        while !stop.is_cancelled() {
            let lasts = disk.look(&folder);
            disk.pause(lasts);
        }
    };
    std::thread::Builder::new().name("disk-room".into()).spawn(look).map(drop)
}

/// Opens the database, and saves into it what can be saved of a damaged one that it replaces.
fn open_store(datadir: &DataDir, disk: Disk) -> Result<Arc<dyn Store>, NodeError> {
    let (identity, remains) = (datadir.identity(), datadir.remains());
    for folder in datadir.set_aside() {
        tracing::warn!(
            folder = %folder.display(),
            "what was damaged before is still there; remove it when nobody needs it any more"
        );
    }
    let checked = identity.format >= FORMAT_CHECKED;
    if checked {
        disk.seal_values();
    }
    // A node that came back in a damaged one's place begins with nothing.
    let was_there = identity.cluster_uuid.is_some() && remains.is_none();
    let store = open_database(&datadir.store(), disk, was_there, was_there && checked)
        .map_err(|cause| NodeError::Store { folder: datadir.store(), cause })?;
    if let Some(remains) = remains {
        heal::save_journal(&remains, &*store);
        datadir.healed()?;
    }
    Ok(store)
}

#[cfg(not(sim))]
fn open_database(
    folder: &std::path::Path,
    disk: Disk,
    store: bool,
    guard: bool,
) -> Result<Arc<dyn Store>, StoreError> {
    let expected = crate::store::Expected { store, guard };
    let store = crate::store::RocksStore::open_expected(folder, expected)?;
    Ok(Arc::new(WatchedStore::new(store, disk)))
}

/// A simulation gives [`Core`] the stores of its own disks.
#[cfg(sim)]
fn open_database(
    _folder: &std::path::Path,
    disk: Disk,
    _store: bool,
    _guard: bool,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(WatchedStore::new(crate::store::MemoryStore::default(), disk)))
}
