//! A network of TCP as the node sees it: what a kernel answers for a process, and what it
//! does not when it is gone too.
//!
//! | the host | a dial | an open connection |
//! |---|---|---|
//! | listens | accepted by the kernel, even while the process is frozen | |
//! | process killed | refused | ends |
//! | powered off, or the link is cut | no answer | silent; what was sent goes out again later |
//! | powered on again | | reset, once something is sent |
//!
//! A lost segment is a late one, for the kernel sends it again; so is everything behind it.

mod faults;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub use self::faults::{cut, mend, passes, power_off, power_on, set_default_quality, set_quality};
use super::{process, random};
use crate::clock::{self, Instant};

/// Bytes under way or unread in one direction; beyond it the writer waits.
const WINDOW_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted; beyond it the kernel drops the dial.
const BACKLOG_MAX: usize = 1024;
/// The least time until a lost segment is sent again.
const RESEND_MS: u64 = 200;
const FIRST_EPHEMERAL_PORT: u16 = 40_000;

/// One direction between two hosts.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// A segment takes between these, in milliseconds.
    pub delay_ms: (u64, u64),
    /// Segments in a hundred that are lost at first.
    pub loss_percent: u64,
}

impl Default for Quality {
    fn default() -> Self {
        Self { delay_ms: (0, 1), loss_percent: 0 }
    }
}

#[derive(Default)]
struct Link {
    quality: Quality,
    /// Since when nothing passes.
    cut: Option<Instant>,
}

