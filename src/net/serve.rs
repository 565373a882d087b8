//! An accept loop that drives one HTTP/1.1 service over every connection.
//!
//! Ours rather than warp's, because warp takes no listener of another kind, and a
//! simulated network is one. Both ports use it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::TcpListener;
use super::crowd::{Crowd, Crowded};
use super::gate::{Gate, Hearing};
use super::pace::Paced;
use super::refusals::Refusals;
use super::secured::{self, Guard, Stream, Untrusted};
use crate::limits::{self, HANDSHAKE_MAX, Pace};
use crate::trust::{PeerTrust, Proven};

/// Bounds of one port.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Beyond it, a connection is answered that there is no place for it, and closed.
    pub connections_max: usize,
    /// The same for connections from one address.
    pub connections_per_client_max: usize,
    /// Of each connection, for what comes and for what goes.
    pub buffer_bytes: usize,
    /// A connection whose next request head takes longer is closed, an idle one too.
    pub header_read_max: Duration,
    /// A connection that takes answers more slowly is closed.
    pub write_pace: Option<Pace>,
    /// For how long after a stop connections are still taken, and each is closed only
    /// behind an answer. A client that sends something meanwhile is not cut off.
    pub linger: Duration,
    /// How long requests in progress may then take to end.
    pub drain_max: Duration,
}

impl ServeLimits {
    /// Two lengths of one body that differ are answered with 400, and a length beside
    /// `Transfer-Encoding` does not count (RFC 9112, section 6.3).
    fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.header_read_max)
            .max_header_size(limits::HEAD_BYTES_MAX)
            .max_headers(limits::HEADERS_MAX)
            .max_buf_size(self.buffer_bytes);
        http
    }
}

/// How long to wait after a failed accept (no file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are being told that there is no place. Beyond it they wait in the backlog.
const REFUSALS_MAX: usize = 64;
/// How long telling one of them may take.
const REFUSAL_MAX: Duration = Duration::from_secs(1);

/// Who opened a connection.
#[derive(Debug, Clone)]
pub struct Caller {
    pub addr: SocketAddr,
    /// On a Raft port with TLS: the nodes that its certificate names.
    pub proven: Proven,
}

/// Serves until `stop`, lingers, then lets requests in progress finish within the limit.
///
/// `service_for` makes the service of one connection once the caller has shown what `guard` asks
/// for. While `gate`, if there is one, is deaf, nobody listens.
pub async fn serve<F, S, B>(
    listener: TcpListener,
    gate: Option<&Gate>,
    guard: Guard,
    limits: ServeLimits,
    stop: CancellationToken,
    service_for: F,
) where
    F: Fn(Caller) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let slots = Arc::new(Semaphore::new(limits.connections_max + REFUSALS_MAX));
    let crowd = Crowd::new(limits.connections_max, limits.connections_per_client_max);
    let connections = TaskTracker::new();
    let mut ear = Ear::new(listener, gate);
    let closing = CancellationToken::new();
    let (service_for, door) = (Arc::new(service_for), Arc::new(Door::new(guard)));
    let serve_one = |(stream, client, slot): Accepted| {
        let place = match crowd.enter(client.ip()) {
            Ok(place) => place,
            Err(crowded) => {
                // Over TLS nothing can be said before the handshake, and that is what costs.
                if door.is_plain() {
                    turn_away(&connections, (stream, client, slot), crowded);
                }
                return;
            }
        };
        let (service_for, door, stop) = (Arc::clone(&service_for), Arc::clone(&door), stop.clone());
        let (closing, http, pace) = (closing.clone(), limits.http(), limits.write_pace);
        let conversation = async move {
            let _held = (slot, place);
            let Some((stream, proven)) = door.let_in(stream, client, &closing).await else {
                return;
            };
            let inner = service_for(Caller { addr: client, proven });
            let stream = TokioIo::new(Paced::new(stream, pace));
            let connection = http.serve_connection(stream, Parting { inner, stop });
            let mut connection = std::pin::pin!(connection);
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = closing.cancelled() => {
                    // Finishes the request in progress, then closes.
                    connection.as_mut().graceful_shutdown();
                    match tokio::time::timeout(limits.drain_max, connection).await {
                        Ok(result) => result,
                        Err(_) => return,
                    }
                }
            };
            if let Err(error) = result {
                tracing::trace!(%client, cause = %error, "connection ended");
            }
        };
        #[cfg(sim)]
        let conversation = crate::sim::process::hosted(conversation);
        let _task = connections.spawn(conversation);
        #[cfg(sim)]
        crate::sim::process::ends_with_process(_task.abort_handle());
    };
    let lingering = async {
        stop.cancelled().await;
        tokio::time::sleep(limits.linger).await;
    };
    tokio::select! {
        () = lingering => {}
        () = accept_all(&mut ear, &slots, &serve_one) => {}
    }
    // Whoever waits in the backlog would be reset with the listener.
    let backlog = async {
        while let Ok(accepted) = ear.accept(&slots).await {
            serve_one(accepted);
        }
    };
    let _ = tokio::time::timeout(Duration::ZERO, backlog).await;
    drop(ear);
    // They may not have been read from yet, and to close a connection of which nothing was
    // read is to cut its client off.
    tokio::time::sleep(limits.linger / 5).await;
    closing.cancel();
    connections.close();
    connections.wait().await;
}

