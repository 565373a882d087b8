//! One run: from its seed to its verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stegcluster::clock;
use stegcluster::record::{Durability, Record};
use stegcluster::sim::{self, net::Quality, random, sabotage::Bug};
use tokio::runtime::{Builder, RngSeed};

use crate::clients::{self, Stop};
use crate::cluster::Cluster;
use crate::properties::liveness;
use crate::schedule::{Episode, Mix, Schedule};
use crate::trace;

/// How a run differs from the usual one.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub mix: Mix,
    /// Planted in the product.
    pub bug: Option<Bug>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mix: Mix::All, bug: None }
    }
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub violations: Vec<String>,
    pub trace: Vec<String>,
    pub stats: Stats,
}

/// That a run checked something.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Faults by their kind.
    pub faults: BTreeMap<String, u32>,
    pub acked: usize,
    pub unknown: u32,
    /// How often a node began to serve alone.
    pub solos: u32,
    /// Records that a node acknowledged alone.
    pub acked_alone: usize,
    /// Journal entries that reached the ledger.
    pub drained: u64,
    /// Ids under which two embeds were acknowledged.
    pub conflicts: u32,
    /// Linearizable reads refused by nodes that served alone.
    pub refused_reads: u32,
    /// Looks at the Raft of nodes that heard nobody and served alone.
    pub hermits: u32,
    pub reads: u32,
    pub elections: usize,
    pub votes: u32,
    pub calm_times: u32,
    pub simulated: Duration,
    /// The longest time from the end of faults to a whole cluster.
    pub healed_within: Duration,
}

/// After a fault its traces linger: a kernel sends again late, a lease must run out.
const AFTERMATH: Duration = Duration::from_millis(3500);

/// The slowest write of the slowest disk ends within this.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// No run takes so much simulated time.
const LONGEST: Duration = Duration::from_secs(600);

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes panics of simulated processes, which tokio would keep to itself.
fn watch_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if sim::process::try_host().is_some() {
                PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            } else {
                usual(panic);
            }
        }));
    });
}

/// Runs `seed`, alone on a fresh thread, so that nothing is left of the run before.
pub fn run(seed: u64, options: Options) -> Outcome {
    scenario(seed, options.bug, move |seed| async move { random_run(seed, options.mix).await })
}

/// Runs `body` in a simulation of its own.
pub fn scenario<F, Fut>(seed: u64, bug: Option<Bug>, body: F) -> Outcome
where
    F: FnOnce(u64) -> Fut + Send + 'static,
    Fut: Future<Output = (Arc<Cluster>, Duration)>,
{
    watch_panics();
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let running = thread.spawn(move || {
        let _run = sim::begin(seed);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
            .build()
            .unwrap();
        runtime.block_on(async {
            sim::sabotage::set(bug);
            trace::begin();
            let began = clock::now();
            match tokio::time::timeout(LONGEST, body(seed)).await {
                Ok((cluster, healed)) => judge(&cluster, began.elapsed(), healed),
                Err(_) => {
                    let what = format!("the run did not end within {LONGEST:?} of simulated time");
                    Outcome { violations: vec![what], trace: trace::take(), ..Outcome::default() }
                }
            }
        })
    });
    running.unwrap().join().unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("the harness panicked: {}", what.unwrap_or_default());
        Outcome { violations: vec![what], ..Outcome::default() }
    })
}

fn judge(cluster: &Cluster, simulated: Duration, healed_within: Duration) -> Outcome {
    for panic in PANICS.take() {
        cluster.checks.violation(format!("a node panicked: {panic}"));
    }
    let violations = cluster.checks.violations();
    let checks = cluster.checks.lock();
    let stats = Stats {
        faults: cluster.faults.lock().unwrap().clone(),
        acked: checks.records.acked(),
        unknown: checks.records.unknown,
        solos: checks.alone.begun,
        acked_alone: checks.records.acked_alone(),
        drained: checks.alone.drained + cluster.drained(),
        conflicts: checks.records.conflicts,
        refused_reads: checks.alone.refused_reads,
        hermits: checks.alone.compared,
        reads: checks.reads.answered,
        elections: checks.leaders.elections(),
        votes: checks.evidence.granted,
        calm_times: checks.terms.calm_times,
        simulated,
        healed_within,
    };
    Outcome { violations, trace: trace::take(), stats }
}

/// Faults and calm in turns, with clients all the while.
async fn random_run(seed: u64, mix: Mix) -> (Arc<Cluster>, Duration) {
    let mut schedule = Schedule::new(seed, mix);
    let cluster = Arc::new(Cluster::new(&schedule.solo_after, schedule.snapshots));
    trace::line(format_args!(
        "{} hosts, {:?}, solo after {:?}",
        schedule.hosts, schedule.snapshots, schedule.solo_after
    ));
    sim::process::shuffle(schedule.shuffle);
    let delay_ms = (0, schedule.delay_ms);
    sim::net::set_default_quality(Quality { delay_ms, loss_percent: 0 });
    let stop = Stop::default();
    let mut clients = Vec::new();
    for client in 1..=2 {
        clients.push(spawn(clients::write(Arc::clone(&cluster), client, Arc::clone(&stop))));
    }
    clients.push(spawn(clients::read(Arc::clone(&cluster), Arc::clone(&stop))));
    let healed = lead(&mut schedule, &cluster).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        if client.await.is_err() {
            cluster.checks.violation("a client of the harness panicked".into());
        }
    }
    if cluster.checks.violations().is_empty() {
        settle(&cluster).await;
    }
    (cluster, healed)
}

