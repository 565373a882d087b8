//! A bounded queue in front of low-priority threads, for work that takes milliseconds
//! of processor time: codecs and Argon2. Knows nothing of what a job does.
//!
//! The threads yield to everything else in the process (nice +10 on Linux), so that
//! embedding flat out on every core does not delay a heartbeat.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::observe::metrics::Metrics;

/// Why a job gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Answered at once; the job did not run.
    #[error("all codec threads are busy and their queue is full; try again shortly")]
    Full,
    #[error("the job panicked; its thread goes on")]
    Panicked,
    #[error("the codec threads are stopping")]
    Stopped,
}

/// The handle. When the last clone is dropped the threads end as after
/// [`Pool::shutdown`].
#[derive(Debug, Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

/// Held by handles only, never by the threads, so that dropping the last one is noticed.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

type Job = Box<dyn FnOnce(&Metrics) + Send>;

struct Shared {
    queue: Mutex<Queue>,
    /// Signalled for each new job, and to all threads when the pool stops.
    changed: Condvar,
    queue_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("queue_max", &self.queue_max).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts `threads` threads. `queue_max` jobs may wait for one (0 counts as 1, since
    /// every job passes through the queue); beyond it [`PoolError::Full`].
    ///
    /// A thread that the system does not give is logged and done without; with none at
    /// all every job is answered [`PoolError::Stopped`].
    pub fn new(threads: usize, queue_max: usize, metrics: Arc<Metrics>) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            queue_max: queue_max.max(1),
            metrics,
        });
        let mut started = 0;
        for number in 0..threads {
            let worker = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("codec-{number}"));
            match thread.spawn(move || worker.work()) {
                Ok(_) => started += 1,
                Err(error) => {
                    tracing::error!(cause = %error, "a codec thread could not be started");
                }
            }
        }
        if started == 0 {
            shared.stop();
        }
        Self { owner: Arc::new(Owner { shared }) }
    }

    /// Runs `job` on a codec thread and gives its result.
    ///
    /// # Errors
    /// [`PoolError`]; in each case but `Panicked` the job did not run.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time. A job not yet started is then skipped
    /// when its turn comes; one that has started runs to its end, unheard.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let job: Job = Box::new(move |metrics| {
            if reply_tx.is_closed() {
                count(metrics, "abandoned");
                return;
            }
            let timer = metrics.codec_seconds.start_timer();
            let outcome = catch_unwind(AssertUnwindSafe(job)).map_err(|_| PoolError::Panicked);
            timer.observe_duration();
            count(metrics, if outcome.is_ok() { "ok" } else { "error" });
            // Nobody listens any more where this fails, and nobody needs to.
            drop(reply_tx.send(outcome));
        });
        self.owner.shared.push(job)?;
        // A sender dropped unused was in the queue when the pool stopped.
        reply_rx.await.unwrap_or(Err(PoolError::Stopped))
    }

    /// Stops the pool without waiting: jobs in progress end and are answered, jobs in
    /// the queue and later ones get [`PoolError::Stopped`].
    pub fn shutdown(&self) {
        self.owner.shared.stop();
    }
}

fn count(metrics: &Metrics, outcome: &str) {
    metrics.codec_jobs_total.with_label_values(&[outcome]).inc();
}

