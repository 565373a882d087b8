//! Certificates and keys in files (PEM, RFC 7468), and what a certificate says.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::TrustError;
use crate::clock;
use crate::ident::NodeName;

/// The scheme and authority of a node's name in a certificate.
pub const NODE_URI: &str = "stegcluster://node/";
/// At most so long before its end is a certificate's end warned of.
const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Of a short life only its last third is warned of: some CAs issue for a day.
const WARN_LIFE_PART: u32 = 3;

/// What one certificate says, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub subject: String,
    pub issuer: String,
    pub nodes: Vec<NodeName>,
    /// Host names and addresses.
    pub hosts: Vec<String>,
    pub is_ca: bool,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Facts {
    /// # Errors
    /// In words, where this is no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = parse(certificate).ok_or("this is no X.509 certificate")?;
        let validity = parsed.validity();
        let hosts = alternative_names(&parsed).into_iter().filter_map(|name| match name {
            GeneralName::DNSName(host) => Some((*host).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            nodes: node_names(certificate),
            hosts: hosts.collect(),
            is_ca: parsed.is_ca(),
            not_before: at(validity.not_before.timestamp()),
            not_after: at(validity.not_after.timestamp()),
        })
    }

    /// A sentence where its time is nearly over, or over, or has not come.
    pub fn warning(&self, what: &str) -> Option<String> {
        let now = at((clock::unix_ms() / 1000).cast_signed());
        let until = humantime::format_rfc3339_seconds(self.not_after);
        if let Ok(early) = self.not_before.duration_since(now)
            && !early.is_zero()
        {
            let from = humantime::format_rfc3339_seconds(self.not_before);
            return Some(format!(
                "{what} is valid only from {from}: is this machine's clock right?"
            ));
        }
        let Ok(left) = self.not_after.duration_since(now) else {
            return Some(format!("{what} expired on {until}: nobody accepts it; replace it"));
        };
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        (left < WARN_BEFORE.min(life / WARN_LIFE_PART)).then(|| {
            let (days, hours) = (left.as_secs() / 86_400, left.as_secs() / 3600);
            let left = if days > 1 { format!("{days} days") } else { format!("{hours} hours") };
            format!("{what} expires in {left}, on {until}; replace the file, no restart is needed")
        })
    }
}

fn at(unix_seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| parsed)
}

fn alternative_names<'a>(parsed: &'a X509Certificate<'a>) -> Vec<&'a GeneralName<'a>> {
    let extension = parsed.subject_alternative_name().ok().flatten();
    extension.map_or_else(Vec::new, |names| names.value.general_names.iter().collect())
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or(v6).ok()
}

/// The nodes that a certificate names; none where it is no node's.
pub(super) fn node_names(certificate: &CertificateDer<'_>) -> Vec<NodeName> {
    let Some(parsed) = parse(certificate) else { return Vec::new() };
    let names = alternative_names(&parsed).into_iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(NODE_URI)?.parse().ok(),
        _ => None,
    });
    names.collect()
}

/// The certificates in `file`, in order.
///
/// # Errors
/// Unreadable, or none in it.
pub fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    chain_of(file, &super::read(file)?)
}

pub(super) fn chain_of(
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(TrustError::unusable(file, "holds no certificate in PEM form")),
    }
}

pub(super) fn key_of(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TrustError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| TrustError::unusable(file, "holds no private key in PEM form"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::make::Authority;

    fn facts(from_days: i64, until_days: i64) -> Facts {
        let now = (clock::unix_ms() / 1000).cast_signed();
        let (from, until) = (now + from_days * 86_400 - 5, now + until_days * 86_400 + 5);
        let (not_before, not_after) = (at(from), at(until));
        Facts {
            subject: "CN=n1".into(),
            issuer: "CN=ca".into(),
            nodes: Vec::new(),
            hosts: Vec::new(),
            is_ca: false,
            not_before,
            not_after,
        }
    }

    #[test]
    fn the_end_is_warned_of_well_before() {
        let table = [
            (-10, 31, None),
            (-335, 30, None),
            (-360, 29, Some("it expires in 29 days, on ")),
            (-2, 1, None),
            (-3, 1, Some("it expires in 24 hours, on ")),
            (-10, -1, Some("it expired on ")),
            (2, 10, Some("it is valid only from ")),
        ];
        for (from, until, expected) in table {
            let warning = facts(from, until).warning("it");
            match expected {
                None => assert_eq!(warning, None, "{from} {until}"),
                Some(words) => {
                    assert!(warning.as_deref().unwrap().starts_with(words), "{warning:?}")
                }
            }
        }
    }

    #[test]
    fn a_certificate_says_whose_it_is() {
        let (ca, issued) = Authority::new("demo", 10).unwrap();
        let hosts = ["10.0.0.1", "n1.example"].map(str::to_owned);
        let node = ca.node(&"n1".parse().unwrap(), &hosts, 5).unwrap();
        let facts = |pem: &str| {
            let chain = chain_of(Path::new("x"), pem.as_bytes()).unwrap();
            Facts::of(&chain[0]).unwrap()
        };
        let said = facts(&node.cert);
        assert_eq!(said.nodes, ["n1".parse().unwrap()]);
        assert_eq!(said.hosts, ["10.0.0.1", "n1.example", "localhost", "127.0.0.1", "::1"]);
        assert!(!said.is_ca && facts(&issued.cert).is_ca);
        assert!(said.issuer.starts_with("CN=demo CA "), "{}", said.issuer);
        assert!(facts(&ca.host("proxy", &hosts, 5).unwrap().cert).nodes.is_empty());
        assert!(ca.node(&"n1".parse().unwrap(), &["a b".to_owned()], 5).is_err());
    }
}
