//! Nodes as real processes, conditions with deadlines, and a small HTTP client.

mod folder;
mod form;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stegcluster::api::cluster::{ClusterStatus, Mode, NodeStatus, Role};
use stegcluster::api::codec::RecordsResponse;
use stegcluster::clock;
use stegcluster::rt::pause_thread;
use tempfile::TempDir;

pub use folder::copy_folder;
pub use form::{Field, multipart};

pub const BINARY: &str = env!("CARGO_BIN_EXE_stegcluster");
/// A condition that takes longer than this does not hold.
pub const PATIENCE: Duration = Duration::from_secs(15);

const POLL_INTERVAL: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(12);
const BODY_BYTES_MAX: u64 = 64 << 20;
const LOG_LINES_SHOWN: usize = 40;
const PAGE: usize = 1000;

/// Below the ephemeral range, from which any other process may be given a port that a
/// killed node will want again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

static TURN: Mutex<()> = Mutex::new(());
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// Held while a cluster runs, so that there is one at a time.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loopback port that nobody listens on. Processes started at the same time begin at
/// different places.
pub fn free_port() -> u16 {
    let first = (std::process::id() % 400) as u16 * 30;
    for _ in PORTS {
        let offset = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (first + offset % PORTS.len() as u16) % PORTS.len() as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// Looks until `look` finds something, for as long as `within`.
pub fn poll<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = clock::now() + within;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if clock::now() >= deadline {
            return None;
        }
        pause_thread(POLL_INTERVAL);
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as `T`; panics where it is none, or where the status is not 200.
    pub fn ok<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(500).collect()
    }
}

/// Each request has a connection of its own: one kept from a killed process would fail
/// the first request to its successor.
fn agent(answer_max: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(answer_max))
        .max_idle_connections(0)
        .proxy(None)
        .build();
    config.into()
}

fn read(response: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<Reply, String> {
    let mut response = response.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec();
    Ok(Reply { status, headers, body: body.map_err(|error| error.to_string())? })
}

/// A client of one node. An error is a request without an answer.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    /// The header that goes along with each request.
    authorization: Option<String>,
}

impl Client {
    pub fn new(ip: &str, http_port: u16) -> Self {
        let base = format!("http://{ip}:{http_port}");
        Self { agent: agent(ANSWER_MAX), base, authorization: None }
    }

    /// The same with less patience.
    pub fn hasty(&self, answer_max: Duration) -> Self {
        Self { agent: agent(answer_max), ..self.clone() }
    }

