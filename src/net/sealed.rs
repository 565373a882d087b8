//! A stream between two nodes that know the cluster's secret. On the wire: one byte and the first
//! message of the handshake, one byte and the second, then frames, each a length (2 bytes, big
//! endian) and so many bytes sealed by [`Seal`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::TcpStream;
use super::secured::Untrusted;
use crate::trust::ClusterSecret;
use crate::trust::secret::{Seal, Shaking};

/// First byte of a dial. No HTTP request and no TLS handshake begins with it.
pub(super) const HELLO: u8 = 0x01;
/// First byte of the answer: the caller knows the secret.
const WELCOME: u8 = 0x02;
/// It does not, and nothing follows.
const WRONG: u8 = 0x03;
/// Content of one frame, at most. Much larger messages are pictures, which nodes do not exchange.
const CONTENT_MAX: usize = 16 * 1024;
const SEALED_MAX: usize = CONTENT_MAX + Seal::TAG_BYTES;
const LENGTH_BYTES: usize = 2;

/// Shakes hands with a node that was dialled.
pub(super) async fn outgoing(
    stream: TcpStream,
    secret: &ClusterSecret,
) -> Result<SealedStream, Untrusted> {
    let mut stream = stream;
    let mut shaking = secret.shake(true);
    stream.write_u8(HELLO).await?;
    stream.write_all(&shaking.say()).await?;
    stream.flush().await?;
    match stream.read_u8().await {
        Ok(WELCOME) => {}
        Ok(WRONG) => return Err(Untrusted::says("it has another cluster secret (secret_file)")),
        // It speaks HTTP, and found our first byte no request.
        Ok(b'H') => return Err(Untrusted::says("it has no cluster secret (secret_file)")),
        // An alert of TLS.
        Ok(0x15) => return Err(Untrusted::says("it asks for TLS, and this node has no tls.cert")),
        Ok(_) => return Err(Untrusted::says("it does not answer as a node with a secret does")),
        // A node without TLS or secret may also just close.
        Err(error) => return Err(error.into()),
    }
    let mut answer = [0; Shaking::MESSAGE_BYTES];
    stream.read_exact(&mut answer).await?;
    let wrong = |error: crate::trust::secret::WrongSecret| Untrusted::Said(error.to_string());
    shaking.hear(&answer).map_err(wrong)?;
    Ok(SealedStream::new(stream, shaking.finish().map_err(wrong)?))
}

/// Answers a node that dialled; its first byte was [`HELLO`] and is still unread.
pub(super) async fn incoming(
    stream: TcpStream,
    secret: &ClusterSecret,
) -> Result<SealedStream, Untrusted> {
    let mut stream = stream;
    let mut shaking = secret.shake(false);
    let mut hello = [0; 1 + Shaking::MESSAGE_BYTES];
    stream.read_exact(&mut hello).await?;
    let message = hello[1..].try_into().expect("a hello is one byte and a message");
    if shaking.hear(&message).is_err() {
        stream.write_u8(WRONG).await?;
        stream.shutdown().await?;
        return Err(Untrusted::says("it has another cluster secret (secret_file)"));
    }
    let mut answer = [WELCOME; 1 + Shaking::MESSAGE_BYTES];
    answer[1..].copy_from_slice(&shaking.say());
    stream.write_all(&answer).await?;
    stream.flush().await?;
    let seal = shaking.finish().map_err(|error| Untrusted::Said(error.to_string()))?;
    Ok(SealedStream::new(stream, seal))
}

/// See the module.
pub struct SealedStream {
    stream: TcpStream,
    seal: Seal,
    /// A frame on its way in, with its length; `read` bytes of it are there.
    incoming: Vec<u8>,
    read: usize,
    /// Opened content, of which `taken` bytes were handed out.
    content: Vec<u8>,
    taken: usize,
    /// A frame on its way out, of which `written` bytes are gone.
    outgoing: Vec<u8>,
    written: usize,
}