impl Shared {
    /// A panic while the lock is held is impossible but for lack of memory, and would
    /// leave the queue whole: a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), PoolError> {
        let mut queue = self.lock();
        if queue.stopped {
            return Err(PoolError::Stopped);
        }
        if queue.jobs.len() >= self.queue_max {
            count(&self.metrics, "refused");
            return Err(PoolError::Full);
        }
        queue.jobs.push_back(job);
        self.metrics.codec_queue.inc();
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job; `None` where there will be no more.
    fn pop(&self) -> Option<Job> {
        let queue = self.lock();
        let mut queue = self
            .changed
            .wait_while(queue, |queue| queue.jobs.is_empty() && !queue.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        let job = queue.jobs.pop_front()?;
        self.metrics.codec_queue.dec();
        Some(job)
    }

    fn work(&self) {
        lower_priority();
        while let Some(job) = self.pop() {
            // The job catches its own panics. What remains is a result that panics when
            // it is dropped, which must not cost the thread either.
            drop(catch_unwind(AssertUnwindSafe(|| job(&self.metrics))));
        }
    }

    fn stop(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        let jobs = std::mem::take(&mut queue.jobs);
        self.metrics.codec_queue.set(0);
        drop(queue);
        self.changed.notify_all();
        // Outside the lock: what a job holds may do anything when dropped.
        drop(jobs);
    }
}

/// Raises the niceness of this thread alone: on Linux the kernel keeps it per thread,
/// and takes a thread id where POSIX says process. Elsewhere the priority stays.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(cause = %error, "a codec thread keeps its normal priority");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Far longer than any of these tests needs; only a failure waits so long.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn pool(threads: usize, queue_max: usize) -> (Pool, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (Pool::new(threads, queue_max, Arc::clone(&metrics)), metrics)
    }

    fn jobs(metrics: &Metrics, outcome: &str) -> u64 {
        metrics.codec_jobs_total.with_label_values(&[outcome]).get()
    }

    /// Occupies one thread until the returned sender is dropped or used.
    async fn occupy(
        pool: &Pool,
    ) -> (mpsc::SyncSender<()>, impl Future<Output = Result<(), PoolError>> + use<>) {
        let (started_tx, started_rx) = oneshot::channel();
        let (release_tx, release_rx) = mpsc::sync_channel(1);
        let handle = pool.clone();
        let mut busy = Box::pin(async move {
            handle
                .run(move || {
                    started_tx.send(()).ok();
                    release_rx.recv_timeout(PATIENCE).ok();
                })
                .await
        });
        assert!(futures_util::poll!(&mut busy).is_pending());
        started_rx.await.unwrap();
        (release_tx, busy)
    }

    #[tokio::test]
    async fn runs_jobs_on_named_threads() {
        let (pool, metrics) = pool(1, 4);
        let name = pool.run(|| std::thread::current().name().map(str::to_owned)).await;
        assert_eq!(name, Ok(Some("codec-0".to_owned())));
        assert_eq!((jobs(&metrics, "ok"), metrics.codec_queue.get()), (1, 0));
        assert_eq!(metrics.codec_seconds.get_sample_count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_codec_threads_are_nice() {
        fn niceness() -> i32 {
            rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap()
        }
        let before = niceness();
        let (pool, _) = pool(1, 4);
        assert_eq!(pool.run(niceness).await, Ok((before + 10).min(19)));
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (pool, metrics) = pool(1, 1);
        let (release, busy) = occupy(&pool).await;
        let mut waiting = Box::pin(pool.run(|| 7));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(metrics.codec_queue.get(), 1);
        assert_eq!(pool.run(|| 8).await, Err(PoolError::Full));
        assert_eq!(jobs(&metrics, "refused"), 1);
        drop(release);
        assert_eq!(busy.await, Ok(()));
        assert_eq!(waiting.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_its_own_jobs_error_and_spares_the_thread() {
        let (pool, metrics) = pool(1, 4);
        let panicked: Result<(), _> = pool.run(|| panic!("a codec bug, on purpose")).await;
        assert_eq!(panicked, Err(PoolError::Panicked));
        assert_eq!(pool.run(|| 1).await, Ok(1));
        assert_eq!((jobs(&metrics, "error"), jobs(&metrics, "ok")), (1, 1));
    }

    #[tokio::test]
    async fn a_job_nobody_waits_for_is_skipped() {
        let (pool, metrics) = pool(1, 4);
        let (release, busy) = occupy(&pool).await;
        let ran = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ran);
        let mut waiting = Box::pin(pool.run(move || seen.store(true, Ordering::SeqCst)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        drop(release);
        assert_eq!(busy.await, Ok(()));
        // One thread takes jobs in order: once this one is done the other's turn is over.
        assert_eq!(pool.run(|| ()).await, Ok(()));
        assert!(!ran.load(Ordering::SeqCst));
        assert_eq!(jobs(&metrics, "abandoned"), 1);
    }

    #[tokio::test]
    async fn stopping_answers_everyone() {
        let (pool, metrics) = pool(1, 4);
        let (release, busy) = occupy(&pool).await;
        let mut waiting = Box::pin(pool.run(|| 7));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        pool.shutdown();
        assert_eq!(waiting.await, Err(PoolError::Stopped));
        assert_eq!(pool.run(|| 8).await, Err(PoolError::Stopped));
        drop(release);
        assert_eq!(busy.await, Ok(()), "a job in progress ends and is answered");
        assert_eq!(metrics.codec_queue.get(), 0);
    }

    #[tokio::test]
    async fn a_pool_without_threads_says_stopped() {
        let (pool, _) = pool(0, 4);
        assert_eq!(pool.run(|| ()).await, Err(PoolError::Stopped));
    }
}
