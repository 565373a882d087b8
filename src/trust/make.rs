//! Issues certificates, for those who have no CA of their own.
//!
//! Keys are ECDSA on P-256 (RFC 5480): every client speaks it, and ring is quick at it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use super::certificates::NODE_URI;
use super::{TrustError, read};
use crate::clock;
use crate::ident::NodeName;

pub const CA_CERT: &str = "ca.pem";
pub const CA_KEY: &str = "ca.key";
pub const NODE_CERT: &str = "node.pem";
pub const NODE_KEY: &str = "node.key";
/// Clocks of machines differ: a certificate made now must be valid on one that is late.
const BACKDATED: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    #[error("{}: {cause}", file.display())]
    Write { file: PathBuf, cause: std::io::Error },
    #[error(transparent)]
    Read(#[from] TrustError),
    #[error("{0:?} is no host name and no IP address")]
    Host(String),
    #[error("the certificate could not be made: {0}")]
    Crypto(#[from] rcgen::Error),
}

/// A certificate and its key, in PEM form. The key is wiped when dropped.
pub struct Issued {
    pub cert: String,
    pub key: Zeroizing<String>,
}

/// A certificate authority: whoever has its key can make nodes.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert: String,
}

impl Authority {
    /// A new one, valid for `days` from now. `name` is for people.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub fn new(name: &str, days: u32) -> Result<(Self, Issued), MakeError> {
        let key = KeyPair::generate()?;
        let mut params = params(format!("{name} CA {}", short(&clock::fresh_uuid())), days);
        // It signs nodes, and no further CAs.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key)?.pem();
        let issued = Issued { cert: cert.clone(), key: Zeroizing::new(key.serialize_pem()) };
        Ok((Self { issuer: Issuer::new(params, key), cert }, issued))
    }

    /// The one whose files are in `folder`.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub fn open(folder: &Path) -> Result<Self, MakeError> {
        let (cert_file, key_file) = (folder.join(CA_CERT), folder.join(CA_KEY));
        let text = |file: &Path| {
            let bytes = read(file)?;
            let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
            text.map_err(|_| TrustError::unusable(file, "is no PEM file"))
        };
        let cert = text(&cert_file)?;
        let key = KeyPair::from_pem(&text(&key_file)?)
            .map_err(|error| TrustError::unusable(&key_file, error.to_string()))?;
        let issuer = Issuer::from_ca_cert_pem(&cert, key)
            .map_err(|error| TrustError::unusable(&cert_file, error.to_string()))?;
        Ok(Self { issuer, cert: cert.to_string() })
    }

    /// Its certificate, in PEM form.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// A certificate for node `node`, which clients reach at `hosts`, and at loopback on its own
    /// machine.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub fn node(&self, node: &NodeName, hosts: &[String], days: u32) -> Result<Issued, MakeError> {
        let mut params = params(node.to_string(), days);
        let uri = format!("{NODE_URI}{node}").try_into()?;
        params.subject_alt_names.push(SanType::URI(uri));
        self.issue(params, hosts)
    }

    /// A certificate for a host that is no node, such as a proxy before the client ports. It does
    /// not open a Raft port.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub fn host(&self, name: &str, hosts: &[String], days: u32) -> Result<Issued, MakeError> {
        self.issue(params(name.to_owned(), days), hosts)
    }

    fn issue(&self, params: CertificateParams, hosts: &[String]) -> Result<Issued, MakeError> {
        let mut params = params;
        let near = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        for host in hosts.iter().chain(&near) {
            let name = host_name(host)?;
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A node is server to some peers and client to others.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert, key: Zeroizing::new(key.serialize_pem()) })
    }
}

/// So much of an id as tells two CAs of one name apart.
fn short(id: &uuid::Uuid) -> String {
    id.simple().to_string().chars().take(8).collect()
}

fn params(common_name: String, days: u32) -> CertificateParams {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock::unix_ms());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
    params
}

fn host_name(host: &str) -> Result<SanType, MakeError> {
    let wrong = || MakeError::Host(host.to_owned());
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let bare = host.strip_prefix("*.").unwrap_or(host);
    rustls::pki_types::DnsName::try_from(bare).map_err(|_| wrong())?;
    Ok(SanType::DnsName(host.to_owned().try_into().map_err(|_| wrong())?))
}

/// Writes a file that must not exist yet, with this `mode`, to the disk.
///
/// # Errors
/// It exists, or cannot be written.
pub fn write_new(file: &Path, content: &[u8], mode: u32) -> Result<(), MakeError> {
    let failed = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => MakeError::Exists(file.to_owned()),
        _ => MakeError::Write { file: file.to_owned(), cause },
    };
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    opened.write_all(content).and_then(|()| opened.sync_all()).map_err(failed)
}

/// Makes the folder of one node as `serve --tls-dir` reads it: the CA's certificate, the node's,
/// and its key.
///
/// # Errors
/// A file of it exists, or cannot be written.
pub fn write_node(folder: &Path, ca: &str, issued: &Issued) -> Result<(), MakeError> {
    let files = [
        (folder.join(CA_CERT), ca.as_bytes(), 0o644),
        (folder.join(NODE_CERT), issued.cert.as_bytes(), 0o644),
        (folder.join(NODE_KEY), issued.key.as_bytes(), 0o600),
    ];
    // All or nothing: half a folder would have to be cleaned up by hand.
    if let Some((file, ..)) = files.iter().find(|(file, ..)| file.exists()) {
        return Err(MakeError::Exists(file.clone()));
    }
    make_folder(folder)?;
    files.iter().try_for_each(|(file, content, mode)| write_new(file, content, *mode))
}

/// # Errors
/// It cannot be made.
pub fn make_folder(folder: &Path) -> Result<(), MakeError> {
    std::fs::create_dir_all(folder)
        .map_err(|cause| MakeError::Write { file: folder.to_owned(), cause })
}
