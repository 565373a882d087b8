//! What this node runs with, and what its machine gives it: for `doctor`, which compares nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};

use super::Service;
use crate::api::cluster::NodeReport;
use crate::{clock, datadir};

/// What does not change while the node runs.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Settings that must be equal on all nodes.
    pub settings: BTreeMap<String, String>,
    pub data_dir: PathBuf,
}

impl Service {
    /// Its report, with the time at which it was made.
    pub async fn about(&self) -> NodeReport {
        let About { settings, data_dir } = self.parts().about.clone();
        let folder = data_dir.clone();
        let space = self.blocking(move || datadir::space(&folder)).await;
        NodeReport {
            node: Some(self.node().clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings,
            data_dir: data_dir.display().to_string(),
            disk_free_bytes: space.map(|space| space.free),
            disk_bytes: space.map(|space| space.total),
            open_files_max: getrlimit(Resource::Nofile).current,
            time_ms: clock::unix_ms(),
        }
    }
}
