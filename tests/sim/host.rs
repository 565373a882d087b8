//! One host: what survives its process (disk, database, address), and its process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stegcluster::config::{PeerConfig, ServeConfig, Snapshots, Timings};
use stegcluster::datadir::DataDir;
use stegcluster::ident::NodeName;
use stegcluster::net;
use stegcluster::node::{Core, NodeError};
use stegcluster::observe::log::LogFormat;
use stegcluster::peer::routes::Routes;
use stegcluster::record::Record;
use stegcluster::rt::{ClientRt, RaftRt};
use stegcluster::service::LedgerOrJournal;
use stegcluster::sim::{self, disk, process};
use stegcluster::store::{Column, Reader as _};
use tokio_util::sync::CancellationToken;

use crate::disk::SimStore;
use crate::properties::Checks;
use crate::trace;

const RAFT_PORT: u16 = 5001;
const CLIENT_PORT: u16 = 8081;

/// What a process is, for the harness: its core, and how to ask it to stop.
#[derive(Clone)]
pub struct Running {
    pub core: Core,
    /// The way to the ledger that clients have.
    pub ledger: LedgerOrJournal,
    pub stop: CancellationToken,
}

/// What the harness knows of the process.
#[derive(Default)]
struct Process {
    running: Option<Running>,
    /// Raised at each start, so that the end of an old process is not taken for the new one's.
    number: u64,
    started: bool,
    /// The machine has no power.
    off: bool,
}

/// In what a host may differ from others.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub snapshots: Snapshots,
    pub solo_after: Option<Duration>,
}

/// See the module.
pub struct Host {
    pub name: NodeName,
    pub ip: IpAddr,
    config: ServeConfig,
    store: Mutex<Arc<SimStore>>,
    process: Arc<Mutex<Process>>,
    checks: Arc<Checks>,
}

fn ip_of(index: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(index + 1).unwrap()).into()
}

fn name_of(index: usize) -> NodeName {
    format!("n{}", index + 1).parse().unwrap()
}

fn peer(index: usize) -> PeerConfig {
    let ip = ip_of(index);
    PeerConfig {
        name: name_of(index),
        http_addr: format!("{ip}:{CLIENT_PORT}"),
        raft_addr: format!("{ip}:{RAFT_PORT}"),
    }
}

impl Host {
    /// Host number `index` of `hosts`.
    pub fn new(index: usize, hosts: usize, settings: Settings, checks: Arc<Checks>) -> Self {
        let me = peer(index);
        let ip = ip_of(index);
        let config = ServeConfig {
            cluster_name: "sim".into(),
            id: me.name.clone(),
            listen: SocketAddr::new(ip, CLIENT_PORT),
            raft_listen: SocketAddr::new(ip, RAFT_PORT),
            advertise: me.http_addr,
            raft_advertise: me.raft_addr,
            peers: (0..hosts).filter(|other| *other != index).map(peer).collect(),
            data_dir: format!("/data/{}", me.name).into(),
            cover: None,
            solo_after: settings.solo_after,
            supervise: false,
            codec_threads: 1,
            remote_admin: false,
            memory_mib: 256,
            tokens: None,
            security: stegcluster::config::Security::default(),
            cover_cache_mib: 0,
            connections_max: 4096,
            connections_per_client_max: 4096,
            log_format: LogFormat::Text,
            log_filter: "off".into(),
            timings: Timings::default(),
            snapshots: settings.snapshots,
        };
        Self { name: me.name, ip, config, store: Mutex::default(), process: Arc::default(), checks }
    }

    /// The process, once it has opened its data folder and until it ends.
    pub fn running(&self) -> Option<Running> {
        self.process.lock().unwrap().running.clone()
    }

    /// True from its start to its end.
    pub fn is_started(&self) -> bool {
        self.process.lock().unwrap().started
    }

    /// Starts the process, unless it runs or its machine has no power.
    pub fn start(&self) {
        let number = {
            let mut process = self.process.lock().unwrap();
            if process.started || process.off {
                return;
            }
            process.started = true;
            process.number += 1;
            process.number
        };
        trace::line(format_args!("{} starts", self.name));
        let store = Arc::clone(&self.store.lock().unwrap());
        let main = Main {
            config: self.config.clone(),
            store,
            process: Arc::clone(&self.process),
            number,
            checks: Arc::clone(&self.checks),
        };
        let main = process::spawn_on(self.ip, main.run());
        let (name, ip, shared) = (self.name.clone(), self.ip, Arc::clone(&self.process));
        // Not the host's own: it sees the process end by itself.
        #[allow(clippy::disallowed_methods, reason = "a task of the simulation's own")]
        tokio::spawn(async move {
            let ended = main.await;
            let mut process = shared.lock().unwrap();
            if process.number == number && process.started {
                match ended {
                    Ok(Ok(())) => trace::line(format_args!("{name} stopped")),
                    Ok(Err(error)) => trace::line(format_args!("{name} failed: {error}")),
                    Err(error) => trace::line(format_args!("{name} ended: {error}")),
                }
                process.started = false;
                process.running = None;
                drop(process);
                process::kill(ip);
            }
        });
    }

