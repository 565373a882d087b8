//! Processes: every task belongs to the process that spawned it. Killing one ends all its
//! tasks in one moment and drops what they held, as a kernel does; freezing one leaves
//! its sockets to the kernel and runs none of its tasks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle};

use super::random;
use crate::clock::{self, Instant};

#[derive(Default)]
struct Process {
    frozen: bool,
    /// Tasks that had something to do while it was frozen.
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    /// What its wall clock is ahead by, in milliseconds.
    clock_ahead_ms: i64,
}

thread_local! {
    static CURRENT: Cell<Option<IpAddr>> = const { Cell::new(None) };
    /// Polls in a thousand that are put off, so that tasks meet in ever other orders.
    static PUT_OFF: Cell<u64> = const { Cell::new(0) };
    /// Polls in the present moment.
    static POLLS: Cell<(Option<Instant>, u64)> = const { Cell::new((None, 0)) };
    static PROCESSES: RefCell<BTreeMap<IpAddr, Process>> = const { RefCell::new(BTreeMap::new()) };
}

/// Polls without any time passing: beyond it a task runs in a circle.
const POLLS_MAX: u64 = 500_000;
/// Handles of ended tasks are let go when there are so many.
const TASKS_KEPT: usize = 256;

pub(super) fn forget_all() {
    CURRENT.set(None);
    PUT_OFF.set(0);
    POLLS.set((None, 0));
    PROCESSES.take();
}

/// Of a thousand times that a task could run, it runs so many times later than others
/// that could too.
pub fn shuffle(per_thousand: u64) {
    PUT_OFF.set(per_thousand);
}

fn count_poll() {
    let now = Some(clock::now());
    let (at, polls) = POLLS.get();
    POLLS.set((now, if at == now { polls + 1 } else { 0 }));
    assert!(polls < POLLS_MAX, "a task runs in a circle: {polls} polls in one moment");
}

fn with<T>(host: IpAddr, change: impl FnOnce(&mut Process) -> T) -> T {
    PROCESSES.with_borrow_mut(|processes| change(processes.entry(host).or_default()))
}

/// The host whose process runs at present.
///
/// # Panics
/// Outside of a simulated process.
pub fn host() -> IpAddr {
    CURRENT.get().expect("a task of a simulated process")
}

/// Like [`host`], where it may be none.
pub fn try_host() -> Option<IpAddr> {
    CURRENT.get()
}

/// A future that runs as part of one process.
pub struct Hosted<F> {
    host: Option<IpAddr>,
    future: Pin<Box<F>>,
}

/// Makes `future` part of the process that runs at present.
pub fn hosted<F: Future>(future: F) -> Hosted<F> {
    Hosted { host: CURRENT.get(), future: Box::pin(future) }
}

/// Restores the process that ran before.
struct Entered(Option<IpAddr>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs `work` as part of `host`'s process.
pub fn enter<T>(host: IpAddr, work: impl FnOnce() -> T) -> T {
    let _entered = Entered(CURRENT.replace(Some(host)));
    work()
}

impl<F: Future> Future for Hosted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(host) = self.host else { return self.future.as_mut().poll(context) };
        let frozen = with(host, |process| {
            if process.frozen {
                process.waiting.push(context.waker().clone());
            }
            process.frozen
        });
        if frozen {
            return Poll::Pending;
        }
        count_poll();
        let put_off = PUT_OFF.get();
        if put_off > 0 && random::draw(|random| random.within(0..=999)) < put_off {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        enter(host, || self.future.as_mut().poll(context))
    }
}

/// Makes a spawned task end with the process that runs at present.
pub fn ends_with_process(task: AbortHandle) {
    if let Some(host) = CURRENT.get() {
        with(host, |process| {
            if process.tasks.len() >= TASKS_KEPT {
                process.tasks.retain(|task| !task.is_finished());
            }
            process.tasks.push(task);
        });
    }
}

/// Spawns a task of the process that runs at present.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[allow(clippy::disallowed_methods, reason = "what everything else spawns with")]
    let task = tokio::spawn(hosted(future));
    ends_with_process(task.abort_handle());
    task
}

/// Spawns a task of `host`'s process.
pub fn spawn_on<F>(host: IpAddr, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    enter(host, || spawn(future))
}

/// SIGKILL: none of its tasks runs again, and what they hold is dropped.
pub fn kill(host: IpAddr) {
    let (tasks, waiting) = with(host, |process| {
        process.frozen = false;
        (std::mem::take(&mut process.tasks), std::mem::take(&mut process.waiting))
    });
    tasks.iter().for_each(AbortHandle::abort);
    waiting.into_iter().for_each(Waker::wake);
}

/// SIGSTOP.
pub fn freeze(host: IpAddr) {
    with(host, |process| process.frozen = true);
}

/// SIGCONT: everything that fell due meanwhile happens now.
pub fn thaw(host: IpAddr) {
    let waiting = with(host, |process| {
        process.frozen = false;
        std::mem::take(&mut process.waiting)
    });
    waiting.into_iter().for_each(Waker::wake);
}

/// Sets a host's wall clock ahead (or back) of the simulation's; its monotonic clock goes on.
pub fn set_clock(host: IpAddr, ahead_ms: i64) {
    with(host, |process| process.clock_ahead_ms = ahead_ms);
}

/// How far the present process's wall clock is ahead, in milliseconds.
pub fn clock_ahead_ms() -> i64 {
    CURRENT.get().map_or(0, |host| with(host, |process| process.clock_ahead_ms))
}
