//! The two runtimes of a node, and the priority of their threads.

use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::{Builder, Runtime};

use crate::rt::{self, ClientRt, RaftRt};

/// Enough for Raft's core and its peers' messages; more would only switch more.
const RAFT_THREADS_MAX: usize = 2;
/// Up to so many cores have one thread for Raft: two would take turns on the core that the clients'
/// threads and the log's leave, and wake each other. With one, 1 and 20 clients commit 10 to 20 %
/// more on two cores and 100 as much, and an idle node costs a sixth less.
const FEW_CORES: usize = 2;
const CLIENT_THREADS: usize = 2;
/// Added to the niceness of the client port's threads: when every core is busy, Raft goes first.
#[cfg(target_os = "linux")]
const CLIENT_NICENESS: i32 = 5;
/// How long tasks may take to end when the node stops.
const STOP_MAX: Duration = Duration::from_secs(6);
/// How long the process may take to exit when threads hang.
const EXIT_MAX: Duration = Duration::from_secs(2);

/// Both runtimes, and handles to them.
#[derive(Clone)]
pub struct Runtimes {
    pub raft: RaftRt,
    pub client: ClientRt,
    owned: std::sync::Arc<Owned>,
}

struct Owned {
    raft: Runtime,
    /// Held for its drop.
    _client: Runtime,
}

impl Runtimes {
    /// # Errors
    /// The operating system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        let raft = Builder::new_multi_thread()
            .worker_threads(raft_threads())
            .thread_name("raft")
            .enable_all()
            .build()?;
        let client = Builder::new_multi_thread()
            .worker_threads(CLIENT_THREADS)
            .thread_name("client")
            .on_thread_start(yield_to_raft)
            .enable_all()
            .build()?;
        Ok(Self {
            raft: RaftRt::new(raft.handle().clone()),
            client: ClientRt::new(client.handle().clone()),
            owned: std::sync::Arc::new(Owned { raft, _client: client }),
        })
    }

    /// Runs `future` on the Raft runtime from a thread outside of it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.owned.raft.block_on(future)
    }

    /// Ends all tasks: first the clients', then Raft's.
    pub fn stop(&self) {
        let stopping = async {
            self.client.stop().await;
            self.raft.stop().await;
        };
        if self.block_on(async { tokio::time::timeout(STOP_MAX, stopping).await }).is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }

    /// Ends what can be ended and waits for nothing, since threads may hang in the kernel.
    pub fn abandon(&self) {
        // Tasks go, and with them the ports and connections: peers see that this node is gone.
        self.client.token().cancel();
        self.raft.token().cancel();
        #[allow(clippy::mem_forget, reason = "a runtime that is dropped waits for its threads")]
        std::mem::forget(self.clone());
    }
}

/// By the cores that this process may use.
fn raft_threads() -> usize {
    // Where the system does not say, as on a large machine.
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() <= FEW_CORES => 1,
        Ok(_) | Err(_) => RAFT_THREADS_MAX,
    }
}

/// Should the process hang even in `exit`, where libraries wait for their own threads.
pub fn kill_later() {
    let killer = std::thread::Builder::new().name("last-resort".into()).spawn(|| {
        rt::pause_thread(EXIT_MAX);
        let _ = kill_process(getpid(), Signal::KILL);
    });
    if let Err(error) = killer {
        tracing::error!(cause = %error, "no thread that would end a hanging exit");
    }
}

#[cfg(target_os = "linux")]
fn yield_to_raft() {
    // Best effort: with the same priority everything works, only less evenly.
    let thread = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(thread), CLIENT_NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn yield_to_raft() {}
