//! TLS below the HTTP of our commands: over the connection that ureq opened, with the CAs that the
//! user named and no others.

use std::fmt;
use std::io::{self, Read as _, Write as _};

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use crate::trust::roots::{Roots, Secured};
use crate::trust::words;

/// Why nothing was sent: there is no trust in who is there. In words that follow its name.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoTrust(String);

/// Wraps a connection where the server's address begins with `https://`.
#[derive(Debug)]
pub(super) struct TlsIfAsked(pub Option<Roots>);

impl<In: Transport> Connector<In> for TlsIfAsked {
    type Out = Either<In, Wrapped>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let Some(roots) = &self.0 else {
            let cause =
                "https:// takes the certificate of the nodes' CA: --ca FILE, or STEGCLUSTER_CA";
            return Err(no_trust(cause.to_owned()));
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut below = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        below.set_timeout(details.timeout);
        let stream =
            roots.open((host, details.uri.port_u16().unwrap_or(443)), below).map_err(|error| {
                match words::of(&error) {
                    Some(words) => no_trust(words),
                    None => match error.kind() {
                        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                            no_trust("it closed the connection during the TLS handshake".to_owned())
                        }
                        _ => ureq::Error::from(error),
                    },
                }
            })?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Wrapped { buffers, stream })))
    }
}

fn no_trust(words: String) -> ureq::Error {
    ureq::Error::Io(io::Error::other(NoTrust(words)))
}

/// The words of [`NoTrust`], where `error` is that.
pub(super) fn mistrust(error: &ureq::Error) -> Option<String> {
    let ureq::Error::Io(error) = error else { return None };
    let inner = error.get_ref()?.downcast_ref::<NoTrust>()?;
    Some(inner.0.clone())
}

/// A connection over TLS.
pub(super) struct Wrapped {
    buffers: LazyBuffers,
    stream: Secured<TransportAdapter>,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapped")
    }
}

impl Transport for Wrapped {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
