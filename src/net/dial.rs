//! Opening one HTTP/1.1 connection, with a deadline and no hidden pool.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::TcpStream;
use super::secured::{self, Untrusted};
use crate::ident::NodeName;
use crate::rt::RaftRt;
use crate::trust::PeerTrust;

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
    /// Somebody is there, and is not who was meant or does not know us. In words that follow its
    /// address.
    #[error("{0}")]
    Untrusted(String),
    #[error("{0}")]
    Other(io::Error),
}

impl From<Untrusted> for DialError {
    fn from(error: Untrusted) -> Self {
        match error {
            Untrusted::Said(words) => Self::Untrusted(words),
            Untrusted::Broke(error) => Self::Other(error),
        }
    }
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

/// Opens a connection to a peer that speaks HTTP/1.1, behind whatever handshake `trust` asks for,
/// with the node `expected`, where that is known. It closes when the sender is dropped.
///
/// # Errors
/// See [`DialError`].
pub async fn http(
    rt: &RaftRt,
    addr: &str,
    within: Duration,
    trust: &PeerTrust,
    expected: Option<&NodeName>,
) -> Result<SendRequest<Body>, DialError> {
    let stream = connect(addr, within).await?;
    let shaking = secured::outgoing(stream, trust, expected);
    let shaken = tokio::time::timeout(within, shaking).await;
    let stream = shaken.map_err(|_| DialError::Timeout(within))??;
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