    /// The same with a token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    pub fn without_token(&self) -> Self {
        Self { authorization: None, ..self.clone() }
    }

    fn own_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.authorization.iter().map(|token| ("authorization", token.as_str()))
    }

    /// Makes the node fail on purpose; `request` is the body of `/admin/fail`.
    pub fn fail(&self, request: &str) {
        let json = [("content-type", "application/json")];
        let reply = self.post("/admin/fail", &json, request.as_bytes()).expect("an answer");
        assert_eq!(reply.status, 200, "{request}: {}", reply.text());
    }

    pub fn restore(&self) {
        let reply = self.post("/admin/restore", &[], &[]).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    pub fn get(&self, path: &str) -> Result<Reply, String> {
        self.ask("GET", path, &[])
    }

    /// Without a body, by any method.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply, String> {
        let mut request =
            http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers.iter().copied().chain(self.own_headers()) {
            request = request.header(name, value);
        }
        read(self.agent.run(request.body(()).expect("a request")))
    }

    /// A body that is read as it comes, for as long as it comes.
    pub fn stream(&self, path: &str, headers: &[(&str, &str)]) -> ureq::BodyReader<'static> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut request = request.config().timeout_global(None).build();
        for (name, value) in headers.iter().copied().chain(self.own_headers()) {
            request = request.header(name, value);
        }
        let response = request.call().expect("a stream begins");
        assert_eq!(response.status(), 200, "{path}");
        response.into_body().into_reader()
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, String> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers.iter().copied().chain(self.own_headers()) {
            request = request.header(name, value);
        }
        read(request.send(body))
    }

    /// Posts `fields` as multipart/form-data (RFC 7578); `file` and `cover` are files.
    pub fn form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &[u8])],
    ) -> Result<Reply, String> {
        let named = |name: &str| if matches!(name, "file" | "cover") { "upload" } else { "" };
        let fields: Vec<Field<'_>> =
            fields.iter().map(|(name, value)| (*name, named(name), *value)).collect();
        let (form, body) = multipart(&fields);
        let headers: Vec<_> =
            headers.iter().copied().chain([("content-type", form.as_str())]).collect();
        self.post(path, &headers, &body)
    }

    pub fn commit(&self, id: &str) -> Result<Reply, String> {
        self.post("/api/commit", &[("idempotency-key", id)], &[])
    }

    pub fn status(&self) -> Option<ClusterStatus> {
        self.get("/cluster/status").ok().filter(|reply| reply.status == 200).map(|r| r.json())
    }

    /// Ids of all records that this node itself holds.
    pub fn record_ids(&self) -> Result<BTreeSet<String>, String> {
        let mut ids = BTreeSet::new();
        let mut after = String::new();
        loop {
            let path = format!("/api/records?consistency=stale&limit={PAGE}{after}");
            let page: RecordsResponse = self.get(&path)?.ok();
            ids.extend(page.records.iter().map(|view| view.record.id.to_string()));
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(ids),
            }
        }
    }
}

/// Of a process's environment.
pub type Variable = (&'static str, PathBuf);

/// A process that is killed when the test is over.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Runs the binary with both outputs appended to `log`, in network namespace `netns` if
    /// there is one.
    pub fn start(args: &[String], log: &Path, netns: Option<&str>, env: &[Variable]) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("log opens");
        let errors = log.try_clone().expect("log opens twice");
        let mut command = match netns {
            None => command(args),
            // It becomes the binary itself, so that signals reach that.
            Some(netns) => clean("ip", &["netns", "exec", netns, BINARY], args),
        };
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let child = command.stdout(log).stderr(errors).spawn().expect("binary starts");
        Self(child)
    }

    /// As by `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.0.kill().expect("a child that was not waited for can be killed");
        self.0.wait().expect("a killed child ends");
    }

    /// Returns at once.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    pub fn exit(&mut self, within: Duration) -> Option<ExitStatus> {
        poll(within, || self.0.try_wait().expect("a child can be waited for"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The binary, untouched by the settings of whoever runs the tests.
pub fn command(args: &[String]) -> Command {
    clean(BINARY, &[], args)
}

fn clean(program: &str, first: &[&str], args: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(first).args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
    // A backtrace would push the panic itself out of the lines shown.
    command.env("RUST_BACKTRACE", "0");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STEGCLUSTER_") {
            command.env_remove(name);
        }
    }
    command
}

/// Where a node runs.
#[derive(Debug, Clone)]
pub struct Host {
    pub ip: String,
    /// A network namespace of this name.
    pub netns: Option<String>,
}

impl Host {
    pub fn local() -> Self {
        Self { ip: "127.0.0.1".to_owned(), netns: None }
    }
}

pub struct Node {
    pub name: String,
    pub host: Host,
    pub http_port: u16,
    pub raft_port: u16,
    pub client: Client,
    pub data_dir: PathBuf,
    /// Added to the environment in which it starts.
    pub env: Vec<Variable>,
    log: PathBuf,
    process: Option<Process>,
}

impl Node {
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into()).unwrap_or_default()
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// The most memory that its process had at once, in MiB, as Linux counts it.
    pub fn peak_mib(&self) -> u64 {
        let process = self.process.as_ref().expect("the node was started");
        let status = fs::read_to_string(format!("/proc/{}/status", process.0.id()));
        let status = status.expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("the kernel says so") / 1024
    }

    /// As by `kill`, and returns at once.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// As when its terminal is closed, or by `kill -HUP`.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Stops the whole process until [`Node::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the node was started").signal(signal);
    }
}

