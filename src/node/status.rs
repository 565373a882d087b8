//! The cluster's state as this node sees it: its own at first hand, the others' from
//! what they answer, a few times a second while anybody reads it, and once a second otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::sync::watch;

use super::security::Trusted;
use crate::api::cluster::{Access, ClusterStatus, Mode, NodeStatus, Role, split_addr};
use crate::clock;
use crate::config::ServeConfig;
use crate::detector::introspect::{Condition, Health};
use crate::detector::{Contact, Opinion, Verdict};
use crate::http::PauseGate;
use crate::ident::{NodeName, RaftId, Term};
use crate::observe::events::{Change, Events};
use crate::observe::metrics::Metrics;
use crate::observe::recent::Recent;
use crate::observe::warnings::Warnings;
use crate::peer::PeerError;
use crate::peer::link::{Lane, Links};
use crate::peer::routes::{Admit, Routes};
use crate::raft::{Consensus, LateConsensus};
use crate::service::RequestStats;
use crate::solo::{Journal, Solo};
use crate::view::LeaderView;

const STATUS: &str = "/node/status";
/// For so long after somebody read the status the others are asked often.
pub const READ_WITHIN: Duration = Duration::from_secs(3);
/// Between two questions to each node; and while nobody reads, all is well and somebody leads.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const POLL_INTERVAL_CALM: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_millis(300);
/// A node that left the questions of so long a time unanswered is not healthy.
const HEALTHY_WITHIN: Duration = Duration::from_millis(500);
/// For so long such a node is asked often: then it is known, and may be away for good.
const TROUBLED_FOR: Duration = Duration::from_secs(2);
/// Between two readings of processor and memory use; and while nobody reads the status.
const USAGE_INTERVAL: Duration = Duration::from_secs(1);
const USAGE_INTERVAL_CALM: Duration = Duration::from_secs(5);

/// What another node last said, and when.
#[derive(Debug, Clone, Default)]
struct Heard {
    status: Option<NodeStatus>,
    at: Option<clock::Instant>,
    /// When the first question left that was not answered since.
    waiting: Option<clock::Instant>,
    refused: bool,
    /// Round trip of the last question that was answered.
    rtt: Option<Duration>,
    /// Why the last question was not.
    trouble: Option<String>,
    /// This node's detector held it dead, and it has not answered since.
    dead: bool,
}

type HeardOf = Arc<Mutex<BTreeMap<NodeName, Heard>>>;

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    cpu_pct: f64,
    mem_pct: f64,
}

/// Who leads, and since when this node knows.
#[derive(Debug, Clone, Copy)]
struct Led {
    leader: RaftId,
    term: Term,
    /// Milliseconds since the Unix epoch.
    since_ms: u64,
}

/// Everything the status is made of. Cheap to clone.
#[derive(Clone)]
pub struct StatusParts {
    config: Arc<ServeConfig>,
    views: watch::Receiver<Arc<LeaderView>>,
    late: LateConsensus,
    contact: Contact,
    verdict: Verdict,
    health: Health,
    stats: RequestStats,
    links: Links,
    metrics: Arc<Metrics>,
    pause: PauseGate,
    solo: Solo,
    journal: Journal,
    trusted: Trusted,
    started: clock::Instant,
    usage: Arc<Mutex<Usage>>,
    led: Arc<Mutex<Option<Led>>>,
    warnings: Warnings,
    /// Told of each reading.
    readers: Recent,
    published: watch::Sender<Arc<ClusterStatus>>,
}

