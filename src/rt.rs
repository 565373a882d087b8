//! Typed runtime handles: which runtime a task runs on is visible in the types.
//!
//! Tasks are named, tracked, and end with their runtime's token. Raft, the detector
//! and the peer port have a runtime of their own, so that serving clients cannot
//! delay a heartbeat.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Lets `time` pass on a thread of its own, never on one of a runtime's.
pub fn pause_thread(time: Duration) {
    // Nobody sends on this channel: it is a timer.
    let (_sender, never) = std::sync::mpsc::sync_channel::<()>(0);
    let _ = never.recv_timeout(time);
}

/// A runtime with its tracked tasks and the token that ends them.
#[derive(Debug, Clone)]
struct Rt {
    handle: Handle,
    tasks: TaskTracker,
    token: CancellationToken,
}

impl Rt {
    fn new(handle: Handle) -> Self {
        Self { handle, tasks: TaskTracker::new(), token: CancellationToken::new() }
    }

    fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::trace_span!("task", name);
        let future = future.instrument(span);
        #[cfg(sim)]
        let future = crate::sim::process::hosted(future);
        let task = self.tasks.spawn_on(future, &self.handle);
        #[cfg(sim)]
        crate::sim::process::ends_with_process(task.abort_handle());
        task
    }

    async fn stop(&self) {
        self.token.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

macro_rules! runtime {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Rt);

        impl $name {
            pub fn new(handle: Handle) -> Self {
                Self(Rt::new(handle))
            }

            /// Runs `future` to its end, whatever becomes of the handle.
            pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
            where
                F: Future + Send + 'static,
                F::Output: Send + 'static,
            {
                self.0.spawn(name, future)
            }

            /// Runs `future` until the runtime stops. It is dropped at an await point
            /// then, so it must be cancel-safe.
            pub fn spawn_until_stop<F>(&self, name: &'static str, future: F)
            where
                F: Future<Output = ()> + Send + 'static,
            {
                let token = self.0.token.clone();
                self.0.spawn(name, async move {
                    tokio::select! {
                        () = token.cancelled() => {}
                        () = future => {}
                    }
                });
            }

            /// Runs `job`, which may wait for a disk, on a thread made for that.
            ///
            /// In simulation it runs here, because a thread would not be deterministic.
            pub async fn blocking<T, J>(&self, job: J) -> T
            where
                T: Send + 'static,
                J: FnOnce() -> T + Send + 'static,
            {
                blocking_on(&self.0.handle, job).await
            }

            /// Like `blocking`, for a job that gives item after item to `sink` and waits
            /// while it is full; the job's `give` says false once nobody takes any more.
            pub async fn produce<T, J>(&self, sink: mpsc::Sender<T>, job: J)
            where
                T: Send + 'static,
                J: FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
            {
                produce_on(&self.0.handle, sink, job).await;
            }

            /// Like `blocking`, for a job that takes item after item of `source` and
            /// waits for each; the job's `take` says `None` at the end.
            pub async fn consume<I, T, J>(&self, source: mpsc::Receiver<I>, job: J) -> T
            where
                I: Send + 'static,
                T: Send + 'static,
                J: FnOnce(&mut dyn FnMut() -> Option<I>) -> T + Send + 'static,
            {
                consume_on(&self.0.handle, source, job).await
            }

            /// Ends with the runtime.
            pub fn token(&self) -> &CancellationToken {
                &self.0.token
            }

            pub fn handle(&self) -> &Handle {
                &self.0.handle
            }

            /// Asks every task to end, and waits for them.
            pub async fn stop(&self) {
                self.0.stop().await;
            }
        }
    };
}

#[cfg(not(sim))]
async fn blocking_on<T, J>(handle: &Handle, job: J) -> T
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    match handle.spawn_blocking(job).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(sim))]
async fn produce_on<T, J>(handle: &Handle, sink: mpsc::Sender<T>, job: J)
where
    T: Send + 'static,
    J: FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
{
    blocking_on(handle, move || job(&mut |item| sink.blocking_send(item).is_ok())).await;
}

#[cfg(not(sim))]
async fn consume_on<I, T, J>(handle: &Handle, mut source: mpsc::Receiver<I>, job: J) -> T
where
    I: Send + 'static,
    T: Send + 'static,
    J: FnOnce(&mut dyn FnMut() -> Option<I>) -> T + Send + 'static,
{
    blocking_on(handle, move || job(&mut || source.blocking_recv())).await
}

#[cfg(sim)]
async fn blocking_on<T, J>(_handle: &Handle, job: J) -> T
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    crate::sim::disk::fsync().await;
    job()
}

#[cfg(sim)]
async fn produce_on<T, J>(_handle: &Handle, sink: mpsc::Sender<T>, job: J)
where
    T: Send + 'static,
    J: FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
{
    let mut items = Vec::new();
    job(&mut |item| {
        items.push(item);
        !sink.is_closed()
    });
    for item in items {
        if sink.send(item).await.is_err() {
            return;
        }
    }
}

#[cfg(sim)]
async fn consume_on<I, T, J>(handle: &Handle, mut source: mpsc::Receiver<I>, job: J) -> T
where
    I: Send + 'static,
    T: Send + 'static,
    J: FnOnce(&mut dyn FnMut() -> Option<I>) -> T + Send + 'static,
{
    let mut items = std::collections::VecDeque::new();
    while let Some(item) = source.recv().await {
        items.push_back(item);
    }
    blocking_on(handle, move || job(&mut || items.pop_front())).await
}

runtime! {
    /// Where Raft, the detector and the peer port run. Nothing on it may block.
    RaftRt
}
runtime! {
    /// Where the client port runs.
    ClientRt
}