impl SealedStream {
    fn new(stream: TcpStream, seal: Seal) -> Self {
        Self {
            stream,
            seal,
            incoming: Vec::new(),
            read: 0,
            content: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            written: 0,
        }
    }

    /// Bytes that the frame on its way in must have, as far as is known.
    fn wanted(&self) -> io::Result<usize> {
        if self.read < LENGTH_BYTES {
            return Ok(LENGTH_BYTES);
        }
        let length = usize::from(u16::from_be_bytes([self.incoming[0], self.incoming[1]]));
        if (Seal::TAG_BYTES..=SEALED_MAX).contains(&length) {
            Ok(LENGTH_BYTES + length)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of an impossible length"))
        }
    }

    /// Reads one whole frame and opens it; `false` at the end of the stream.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let wanted = self.wanted()?;
            if self.read == wanted && self.read > LENGTH_BYTES {
                self.content.resize(wanted - LENGTH_BYTES, 0);
                let sealed = &self.incoming[LENGTH_BYTES..wanted];
                let opened = self.seal.open(sealed, &mut self.content);
                let opened =
                    opened.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                self.content.truncate(opened);
                (self.read, self.taken) = (0, 0);
                return Poll::Ready(Ok(true));
            }
            self.incoming.resize(wanted, 0);
            let mut buffer = ReadBuf::new(&mut self.incoming[self.read..wanted]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 if self.read == 0 => return Poll::Ready(Ok(false)),
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                more => self.read += more,
            }
        }
    }

    /// Writes what is left of the frame on its way out.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.outgoing.len() {
            let rest = &self.outgoing[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => self.written += more,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for SealedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A frame may be empty.
        while self.taken == self.content.len() {
            if !ready!(self.poll_frame(context))? {
                return Poll::Ready(Ok(()));
            }
        }
        let rest = &self.content[self.taken..];
        let part = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..part]);
        self.taken += part;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SealedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(context))?;
        let content = &bytes[..bytes.len().min(CONTENT_MAX)];
        let this = &mut *self;
        this.outgoing.resize(LENGTH_BYTES + content.len() + Seal::TAG_BYTES, 0);
        let sealed = this.seal.close(content, &mut this.outgoing[LENGTH_BYTES..]);
        let sealed = sealed.map_err(io::Error::other)?;
        let length = u16::try_from(sealed).map_err(io::Error::other)?;
        this.outgoing[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        this.written = 0;
        // Accepted once it is sealed, written or not: to seal it again would be another message.
        if let Poll::Ready(Err(error)) = this.poll_out(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(content.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[cfg(not(sim))]
mod tests {
    use super::*;
    use crate::net::TcpListener;

    async fn pair() -> (SealedStream, SealedStream) {
        let secret = ClusterSecret::of(b"sixteen bytes or more").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let dialling =
            async { outgoing(TcpStream::connect(addr).await.unwrap(), &secret).await.unwrap() };
        let accepting =
            async { incoming(listener.accept().await.unwrap().0, &secret).await.unwrap() };
        tokio::join!(dialling, accepting)
    }

    #[tokio::test]
    async fn bytes_of_any_number_arrive_in_order() {
        let (mut caller, mut callee) = pair().await;
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let writing = async {
            caller.write_all(&sent).await.unwrap();
            caller.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(writing, callee.read_to_end(&mut received));
        read.unwrap();
        assert_eq!(received, sent);
        callee.write_all(b"answer").await.unwrap();
        callee.flush().await.unwrap();
        let mut answer = [0; 6];
        caller.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[tokio::test]
    async fn a_byte_that_was_changed_on_the_way_ends_the_stream() {
        let (mut caller, mut callee) = pair().await;
        // What an attacker puts into the connection.
        caller.stream.write_all(&[0, 20]).await.unwrap();
        caller.stream.write_all(&[7; 20]).await.unwrap();
        let error = callee.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