impl StatusParts {
    pub fn new(
        config: &ServeConfig,
        views: watch::Receiver<Arc<LeaderView>>,
        late: LateConsensus,
        (contact, verdict, health, stats): (Contact, Verdict, Health, RequestStats),
        (links, metrics, pause): (Links, Arc<Metrics>, PauseGate),
        (solo, journal, warnings): (Solo, Journal, Warnings),
        (trusted, readers): (Trusted, Recent),
    ) -> (Self, watch::Receiver<Arc<ClusterStatus>>) {
        let (published, statuses) = watch::channel(Arc::default());
        let parts = Self {
            config: Arc::new(config.clone()),
            views,
            late,
            contact,
            verdict,
            health,
            stats,
            links,
            metrics,
            pause,
            solo,
            journal,
            trusted,
            started: clock::now(),
            usage: Arc::default(),
            led: Arc::default(),
            warnings,
            readers,
            published,
        };
        let own = parts.own();
        parts.published.send_replace(Arc::new(parts.cluster(own, &BTreeMap::new())));
        (parts, statuses)
    }

    /// Mounts what other nodes ask.
    pub fn mount(&self, routes: &mut Routes) {
        let parts = self.clone();
        routes.json(STATUS, Admit::Newcomers, move |_, (): ()| {
            let own = parts.own();
            async move { Ok(own) }
        });
    }

    /// Publishes at every change of leadership, verdict or condition, and with each answer, until the
    /// node stops.
    pub async fn publish(self, events: Events) {
        let heard = HeardOf::default();
        let (answered, answers) = watch::channel(());
        // Apart, so that waiting for a silent node does not hold back the news of a new leader.
        tokio::select! {
            () = self.keep_asking(&heard, &answered) => {}
            () = self.keep_reading_usage() => {}
            () = self.publish_news(&heard, answers, events) => {}
        }
    }

    async fn keep_reading_usage(&self) {
        let mut begins = self.readers.beginnings();
        loop {
            self.read_usage().await;
            let read = clock::now();
            if !self.readers.is() {
                // An error is impossible: this node holds the sender.
                let _ = tokio::time::timeout(USAGE_INTERVAL_CALM, begins.changed()).await;
            }
            tokio::time::sleep_until(read + USAGE_INTERVAL).await;
        }
    }