/// Nodes that know each other, started or not.
pub struct Cluster {
    pub nodes: Vec<Node>,
    settings: Vec<String>,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// `size` nodes `n1`, `n2`, ..., none of them started, with `settings` as `KEY=VALUE`.
    pub fn configured(size: usize, settings: &[&str]) -> Self {
        Self::on(&vec![Host::local(); size], settings)
    }

    /// A node on each of `hosts`, none of them started.
    pub fn on(hosts: &[Host], settings: &[&str]) -> Self {
        let turn = turn();
        let folder = tempfile::Builder::new().prefix("stegcluster-").tempdir().expect("a folder");
        let node = |(host, number): (&Host, usize)| {
            let name = format!("n{number}");
            let http_port = free_port();
            Node {
                host: host.clone(),
                http_port,
                raft_port: free_port(),
                client: Client::new(&host.ip, http_port),
                data_dir: folder.path().join(&name),
                log: folder.path().join(format!("{name}.log")),
                env: Vec::new(),
                name,
                process: None,
            }
        };
        let nodes = hosts.iter().zip(1..).map(node).collect();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self { nodes, settings, folder, _turn: turn }
    }

    /// `size` nodes, formed.
    pub fn formed(size: usize, settings: &[&str]) -> Self {
        let mut cluster = Self::configured(size, settings);
        for index in 0..size {
            cluster.start(index);
        }
        cluster.whole();
        cluster
    }

    /// The command line of a node. A cluster of one is told of no peers.
    pub fn args(&self, index: usize) -> Vec<String> {
        let node = &self.nodes[index];
        let ip = &node.host.ip;
        let mut args = vec![
            "serve".to_owned(),
            format!("--id={}", node.name),
            format!("--listen={ip}:{}", node.http_port),
            format!("--raft-listen={ip}:{}", node.raft_port),
            format!("--data-dir={}", node.data_dir.display()),
        ];
        if self.nodes.len() > 1 {
            let peer =
                |n: &Node| format!("{}={}:{}/{}", n.name, n.host.ip, n.http_port, n.raft_port);
            let peers: Vec<String> = self.nodes.iter().map(peer).collect();
            args.push(format!("--peers={}", peers.join(",")));
        }
        args.extend(self.settings.iter().map(|setting| format!("--set={setting}")));
        args
    }

    pub fn start(&mut self, index: usize) {
        let args = self.args(index);
        let node = &mut self.nodes[index];
        assert!(!node.runs(), "{} runs already", node.name);
        let netns = node.host.netns.as_deref();
        node.process = Some(Process::start(&args, &node.log, netns, &node.env));
    }

    /// A folder that is deleted with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sees that a node that was killed, or ended, is not counted as running.
    pub fn gone(&mut self, index: usize, within: Duration) -> Option<i32> {
        let process = self.nodes[index].process.as_mut()?;
        let status = process.exit(within)?;
        self.nodes[index].process = None;
        Some(status.code().unwrap_or(-1))
    }

    /// As by `kill -9`.
    pub fn kill(&mut self, index: usize) {
        let mut process = self.nodes[index].process.take().expect("the node was started");
        process.kill();
    }

    /// As by `kill`; the code with which the node ended.
    pub fn terminate(&mut self, index: usize) -> Option<i32> {
        self.nodes[index].terminate();
        self.exit(index)
    }

    /// The code with which the node ends, by itself or because it was told to.
    pub fn exit(&mut self, index: usize) -> Option<i32> {
        let mut process = self.nodes[index].process.take().expect("the node was started");
        process.exit(PATIENCE).expect("the node ends").code()
    }