/// Says that there is no place.
fn turn_away(connections: &TaskTracker, (stream, client, slot): Accepted, crowded: Crowded) {
    tracing::debug!(%client, ?crowded, "no place for a connection");
    let telling = async move {
        let _slot = slot;
        let _ = tokio::time::timeout(REFUSAL_MAX, refuse(stream, crowded)).await;
    };
    #[cfg(sim)]
    let telling = crate::sim::process::hosted(telling);
    let _task = connections.spawn(telling);
    #[cfg(sim)]
    crate::sim::process::ends_with_process(_task.abort_handle());
}

/// Closes only behind what the client has sent: to close before it is to cut the client off
/// from the answer.
async fn refuse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    crowded: Crowded,
) -> std::io::Result<()> {
    let (status, error) = match crowded {
        Crowded::All => ("503 Service Unavailable", "all connections of this node are in use"),
        Crowded::Client => ("429 Too Many Requests", "too many connections from this address"),
    };
    let body = format!("{{\"error\":\"{error}; try again shortly\",\"code\":\"busy\"}}");
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Where callers show who they are.
struct Door {
    guard: Guard,
    refusals: Refusals,
}

impl Door {
    fn new(guard: Guard) -> Self {
        Self { guard, refusals: Refusals::default() }
    }

    /// Callers are heard without a handshake.
    fn is_plain(&self) -> bool {
        matches!(self.guard, Guard::Clients(None) | Guard::Peers(PeerTrust::Open))
    }

    /// `None`: turned away.
    async fn let_in(
        &self,
        stream: super::TcpStream,
        client: SocketAddr,
        closing: &CancellationToken,
    ) -> Option<(Stream, Proven)> {
        let shaking = tokio::time::timeout(HANDSHAKE_MAX, secured::incoming(stream, &self.guard));
        let shaken = tokio::select! {
            biased;
            shaken = shaking => shaken,
            () = closing.cancelled() => return None,
        };
        let late = || Untrusted::Broke(std::io::ErrorKind::TimedOut.into());
        match shaken.unwrap_or_else(|_| Err(late())) {
            Ok(shaken) => Some(shaken),
            Err(error) => {
                self.refusals.tell(&self.guard, client, &error);
                None
            }
        }
    }
}

/// Never ends.
///
/// # Cancel safety
/// Safe: see [`accept`].
async fn accept_all(ear: &mut Ear, slots: &Arc<Semaphore>, serve_one: &impl Fn(Accepted)) {
    loop {
        match ear.accept(slots).await {
            Ok(accepted) => serve_one(accepted),
            Err(error) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Once `stop` is cancelled, each answer says that the connection closes behind it.
struct Parting<S> {
    inner: S,
    stop: CancellationToken,
}

impl<S, B> Service<Request<Incoming>> for Parting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.inner.call(request);
        let stop = self.stop.clone();
        Box::pin(async move {
            let mut response = answer.await?;
            if stop.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    }
}

type Accepted = (super::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// A listener that is closed while its gate is deaf.
struct Ear {
    listener: Option<TcpListener>,
    hearing: Option<Hearing>,
}

impl Ear {
    fn new(listener: TcpListener, gate: Option<&Gate>) -> Self {
        // A socket that does not know its address cannot be opened again, so it stays open.
        let hearing = gate.zip(listener.local_addr().ok()).map(|(gate, addr)| gate.hearing(addr));
        Self { listener: Some(listener), hearing }
    }

    /// # Cancel safety
    /// Safe, as [`accept`] is.
    async fn accept(&mut self, slots: &Arc<Semaphore>) -> std::io::Result<Accepted> {
        loop {
            match &self.hearing {
                // Closed, so that the kernel refuses; what it had not handed over is reset.
                Some(hearing) if hearing.is_deaf() => self.listener = None,
                Some(hearing) if self.listener.is_none() => {
                    self.listener = Some(super::bind(hearing.addr).await?);
                }
                _ => {}
            }
            tokio::select! {
                () = changed(self.hearing.as_mut()) => {}
                accepted = accept_at(self.listener.as_ref(), slots) => return accepted,
            }
        }
    }
}

async fn changed(hearing: Option<&mut Hearing>) {
    match hearing {
        Some(hearing) => hearing.changed().await,
        None => std::future::pending().await,
    }
}

async fn accept_at(
    listener: Option<&TcpListener>,
    slots: &Arc<Semaphore>,
) -> std::io::Result<Accepted> {
    match listener {
        Some(listener) => accept(listener, slots).await,
        None => std::future::pending().await,
    }
}

/// # Cancel safety
/// Safe: a permit or a connection is lost only together with the loop that wanted it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, client) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, client, slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TcpStream;

    #[tokio::test]
    async fn a_deaf_listener_refuses_keeps_what_is_open_and_hears_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, gate) = (listener.local_addr().unwrap(), Gate::default());
        let (mut ear, slots) = (Ear::new(listener, Some(&gate)), Arc::new(Semaphore::new(8)));
        let first = TcpStream::connect(addr).await.unwrap();
        let (accepted, ..) = ear.accept(&slots).await.unwrap();

        gate.deafen();
        let deaf = async {
            while TcpStream::connect(addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            heard = ear.accept(&slots) => panic!("heard {heard:?}"),
            () = deaf => {}
        }
        accepted.writable().await.unwrap();
        accepted.try_write(b"x").unwrap();
        first.readable().await.unwrap();
        assert_eq!(first.try_read(&mut [0; 2]).unwrap(), 1);

        gate.open();
        let again = async {
            while TcpStream::connect(addr).await.is_err() {
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            heard = ear.accept(&slots) => drop(heard.unwrap()),
            () = again => {}
        }
    }
}