    /// Asks the others in turn, and at once when the leadership changed, or when somebody begins to
    /// read: then what they last said is old. One question at a time to each, so that a silent node
    /// costs no other one its turn.
    async fn keep_asking(&self, heard: &HeardOf, answered: &watch::Sender<()>) {
        let mut begins = self.readers.beginnings();
        let mut asked_at = clock::now();
        let mut due_at = asked_at;
        let mut views = self.views.clone();
        let mut led = None;
        let mut asking = FuturesUnordered::new();
        let mut asked = BTreeSet::new();
        loop {
            let due = tokio::select! {
                () = tokio::time::sleep_until(due_at) => true,
                begun = begins.changed() => begun.is_ok(),
                changed = views.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let view = views.borrow_and_update();
                    led.replace((view.leader, view.term)) != led
                }
                Some(name) = asking.next() => {
                    asked.remove(&name);
                    answered.send_replace(());
                    due_at = asked_at + self.poll_interval(heard);
                    false
                }
            };
            if due {
                let others = self.others();
                let names = others.iter().map(|(name, (_, addr))| (addr.clone(), name.clone()));
                self.links.traffic().set_names(names.collect());
                for (name, (_, addr)) in others {
                    if asked.insert(name.clone()) {
                        asking.push(self.ask(name, addr, heard));
                    }
                }
                asked_at = clock::now();
                due_at = asked_at + self.poll_interval(heard);
            }
        }
    }

    fn poll_interval(&self, heard: &HeardOf) -> Duration {
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let troubled = |of: &Heard| of.waiting.is_some_and(|since| since.elapsed() < TROUBLED_FOR);
        let well = self.views.borrow().leader.is_some() && !heard.values().any(troubled);
        if well && !self.readers.is() { POLL_INTERVAL_CALM } else { POLL_INTERVAL }
    }

    async fn publish_news(
        &self,
        heard: &HeardOf,
        mut answers: watch::Receiver<()>,
        events: Events,
    ) {
        let mut views = self.views.clone();
        let mut verdicts = self.verdict.changes();
        let mut solo = self.solo.changes();
        let mut conditions = self.health.subscribe();
        let mut healthy: BTreeMap<NodeName, bool> = BTreeMap::new();
        loop {
            let changed = tokio::select! {
                answered = answers.changed() => answered,
                changed = views.changed() => changed,
                changed = verdicts.changed() => changed,
                changed = solo.changed() => changed,
                changed = conditions.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            self.note_dead(heard);
            let known = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let status = self.cluster(self.own(), &known);
            for node in &status.nodes {
                let before = healthy.insert(node.id.clone(), node.healthy);
                self.metrics
                    .peer_healthy
                    .with_label_values(&[node.id.as_str()])
                    .set(i64::from(node.healthy));
                if before.is_some_and(|before| before != node.healthy) {
                    let (node, healthy) = (node.id.clone(), node.healthy);
                    if healthy {
                        tracing::info!(peer = %node, "the node answers again");
                    } else {
                        tracing::warn!(peer = %node, "the node does not answer");
                    }
                    let term = self.views.borrow().term;
                    events.emit(term, Change::HealthChanged { node, healthy });
                }
            }
            self.published.send_replace(Arc::new(status));
        }
    }

    /// What the detector knows of the leader is newer than what the leader last said.
    fn note_dead(&self, heard: &HeardOf) {
        let Some(leader) = self.verdict.condemned() else { return };
        let name = self.views.borrow().member(leader).map(|member| member.name.clone());
        if let Some(name) = name {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.entry(name).or_default().dead = true;
        }
    }

    /// Names and Raft addresses of all others: members, and those only configured.
    fn others(&self) -> BTreeMap<NodeName, (String, String)> {
        let mut others: BTreeMap<_, _> = self
            .config
            .peers
            .iter()
            .map(|peer| (peer.name.clone(), (peer.http_addr.clone(), peer.raft_addr.clone())))
            .collect();
        for member in &self.views.borrow().members {
            others
                .insert(member.name.clone(), (member.http_addr.clone(), member.raft_addr.clone()));
        }
        others.remove(&self.config.id);
        others
    }

    /// Asks one node, and gives its name back.
    async fn ask(&self, name: NodeName, addr: String, heard: &HeardOf) -> NodeName {
        let link = self.links.to(addr, Lane::Service);
        let asked = clock::now();
        {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.entry(name.clone()).or_default().waiting.get_or_insert(asked);
        }
        let answer = link.call::<_, NodeStatus>(STATUS, &(), ANSWER_MAX).await;
        let rtt = Some(asked.elapsed());
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = heard.entry(name.clone()).or_default();
        entry.refused = matches!(answer, Err(PeerError::Refused { .. }));
        match answer {
            Ok(status) => {
                let at = Some(clock::now());
                let status = Some(status);
                *entry = Heard { status, at, rtt, ..Heard::default() };
            }
            Err(error) => entry.trouble = Some(error.to_string()),
        }
        name
    }

    async fn read_usage(&self) {
        let usage = Arc::clone(&self.usage);
        let read = self.links.rt().blocking(read_usage).await;
        if let Some(read) = read {
            let gauge = &self.metrics.process_cpu_percent;
            gauge.with_label_values(&["cpu"]).set(read.cpu_pct);
            gauge.with_label_values(&["memory"]).set(read.mem_pct);
            *usage.lock().unwrap_or_else(PoisonError::into_inner) = read;
        }
    }

    fn mode(&self, consensus: Option<&Consensus>, view: &LeaderView) -> Mode {
        if self.pause.is_shut() {
            return Mode::Faulted;
        }
        // Why it is cut off does not matter to whom it serves.
        if self.solo.is_on() {
            return Mode::Solo;
        }
        if self.links.gate().is_shut() {
            return Mode::Faulted;
        }
        let voter = votes(view);
        match consensus {
            None => Mode::Forming,
            Some(_) if voter => Mode::Normal,
            Some(_) => Mode::Joining,
        }
    }

    /// This node, at first hand.
    fn own(&self) -> NodeStatus {
        let view = Arc::clone(&self.views.borrow());
        let consensus = self.late.get();
        let config = &self.config;
        let mut own =
            NodeStatus::unknown(config.id.clone(), &config.advertise, &config.raft_advertise);
        own.mode = self.mode(consensus, &view);
        let condition = self.health.condition();
        let disk_well = match condition {
            Condition::Well | Condition::NoQuorum => true,
            Condition::SlowDisk
            | Condition::StuckDisk
            | Condition::FullDisk
            | Condition::FailedDisk
            | Condition::DamagedDisk => false,
        };
        own.healthy = own.mode != Mode::Faulted && disk_well;
        own.condition = condition.to_string();
        if let Some(consensus) = consensus {
            (own.role, own.quorum_ack_ms) = consensus.role();
            own.write_age_ms =
                consensus.writing_since().map(|since| clock::millis(since.elapsed()));
            own.handing_over = consensus.is_handing_over();
            if !self.has_quorum(&view) {
                own.denied = consensus.denials();
            }
        }
        own.last_log = view.last_log;
        own.raft_id = view.me.map(|me| me.0);
        own.voter = own.mode == Mode::Normal || (own.mode == Mode::Solo && votes(&view));
        own.term = view.term.0;
        own.leader = view.leader_member().map(|leader| leader.name.clone());
        if own.mode == Mode::Solo {
            // To its clients; Raft's own role is none of theirs, and it follows nobody.
            own.role = Role::Leader;
            own.leader = None;
        }
        own.journal = self.journal.size().records;
        own.commit = view.committed;
        own.applied = view.applied;
        own.last_contact_ms = Some(0.0);
        own.fsync_p99_ms = quantile_ms(&self.metrics.raft_fsync_seconds, 0.99);
        own.detector = self.verdict.opinion().to_string();
        own.records = self.metrics.ledger_records_total.get();
        let usage = *self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        (own.cpu_pct, own.mem_pct) = (usage.cpu_pct, usage.mem_pct);
        own.qps_1m = self.stats.qps_1m();
        own.p95_ms = self.stats.p95_ms();
        own.uptime_s = self.started.elapsed().as_secs_f64();
        own.version = env!("CARGO_PKG_VERSION").to_owned();
        own
    }

    /// All nodes, with the view's word on who leads and who votes.
    fn cluster(&self, own: NodeStatus, heard: &BTreeMap<NodeName, Heard>) -> ClusterStatus {
        let view = Arc::clone(&self.views.borrow());
        // Alone it leads itself, which is not to lead the cluster.
        let leader = view.leader_member().filter(|_| own.mode != Mode::Solo);
        let mut nodes = vec![own];
        for (name, (http_addr, raft_addr)) in self.others() {
            let heard = heard.get(&name).cloned().unwrap_or_default();
            nodes.push(other(name, &http_addr, &raft_addr, heard, &view));
        }
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        let commit = nodes.iter().map(|node| node.commit).max().unwrap_or(0);
        for node in &mut nodes {
            node.lag = commit.saturating_sub(node.applied);
        }
        let voters_up = nodes.iter().filter(|node| node.voter && node.healthy).count();
        let quorum = self.has_quorum(&view);
        let spare = voters_up.saturating_sub(view.quorum_size());
        ClusterStatus {
            cluster_name: self.config.cluster_name.clone(),
            cluster_uuid: self.links.sender().cluster(),
            node: Some(self.config.id.clone()),
            term: view.term.0,
            leader_id: leader.map(|leader| leader.name.clone()),
            leader_address: leader.map(|leader| leader.http_addr.clone()),
            leader_since_ms: self.led_since(leader.map(|leader| leader.raft_id), view.term),
            quorum,
            can_lose: if quorum { u32::try_from(spare).unwrap_or(u32::MAX) } else { 0 },
            warnings: [self.trusted.warnings(), self.warnings.list()].concat(),
            access: if self.config.tokens.is_some() { Access::Tokens } else { Access::Open },
            nodes,
        }
    }

    fn led_since(&self, leader: Option<RaftId>, term: Term) -> Option<u64> {
        let leader = leader?;
        let mut led = self.led.lock().unwrap_or_else(PoisonError::into_inner);
        let known = led.filter(|led| (led.leader, led.term) == (leader, term));
        let now = known.unwrap_or_else(|| Led { leader, term, since_ms: clock::unix_ms() });
        *led = Some(now);
        Some(now.since_ms)
    }

    fn has_quorum(&self, view: &LeaderView) -> bool {
        if self.links.gate().is_shut() || self.solo.is_on() {
            return false;
        }
        let lease_ms = self.config.timings.election_timeout_max_ms as f64;
        match self.late.get() {
            Some(_) if view.i_lead() && self.health.condition() == Condition::StuckDisk => false,
            Some(consensus) if view.i_lead() => {
                let acked = consensus.role().1.is_some_and(|ms| ms < lease_ms);
                view.voters().count() <= 1 || acked
            }
            Some(_) => {
                let dead = matches!(self.verdict.opinion(), Opinion::Dead(_));
                let recent = self.contact.age().is_some_and(|age| clock::millis(age) < lease_ms);
                view.leader.is_some() && !dead && recent
            }
            None => false,
        }
    }
}