#[derive(Default)]
struct Kernel {
    off: bool,
    /// Raised at each start of the machine: connections from before are unknown to it.
    boot: u64,
    listeners: BTreeMap<u16, Arc<Mutex<Backlog>>>,
    ports_given: u16,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(TcpStream, SocketAddr)>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Net {
    kernels: BTreeMap<IpAddr, Kernel>,
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    pipes: Vec<Weak<Mutex<Pipe>>>,
    /// Dials that wait for a way.
    dialling: Vec<Waker>,
    quality: Quality,
}

thread_local! {
    static NET: RefCell<Net> = RefCell::new(Net::default());
}

pub(super) fn forget_all() {
    NET.take();
}

fn with<T>(change: impl FnOnce(&mut Net) -> T) -> T {
    NET.with_borrow_mut(change)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

#[derive(Debug)]
enum Segment {
    Data(Bytes),
    Fin,
    Reset,
}

/// One direction of one connection.
struct Pipe {
    from: (IpAddr, u64),
    to: (IpAddr, u64),
    /// With when each arrives; `None`: when its link is mended.
    queue: VecDeque<(Option<Instant>, Segment)>,
    bytes: usize,
    last: Option<Instant>,
    closed_by_reader: bool,
    finished: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    back: Weak<Mutex<Pipe>>,
}

impl Net {
    fn kernel(&mut self, host: IpAddr) -> &mut Kernel {
        self.kernels.entry(host).or_default()
    }

    fn link(&mut self, from: IpAddr, to: IpAddr) -> &mut Link {
        let quality = self.quality;
        self.links.entry((from, to)).or_insert(Link { quality, cut: None })
    }

    /// When a segment sent now arrives; `None` where nothing passes.
    fn arrival(&mut self, from: IpAddr, to: IpAddr) -> Option<Instant> {
        if self.kernel(to).off {
            return None;
        }
        let link = self.link(from, to);
        if link.cut.is_some() {
            return None;
        }
        let (shortest, longest) = link.quality.delay_ms;
        let loss = link.quality.loss_percent;
        let ms = random::draw(|random| {
            let lost = if random.chance(loss) { RESEND_MS } else { 0 };
            random.within(shortest..=longest) + lost
        });
        Some(clock::now() + Duration::from_millis(ms))
    }

    fn passes(&mut self, from: IpAddr, to: IpAddr) -> bool {
        !self.kernel(from).off && !self.kernel(to).off && self.link(from, to).cut.is_none()
    }

    /// The pipes that are still held by somebody.
    fn live_pipes(&mut self) -> Vec<Arc<Mutex<Pipe>>> {
        self.pipes.retain(|pipe| pipe.strong_count() > 0);
        self.pipes.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Puts a segment on its way.
fn send(pipe: &Arc<Mutex<Pipe>>, segment: Segment) {
    let (from, to) = {
        let pipe = lock(pipe);
        (pipe.from, pipe.to)
    };
    let (gone, forgotten, arrival) = with(|net| {
        let gone = net.kernel(from.0).off || net.kernel(from.0).boot != from.1;
        let forgotten = !net.kernel(to.0).off && net.kernel(to.0).boot != to.1;
        (gone, forgotten, net.arrival(from.0, to.0))
    });
    if gone {
        return;
    }
    let (back, refused) = {
        let mut pipe = lock(pipe);
        let refused = arrival.is_some() && (forgotten || pipe.closed_by_reader);
        if !refused {
            let arrival = arrival.map(|at| pipe.last.map_or(at, |last| at.max(last)));
            // Behind what waits for its link nothing arrives earlier.
            let arrival =
                if pipe.queue.iter().any(|(at, _)| at.is_none()) { None } else { arrival };
            if let Segment::Data(bytes) = &segment {
                pipe.bytes += bytes.len();
            }
            pipe.last = arrival.or(pipe.last);
            pipe.queue.push_back((arrival, segment));
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
        (pipe.back.upgrade(), refused)
    };
    if refused && let Some(back) = back {
        answer_with_reset(&back);
    }
}

/// The kernel at the other end knows no such connection.
fn answer_with_reset(back: &Arc<Mutex<Pipe>>) {
    let (from, to) = {
        let back = lock(back);
        (back.from.0, back.to.0)
    };
    let Some(arrival) = with(|net| net.arrival(from, to)) else { return };
    let mut back = lock(back);
    back.queue.clear();
    back.queue.push_back((Some(arrival), Segment::Reset));
    if let Some(reader) = back.reader.take() {
        reader.wake();
    }
}

/// A connection.
pub struct TcpStream {
    read: Arc<Mutex<Pipe>>,
    write: Arc<Mutex<Pipe>>,
    arriving: Option<Pin<Box<Sleep>>>,
    broken: bool,
}

impl TcpStream {
    /// Dials `addr`, which must be an IP address and a port.
    ///
    /// # Errors
    /// Refused by the other kernel.
    ///
    /// # Cancel safety
    /// Safe: nothing is left behind.
    pub async fn connect(addr: String) -> io::Result<Self> {
        let addr: SocketAddr = addr.parse().map_err(io::Error::other)?;
        let (from, to) = (process::host(), addr.ip());
        loop {
            await_way(from, to).await;
            let (there, back) = with(|net| (net.arrival(from, to), net.arrival(to, from)));
            let (Some(there), Some(back)) = (there, back) else { continue };
            tokio::time::sleep_until(there + (back - clock::now())).await;
            let listener = with(|net| {
                let way = net.passes(from, to) && net.passes(to, from);
                way.then(|| net.kernel(to).listeners.get(&addr.port()).cloned())
            });
            let Some(listener) = listener else { continue };
            let Some(backlog) = listener else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            if lock(&backlog).waiting.len() >= BACKLOG_MAX {
                super::pass(Duration::from_millis(RESEND_MS)).await;
                continue;
            }
            let (here, there, port) = pair(from, to);
            let mut backlog = lock(&backlog);
            backlog.waiting.push_back((there, SocketAddr::new(from, port)));
            if let Some(waker) = backlog.waker.take() {
                waker.wake();
            }
            return Ok(here);
        }
    }

    /// Nothing is ever delayed here to fill a segment.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "as tokio's")]
    pub fn set_nodelay(&self, _nodelay: bool) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until both directions pass.
async fn await_way(from: IpAddr, to: IpAddr) {
    let mut waited = false;
    poll_fn(|context| {
        with(|net| {
            if net.passes(from, to) && net.passes(to, from) {
                return Poll::Ready(());
            }
            waited = true;
            net.dialling.push(context.waker().clone());
            Poll::Pending
        })
    })
    .await;
    if waited {
        let wait = random::draw(|random| random.within(1..=RESEND_MS));
        super::pass(Duration::from_millis(wait)).await;
    }
}

/// The two ends of a new connection, and the port of the first.
fn pair(from: IpAddr, to: IpAddr) -> (TcpStream, TcpStream, u16) {
    with(|net| {
        let ends = ((from, net.kernel(from).boot), (to, net.kernel(to).boot));
        let kernel = net.kernel(from);
        kernel.ports_given = kernel.ports_given.wrapping_add(1) % 20_000;
        let port = FIRST_EPHEMERAL_PORT + kernel.ports_given;
        let pipe = |from, to, back| {
            Mutex::new(Pipe {
                from,
                to,
                queue: VecDeque::new(),
                bytes: 0,
                last: None,
                closed_by_reader: false,
                finished: false,
                reader: None,
                writer: None,
                back,
            })
        };
        let there = Arc::new(pipe(ends.0, ends.1, Weak::new()));
        let back = Arc::new(pipe(ends.1, ends.0, Arc::downgrade(&there)));
        lock(&there).back = Arc::downgrade(&back);
        if net.pipes.len() > 4096 {
            net.pipes.retain(|pipe| pipe.strong_count() > 0);
        }
        net.pipes.extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
        let end = |read: &Arc<_>, write: &Arc<_>| TcpStream {
            read: Arc::clone(read),
            write: Arc::clone(write),
            arriving: None,
            broken: false,
        };
        (end(&back, &there), end(&there, &back), port)
    })
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.broken {
            return Poll::Ready(Err(reset()));
        }
        loop {
            let mut pipe = lock(&this.read);
            if pipe.finished {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(context.waker().clone());
            let at = match pipe.queue.front() {
                None | Some((None, _)) => return Poll::Pending,
                Some((Some(at), _)) => *at,
            };
            if at > clock::now() {
                drop(pipe);
                let arriving = this.arriving.insert(Box::pin(tokio::time::sleep_until(at)));
                match arriving.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => continue,
                }
            }
            let Some((at, segment)) = pipe.queue.pop_front() else { return Poll::Pending };
            match segment {
                Segment::Reset => {
                    drop(pipe);
                    this.broken = true;
                    return Poll::Ready(Err(reset()));
                }
                Segment::Fin => {
                    pipe.finished = true;
                    return Poll::Ready(Ok(()));
                }
                Segment::Data(mut bytes) => {
                    let taken = bytes.len().min(buffer.remaining());
                    buffer.put_slice(&bytes[..taken]);
                    bytes.advance(taken);
                    pipe.bytes -= taken;
                    if !bytes.is_empty() {
                        pipe.queue.push_front((at, Segment::Data(bytes)));
                    }
                    if let Some(writer) = pipe.writer.take() {
                        writer.wake();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        {
            let mut pipe = lock(&self.write);
            if pipe.bytes >= WINDOW_BYTES {
                pipe.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        send(&self.write, Segment::Data(Bytes::copy_from_slice(bytes)));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        send(&self.write, Segment::Fin);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        lock(&self.read).closed_by_reader = true;
        if !self.broken {
            send(&self.write, Segment::Fin);
        }
    }
}

/// A port that is listened on. The kernel accepts; the process takes what it accepted.
pub struct TcpListener {
    addr: SocketAddr,
    boot: u64,
    backlog: Arc<Mutex<Backlog>>,
}

impl TcpListener {
    /// # Errors
    /// The port is in use.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let backlog: Arc<Mutex<Backlog>> = Arc::default();
        let boot = with(|net| {
            let kernel = net.kernel(addr.ip());
            if kernel.listeners.contains_key(&addr.port()) {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            kernel.listeners.insert(addr.port(), Arc::clone(&backlog));
            Ok(kernel.boot)
        })?;
        Ok(Self { addr, boot, backlog })
    }

    /// # Errors
    /// None.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// # Errors
    /// None.
    ///
    /// # Cancel safety
    /// Safe: a connection stays in the backlog until it is taken.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| {
            let mut backlog = lock(&self.backlog);
            match backlog.waiting.pop_front() {
                Some(accepted) => Poll::Ready(Ok(accepted)),
                None => {
                    backlog.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        with(|net| {
            let kernel = net.kernel(self.addr.ip());
            if kernel.boot == self.boot {
                kernel.listeners.remove(&self.addr.port());
            }
        });
        // What nobody took ends, outside of the lock that it is kept under.
        let waiting = std::mem::take(&mut lock(&self.backlog).waiting);
        drop(waiting);
    }
}
