//! Local nodes as real processes: start, kill, stop, restart, await. It knows the command line of
//! `serve` and the public API, and nothing of what happens inside a node. Begin with [`Fleet`];
//! `ports` chooses where nodes listen, `error` says what may go wrong.
//!
//! No process is left behind: dropping the fleet, also by a panic, kills and reaps each node.

mod error;
mod ports;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

pub use error::FleetError;

use crate::api::cluster::ClusterStatus;
use crate::client::{Client, Patience, Server, Servers, Stop};
use crate::clock::{self, Instant};
use crate::ident::NodeName;
use crate::trust::Roots;
use crate::trust::make::{self, Authority};

/// Between two looks at processes and statuses. Short beside everything that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A node that takes longer to tell its status says nothing this time.
const STATUS_WITHIN: Duration = Duration::from_millis(500);
/// How long the certificates of a fleet are valid: longer than any drill.
const FLEET_DAYS: u32 = 30;
/// Most nodes on one machine: names and ports are plenty, memory is not.
pub const NODES_MAX: usize = 9;

/// What to start.
#[derive(Debug, Clone)]
pub struct FleetPlan {
    /// 1 to [`NODES_MAX`].
    pub nodes: usize,
    /// The `stegcluster` to run; `None`: the running one.
    pub binary: Option<PathBuf>,
    /// Give each node a certificate, of a CA that is made for this fleet.
    pub tls: bool,
    /// Given to each `serve` after its own flags.
    pub extra_args: Vec<OsString>,
}

impl FleetPlan {
    /// `nodes` nodes of the running binary.
    pub fn new(nodes: usize) -> Self {
        Self { nodes, binary: None, tls: false, extra_args: Vec::new() }
    }
}

/// One node: where it listens, where it writes, and its process while there is one.
#[derive(Debug)]
struct Node {
    name: NodeName,
    server: Server,
    raft_address: String,
    log: PathBuf,
    process: Option<Child>,
}

/// Nodes `n1`, `n2`, ... on loopback, in a temporary folder that goes with the fleet.
#[derive(Debug)]
pub struct Fleet {
    nodes: Vec<Node>,
    binary: PathBuf,
    extra_args: Vec<OsString>,
    tls: bool,
    client: Client,
    // After the nodes, so that no process writes there any more when it is removed: see `Drop`.
    folder: tempfile::TempDir,
}

impl Fleet {
    /// Chooses ports and makes the folder. Starts nothing yet.
    ///
    /// # Errors
    /// No such number of nodes, no free ports, or no place for the folder.
    pub fn new(plan: FleetPlan, stop: &Stop) -> Result<Self, FleetError> {
        if !(1..=NODES_MAX).contains(&plan.nodes) {
            return Err(FleetError::Size { asked: plan.nodes, max: NODES_MAX });
        }
        let binary = match plan.binary {
            Some(binary) => binary,
            None => std::env::current_exe().map_err(FleetError::Binary)?,
        };
        let folder = tempfile::Builder::new()
            .prefix("stegcluster-")
            .tempdir()
            .map_err(|cause| FleetError::Folder { folder: std::env::temp_dir(), cause })?;
        let ports = ports::free(2 * plan.nodes).map_err(FleetError::Ports)?;
        let node = |(number, ports): (usize, &[u16])| {
            let name = format!("n{}", number + 1);
            let address = format!("127.0.0.1:{}", ports[0]);
            Node {
                log: folder.path().join(format!("{name}.log")),
                name: name.parse().expect("n and a number is a node name"),
                server: address.parse().expect("an IP address and a port are a server"),
                raft_address: format!("127.0.0.1:{}", ports[1]),
                process: None,
            }
        };
        let nodes: Vec<Node> = ports.chunks_exact(2).enumerate().map(node).collect();
        let servers = Servers::new(nodes.iter().map(|node| node.server.clone()))
            .expect("there is at least one node");
        let servers = match plan.tls {
            true => servers.trusting(certify(folder.path(), &nodes)?),
            false => servers,
        };
        let client = Client::new(servers, Patience::default(), stop.clone());
        Ok(Self { nodes, binary, extra_args: plan.extra_args, tls: plan.tls, client, folder })
    }

    /// Where clients reach the nodes, in their order.
    pub fn servers(&self) -> &Servers {
        self.client.servers()
    }

    /// Nodes, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is at least one. Here because clippy expects it beside `len`.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Name of node `number`.
    pub fn name(&self, number: usize) -> &NodeName {
        &self.nodes[number].name
    }

    /// `HOST:PORT` where the others reach node `number`.
    pub fn raft_address(&self, number: usize) -> &str {
        &self.nodes[number].raft_address
    }

    /// Where the nodes' data, logs (`n1.log`) and certificates (`tls`) are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder when the fleet goes.
    pub fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Process id of node `number`, while it runs.
    pub fn pid(&self, number: usize) -> Option<u32> {
        self.nodes[number].process.as_ref().map(Child::id)
    }