    /// SIGTERM: the process hands over and ends by itself.
    pub fn stop(&self) {
        if let Some(running) = self.running() {
            running.stop.cancel();
        }
    }

    /// SIGKILL: the kernel lives, and refuses.
    pub fn kill(&self) {
        {
            let mut process = self.process.lock().unwrap();
            process.started = false;
            process.running = None;
        }
        process::kill(self.ip);
    }

    /// The machine falls silent, and what its disk had not synced is lost.
    pub fn power_off(&self) {
        self.process.lock().unwrap().off = true;
        sim::net::power_off(self.ip);
        self.kill();
        self.store.lock().unwrap().power_off();
    }

    pub fn power_on(&self) {
        self.process.lock().unwrap().off = false;
        self.checks.everyone_may_be_heard();
        sim::net::power_on(self.ip);
    }

    /// A new, empty disk. The process must not run.
    pub fn wipe(&self) {
        disk::replace(self.ip);
        let lost = std::mem::take(&mut *self.store.lock().unwrap());
        let mut checks = self.checks.lock();
        checks.records.wiped(self.name.as_str(), &journalled(&lost));
        checks.reads.forget(self.name.as_str());
    }
}

/// What waits in a disk's journal, which no process has open.
fn journalled(store: &SimStore) -> Vec<Record> {
    let mut records = Vec::new();
    let read = store.scan(Column::Journal, b"r", b"s", &mut |_, json| {
        records.push(serde_json::from_slice(json).unwrap());
        ControlFlow::Continue(())
    });
    read.unwrap();
    records
}

/// The process's main function, and what it is given.
struct Main {
    config: ServeConfig,
    store: Arc<SimStore>,
    process: Arc<Mutex<Process>>,
    number: u64,
    checks: Arc<Checks>,
}

impl Main {
    async fn run(self) -> Result<(), NodeError> {
        let handle = tokio::runtime::Handle::current();
        let (rt, client_rt) = (RaftRt::new(handle.clone()), ClientRt::new(handle));
        let listener = net::listen(self.config.raft_listen, "Raft port").await?;
        // As long as a database takes to open.
        sim::pass(Duration::from_millis(5)).await;
        let datadir = Arc::new(DataDir::open(&self.config.data_dir, &self.config.id)?);
        let core = Core::open(&self.config, rt, self.store, datadir)?;
        let mut routes = Routes::default();
        core.mount(&mut routes);
        let stop = CancellationToken::new();
        {
            let mut process = self.process.lock().unwrap();
            if process.number == self.number && process.started {
                process.running = Some(Running {
                    core: core.clone(),
                    ledger: core.ledger(&client_rt),
                    stop: stop.clone(),
                });
            }
        }
        #[allow(clippy::disallowed_methods, reason = "the harness's own eye, not the node's")]
        tokio::spawn(observe(self.config, core.clone(), self.checks));
        core.start(listener, routes);
        let result = core.run(&stop).await;
        core.hand_over().await;
        core.shutdown().await.and(result)
    }
}

/// Tells the checks of every view that the node publishes, and when it serves alone.
async fn observe(config: ServeConfig, core: Core, checks: Arc<Checks>) {
    let node = &config.id;
    let (mut views, mut solo) = (core.views.subscribe(), core.solo.changes());
    // Its own sender must not keep the channel open.
    let (links, metrics) = (core.links.clone(), Arc::clone(&core.metrics));
    drop(core);
    checks.lock().alone.left(node);
    loop {
        tokio::select! {
            biased;
            changed = views.changed() => {
                if changed.is_err() {
                    break;
                }
                let view = views.borrow_and_update().clone();
                checks.saw(node, links.sender().cluster(), &view);
            }
            Ok(()) = solo.changed() => {
                let on = *solo.borrow_and_update();
                let what = if on { "serves alone" } else { "has a quorum" };
                trace::line(format_args!("{node} {what}"));
                let alone = &mut checks.lock().alone;
                if on {
                    alone.began(node, &views, is_deaf(&config));
                } else {
                    alone.left(node);
                }
            }
        }
    }
    let mut checks = checks.lock();
    checks.alone.left(node);
    checks.alone.drained += metrics.journal_drained_total.get();
}

/// True where nothing that another host sends reaches this one.
fn is_deaf(config: &ServeConfig) -> bool {
    let mut others = config.peers.iter().map(|peer| peer.raft_addr.parse::<SocketAddr>().unwrap());
    !others.any(|other| sim::net::passes(other.ip(), config.raft_listen.ip()))
}
