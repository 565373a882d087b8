//! What was wrong with a handshake, in words that say what to do. They follow the name of the
//! other side, as in `10.0.0.2:5002: its certificate ...`.

use std::error::Error as StdError;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// The TLS error in `error` or behind it, in words.
pub fn of(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(tls_error(tls));
        }
        // What an io::Error wraps is not its source, but the thing itself.
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            next = Some(inner);
            continue;
        }
        next = error.source();
    }
    None
}

/// See the module.
pub fn tls_error(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(wrong) => certificate(wrong),
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::NoCertificatesPresented => "it showed no certificate".into(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".into(),
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "it does not speak TLS 1.3".into(),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn certificate(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not of the CA that is trusted here".into()
        }
        CertificateError::Expired => "its certificate has expired".into(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired on {}", date(not_after.as_secs()))
        }
        CertificateError::NotValidYet => {
            "its certificate is not valid yet: are the clocks right?".into()
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "its certificate is valid only from {}: are the clocks right?",
            date(not_before.as_secs())
        ),
        CertificateError::NotValidForName => "its certificate is not for this host".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!(
                "its certificate is not for {}, but for {}",
                expected.to_str(),
                hosts(presented)
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not meant for this use".into()
        }
        CertificateError::Revoked => "its certificate was revoked".into(),
        CertificateError::Other(other) => other.to_string(),
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// rustls shows each name as `DnsName("a")` or `IpAddress(1.2.3.4)`; the kind says nothing new.
fn hosts(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    // Nodes' own names are among them, as URIs.
    let is_host = |name: &&String| !name.contains("://") && !name.starts_with("Unsupported");
    let names: Vec<String> = presented.iter().filter(is_host).map(bare).collect();
    if names.is_empty() { "no host at all".into() } else { names.join(", ") }
}

fn date(unix_seconds: u64) -> String {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    humantime::format_rfc3339_seconds(at).to_string()
}

/// What the other side says is wrong with us.
fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "it does not know the CA of our certificate".into(),
        AlertDescription::CertificateExpired => "it says that our certificate has expired".into(),
        AlertDescription::CertificateRequired => {
            "it asks for a node's certificate, and we showed none".into()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => "it does not accept our certificate".into(),
        AlertDescription::ProtocolVersion => "it does not speak TLS 1.3".into(),
        AlertDescription::HandshakeFailure => {
            "it does not agree to any way of ours to encrypt".into()
        }
        other => format!("it ended the TLS handshake ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_behind_other_errors() {
        let inner = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, inner);
        let words = of(&std::io::Error::other(io)).unwrap();
        assert_eq!(words, "its certificate is not of the CA that is trusted here");
        assert_eq!(of(&std::io::Error::other("else")), None);
    }

    #[test]
    fn names_lose_their_kind() {
        let presented = ["DnsName(\"a.example\")", "IpAddress(10.0.0.1)", "stegcluster://node/n1"];
        assert_eq!(hosts(&presented.map(str::to_owned)), "a.example, 10.0.0.1");
        assert_eq!(hosts(&[]), "no host at all");
    }
}
