//! One version of what is written, for the whole cluster: it rises when every member can read it.
//!
//! A node of a new version begins as one of the old: it writes what that reads, on the wire and on
//! the disk, so it can be taken back. Each says in every answer what it could read. When all members
//! have said so lately, the leader enters [`Command::Upgrade`], and from that entry on each node
//! raises its data folder, seals its values, and refuses messages in the old format. A node of the
//! old version would then stop at that entry: so it is refused at the door, by name.

use std::sync::Arc;
use std::time::Duration;

use crate::datadir::{DataDir, DataDirError, FORMAT};
use crate::ledger::{Command, VERSION};
use crate::peer::envelope;
use crate::peer::link::Links;
use crate::raft::{Consensus, ProposeError};
use crate::store::Disk;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A member that did not answer for so long may have gone back since.
const LATELY: Duration = Duration::from_secs(3);

// They rise together.
const _: () = assert!(VERSION == envelope::NEWEST && VERSION == FORMAT);

/// What the watch needs from the node.
pub struct Parts {
    pub consensus: Consensus,
    pub links: Links,
    pub disk: Disk,
    pub datadir: Arc<DataDir>,
}

/// Follows the cluster's version, and raises it where this node leads; until it is the newest.
///
/// # Cancel safety
/// Safe: each step may be repeated.
pub async fn keep(parts: Parts) {
    loop {
        match parts.look().await {
            Ok(true) => return,
            Ok(false) => {}
            Err(cause) => tracing::warn!(%cause, "the cluster's version cannot be followed yet"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Parts {
    /// True once there is nothing left to do.
    async fn look(&self) -> Result<bool, String> {
        let rt = self.consensus.rt();
        let ledger = self.consensus.ledger();
        let version = rt.blocking(move || ledger.version()).await.map_err(|e| e.to_string())?;
        if version >= VERSION {
            let (datadir, disk) = (Arc::clone(&self.datadir), self.disk.clone());
            let raise = move || {
                let raised = datadir.identity().format < FORMAT;
                // First: a folder with sealed values must not look like one without.
                datadir.raise_format()?;
                disk.seal_values();
                Ok(raised)
            };
            let raised: Result<bool, DataDirError> = rt.blocking(raise).await;
            if raised.map_err(|error| error.to_string())? {
                tracing::info!(
                    version,
                    "every member can: from now on this node writes as its version does, and older \
                     ones refuse its data folder"
                );
            }
            self.links.sender().require(VERSION);
            return Ok(true);
        }
        if self.all_can() {
            match self.consensus.propose(Command::Upgrade { version: VERSION }).await {
                Ok(_) | Err(ProposeError::NotLeader { .. }) => {}
                Err(ProposeError::Stopped(cause)) => return Err(cause),
            }
        }
        Ok(false)
    }

    /// True where this node leads, and every other member has said lately that it could.
    fn all_can(&self) -> bool {
        let view = self.consensus.view();
        let others = || view.members.iter().filter(|member| Some(member.raft_id) != view.me);
        let can = |addr: &str| {
            let heard = self.links.heard(addr);
            heard.is_some_and(|heard| heard.newest >= VERSION && heard.at.elapsed() < LATELY)
        };
        view.i_lead() && others().all(|member| can(&member.raft_addr))
    }
}
