//! An operator's commands: faults on purpose and their end, here; the hand-over of
//! leadership is `hand_over`'s.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::{mpsc, watch};

use super::{Restart, hand_over, members, passed_on};
use crate::api::cluster::{Direction, FailRequest, FaultAction};
use crate::config::PeerConfig;
use crate::http::PauseGate;
use crate::ident::NodeName;
use crate::net::gate::{Gate, Target};
use crate::observe::events::{Change, Events};
use crate::peer::link::Links;
use crate::raft::LateConsensus;
use crate::service::operate::{OperateError, OperateJob, Operation};
use crate::store::Disk;
use crate::view::LeaderView;

/// Lets the answer to the operator leave before the process ends or stops.
const ANSWER_TIME: Duration = Duration::from_millis(20);
const FREEZE_DEFAULT_MS: u64 = 2000;
const SLOW_DEFAULT_MS: u64 = 800;
/// Bounded by default: a node whose disk is full steps aside, and cannot be told to end it.
const FULL_DEFAULT_MS: u64 = 5000;
/// Longest time that one fault may be asked for.
const FAULT_MS_MAX: u64 = 600_000;

/// What a fault may be made of.
pub struct Faults {
    pub gate: Gate,
    pub pause: PauseGate,
    pub disk: Disk,
    pub restart: Restart,
    pub events: Events,
    pub neighbours: Neighbours,
}

/// Who the peers are, by name: members, and those only configured.
pub struct Neighbours {
    pub views: watch::Receiver<Arc<LeaderView>>,
    pub configured: Vec<PeerConfig>,
}

impl Neighbours {
    fn target(&self, name: &NodeName) -> Result<Target, OperateError> {
        let view = self.views.borrow();
        let member = view.members.iter().find(|member| member.name == *name);
        let configured = || self.configured.iter().find(|peer| peer.name == *name);
        let addr = member.map(|member| member.raft_addr.clone());
        let addr = addr.or_else(|| configured().map(|peer| peer.raft_addr.clone()));
        let unknown = || OperateError::Refused(format!("{name} is no peer of this node"));
        Ok(Target { name: name.clone(), raft_addr: addr.ok_or_else(unknown)? })
    }
}

/// Carries out commands, one after the other, until the node stops.
pub async fn operate(
    mut jobs: mpsc::Receiver<OperateJob>,
    faults: Faults,
    late: LateConsensus,
    links: Links,
) {
    while let Some(OperateJob { operation, reply }) = jobs.recv().await {
        if let Some((node, order)) = passed_on::for_another(&operation, faults.events.reporter()) {
            let target = faults.neighbours.target(&node);
            let links = links.clone();
            // Apart, so that a node that does not answer keeps no other order waiting.
            links.rt().clone().spawn_until_stop("order", async move {
                let done = match target {
                    Ok(target) => passed_on::pass_on(&target, &order, &links).await,
                    Err(error) => Err(error),
                };
                // The operator may have hung up; what he asked for is done all the same.
                let _ = reply.send(done);
            });
            continue;
        }
        let result = match &operation {
            Operation::Fail(request) => faults.fail(request).map(Into::into),
            Operation::Restore(_) => {
                faults.restore();
                tracing::warn!("restored: serving clients and peers again");
                Ok("serving clients and peers again".to_owned().into())
            }
            Operation::TransferLeader(request) => {
                hand_over::transfer(request, &late, &links, &faults.events).await
            }
            Operation::Members(request) => members::change(request, &late, &links).await,
        };
        let begun = result.is_ok();
        // The operator may have hung up; what he asked for is done all the same.
        let _ = reply.send(result);
        if let (true, Operation::Fail(request)) = (begun, operation) {
            if request.action == FaultAction::Term {
                faults.restart.ask();
            }
            end_process(request.action).await;
        }
    }
}

impl Faults {
    fn restore(&self) {
        self.gate.open();
        self.pause.open();
        self.disk.restore();
        self.tell(Change::Restored { node: self.events.reporter().clone() });
    }

    fn tell(&self, change: Change) {
        self.events.emit(self.neighbours.views.borrow().term, change);
    }

