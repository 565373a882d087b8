//! `serve --supervise`: a parent process that starts the node again when it crashes.
//! The node itself is a child with the same arguments and `--supervised`.

use std::io;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::exit;
use crate::clock;
use crate::node::signals;

/// Until the first restart. Short: the others are waiting for this node.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// The delay doubles with each crash, up to this.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// A node that ran for so long was well; its next crash counts as the first.
const WELL_AFTER: Duration = Duration::from_secs(60);

enum Event {
    /// SIGINT, SIGTERM, or the terminal is gone.
    Stop,
    Ended(io::Result<ExitStatus>),
}

/// Runs the node until it stops by itself or is told to, and again after each crash.
///
/// # Errors
/// The node cannot be started, or signals cannot be caught.
pub fn run() -> anyhow::Result<ExitCode> {
    // One end of the node, one stop, and one more; a further stop says nothing new.
    let (sender, events) = sync_channel(3);
    let stopped = sender.clone();
    let stop = move || {
        let _ = stopped.try_send(Event::Stop);
    };
    signals::on_stop(stop, signals::say_hung_up).context("signals cannot be caught")?;
    let mut delay = DELAY_MIN;
    for attempt in 1_u64.. {
        let started = clock::now();
        let status = match run_once(&sender, &events)? {
            Outcome::Stopped(status) => return Ok(code_of(status)),
            Outcome::Ended(status) => status,
        };
        // At the first start it is the user who can mend it; later it may pass.
        let wrong_usage = status.code() == Some(i32::from(exit::USAGE)) && attempt == 1;
        let for_good = [exit::REMOVED, exit::DAMAGED].map(|code| Some(i32::from(code)));
        if status.success() || wrong_usage || for_good.contains(&status.code()) {
            return Ok(code_of(status));
        }
        if started.elapsed() > WELL_AFTER {
            delay = DELAY_MIN;
        }
        if status.code() == Some(i32::from(exit::RESTART)) {
            // As asked, and no crash: the next one is not the worse for it.
            tracing::info!(attempt, "the node stopped to be started again");
            delay = DELAY_MIN;
        } else {
            tracing::error!(attempt, cause = %status, "the node ended; starting it again");
        }
        match events.recv_timeout(delay) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(code_of(status)),
        }
        delay = (delay * 2).min(DELAY_MAX);
    }
    Ok(ExitCode::from(exit::FAILED))
}

enum Outcome {
    /// After we told it to.
    Stopped(ExitStatus),
    Ended(ExitStatus),
}

fn run_once(sender: &SyncSender<Event>, events: &Receiver<Event>) -> anyhow::Result<Outcome> {
    let child = start()?;
    let pid = Pid::from_child(&child);
    let ended = sender.clone();
    std::thread::Builder::new()
        .name("await-node".into())
        .spawn(move || await_end(child, &ended))
        .context("no thread to wait for the node")?;
    let mut stopping = false;
    loop {
        match events.recv().context("nobody waits for the node any more")? {
            Event::Stop => {
                stopping = true;
                // It may have ended just now; then its end is the next event.
                let _ = kill_process(pid, Signal::TERM);
            }
            Event::Ended(status) => {
                let status = status.context("the node cannot be waited for")?;
                return Ok(if stopping {
                    Outcome::Stopped(status)
                } else {
                    Outcome::Ended(status)
                });
            }
        }
    }
}

fn start() -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg("--supervised");
    command.spawn().context("the node cannot be started")
}

fn await_end(mut child: Child, ended: &SyncSender<Event>) {
    // The receiver is there until the end was received.
    let _ = ended.send(Event::Ended(child.wait()));
}

/// The child's own code; killed by a signal counts as stopped by an error.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(exit::FAILED))
}

/// In the child: ends with its parent, even where that is killed.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        tracing::warn!(cause = %error, "the node would outlive a killed supervisor");
    }
}
