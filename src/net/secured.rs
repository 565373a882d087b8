//! What lies between a socket and HTTP: nothing, TLS, or the cluster's secret; and the handshakes
//! that come first.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::TcpStream;
use super::sealed::{self, SealedStream};
use crate::ident::NodeName;
use crate::trust::{PeerTrust, Proven, Tls, words};

/// A connection after its handshake.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Sealed(Box<SealedStream>),
}

/// The other side is not who it should be, or cannot show it.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// In words that follow its name.
    #[error("{0}")]
    Said(String),
    /// The connection broke on the way.
    #[error(transparent)]
    Broke(#[from] io::Error),
}

impl Untrusted {
    pub(super) fn says(words: &str) -> Self {
        Self::Said(words.to_owned())
    }

    /// Where TLS says what is wrong, in its words.
    fn of(error: io::Error) -> Self {
        match words::of(&error) {
            Some(words) => Self::Said(words),
            None => Self::Broke(error),
        }
    }
}

/// What a port asks of those who connect.
#[derive(Debug, Clone)]
pub enum Guard {
    /// The client port, with TLS where the node has certificates.
    Clients(Option<Tls>),
    /// The Raft port.
    Peers(PeerTrust),
}

/// Sent to whoever speaks plain HTTP to a port that does not. Read by people.
fn advice(guard: &Guard) -> &'static str {
    match guard {
        Guard::Clients(_) => {
            "this port speaks TLS: write https:// before the address, and name the CA's \
             certificate (stegcluster: --ca FILE, curl: --cacert FILE)"
        }
        Guard::Peers(PeerTrust::Secret(_)) => {
            "this is a Raft port, and its node asks for the cluster's secret: set secret_file on \
             every node; clients use the client port"
        }
        Guard::Peers(_) => {
            "this is a Raft port, and it speaks TLS: set tls.ca, tls.cert and tls.key on every \
             node; clients use the client port"
        }
    }
}

/// Shakes hands with whom `stream` leads to. `expected` is the node that it must be, where that
/// is known.
///
/// # Errors
/// See [`Untrusted`].
pub(super) async fn outgoing(
    stream: TcpStream,
    trust: &PeerTrust,
    expected: Option<&NodeName>,
) -> Result<Stream, Untrusted> {
    let tls = match trust {
        PeerTrust::Open => return Ok(Stream::Plain(stream)),
        PeerTrust::Secret(secret) => {
            return sealed::outgoing(stream, secret).await.map(|s| Stream::Sealed(Box::new(s)));
        }
        PeerTrust::Tls(tls) => tls,
    };
    // Not sent, and not looked at: nodes are known by another name.
    let nobody = ServerName::try_from("node.stegcluster.invalid").expect("it is a DNS name");
    let connector = TlsConnector::from(tls.peer_client());
    let stream = connector.connect(nobody, stream).await.map_err(Untrusted::of)?;
    if let Some(expected) = expected {
        let names = Tls::names(stream.get_ref().1.peer_certificates());
        if !names.contains(expected) {
            let names: Vec<&str> = names.iter().map(NodeName::as_str).collect();
            let names = names.join(", ");
            return Err(Untrusted::Said(format!(
                "its certificate is for {names}, not for {expected}"
            )));
        }
    }
    Ok(Stream::Tls(Box::new(stream.into())))
}

/// Shakes hands with whoever connected, and says what names that proved.
///
/// # Errors
/// See [`Untrusted`]. Who spoke plain HTTP was told what to do instead.
pub(super) async fn incoming(
    stream: TcpStream,
    guard: &Guard,
) -> Result<(Stream, Proven), Untrusted> {
    let config = match guard {
        Guard::Clients(None) | Guard::Peers(PeerTrust::Open) => {
            return Ok((Stream::Plain(stream), None));
        }
        Guard::Clients(Some(tls)) => tls.client_server(),
        Guard::Peers(PeerTrust::Tls(tls)) => tls.peer_server(),
        Guard::Peers(PeerTrust::Secret(secret)) => {
            if first_byte(&stream).await? != sealed::HELLO {
                return Err(turn_away(stream, guard).await);
            }
            let stream = sealed::incoming(stream, secret).await?;
            return Ok((Stream::Sealed(Box::new(stream)), None));
        }
    };
    /// Of every TLS connection (RFC 8446 section 5.1): a record with a handshake.
    const HANDSHAKE: u8 = 0x16;
    if first_byte(&stream).await? != HANDSHAKE {
        return Err(turn_away(stream, guard).await);
    }
    let stream = accept(stream, config).await?;
    let proven = match guard {
        Guard::Clients(_) => None,
        Guard::Peers(_) => Some(Tls::names(stream.get_ref().1.peer_certificates())),
    };
    Ok((Stream::Tls(Box::new(stream)), proven))
}

async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<TcpStream>, Untrusted> {
    let accepting = TlsAcceptor::from(config).accept(stream);
    accepting.await.map(TlsStream::from).map_err(Untrusted::of)
}

/// Looks at the first byte without taking it.
#[cfg(not(sim))]
async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut byte = [0];
    match stream.peek(&mut byte).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}

/// In simulation nodes are open to each other: no port asks.
#[cfg(sim)]
async fn first_byte(_stream: &TcpStream) -> io::Result<u8> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Answers somebody who speaks something else; where that is HTTP, in HTTP.
async fn turn_away(stream: TcpStream, guard: &Guard) -> Untrusted {
    let mut stream = stream;
    let byte = first_byte(&stream).await.unwrap_or(0);
    if !byte.is_ascii_uppercase() {
        return Untrusted::says("it speaks neither HTTP nor what this port asks for");
    }
    let advice = advice(guard);
    let body = match guard {
        Guard::Clients(_) => {
            let problem =
                crate::api::problem::Problem::new(crate::api::problem::Code::BadRequest, advice);
            serde_json::to_string(&problem).unwrap_or_default()
        }
        Guard::Peers(_) => advice.to_owned(),
    };
    let (status, kind) = match guard {
        Guard::Clients(_) => ("400 Bad Request", "application/json"),
        Guard::Peers(_) => ("403 Forbidden", "text/plain"),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever has hung up needs no advice.
    let _ = stream.write_all(answer.as_bytes()).await;
    discard(&mut stream).await;
    Untrusted::says("it speaks plain HTTP")
}

/// Reads some of what else was sent: to close a connection with bytes unread is to reset it, and
/// the answer may be lost with it.
async fn discard(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt as _;
    const BYTES_MAX: u64 = 64 * 1024;

    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut stream.take(BYTES_MAX), &mut tokio::io::sink()).await;
}

macro_rules! each {
    ($stream:expr, $inner:ident => $do:expr) => {
        match $stream.get_mut() {
            Stream::Plain($inner) => $do,
            Stream::Tls($inner) => {
                let $inner = &mut **$inner;
                $do
            }
            Stream::Sealed($inner) => {
                let $inner = &mut **$inner;
                $do
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            // It would write the first part alone; hyper then joins them before.
            Self::Sealed(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