/// Spawns a task of the harness, which no fault reaches.
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[allow(clippy::disallowed_methods, reason = "a task of the simulation's own")]
    tokio::spawn(future)
}

/// Starts the hosts, and goes through the episodes; returns the longest time to heal.
async fn lead(schedule: &mut Schedule, cluster: &Cluster) -> Duration {
    for host in &cluster.hosts {
        host.start();
        sim::pass(schedule.millis(0, 400)).await;
    }
    let mut longest = Duration::ZERO;
    // Faults may come while the cluster forms; a lost disk may not, for one that forgot its
    // promises may form another.
    let mut whole = false;
    if schedule.chance(60) {
        whole = heal(cluster, &mut longest).await;
    }
    for _ in 0..schedule.episodes {
        if !cluster.checks.violations().is_empty() {
            return longest;
        }
        let leader = cluster.leader().unwrap_or(0);
        let episode = schedule.episode(leader, whole);
        if whole && schedule.chance(60) {
            calm(schedule, cluster, &episode).await;
        } else {
            go_through(cluster, &episode).await;
        }
        whole = false;
        let wiped = episode.faults.iter().any(|f| matches!(f, crate::faults::Fault::Wipe(_)));
        // Often the next fault comes before the cluster has recovered. Not after a lost
        // disk: the next loss would be that of a majority.
        if wiped || schedule.chance(60) {
            whole = heal(cluster, &mut longest).await;
        } else {
            sim::pass(schedule.millis(0, 1500)).await;
            cluster.restart_ended();
        }
    }
    heal(cluster, &mut longest).await;
    longest
}

async fn go_through(cluster: &Cluster, episode: &Episode) {
    // At once, or one after the other.
    let apart = random::draw(|r| if r.chance(50) { r.within(0..=400) } else { 0 });
    for fault in &episode.faults {
        fault.begin(cluster).await;
        sim::pass(Duration::from_millis(apart)).await;
    }
    sim::pass(episode.lasts).await;
    for fault in &episode.faults {
        fault.end(cluster).await;
        sim::pass(Duration::from_millis(apart)).await;
    }
}

/// All is well for a while, then comes what must not depose the leader; where the episode
/// may, the calm ends before it.
async fn calm(schedule: &mut Schedule, cluster: &Cluster, episode: &Episode) {
    sim::pass(AFTERMATH).await;
    let (Some((leader, term)), Some(host)) = (liveness::whole(cluster), cluster.leader()) else {
        // The aftermath of the last fault: it counts as one more.
        return go_through(cluster, episode).await;
    };
    cluster.checks.lock().terms.begin_calm(leader, term);
    trace::line(format_args!("CALM under leader {leader} of term {term}"));
    sim::pass(schedule.millis(200, 2000)).await;
    let hosts = cluster.hosts.len();
    let harmless = episode.faults.len() == 1 && episode.faults[0].is_harmless(host, hosts);
    if harmless {
        go_through(cluster, episode).await;
        sim::pass(AFTERMATH).await;
        cluster.checks.lock().terms.end_calm();
    } else {
        cluster.checks.lock().terms.end_calm();
        go_through(cluster, episode).await;
    }
}

/// Waits until the cluster is whole; true if it is.
async fn heal(cluster: &Cluster, longest: &mut Duration) -> bool {
    sim::pass(Duration::from_millis(20)).await;
    cluster.restart_ended();
    let began = clock::now();
    let whole = liveness::await_whole(cluster).await.is_some();
    *longest = (*longest).max(began.elapsed());
    whole
}

/// The end: everyone can write and read, and all ledgers are the same and complete.
pub async fn settle(cluster: &Cluster) {
    // A write that began on a bad disk may fail when the fault is over, and end its node then.
    sim::pass(LAST_WRITE).await;
    liveness::await_whole(cluster).await;
    for host in &cluster.hosts {
        if clients::put_new(cluster, host, Durability::Local).await != Some(Durability::Quorum) {
            cluster.checks.violation(format!("{} cannot write after all faults", host.name));
        }
    }
    for host in &cluster.hosts {
        if !clients::read_once(cluster, host).await {
            cluster.checks.violation(format!("{} cannot read after all faults", host.name));
        }
    }
    let mut ledgers: Vec<(String, Vec<Record>)> = Vec::new();
    for host in &cluster.hosts {
        let name = host.name.to_string();
        let Some((count, records)) = clients::ledger_of(host) else {
            cluster.checks.violation(format!("{name}'s ledger cannot be read"));
            continue;
        };
        let found = cluster.checks.lock().records.judge(&name, count, &records);
        cluster.checks.lock().report(found);
        ledgers.push((name, records));
    }
    let mut checks = cluster.checks.lock();
    let found = checks.records.account(&ledgers);
    checks.report(found);
}
