//! A node's certificates, checked, made into the rules of its handshakes, and read again when the
//! files change: new connections have the new ones, and no restart is needed.
//!
//! TLS 1.3 only (RFC 8446), with ring: nothing that speaks to a node is older. Between nodes no
//! session is resumed, so that each connection proves both names anew.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier as _;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, ServerConfig, version};
use sha2::{Digest as _, Sha256};

use super::certificates::{Facts, NODE_URI, chain_of, key_of, node_names};
use super::verify::{AnyNode, NodesOnly};
use super::{TrustError, roots, too_open, words};
use crate::clock;
use crate::ident::NodeName;

/// Where a node's certificates are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TlsFiles {
    /// The CA of all nodes; more than one while another takes its place.
    pub ca: PathBuf,
    /// This node's certificate, and those between it and the CA.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// What clients are shown, where that is another one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        [&self.ca, &self.cert, &self.key].into_iter().chain(client).map(PathBuf::as_path)
    }
}

/// A node's certificates. Cheap to clone; all clones are fresh together.
#[derive(Clone)]
pub struct Tls {
    node: NodeName,
    files: Arc<TlsFiles>,
    current: Arc<RwLock<Arc<Loaded>>>,
    /// Digest of what was last read and could not be used, so that it is told once.
    refused: Arc<Mutex<Option<[u8; 32]>>>,
}

struct Loaded {
    digest: [u8; 32],
    peer_server: Arc<ServerConfig>,
    peer_client: Arc<ClientConfig>,
    client_server: Arc<ServerConfig>,
    /// Each with what it is called in a warning.
    facts: Vec<(String, Facts)>,
    warnings: Vec<String>,
}

/// What [`Tls::refresh`] found.
#[derive(Debug)]
pub enum Refreshed {
    Same,
    /// Read and in use; the node's certificate says this.
    Renewed(Box<Facts>),
    /// Cannot be used, told for the first time; the old ones stay.
    Refused(TrustError),
}

impl Tls {
    /// Reads and checks `files` for node `node`.
    ///
    /// # Errors
    /// Unreadable, not of one kind, of another node or another CA. One that has expired is only
    /// warned of: it can be replaced while the node runs.
    pub fn read(node: NodeName, files: TlsFiles) -> Result<Self, TrustError> {
        let loaded = load(&node, &files)?;
        Ok(Self {
            node,
            files: Arc::new(files),
            current: Arc::new(RwLock::new(Arc::new(loaded))),
            refused: Arc::default(),
        })
    }

    fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the Raft port: nodes only.
    pub fn peer_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().peer_server)
    }

    /// For dials to other nodes. Which node answered is in its certificate: see [`Tls::names`].
    pub fn peer_client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current().peer_client)
    }

    /// For the client port: clients need no certificate.
    pub fn client_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().client_server)
    }

    /// The nodes that the first certificate of a chain names.
    pub fn names(chain: Option<&[CertificateDer<'_>]>) -> Arc<[NodeName]> {
        chain.and_then(|chain| chain.first()).map_or_else(Vec::new, node_names).into()
    }

    /// What an operator should know: files that others can read, certificates that end soon.
    pub fn warnings(&self) -> Vec<String> {
        let current = self.current();
        let expiring = current.facts.iter().filter_map(|(what, facts)| facts.warning(what));
        current.warnings.iter().cloned().chain(expiring).collect()
    }

    /// Reads the files again. Waits for the disk: not for a runtime's thread.
    pub fn refresh(&self) -> Refreshed {
        // Small files, compared by content: times of change are coarse, and copies keep theirs.
        match digest(&self.files) {
            Ok(digest) if digest == self.current().digest => Refreshed::Same,
            Ok(digest) => match load(&self.node, &self.files) {
                Ok(loaded) => {
                    let facts = loaded.facts.first().map(|(_, facts)| facts.clone());
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(loaded);
                    let facts = facts.expect("the node's own certificate is the first");
                    Refreshed::Renewed(Box::new(facts))
                }
                Err(error) => self.refuse(digest, error),
            },
            Err(error) => self.refuse([0; 32], error),
        }
    }

    fn refuse(&self, digest: [u8; 32], error: TrustError) -> Refreshed {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.replace(digest) == Some(digest) {
            return Refreshed::Same;
        }
        Refreshed::Refused(error)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// ring, named here once: no library may choose another one for us.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn client_builder() -> ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("ring has ciphers of TLS 1.3")
}

fn server_builder() -> ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("ring has ciphers of TLS 1.3")
}

fn digest(files: &TlsFiles) -> Result<[u8; 32], TrustError> {
    let mut digest = Sha256::new();
    for file in files.all() {
        digest.update(Sha256::digest(super::read(file)?.as_slice()));
    }
    Ok(digest.finalize().into())
}

