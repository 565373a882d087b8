//! Where a drill takes place: how a fault is inflicted there, and how it ends.

use std::process::Command;
use std::time::Duration;

use super::DrillError;
use super::faults::FaultKind;
use crate::api::cluster::{Direction, FailRequest, FaultAction, TransferRequest};
use crate::client::{Client, ClientError, Server, Servers};
use crate::clock::{self, Instant};
use crate::fleet::Fleet;

/// How long a node may take to stop after SIGTERM before it is killed.
pub(super) const STOP_MAX: Duration = Duration::from_secs(15);
/// A frozen node of somebody's wakes by itself after this: long after its successor served.
const REMOTE_FREEZE_MS: u64 = 1500;
/// A full disk has room again after this: long after the node's successor served.
const FULL_MS: u64 = 2000;
/// A node that was told to fail, and answers nothing for this long, has.
const SILENT_AFTER: Duration = Duration::from_millis(100);
/// How long a node may go on answering after it was told to fail.
const FAIL_MAX: Duration = Duration::from_secs(5);

/// When a fault happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Just before it, so that times counted from here are never too short.
    pub at: Instant,
    /// A write that was offered from here on cannot be the old leader's to acknowledge, but where
    /// it still works: in a planned hand-over, and while its disk is only slow.
    pub effective: Instant,
}

impl Timing {
    fn at(at: Instant) -> Self {
        Self { at, effective: at }
    }
}

/// Where the drill takes place.
#[derive(Debug)]
pub enum Ground {
    /// Own processes: killed, stopped and restarted by us.
    Local(Box<Fleet>),
    /// Somebody's cluster: fails through `/admin/fail`, restarted by its supervisor, by people, or
    /// by a command of theirs.
    Remote(Servers, Option<RestartCommand>),
}

/// A shell's command line that starts a node again. It is told which by `STEGCLUSTER_NODE`,
/// `STEGCLUSTER_HOST` and `STEGCLUSTER_PORT`.
#[derive(Debug, Clone)]
pub struct RestartCommand(pub String);

impl RestartCommand {
    fn run(&self, node: &str, server: &Server) -> Result<(), DrillError> {
        let (host, port) = server.address().rsplit_once(':').unwrap_or((server.address(), ""));
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.0]).env("STEGCLUSTER_NODE", node);
        shell.env("STEGCLUSTER_HOST", host).env("STEGCLUSTER_PORT", port);
        let failed = |cause: String| DrillError::RestartCommand { node: node.to_owned(), cause };
        let output = shell.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, said.trim())))
    }
}

/// A node of the ground.
#[derive(Debug, Clone)]
pub(super) struct Victim {
    pub name: String,
    /// Among the servers.
    pub number: usize,
}

impl Ground {
    pub fn servers(&self) -> &Servers {
        match self {
            Self::Local(fleet) => fleet.servers(),
            Self::Remote(servers, _) => servers,
        }
    }

