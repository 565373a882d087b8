//! A bounded queue in front of low-priority threads, for work that takes milliseconds
//! of processor time: codecs and Argon2. Knows nothing of what a job does, but what it will
//! cost.
//!
//! Small jobs and large ones wait in lanes of their own, which share the threads evenly by
//! cost; so a small job waits for small ones, and for a large one at most if there is a single
//! thread. What a unit of cost takes is measured as jobs are done, so that whoever comes can
//! be told how long the wait will be.
//!
//! The threads yield to everything else in the process (nice +10 on Linux), so that
//! embedding flat out on every core does not delay a heartbeat.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock;
use crate::limits::{POOL_WAIT_MAX, SMALL_JOB_PIXELS_MAX};
use crate::observe::metrics::Metrics;

/// What a job is expected to take, in pixels: as long as to read and compress so many of them
/// does. At least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(pub u64);

impl Cost {
    fn lane(self) -> usize {
        usize::from(self.0 > SMALL_JOB_PIXELS_MAX)
    }
}

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

/// Says whether it ran: a job that nobody waits for any more does not.
type Job = Box<dyn FnOnce(&Metrics) -> bool + Send>;

struct Shared {
    queue: Mutex<Queue>,
    /// Signalled for each new job, and to all threads when the pool stops.
    changed: Condvar,
    queue_max: usize,
    metrics: Arc<Metrics>,
}

/// Jobs of like cost, in the order in which they came.
#[derive(Default)]
struct Lane {
    jobs: VecDeque<(Cost, Job)>,
    /// Of all jobs that wait.
    cost: u64,
    /// What this lane had of the threads, by cost: the lane that had less is next (start-time
    /// fair queueing of Goyal, Vin, Cheng 1996, with two equal weights).
    served: u64,
}

#[derive(Default)]
struct Queue {
    /// Small jobs, large jobs.
    lanes: [Lane; 2],
    /// Large jobs that run now.
    large_running: usize,
    /// Cost of all jobs that run now.
    running: u64,
    threads: usize,
    /// Measured: what one unit of cost took, in nanoseconds.
    unit_ns: f64,
    stopped: bool,
}

/// Before any job was measured: 20 million pixels a second.
const UNIT_NS_FIRST: f64 = 50.0;
/// How much a job counts in the measure, by its share of a second.
const UNIT_MEMORY_S: f64 = 2.0;