    /// Starts every node that does not run.
    ///
    /// # Errors
    /// See [`Fleet::start`].
    pub fn start_all(&mut self) -> Result<(), FleetError> {
        (0..self.nodes.len()).try_for_each(|number| self.start(number).map(|_| ()))
    }

    /// Starts node `number`, for the first time or again on the same data, and says when. Does
    /// nothing if it runs.
    ///
    /// # Errors
    /// The binary or the log file cannot be opened.
    pub fn start(&mut self, number: usize) -> Result<Instant, FleetError> {
        let started = clock::now();
        if self.nodes[number].process.is_some() {
            return Ok(started);
        }
        let mut command = self.command(number)?;
        let process = command
            .spawn()
            .map_err(|cause| FleetError::Start { binary: self.binary.clone(), cause })?;
        self.nodes[number].process = Some(process);
        Ok(started)
    }

    /// Kills node `number` with SIGKILL and says when. Its process is gone when this returns.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, number: usize) -> Result<Instant, FleetError> {
        let node = &mut self.nodes[number];
        let mut process = node.process.take().ok_or(FleetError::NotRunning(node.name.clone()))?;
        let killed = clock::now();
        // An error means that it has ended by itself just now; waiting reaps it either way.
        let _ = process.kill();
        let _ = process.wait();
        Ok(killed)
    }

    /// Empties the data folder of node `number`, which must not run: it begins as a new node.
    ///
    /// # Errors
    /// It runs, or the folder cannot be removed.
    pub fn wipe(&mut self, number: usize) -> Result<(), FleetError> {
        let node = &self.nodes[number];
        if node.process.is_some() {
            return Err(FleetError::Running(node.name.clone()));
        }
        let folder = self.folder.path().join(node.name.as_str());
        std::fs::remove_dir_all(&folder).map_err(|cause| FleetError::Folder { folder, cause })
    }

    /// Stops node `number` with SIGSTOP and says when. Nothing of it runs any more when this
    /// returns, until [`Fleet::thaw`]; its kernel still accepts connections.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&mut self, number: usize) -> Result<Instant, FleetError> {
        let pid = self.running_pid(number)?;
        let frozen = self.signal(number, Signal::STOP)?;
        // Left for others to collect: a process that ends meanwhile is reaped elsewhere.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(pid), options);
        Ok(frozen)
    }

    /// Lets node `number` go on after [`Fleet::freeze`], and says when. Harmless where it runs.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&mut self, number: usize) -> Result<Instant, FleetError> {
        self.signal(number, Signal::CONT)
    }

    /// Asks node `number` to stop (SIGTERM) and says when. See [`Fleet::await_exit`].
    ///
    /// # Errors
    /// It does not run.
    pub fn terminate(&mut self, number: usize) -> Result<Instant, FleetError> {
        self.signal(number, Signal::TERM)
    }

    /// Waits for node `number` to end, and kills it if it has not within `within`. True if it
    /// ended by itself with exit code 0.
    ///
    /// # Errors
    /// It does not run.
    pub fn await_exit(&mut self, number: usize, within: Duration) -> Result<bool, FleetError> {
        let node = &mut self.nodes[number];
        let process = node.process.as_mut().ok_or(FleetError::NotRunning(node.name.clone()))?;
        let (until, pause) = (clock::now() + within, Stop::new());
        while clock::now() < until {
            if let Ok(Some(status)) = process.try_wait() {
                node.process = None;
                return Ok(status.success());
            }
            pause.wait(LOOK_EVERY);
        }
        self.kill(number)?;
        Ok(false)
    }

    /// [`Fleet::terminate`] and [`Fleet::await_exit`].
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&mut self, number: usize, within: Duration) -> Result<bool, FleetError> {
        self.terminate(number)?;
        self.await_exit(number, within)
    }

    /// Sends `signal` and says when: just before.
    fn signal(&self, number: usize, signal: Signal) -> Result<Instant, FleetError> {
        let pid = self.running_pid(number)?;
        let at = clock::now();
        // An error means that it has ended by itself, which the next look notices. The id cannot
        // have been reused: the process is not reaped before `try_wait` says so.
        let _ = kill_process(pid, signal);
        Ok(at)
    }

    fn running_pid(&self, number: usize) -> Result<Pid, FleetError> {
        let pid = self.pid(number).and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.ok_or_else(|| FleetError::NotRunning(self.name(number).clone()))
    }

    /// Waits until `condition` holds of what the nodes say, in their order (`None` says
    /// nothing), and returns that. `what` completes "waited for ...".
    ///
    /// # Errors
    /// The time is over, a node that should run has ended, or `stop` was tripped.
    pub fn wait(
        &mut self,
        what: &str,
        within: Duration,
        stop: &Stop,
        mut condition: impl FnMut(&[Option<ClusterStatus>]) -> bool,
    ) -> Result<Vec<Option<ClusterStatus>>, FleetError> {
        let until = clock::now() + within;
        loop {
            self.check_alive()?;
            let statuses: Vec<Option<ClusterStatus>> =
                self.client.statuses(STATUS_WITHIN).into_iter().map(Result::ok).collect();
            if condition(&statuses) {
                return Ok(statuses);
            }
            if clock::now() >= until {
                let what = what.to_owned();
                let said = statuses.iter().map(|status| said(status.as_ref())).collect();
                return Err(FleetError::Late { what, within, said });
            }
            if stop.wait(LOOK_EVERY) {
                return Err(FleetError::Stopped);
            }
        }
    }

    /// Waits until all nodes run as one cluster with one leader.
    ///
    /// # Errors
    /// See [`Fleet::wait`].
    pub fn wait_formed(&mut self, within: Duration, stop: &Stop) -> Result<(), FleetError> {
        self.wait("all nodes to follow one leader", within, stop, whole).map(|_| ())
    }

    /// Notices nodes that ended without being told to.
    fn check_alive(&mut self) -> Result<(), FleetError> {
        for node in &mut self.nodes {
            let Some(process) = &mut node.process else { continue };
            if let Ok(Some(status)) = process.try_wait() {
                node.process = None;
                let last_lines = last_lines(&node.log);
                return Err(FleetError::Ended { node: node.name.clone(), status, last_lines });
            }
        }
        Ok(())
    }

    fn command(&self, number: usize) -> Result<Command, FleetError> {
        let node = &self.nodes[number];
        let folder = |cause| FleetError::Folder { folder: node.log.clone(), cause };
        let out = OpenOptions::new().create(true).append(true).open(&node.log).map_err(folder)?;
        let err = out.try_clone().map_err(folder)?;
        let peer = |node: &Node| {
            let raft_port = node.raft_address.rsplit(':').next().unwrap_or_default();
            format!("{}={}/{raft_port}", node.name, node.server.address())
        };
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--id", node.name.as_str(), "--listen", node.server.address()]);
        command.args(["--raft-listen", &node.raft_address, "--log-format", "text"]);
        command.arg("--data-dir").arg(self.folder.path().join(node.name.as_str()));
        if self.nodes.len() > 1 {
            let peers: Vec<String> = self.nodes.iter().map(peer).collect();
            command.args(["--peers", &peers.join(",")]);
        }
        if self.tls {
            command.arg("--tls-dir").arg(tls_folder(self.folder.path(), node));
        }
        command.args(&self.extra_args);
        for (name, _) in std::env::vars_os() {
            // What configures the caller must not configure the nodes.
            if name.as_encoded_bytes().starts_with(b"STEGCLUSTER_") {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C in the terminal reaches us alone, and we end the nodes.
        command.process_group(0).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Ok(command)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // All at once first: none should go on electing while the others die.
        for process in self.nodes.iter_mut().filter_map(|node| node.process.as_mut()) {
            let _ = process.kill();
        }
        for mut process in self.nodes.iter_mut().filter_map(|node| node.process.take()) {
            let _ = process.wait();
        }
    }
}

fn tls_folder(folder: &Path, node: &Node) -> PathBuf {
    folder.join("tls").join(node.name.as_str())
}

/// Makes a CA and a certificate for each node, and gives what clients need.
fn certify(folder: &Path, nodes: &[Node]) -> Result<Roots, FleetError> {
    let trust = |error: &dyn std::fmt::Display| FleetError::Trust(error.to_string());
    let (ca, issued) = Authority::new("local", FLEET_DAYS).map_err(|error| trust(&error))?;
    for node in nodes {
        let issued = ca.node(&node.name, &[], FLEET_DAYS).map_err(|error| trust(&error))?;
        make::write_node(&tls_folder(folder, node), ca.cert(), &issued)
            .map_err(|error| trust(&error))?;
    }
    // Beside the certificates, to make more of: it is worth no more than this folder.
    let folder = folder.join("tls");
    let (cert, key) = (folder.join(make::CA_CERT), folder.join(make::CA_KEY));
    make::write_new(&key, issued.key.as_bytes(), 0o600).map_err(|error| trust(&error))?;
    make::write_new(&cert, issued.cert.as_bytes(), 0o644).map_err(|error| trust(&error))?;
    Roots::read(&cert).map_err(|error| trust(&error))
}

/// True where every node answers and follows the same leader in the same term.
pub fn whole(statuses: &[Option<ClusterStatus>]) -> bool {
    let mut said = statuses.iter().flatten();
    let Some(first) = said.next() else { return false };
    let same = |status: &ClusterStatus| {
        status.leader_id.is_some()
            && status.leader_id == first.leader_id
            && status.term == first.term
            && status.cluster_uuid == first.cluster_uuid
            && status.quorum
    };
    let voters = first.nodes.iter().filter(|node| node.voter && node.healthy).count();
    statuses.iter().all(|status| status.as_ref().is_some_and(same)) && voters >= statuses.len()
}

/// A status in a few words, for the error of a wait.
fn said(status: Option<&ClusterStatus>) -> String {
    let Some(status) = status else { return "no answer".to_owned() };
    let leader = status.leader_id.as_ref().map_or("none", NodeName::as_str);
    let node = status.node.as_ref().map_or("?", NodeName::as_str);
    format!("{node}: leader {leader}, term {}, quorum {}", status.term, status.quorum)
}

/// The end of a node's log, for people.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
