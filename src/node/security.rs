//! Who this node believes, read from its files at the start and again when they change, and what
//! an operator should know of that.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::NodeError;
use crate::config::ServeConfig;
use crate::rt::RaftRt;
use crate::trust::tls::Refreshed;
use crate::trust::{ClusterSecret, PeerTrust, Tls, TrustError};

/// Between two looks at the certificates. They are small, and read off the runtimes.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two tellings of the same warnings in the log: once a day is not missed, and no flood.
const TELL_EVERY: u32 = 43_200;

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trusted {
    pub peers: PeerTrust,
    /// For the client port.
    pub tls: Option<Tls>,
    /// Those that do not change while the node runs.
    fixed: Arc<Vec<String>>,
    warnings: Arc<RwLock<Vec<String>>>,
}

impl Trusted {
    /// Reads what `config` names.
    ///
    /// # Errors
    /// A file cannot be read, or is of no use.
    pub fn read(config: &ServeConfig) -> Result<Self, NodeError> {
        let security = &config.security;
        let mut fixed = Vec::new();
        let tls = match &security.tls {
            Some(files) => Some(Tls::read(config.id.clone(), files.clone())?),
            None => None,
        };
        let peers = match (&tls, &security.secret_file) {
            (Some(tls), unused) => {
                if unused.is_some() {
                    fixed.push("secret_file is not used: nodes know each other by TLS".to_owned());
                }
                PeerTrust::Tls(tls.clone())
            }
            (None, Some(file)) => {
                let (secret, too_open) = ClusterSecret::read(file)?;
                fixed.extend(too_open);
                PeerTrust::Secret(secret)
            }
            (None, None) => PeerTrust::Open,
        };
        if matches!(peers, PeerTrust::Open) && !config.raft_listen.ip().to_canonical().is_loopback()
        {
            fixed.push(format!(
                "NO PEER AUTHENTICATION: whoever reaches {}'s Raft port ({}) can join, read and \
                 change the cluster; give all nodes certificates (stegcluster certs) or a secret \
                 (--secret-file)",
                config.id, config.raft_listen
            ));
        }
        if security.core_dumps {
            let about =
                "core_dumps is on: passphrases and keys can be read in this process's memory";
            fixed.push(about.to_owned());
        }
        let trusted = Self { peers, tls, fixed: Arc::new(fixed), warnings: Arc::default() };
        trusted.look();
        for warning in trusted.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(trusted)
    }

    /// A sentence each, for the status.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works out the warnings anew, and says which are new.
    fn look(&self) -> Vec<String> {
        let mut now = self.fixed.to_vec();
        now.extend(self.tls.iter().flat_map(Tls::warnings));
        let mut known = self.warnings.write().unwrap_or_else(PoisonError::into_inner);
        // The time that is left is part of the sentence: it changes, and is no news.
        let head = |warning: &String| warning.split(" expires ").next().map(str::to_owned);
        let heads: Vec<_> = known.iter().map(head).collect();
        let new = now.iter().filter(|warning| !heads.contains(&head(warning))).cloned().collect();
        *known = now;
        new
    }

    /// Reads certificates anew when they change, until the node stops.
    pub async fn keep_fresh(self, rt: RaftRt) {
        let Some(tls) = self.tls.clone() else { return };
        let mut looks = 0_u32;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let fresh = tls.clone();
            match rt.blocking(move || fresh.refresh()).await {
                Refreshed::Same => {}
                Refreshed::Renewed(facts) => tracing::info!(
                    nodes = ?facts.nodes.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
                    until = %humantime::format_rfc3339_seconds(facts.not_after),
                    "certificates were read anew; new connections use them"
                ),
                Refreshed::Refused(error) => tracing::error!(
                    cause = %error, "the certificates changed and cannot be used; the old ones stay"
                ),
            }
            looks = looks.wrapping_add(1);
            let new = self.look();
            let told = if looks.is_multiple_of(TELL_EVERY) { self.warnings() } else { new };
            for warning in told {
                tracing::warn!("{warning}");
            }
        }
    }
}

impl From<TrustError> for NodeError {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}
