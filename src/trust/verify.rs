//! Which certificates are a node's, and of which node.
//!
//! A node's certificate bears its name as a URI, `stegcluster://node/NAME`, among its subject
//! alternative names (RFC 5280 section 4.2.1.6). A host name would not do: the same CA may well
//! issue `n1` to a web server, or to a client, which must not thereby become a node; and nodes
//! change hosts, but not names.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::certificates::node_names;

/// The certificate is good, but no node's.
#[derive(Debug, thiserror::Error)]
#[error("the certificate names no node of stegcluster (stegcluster://node/NAME)")]
struct NotANode;

fn must_be_a_node(certificate: &CertificateDer<'_>) -> Result<(), Error> {
    if node_names(certificate).is_empty() {
        let other = OtherError(Arc::new(NotANode));
        return Err(Error::InvalidCertificate(CertificateError::Other(other)));
    }
    Ok(())
}

/// Lets in, on the Raft port, nodes with a certificate of our CA and nobody else.
#[derive(Debug)]
pub(super) struct NodesOnly {
    chain: Arc<dyn ClientCertVerifier>,
}

impl NodesOnly {
    pub fn new(roots: Arc<RootCertStore>) -> Result<Self, String> {
        let provider = super::tls::provider();
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        Ok(Self { chain: chain.map_err(|error| error.to_string())? })
    }
}

impl ClientCertVerifier for NodesOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        must_be_a_node(end_entity).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Believes, at the other end of a dial, a node with a certificate of our CA. Which node, whoever
/// dials checks: only he knows whom he meant.
#[derive(Debug)]
pub(super) struct AnyNode {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyNode {
    pub fn new(roots: Arc<RootCertStore>) -> Self {
        let algorithms = super::tls::provider().signature_verification_algorithms;
        Self { roots, algorithms }
    }

    /// # Errors
    /// The certificate is no node's, not of our CA, or not valid `now`.
    pub fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let (roots, algorithms) = (&self.roots, self.algorithms.all);
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        must_be_a_node(end_entity)
    }
}

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