    /// The report's word for what was done.
    pub fn word(&self, kind: FaultKind) -> &'static str {
        match (self, kind) {
            (Self::Local(_), FaultKind::Crash) => "sigkill",
            (Self::Local(_), FaultKind::Term) => "sigterm",
            (Self::Local(_), FaultKind::Freeze) => "sigstop",
            (_, kind) => kind.word(),
        }
    }

    /// # Errors
    /// One of `kinds` cannot be done here.
    pub fn can(&self, kinds: &[FaultKind]) -> Result<(), DrillError> {
        let local = |kind: &&FaultKind| match kind {
            FaultKind::KillBothFollowers | FaultKind::Wipe => true,
            FaultKind::Crash
            | FaultKind::Term
            | FaultKind::Freeze
            | FaultKind::Isolate
            | FaultKind::IsolateOneway
            | FaultKind::DiskSlow
            | FaultKind::DiskFull
            | FaultKind::Transfer
            | FaultKind::RollingRestart => false,
        };
        match (self, kinds.iter().find(local)) {
            (Self::Remote(..), Some(kind)) => Err(DrillError::LocalOnly(*kind)),
            _ => Ok(()),
        }
    }

    /// True where a node under this fault answers nobody until it is back, and when that is shows
    /// only by its answer.
    pub(super) fn returns_unannounced(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::Crash | FaultKind::Term | FaultKind::DiskFull => true,
            FaultKind::Freeze => matches!(self, Self::Remote(..)),
            _ => false,
        }
    }

    /// Does it to `victim`, and says when. `way` is for what is done one way only.
    pub(super) fn inflict(
        &mut self,
        client: &Client,
        victim: &Victim,
        kind: FaultKind,
        way: Direction,
    ) -> Result<Timing, DrillError> {
        let number = victim.number;
        match (&mut *self, kind) {
            (Self::Local(fleet), FaultKind::Crash) => return Ok(Timing::at(fleet.kill(number)?)),
            (Self::Local(fleet), FaultKind::Term) => {
                return Ok(Timing::at(fleet.terminate(number)?));
            }
            (Self::Local(fleet), FaultKind::Freeze) => {
                return Ok(Timing::at(fleet.freeze(number)?));
            }
            _ => {}
        }
        let at = clock::now();
        let request = FailRequest::new;
        let request = match kind {
            FaultKind::Transfer => {
                let server = self.servers().nth(number);
                let handed = client.transfer(server, &TransferRequest::default());
                return handed.map(|_| Timing::at(at)).map_err(DrillError::Fault);
            }
            FaultKind::Crash => request(FaultAction::Crash),
            FaultKind::Term => request(FaultAction::Term),
            FaultKind::Freeze => {
                FailRequest { duration_ms: Some(REMOTE_FREEZE_MS), ..request(FaultAction::Freeze) }
            }
            FaultKind::Isolate => request(FaultAction::Isolate),
            FaultKind::IsolateOneway => {
                FailRequest { direction: Some(way), ..request(FaultAction::Isolate) }
            }
            FaultKind::DiskSlow => request(FaultAction::DiskSlow),
            FaultKind::DiskFull => {
                FailRequest { duration_ms: Some(FULL_MS), ..request(FaultAction::DiskFull) }
            }
            FaultKind::KillBothFollowers | FaultKind::RollingRestart | FaultKind::Wipe => {
                return Err(DrillError::LocalOnly(kind));
            }
        };
        self.fail(client, number, &request)?;
        match kind {
            FaultKind::Crash | FaultKind::Freeze => self.await_silence(client, number, FAIL_MAX),
            _ => Ok(Timing { at, effective: clock::now() }),
        }
    }

    fn fail(
        &self,
        client: &Client,
        number: usize,
        request: &FailRequest,
    ) -> Result<(), DrillError> {
        match client.fail(self.servers().nth(number), request) {
            // A crash may leave no time to answer.
            Ok(_) | Err(ClientError::NoAnswer { .. }) => Ok(()),
            Err(error) => Err(DrillError::Fault(error)),
        }
    }

    /// A node answers before it fails, so the fault happened at its last answer at the earliest.
    fn await_silence(
        &self,
        client: &Client,
        number: usize,
        within: Duration,
    ) -> Result<Timing, DrillError> {
        let victim = self.servers().nth(number);
        let asked = clock::now();
        let mut answered = asked;
        while clock::now() < asked + within {
            match client.status(victim, SILENT_AFTER) {
                Ok(_) => answered = clock::now(),
                Err(_) => return Ok(Timing::at(answered)),
            }
        }
        Err(DrillError::NotReady(format!("{victim} was told to fail and still answers")))
    }

    /// Ends the fault, where that is ours to do, and says when it began to end.
    pub(super) fn relieve(
        &mut self,
        client: &Client,
        victim: &Victim,
        kind: FaultKind,
    ) -> Result<Instant, DrillError> {
        let (begun, number) = (clock::now(), victim.number);
        match (&mut *self, kind) {
            (Self::Local(fleet), FaultKind::Crash) => drop(fleet.start(number)?),
            (Self::Local(fleet), FaultKind::Term) => {
                if !fleet.await_exit(number, STOP_MAX)? {
                    let node = fleet.name(number).to_string();
                    return Err(DrillError::BadStop { node, within: STOP_MAX });
                }
                fleet.start(number)?;
            }
            (Self::Local(fleet), FaultKind::Freeze) => drop(fleet.thaw(number)?),
            (ground, FaultKind::Isolate | FaultKind::IsolateOneway | FaultKind::DiskSlow) => {
                let server = ground.servers().nth(number);
                client.restore(server).map_err(DrillError::Fault)?;
            }
            (ground, FaultKind::DiskFull) => {
                // Until it has stepped aside its answers are those of before.
                ground.await_silence(client, number, FAIL_MAX)?;
            }
            (ground @ Self::Remote(..), FaultKind::Term) => {
                ground.await_silence(client, number, STOP_MAX)?;
                ground.command(victim)?;
            }
            (ground @ Self::Remote(..), FaultKind::Crash) => ground.command(victim)?,
            _ => {}
        }
        Ok(begun)
    }

    /// Somebody's own way to start a node again, where he gave one.
    fn command(&self, victim: &Victim) -> Result<(), DrillError> {
        match self {
            Self::Remote(servers, Some(command)) => {
                command.run(&victim.name, servers.nth(victim.number))
            }
            Self::Remote(_, None) | Self::Local(_) => Ok(()),
        }
    }

    /// Own nodes, for what can be done to no others.
    pub(super) fn fleet(&mut self, kind: FaultKind) -> Result<&mut Fleet, DrillError> {
        match self {
            Self::Local(fleet) => Ok(fleet),
            Self::Remote(..) => Err(DrillError::LocalOnly(kind)),
        }
    }

    /// Ends whatever may be left of `kinds` on any node.
    pub(super) fn relieve_all(
        &mut self,
        client: &Client,
        kinds: &[FaultKind],
    ) -> Result<(), DrillError> {
        if let Self::Local(fleet) = self {
            // Those that do not run cannot be frozen.
            (0..fleet.len()).for_each(|number| drop(fleet.thaw(number)));
            fleet.start_all()?;
        }
        if kinds.iter().any(|kind| kind.cuts_off() || *kind == FaultKind::DiskSlow) {
            // One that is down has lost its fault with its process.
            self.servers().iter().for_each(|server| drop(client.restore(server)));
        }
        Ok(())
    }
}
