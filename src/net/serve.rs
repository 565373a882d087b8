//! An accept loop that drives one HTTP/1.1 service over every connection.
//!
//! Ours rather than warp's, because warp takes no listener of another kind, and a
//! simulated network is one. Both ports use it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
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
    /// How long requests in progress may take to end after a stop.
    pub drain_max: Duration,
}

/// How long to wait after a failed accept (no file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets requests in progress finish within the limit.
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
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, client, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_max)
            .serve_connection(TokioIo::new(stream), service_for(client));
        let stop = stop.clone();
        let conversation = async move {
            let _slot = slot;
            let mut connection = std::pin::pin!(connection);
            let result = tokio::select! {
                result = connection.as_mut() => result,
                () = stop.cancelled() => {
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
    }
    connections.close();
    connections.wait().await;
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