/// True where the cluster has this node as a voter.
fn votes(view: &LeaderView) -> bool {
    view.me.and_then(|me| view.member(me)).is_some_and(|member| member.voter)
}

fn other(
    name: NodeName,
    http_addr: &str,
    raft_addr: &str,
    heard: Heard,
    view: &LeaderView,
) -> NodeStatus {
    let age = heard.at.map(|at| at.elapsed());
    let answers = heard.waiting.is_none_or(|since| since.elapsed() < HEALTHY_WITHIN);
    let mut node =
        heard.status.unwrap_or_else(|| NodeStatus::unknown(name.clone(), http_addr, raft_addr));
    (node.ip, node.http_port) = split_addr(http_addr);
    node.last_contact_ms = age.map(clock::millis);
    node.rtt_ms = heard.rtt.map(clock::millis);
    node.trouble = heard.trouble;
    node.healthy = node.healthy && !heard.refused && !heard.dead && answers && age.is_some();
    let member = view.members.iter().find(|member| member.name == name);
    node.voter = member.is_some_and(|member| member.voter);
    // A node that is no member any more may have had a number.
    let known = view.members.is_empty().then_some(node.raft_id).flatten();
    node.raft_id = member.map(|member| member.raft_id.0).or(known);
    let leads = member.is_some_and(|member| view.leader == Some(member.raft_id));
    if leads {
        node.role = Role::Leader;
    } else if !node.healthy {
        node.role = Role::Unknown;
    } else if node.role == Role::Leader && view.leader.is_some() && node.term <= view.term.0 {
        // It said so before it was succeeded.
        node.role = Role::Follower;
    }
    node
}

/// Processor and memory use of this process, since the last call.
fn read_usage() -> Option<Usage> {
    static SYSTEM: Mutex<Option<System>> = Mutex::new(None);
    let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    if system.is_none() {
        *system = System::new().ok();
    }
    let system = system.as_mut()?;
    let pid = Pid::from_u32(std::process::id());
    system.refresh_memory();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_cpu().with_memory(),
    );
    let process = system.process(pid)?;
    let total = system.total_memory().max(1) as f64;
    Some(Usage {
        cpu_pct: f64::from(process.cpu_usage()),
        mem_pct: process.memory() as f64 * 100.0 / total,
    })
}

/// The upper bound of the bucket that holds the quantile, in milliseconds.
fn quantile_ms(histogram: &prometheus::Histogram, quantile: f64) -> Option<f64> {
    use prometheus::core::Metric;
    let metric = histogram.metric();
    let histogram = metric.get_histogram();
    let rank = histogram.get_sample_count() as f64 * quantile;
    if histogram.get_sample_count() == 0 {
        return None;
    }
    let bucket =
        histogram.get_bucket().iter().find(|bucket| bucket.cumulative_count() as f64 >= rank);
    bucket.map(|bucket| bucket.upper_bound() * 1e3)
}