    /// Looks until `look` finds something. Panics with `what`, which is what was waited
    /// for, where that takes too long.
    pub fn wait<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        poll(PATIENCE, || look(self)).unwrap_or_else(|| {
            let statuses: BTreeMap<_, _> =
                self.running().map(|node| (&node.name, node.client.status())).collect();
            panic!("{what}: not within {PATIENCE:?}; the nodes say {statuses:#?}")
        })
    }

    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.runs())
    }

    /// Waits until every node that runs is a healthy voter in the eyes of every one, with
    /// its role known, and all follow one leader. The leader's index.
    pub fn whole(&self) -> usize {
        // What one node says of another is what it last heard, so for a moment it may be
        // that the other still forms.
        let settled = |node: &NodeStatus| {
            let takes_part = matches!(node.role, Role::Leader | Role::Follower);
            node.healthy && node.voter && takes_part && node.mode == Mode::Normal
        };
        self.wait("all running nodes are healthy voters under one leader", |cluster| {
            let mut leaders = BTreeSet::new();
            for node in cluster.running() {
                let status = node.client.status().filter(|status| status.quorum)?;
                let good =
                    cluster.running().all(|other| named(&status, &other.name).is_some_and(settled));
                leaders.insert(status.leader_id.filter(|_| good)?.to_string());
            }
            let leader = leaders.pop_first().filter(|_| leaders.is_empty())?;
            cluster.nodes.iter().position(|node| node.name == leader && node.runs())
        })
    }

    /// What `index` says about itself.
    pub fn own(&self, index: usize) -> Option<NodeStatus> {
        let node = &self.nodes[index];
        node.client.status().and_then(|status| named(&status, &node.name).cloned())
    }

    pub fn term(&self, index: usize) -> u64 {
        self.own(index).map_or(0, |own| own.term)
    }

    /// Waits until `index` has what was acknowledged so far, then lists what it holds.
    pub fn caught_up(&self, index: usize) -> BTreeSet<String> {
        let node = &self.nodes[index];
        self.wait(&format!("{} reads linearizably", node.name), |_| {
            node.client.get("/api/records?limit=1").ok().filter(|reply| reply.status == 200)
        });
        node.client.record_ids().expect("a node that serves lists its records")
    }

    /// Fails unless each running node holds every one of `acknowledged`, and all hold the same.
    pub fn assert_kept(&self, acknowledged: &BTreeSet<String>) {
        let mut first: Option<BTreeSet<String>> = None;
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.runs()) {
            let held = self.caught_up(index);
            let lost: Vec<_> = acknowledged.difference(&held).collect();
            assert!(lost.is_empty(), "{} lost {} records: {lost:?}", node.name, lost.len());
            let first = first.get_or_insert_with(|| held.clone());
            assert_eq!(*first, held, "{} differs from the first node", node.name);
        }
    }
}

impl Drop for Cluster {
    #[allow(clippy::print_stderr, reason = "shown by the test harness, for a failed test only")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                let log = node.log();
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
                eprintln!("---- end of the log of {}\n{}", node.name, tail.join("\n"));
            }
        }
    }
}

pub fn named<'a>(status: &'a ClusterStatus, name: &str) -> Option<&'a NodeStatus> {
    status.nodes.iter().find(|node| node.id.as_str() == name)
}

/// The names of all nodes that `status` calls leaders.
pub fn leaders(status: &ClusterStatus) -> Vec<&str> {
    let leads = |node: &&NodeStatus| node.role == Role::Leader;
    status.nodes.iter().filter(leads).map(|node| node.id.as_str()).collect()
}

/// Commits `count` records through `clients` in turn, each acknowledged. Their ids.
pub fn commit_all(clients: &[&Client], prefix: &str, count: usize) -> BTreeSet<String> {
    let ids: Vec<String> = (0..count).map(|number| format!("{prefix}-{number:04}")).collect();
    for (id, client) in ids.iter().zip(clients.iter().cycle()) {
        let reply = client.commit(id).unwrap_or_else(|error| panic!("commit of {id}: {error}"));
        assert_eq!(reply.status, 200, "commit of {id}: {}", reply.text());
    }
    ids.into_iter().collect()
}