impl Queue {
    fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.jobs.len()).sum()
    }

    /// How long a job that came now would wait.
    fn wait(&self, lane: usize) -> Duration {
        let own = self.lanes[lane].cost;
        // As much of the other lane's is served meanwhile, as long as there is any.
        let other = self.lanes[1 - lane].cost.min(own.max(1));
        let half_done = self.running / 2;
        // Small jobs do not wait for a large one where there are two threads.
        let running = if self.threads > 1 { half_done.min(own + other) } else { half_done };
        let ns = (own + other + running) as f64 * self.unit_ns / self.threads.max(1) as f64;
        Duration::from_nanos(ns as u64)
    }

    /// The next job, where one may run now. One thread stays free of large jobs.
    fn next(&mut self) -> Option<(Cost, Job)> {
        let large_may = self.large_running + 1 < self.threads || self.threads == 1;
        let ready = |lane: usize| !self.lanes[lane].jobs.is_empty() && (lane == 0 || large_may);
        let lane = match (ready(0), ready(1)) {
            (true, true) => usize::from(self.lanes[1].served < self.lanes[0].served),
            (true, false) => 0,
            (false, true) => 1,
            (false, false) => return None,
        };
        let (cost, job) = self.lanes[lane].jobs.pop_front()?;
        self.lanes[lane].cost -= cost.0;
        self.lanes[lane].served += cost.0;
        self.running += cost.0;
        self.large_running += lane;
        Some((cost, job))
    }

    fn put(&mut self, cost: Cost, job: Job) {
        let lane = cost.lane();
        // A lane that was empty for a while has no claim to what it did not use.
        if self.lanes[lane].jobs.is_empty() {
            self.lanes[lane].served = self.lanes[lane].served.max(self.lanes[1 - lane].served);
        }
        self.lanes[lane].cost += cost.0;
        self.lanes[lane].jobs.push_back((cost, job));
    }

    fn ended(&mut self, cost: Cost, took: Option<Duration>) {
        self.running -= cost.0;
        self.large_running -= cost.lane();
        let Some(took) = took else { return };
        let weight = (took.as_secs_f64() / UNIT_MEMORY_S).clamp(0.001, 0.5);
        let unit_ns = took.as_nanos() as f64 / cost.0 as f64;
        self.unit_ns += (unit_ns - self.unit_ns) * weight;
    }
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
            queue: Mutex::new(Queue { threads, unit_ns: UNIT_NS_FIRST, ..Queue::default() }),
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

    /// How long a job of this cost that came now would wait for a thread, as far as can be told.
    pub fn wait(&self, cost: Cost) -> Duration {
        self.owner.shared.lock().wait(cost.lane())
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
        cost: Cost,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let job: Job = Box::new(move |metrics| {
            if reply_tx.is_closed() {
                count(metrics, "abandoned");
                return false;
            }
            let timer = metrics.codec_seconds.start_timer();
            let outcome = catch_unwind(AssertUnwindSafe(job)).map_err(|_| PoolError::Panicked);
            timer.observe_duration();
            count(metrics, if outcome.is_ok() { "ok" } else { "error" });
            // Nobody listens any more where this fails, and nobody needs to.
            drop(reply_tx.send(outcome));
            true
        });
        self.owner.shared.push(Cost(cost.0.max(1)), job)?;
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

    fn push(&self, cost: Cost, job: Job) -> Result<(), PoolError> {
        let mut queue = self.lock();
        if queue.stopped {
            return Err(PoolError::Stopped);
        }
        // A job that is alone in its lane runs, however long it takes.
        let idle = queue.lanes[cost.lane()].jobs.is_empty();
        if queue.len() >= self.queue_max || (!idle && queue.wait(cost.lane()) > POOL_WAIT_MAX) {
            count(&self.metrics, "refused");
            return Err(PoolError::Full);
        }
        queue.put(cost, job);
        self.metrics.codec_queue.inc();
        drop(queue);
        // A thread that may not take a large job would leave this one waiting.
        self.changed.notify_all();
        Ok(())
    }

    /// The next job; `None` where there will be no more.
    fn pop(&self) -> Option<(Cost, Job)> {
        let mut queue = self.lock();
        loop {
            if let Some(next) = queue.next() {
                self.metrics.codec_queue.dec();
                return Some(next);
            }
            if queue.stopped {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        lower_priority();
        while let Some((cost, job)) = self.pop() {
            let started = clock::now();
            // The job catches its own panics. What remains is a result that panics when
            // it is dropped, which must not cost the thread either.
            let ran = catch_unwind(AssertUnwindSafe(|| job(&self.metrics))).unwrap_or(false);
            self.lock().ended(cost, ran.then(|| started.elapsed()));
            if cost.lane() == 1 {
                self.changed.notify_one();
            }
        }
    }

    fn stop(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        let jobs = std::mem::take(&mut queue.lanes);
        self.metrics.codec_queue.set(0);
        drop(queue);
        self.changed.notify_all();
        // Outside the lock: what a job holds may do anything when dropped.
        drop(jobs);
    }
}

/// Raises the niceness of this thread alone: on Linux the kernel keeps it per thread,
/// and takes a thread id where POSIX says process. Elsewhere the priority stays.
pub(crate) fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(cause = %error, "a thread keeps its normal priority");
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

    const SMALL: Cost = Cost(1000);
    const LARGE: Cost = Cost(SMALL_JOB_PIXELS_MAX * 4);

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
                .run(SMALL, move || {
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
        let name = pool.run(SMALL, || std::thread::current().name().map(str::to_owned)).await;
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
        assert_eq!(pool.run(SMALL, niceness).await, Ok((before + 10).min(19)));
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (pool, metrics) = pool(1, 1);
        let (release, busy) = occupy(&pool).await;
        let mut waiting = Box::pin(pool.run(SMALL, || 7));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(metrics.codec_queue.get(), 1);
        assert_eq!(pool.run(SMALL, || 8).await, Err(PoolError::Full));
        assert_eq!(jobs(&metrics, "refused"), 1);
        drop(release);
        assert_eq!(busy.await, Ok(()));
        assert_eq!(waiting.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_its_own_jobs_error_and_spares_the_thread() {
        let (pool, metrics) = pool(1, 4);
        let panicked: Result<(), _> = pool.run(SMALL, || panic!("a codec bug, on purpose")).await;
        assert_eq!(panicked, Err(PoolError::Panicked));
        assert_eq!(pool.run(SMALL, || 1).await, Ok(1));
        assert_eq!((jobs(&metrics, "error"), jobs(&metrics, "ok")), (1, 1));
    }

    #[tokio::test]
    async fn a_job_nobody_waits_for_is_skipped() {
        let (pool, metrics) = pool(1, 4);
        let (release, busy) = occupy(&pool).await;
        let ran = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ran);
        let mut waiting = Box::pin(pool.run(SMALL, move || seen.store(true, Ordering::SeqCst)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        drop(release);
        assert_eq!(busy.await, Ok(()));
        // One thread takes jobs in order: once this one is done the other's turn is over.
        assert_eq!(pool.run(SMALL, || ()).await, Ok(()));
        assert!(!ran.load(Ordering::SeqCst));
        assert_eq!(jobs(&metrics, "abandoned"), 1);
    }

    /// What ran, in order, where all of it waited for one thread.
    async fn order(jobs: &[(Cost, &'static str)]) -> Vec<&'static str> {
        let (pool, _) = pool(1, 100);
        let (release, busy) = occupy(&pool).await;
        let ran = Arc::new(Mutex::new(Vec::new()));
        let waiting = jobs.iter().map(|(cost, name)| {
            let (ran, name) = (Arc::clone(&ran), *name);
            Box::pin(pool.run(*cost, move || ran.lock().unwrap().push(name)))
        });
        let mut waiting: Vec<_> = waiting.collect();
        for job in &mut waiting {
            assert!(futures_util::poll!(job).is_pending());
        }
        drop(release);
        busy.await.unwrap();
        for job in waiting {
            job.await.unwrap();
        }
        ran.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn small_jobs_pass_large_ones_which_have_their_turn() {
        let large = Cost(SMALL_JOB_PIXELS_MAX + 1);
        let small = Cost(SMALL_JOB_PIXELS_MAX / 2);
        let jobs =
            [(large, "L"), (large, "L"), (small, "s"), (small, "s"), (small, "s"), (small, "s")];
        let ran = order(&jobs).await;
        assert_eq!(ran.concat(), "sLssLs".to_owned(), "{ran:?}");
    }

    #[tokio::test]
    async fn one_thread_stays_free_of_large_jobs() {
        let (pool, _) = pool(2, 100);
        let (release_tx, release_rx) = mpsc::sync_channel::<()>(1);
        let mut first = Box::pin(pool.run(LARGE, move || {
            release_rx.recv_timeout(PATIENCE).ok();
        }));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(pool.run(LARGE, || 2));
        assert!(futures_util::poll!(&mut second).is_pending());
        // They would wait for ever behind two large ones.
        for _ in 0..10 {
            assert_eq!(pool.run(SMALL, || 1).await, Ok(1));
        }
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(release_tx);
        assert_eq!((first.await, second.await), (Ok(()), Ok(2)));
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_refused_and_told_how_long() {
        let (pool, _) = pool(1, 100);
        let (release, busy) = occupy(&pool).await;
        // By the first measure, some 1.5 s each.
        let slow = Cost(30_000_000);
        let mut jobs: Vec<_> = (0..2).map(|_| Box::pin(pool.run(slow, || ()))).collect();
        for job in &mut jobs {
            assert!(futures_util::poll!(job).is_pending());
        }
        assert!(pool.wait(slow) > POOL_WAIT_MAX);
        assert_eq!(pool.run(slow, || ()).await, Err(PoolError::Full));
        assert!(pool.wait(SMALL) < Duration::from_millis(100), "{:?}", pool.wait(SMALL));
        drop(release);
        busy.await.unwrap();
        for job in jobs {
            job.await.unwrap();
        }
        // A thread answers before it counts.
        while pool.wait(slow) > Duration::ZERO {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn stopping_answers_everyone() {
        let (pool, metrics) = pool(1, 4);
        let (release, busy) = occupy(&pool).await;
        let mut waiting = Box::pin(pool.run(SMALL, || 7));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        pool.shutdown();
        assert_eq!(waiting.await, Err(PoolError::Stopped));
        assert_eq!(pool.run(SMALL, || 8).await, Err(PoolError::Stopped));
        drop(release);
        assert_eq!(busy.await, Ok(()), "a job in progress ends and is answered");
        assert_eq!(metrics.codec_queue.get(), 0);
    }

    #[tokio::test]
    async fn a_pool_without_threads_says_stopped() {
        let (pool, _) = pool(0, 4);
        assert_eq!(pool.run(SMALL, || ()).await, Err(PoolError::Stopped));
    }
}
