//! A client's side: which nodes it believes, and how it opens TLS over a stream of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{TrustError, certificates, tls};

/// The CAs that a client trusts. Cheap to clone.
#[derive(Clone)]
pub struct Roots(Arc<Inner>);

struct Inner {
    config: ClientConfig,
    /// By `HOST:PORT`, with the sessions that each server lets a client resume: rustls keeps them by
    /// host, and nodes may share one. As many as there are nodes.
    servers: Mutex<BTreeMap<String, Arc<ClientConfig>>>,
}

impl Roots {
    /// Trusts the CA certificates in `file`, and no others.
    ///
    /// # Errors
    /// The file holds none.
    pub fn read(file: &Path) -> Result<Self, TrustError> {
        Ok(Self::of(root_store(file, &certificates::read_chain(file)?)?))
    }

    fn of(roots: RootCertStore) -> Self {
        let config = tls::client_builder().with_root_certificates(roots).with_no_client_auth();
        Self(Arc::new(Inner { config, servers: Mutex::default() }))
    }

    fn config_for(&self, server: String) -> Arc<ClientConfig> {
        let mut servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let mut config = self.0.config.clone();
            config.resumption = Resumption::in_memory_sessions(1);
            Arc::new(config)
        };
        Arc::clone(servers.entry(server).or_insert_with(fresh))
    }

    /// Shakes hands over `stream` with the server at `port` of `host`, a name or an address.
    ///
    /// # Errors
    /// Whatever the stream says, or a `rustls::Error` inside: see [`super::words::of`].
    pub fn open<S: Read + Write>(
        &self,
        (host, port): (&str, u16),
        stream: S,
    ) -> std::io::Result<Secured<S>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let mut connection = ClientConnection::new(self.config_for(format!("{host}:{port}")), name)
            .map_err(std::io::Error::other)?;
        let mut stream = stream;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }
}

/// A stream over TLS.
pub type Secured<S> = StreamOwned<ClientConnection, S>;

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Roots")
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Roots {}

/// # Errors
/// One of `chain` is no CA.
pub(super) fn root_store(
    file: &Path,
    chain: &[rustls::pki_types::CertificateDer<'static>],
) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain {
        let facts = certificates::Facts::of(certificate);
        let facts = facts.map_err(|cause| TrustError::unusable(file, cause))?;
        if !facts.is_ca {
            let cause = format!("{} is no CA: name the CA's certificate here", facts.subject);
            return Err(TrustError::unusable(file, cause));
        }
        roots
            .add(certificate.clone())
            .map_err(|error| TrustError::unusable(file, error.to_string()))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::trust::make::{self, Authority};
    use crate::trust::{Tls, TlsFiles, words};

    /// A server that shakes hands once by `tls`, and its port.
    fn served(tls: &Tls) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = tls.client_server();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = rustls::ServerConnection::new(config).unwrap();
            // The client may go away in the middle: that is what is tested.
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        });
        port
    }

    /// What is wrong with a node of `ca` that is valid for `days`, asked for as `host` by who
    /// trusts `trusted`.
    fn wrong(ca: &Authority, days: u32, host: &str, trusted: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let (node, hosts) = ("n1".parse().unwrap(), ["10.0.0.1".to_owned()]);
        let issued = ca.node(&node, &hosts, days).unwrap();
        make::write_node(folder.path(), ca.cert(), &issued).unwrap();
        let file = |name| folder.path().join(name);
        let files = TlsFiles {
            ca: file(make::CA_CERT),
            cert: file(make::NODE_CERT),
            key: file(make::NODE_KEY),
            client: None,
        };
        let tls = Tls::read(node, files).unwrap();
        // A certificate is good to the end of its last second.
        let second = || crate::clock::unix_ms() / 1000;
        let issued_in = second();
        while days == 0 && second() == issued_in {
            std::thread::yield_now();
        }
        assert_eq!(tls.warnings().is_empty(), days > 0, "{:?}", tls.warnings());
        std::fs::write(file("trusted.pem"), trusted).unwrap();
        let roots = Roots::read(&file("trusted.pem")).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", served(&tls))).unwrap();
        let opened = roots.open((host, 1), stream);
        opened.err().map(|error| words::of(&error).unwrap_or_else(|| error.to_string()))
    }

    #[test]
    fn what_is_wrong_with_a_server_is_said() {
        let (ours, _) = Authority::new("test", 10).unwrap();
        let (other, _) = Authority::new("test", 10).unwrap();
        assert_eq!(wrong(&ours, 5, "localhost", ours.cert()), None);
        assert_eq!(wrong(&ours, 5, "10.0.0.1", ours.cert()), None);
        assert_eq!(wrong(&ours, 5, "10.0.0.1", &[other.cert(), ours.cert()].concat()), None);
        let said = wrong(&ours, 5, "n1.example", ours.cert()).unwrap();
        let for_others = "its certificate is not for n1.example, but for 10.0.0.1, localhost,";
        assert!(said.starts_with(for_others), "{said}");
        let said = wrong(&ours, 5, "localhost", other.cert()).unwrap();
        assert_eq!(said, "its certificate is not of the CA that is trusted here");
        let said = wrong(&ours, 0, "localhost", ours.cert()).unwrap();
        assert!(said.starts_with("its certificate expired on 20"), "{said}");
    }
}
