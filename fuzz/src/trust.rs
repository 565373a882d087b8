//! What of trust a configuration and a message name: files, and who somebody has proven to be.
//! Certificates themselves are read by libraries.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::ident::NodeName;

/// As the product has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client: Option<(PathBuf, PathBuf)>,
}

pub type Proven = Option<Arc<[NodeName]>>;

pub mod make {
    pub const CA_CERT: &str = "ca.pem";
    pub const NODE_CERT: &str = "node.pem";
    pub const NODE_KEY: &str = "node.key";
}
