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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::TcpListener;

/// Bounds of one port.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Beyond it, connections wait in the kernel's backlog.
    pub connections_max: usize,
    /// A connection whose request head takes longer is closed.
    pub header_read_max: Duration,
    /// For how long after a stop connections are still taken, and each is closed only
    /// behind an answer. A client that sends something meanwhile is not cut off.
    pub linger: Duration,
    /// How long requests in progress may then take to end.
    pub drain_max: Duration,
}

/// How long to wait after a failed accept (no file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, lingers, then lets requests in progress finish within the limit.
///
/// `service_for` makes the service of one connection from the client's address.
pub async fn serve<F, S, B>(
    listener: TcpListener,
    limits: ServeLimits,
    stop: CancellationToken,
    service_for: F,
) where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let closing = CancellationToken::new();
    let serve_one = |(stream, client, slot): Accepted| {
        let service = Parting { inner: service_for(client), stop: stop.clone() };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_max)
            .serve_connection(TokioIo::new(stream), service);
        let closing = closing.clone();
        connections.spawn(async move {
            let _slot = slot;
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
        });
    };
    let lingering = async {
        stop.cancelled().await;
        tokio::time::sleep(limits.linger).await;
    };
    tokio::select! {
        () = lingering => {}
        () = accept_all(&listener, &slots, &serve_one) => {}
    }
    // Whoever waits in the backlog would be reset with the listener.
    let backlog = async {
        while let Ok(accepted) = accept(&listener, &slots).await {
            serve_one(accepted);
        }
    };
    let _ = tokio::time::timeout(Duration::ZERO, backlog).await;
    drop(listener);
    // They may not have been read from yet, and to close a connection of which nothing was
    // read is to cut its client off.
    tokio::time::sleep(limits.linger / 5).await;
    closing.cancel();
    connections.close();
    connections.wait().await;
}

/// Never ends.
///
/// # Cancel safety
/// Safe: see [`accept`].
async fn accept_all(listener: &TcpListener, slots: &Arc<Semaphore>, serve_one: &impl Fn(Accepted)) {
    loop {
        match accept(listener, slots).await {
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

/// # Cancel safety
/// Safe: a permit or a connection is lost only together with the loop that wanted it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, client) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, client, slot))
}