fn load(node: &NodeName, files: &TlsFiles) -> Result<Loaded, TrustError> {
    // Before the rest: what changes while we read is then seen as a change later.
    let digest = digest(files)?;
    let ca = chain_of(&files.ca, &super::read(&files.ca)?)?;
    let roots = Arc::new(roots::root_store(&files.ca, &ca)?);
    let chain = chain_of(&files.cert, &super::read(&files.cert)?)?;
    let mut warnings: Vec<String> = too_open(&files.key).into_iter().collect();
    let only = check_own(node, files, &roots, &chain)?;
    let fact = |what: String, certificate: &CertificateDer<'_>, file: &Path| {
        let facts = Facts::of(certificate).map_err(|cause| TrustError::unusable(file, cause))?;
        Ok::<_, TrustError>((what, facts))
    };
    let mut facts = vec![fact(format!("{node}'s certificate"), &chain[0], &files.cert)?];
    for certificate in &ca {
        facts.push(fact("the CA's certificate".to_owned(), certificate, &files.ca)?);
    }
    let (peer_server, peer_client) = peer_configs(files, &roots, only, &chain)?;
    let (client_chain, key_file) = match &files.client {
        None => (chain, &files.key),
        Some((cert, key)) => {
            let chain = chain_of(cert, &super::read(cert)?)?;
            facts.push(fact(format!("{node}'s certificate for clients"), &chain[0], cert)?);
            warnings.extend(too_open(key));
            (chain, key)
        }
    };
    let key = key_of(key_file, &super::read(key_file)?)?;
    let client_server = server_builder().with_no_client_auth();
    let mut client_server = client_server.with_single_cert(client_chain, key);
    if let Ok(config) = &mut client_server {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let client_server = client_server.map_err(|error| mismatch(key_file, &error))?;
    Ok(Loaded {
        digest,
        peer_server: Arc::new(peer_server),
        peer_client: Arc::new(peer_client),
        client_server: Arc::new(client_server),
        facts,
        warnings,
    })
}

/// Whether the other nodes will believe `chain`, and whoever decides that of them.
fn check_own(
    node: &NodeName,
    files: &TlsFiles,
    roots: &Arc<rustls::RootCertStore>,
    chain: &[CertificateDer<'static>],
) -> Result<NodesOnly, TrustError> {
    let unusable = |cause: String| TrustError::unusable(&files.cert, cause);

    let names = node_names(&chain[0]);
    if !names.contains(node) {
        let of = names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        let of = if of.is_empty() { "no node".to_owned() } else { format!("node {of}") };
        return Err(unusable(format!(
            "this certificate names {of}, and this node is {node}: make one by `stegcluster certs \
             node {node}`, or have your CA put the URI {NODE_URI}{node} into it"
        )));
    }
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(clock::unix_ms()));
    let only = NodesOnly::new(Arc::clone(roots));
    let only = only.map_err(|cause| TrustError::unusable(&files.ca, cause))?;
    let as_server = AnyNode::new(Arc::clone(roots)).check(&chain[0], &chain[1..], now);
    let as_client = || only.verify_client_cert(&chain[0], &chain[1..], now);
    match as_server.and_then(|()| as_client()) {
        Ok(_) => {}
        // Told with the warnings, and mended by a new file.
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => {}
        Err(error) => {
            let said = words::tls_error(&error).replacen("its certificate is", "this is", 1);
            return Err(unusable(format!("{said} ({})", files.ca.display())));
        }
    }
    Ok(only)
}

fn peer_configs(
    files: &TlsFiles,
    roots: &Arc<rustls::RootCertStore>,
    only: NodesOnly,
    chain: &[CertificateDer<'static>],
) -> Result<(ServerConfig, ClientConfig), TrustError> {
    let key = key_of(&files.key, &super::read(&files.key)?)?;
    let mut server = server_builder()
        .with_client_cert_verifier(Arc::new(only))
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(|error| mismatch(&files.key, &error))?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = client_builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyNode::new(Arc::clone(roots))))
        .with_client_auth_cert(chain.to_vec(), key)
        .map_err(|error| mismatch(&files.key, &error))?;
    client.resumption = Resumption::disabled();
    // The names of nodes are no hosts', and need not be told to who listens.
    client.enable_sni = false;
    Ok((server, client))
}

fn mismatch(key: &Path, error: &rustls::Error) -> TrustError {
    let cause = match error {
        rustls::Error::InconsistentKeys(_) => {
            "this key does not belong to the certificate beside it".to_owned()
        }
        other => other.to_string(),
    };
    TrustError::unusable(key, cause)
}