    fn fail(&self, request: &FailRequest) -> Result<String, OperateError> {
        if request.delay_ms.is_some() && request.action != FaultAction::DiskSlow {
            let reason = "delay_ms can be given for disk-slow only";
            return Err(OperateError::Refused(reason.into()));
        }
        let partly = !request.peers.is_empty() || request.direction.is_some();
        if partly && request.action != FaultAction::Isolate {
            let reason = "peers and direction can be given for isolate only";
            return Err(OperateError::Refused(reason.into()));
        }
        let done = match request.action {
            FaultAction::Crash => "crashing now".into(),
            FaultAction::Freeze => {
                let ms = request.duration_ms.unwrap_or(FREEZE_DEFAULT_MS);
                thaw_later(bounded("a freeze", ms)?)?;
                format!("frozen for {ms} ms")
            }
            FaultAction::Pause => {
                self.pause.shut();
                self.end_later(request.duration_ms, self.pause.clone(), PauseGate::open);
                "answering clients with 503 until restored".into()
            }
            FaultAction::Isolate => self.isolate(request)?,
            FaultAction::DiskStall => {
                self.disk.stall();
                self.end_later(request.duration_ms, self.disk.clone(), Disk::restore);
                "the database's writes hang until restored".into()
            }
            FaultAction::DiskSlow => {
                let ms = request.delay_ms.unwrap_or(SLOW_DEFAULT_MS);
                self.disk.slow_down(Duration::from_millis(bounded("a delay", ms)?));
                self.end_later(request.duration_ms, self.disk.clone(), Disk::restore);
                format!("each write of the database takes {ms} ms longer until restored")
            }
            FaultAction::DiskFull => {
                let ms = request.duration_ms.unwrap_or(FULL_DEFAULT_MS);
                self.disk.fill(Duration::from_millis(bounded("a full disk", ms)?));
                format!("the database finds no space for {ms} ms")
            }
            FaultAction::Term => "stopping, to be started again".into(),
            FaultAction::Deafen => {
                self.gate.deafen();
                self.end_later(request.duration_ms, self.gate.clone(), Gate::open);
                "refusing new connections of peers until restored".into()
            }
        };
        let action = request.action.to_string();
        tracing::warn!(cause = %action, "failing on purpose, as an operator asked");
        self.tell(Change::Fault { node: self.events.reporter().clone(), action });
        Ok(done)
    }

    /// Ends a fault by itself after `ms`, if a time was given.
    fn end_later<G: Send + 'static>(
        &self,
        ms: Option<u64>,
        gate: G,
        open: impl FnOnce(&G) + Send + 'static,
    ) {
        let Some(ms) = ms else { return };
        let (events, views) = (self.events.clone(), self.neighbours.views.clone());
        #[allow(
            clippy::disallowed_methods,
            reason = "a timer that may outlive nothing: it ends with the runtime"
        )]
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            open(&gate);
            tracing::warn!("the fault is over");
            let term = views.borrow().term;
            events.emit(term, Change::Restored { node: events.reporter().clone() });
        });
    }

    fn isolate(&self, request: &FailRequest) -> Result<String, OperateError> {
        let direction = request.direction.unwrap_or_default();
        let of = if request.peers.is_empty() {
            self.gate.shut_all(direction);
            "all peers".to_owned()
        } else {
            let targets = request.peers.iter().map(|name| self.neighbours.target(name));
            self.gate.shut_some(targets.collect::<Result<_, _>>()?, direction);
            let names: Vec<&str> = request.peers.iter().map(NodeName::as_str).collect();
            names.join(", ")
        };
        self.end_later(request.duration_ms, self.gate.clone(), Gate::open);
        let way = match direction {
            Direction::In => "incoming traffic of",
            Direction::Out => "outgoing traffic to",
            Direction::Both => "all traffic with",
        };
        Ok(format!("dropping {way} {of} until restored"))
    }
}

fn bounded(what: &str, ms: u64) -> Result<u64, OperateError> {
    if ms <= FAULT_MS_MAX {
        return Ok(ms);
    }
    Err(OperateError::Refused(format!("{what} may last {FAULT_MS_MAX} ms at the most")))
}

/// A stopped process cannot wake itself: another one, of this same binary, does.
fn thaw_later(ms: u64) -> Result<(), OperateError> {
    let refused = |error: std::io::Error| OperateError::Refused(format!("cannot freeze: {error}"));
    let program = std::env::current_exe().map_err(refused)?;
    let pid = getpid().as_raw_nonzero().to_string();
    let mut thaw = Command::new(program);
    thaw.args(["_thaw", &pid, &ms.to_string()]);
    let mut child = thaw.spawn().map_err(refused)?;
    // Collected when it ends, so that no zombie stays.
    std::thread::Builder::new().name("thaw".into()).spawn(move || child.wait()).map_err(refused)?;
    Ok(())
}

async fn end_process(action: FaultAction) {
    let signal = match action {
        FaultAction::Crash => Signal::KILL,
        FaultAction::Freeze => Signal::STOP,
        FaultAction::Term => Signal::TERM,
        FaultAction::Pause
        | FaultAction::Isolate
        | FaultAction::DiskStall
        | FaultAction::DiskSlow
        | FaultAction::DiskFull
        | FaultAction::Deafen => return,
    };
    tokio::time::sleep(ANSWER_TIME).await;
    if let Err(error) = kill_process(getpid(), signal) {
        tracing::error!(cause = %error, "the process could not signal itself");
    }
}
