//! Opening one HTTP/1.1 connection, with a deadline and no hidden pool.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::TcpStream;
use crate::rt::RaftRt;

/// A request body: whole, or streamed.
pub type Body = BoxBody<Bytes, io::Error>;

/// Why a connection could not be opened. The detector tells them apart: a refusal is
/// the answer of a living kernel without the process, silence proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("connection refused")]
    Refused,
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{0}")]
    Other(io::Error),
}

/// Opens a connection to `addr` (`HOST:PORT`; a name is resolved off the runtime).
///
/// # Errors
/// See [`DialError`].
pub async fn connect(addr: &str, within: Duration) -> Result<TcpStream, DialError> {
    let connecting = TcpStream::connect(addr.to_owned());
    let stream = match tokio::time::timeout(within, connecting).await {
        Err(_) => return Err(DialError::Timeout(within)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(DialError::Refused);
        }
        Ok(Err(error)) => return Err(DialError::Other(error)),
        Ok(Ok(stream)) => stream,
    };
    // Small messages must not wait for each other (Nagle, RFC 896).
    stream.set_nodelay(true).map_err(DialError::Other)?;
    Ok(stream)
}

/// Opens a connection that speaks HTTP/1.1. It closes when the sender is dropped.
///
/// # Errors
/// See [`DialError`].
pub async fn http(
    rt: &RaftRt,
    addr: &str,
    within: Duration,
) -> Result<SendRequest<Body>, DialError> {
    let stream = connect(addr, within).await?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| DialError::Other(io::Error::other(error)))?;
    rt.spawn_until_stop("peer connection", async move {
        if let Err(error) = connection.await {
            tracing::trace!(cause = %error, "peer connection ended");
        }
    });
    Ok(sender)
}
