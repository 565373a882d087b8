//! What the operating system tells this process: to stop (SIGINT, SIGTERM), or that its terminal
//! is gone (SIGHUP).
//!
//! A process that writes to a terminal belongs to whoever sits there, and stops with it. Any other
//! was started by a supervisor or with `nohup`, and goes on: SIGHUP is what many programs take for
//! "read your files again", and must not end one that reads them by itself. (The crate `ctrlc` can
//! catch all three, but does not say which it was.)

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{SignalKind, signal};

/// Calls `stop` at each signal to stop, `hung_up` at each SIGHUP that is none, in threads of their
/// own. To be called once.
///
/// # Errors
/// The handlers could not be installed.
pub fn on_stop(
    stop: impl Fn() + Clone + Send + 'static,
    hung_up: impl Fn() + Send + 'static,
) -> io::Result<()> {
    // Asked now: of a terminal that is gone nobody can tell.
    let at_terminal = io::stderr().is_terminal();
    ctrlc::set_handler(stop.clone()).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(entered);
    let heed = async move {
        loop {
            tokio::select! {
                Some(()) = terminate.recv() => stop(),
                Some(()) = hangup.recv() => if at_terminal { stop() } else { hung_up() },
                else => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(heed)).map(drop)
}

/// Says in the log why a node goes on.
pub fn say_hung_up() {
    tracing::info!("SIGHUP: this node goes on; tokens and certificates are read when they change");
}
