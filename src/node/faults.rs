//! An operator's commands: faults on purpose and their end, here; the hand-over of
//! leadership is `hand_over`'s.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;

use super::hand_over;
use crate::api::cluster::{FailRequest, FaultAction};
use crate::http::PauseGate;
use crate::net::gate::Gate;
use crate::observe::events::{Change, Events};
use crate::peer::link::Links;
use crate::raft::LateConsensus;
use crate::service::operate::{OperateError, OperateJob, Operation};
use crate::store::Stall;

/// Lets the answer to the operator leave before the process ends or stops.
const ANSWER_TIME: Duration = Duration::from_millis(20);
const FREEZE_DEFAULT_MS: u64 = 2000;
const FREEZE_MAX_MS: u64 = 600_000;

/// What faults act on. Cheap to clone.
#[derive(Clone)]
pub struct Switches {
    pub gate: Gate,
    pub pause: PauseGate,
    pub stall: Stall,
}

impl Switches {
    fn restore(&self) {
        self.gate.open();
        self.pause.open();
        self.stall.end();
    }
}

/// Carries out commands, one after the other, until the node stops.
pub async fn operate(
    mut jobs: mpsc::Receiver<OperateJob>,
    switches: Switches,
    late: LateConsensus,
    links: Links,
    events: Events,
) {
    while let Some(OperateJob { operation, reply }) = jobs.recv().await {
        let result = match &operation {
            Operation::Fail(request) => fail(*request, &switches, &events).map(Into::into),
            Operation::Restore => {
                switches.restore();
                tracing::warn!("restored: serving clients and peers again");
                Ok("serving clients and peers again".to_owned().into())
            }
            Operation::TransferLeader(request) => {
                hand_over::transfer(request, &late, &links, &events).await
            }
        };
        let begun = result.is_ok();
        // The operator may have hung up; what he asked for is done all the same.
        let _ = reply.send(result);
        if let (true, Operation::Fail(request)) = (begun, operation) {
            end_process(request).await;
        }
    }
}

fn fail(
    request: FailRequest,
    switches: &Switches,
    events: &Events,
) -> Result<String, OperateError> {
    let Switches { gate, pause, stall } = switches;
    let action = request.action.to_string();
    tracing::warn!(cause = %action, "failing on purpose, as an operator asked");
    let change = Change::Fault { node: events.reporter().clone(), action };
    events.emit(crate::ident::Term(0), change);
    match request.action {
        FaultAction::Crash => Ok("crashing now".into()),
        FaultAction::Freeze => {
            let ms = request.duration_ms.unwrap_or(FREEZE_DEFAULT_MS);
            if ms > FREEZE_MAX_MS {
                let reason = format!("a freeze may last {FREEZE_MAX_MS} ms at the most");
                return Err(OperateError::Refused(reason));
            }
            thaw_later(ms)?;
            Ok(format!("frozen for {ms} ms"))
        }
        FaultAction::Pause => {
            pause.shut();
            end_later(request.duration_ms, pause.clone(), PauseGate::open);
            Ok("answering clients with 503 until restored".into())
        }
        FaultAction::Isolate => {
            gate.shut();
            end_later(request.duration_ms, gate.clone(), Gate::open);
            Ok("dropping all peer traffic until restored".into())
        }
        FaultAction::DiskStall => {
            stall.begin();
            end_later(request.duration_ms, stall.clone(), Stall::end);
            Ok("the database's writes hang until restored".into())
        }
    }
}

/// Ends a fault by itself after `ms`, if a time was given.
fn end_later<G: Send + 'static>(ms: Option<u64>, gate: G, open: impl FnOnce(&G) + Send + 'static) {
    let Some(ms) = ms else { return };
    #[allow(
        clippy::disallowed_methods,
        reason = "a timer that may outlive nothing: it ends with the runtime"
    )]
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        open(&gate);
        tracing::warn!("the fault is over");
    });
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

async fn end_process(request: FailRequest) {
    let signal = match request.action {
        FaultAction::Crash => Signal::KILL,
        FaultAction::Freeze => Signal::STOP,
        FaultAction::Pause | FaultAction::Isolate | FaultAction::DiskStall => return,
    };
    tokio::time::sleep(ANSWER_TIME).await;
    if let Err(error) = kill_process(getpid(), signal) {
        tracing::error!(cause = %error, "the process could not signal itself");
    }
}
