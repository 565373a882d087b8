//! A node whose disk lost what it had promised comes back as another one.
//!
//! It must not vote as its former self: it may have given a vote in the present term, and may have
//! acknowledged entries that it no longer has. So it asks its cluster for a number, as a node with
//! an empty disk does, but before it touches anything: the answer is an entry that a majority
//! committed without this node. Only then is its folder moved aside, and the node starts empty
//! under the new number, in place of its former self. It can only come back to a cluster that
//! exists, and never forms one: a majority of such nodes would otherwise agree on an empty ledger.
//!
//! What it alone acknowledged (`solo`), and did not hand on, is nowhere else. As much of it as can
//! be read is put in its new journal.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::NodeError;
use super::runtimes::Runtimes;
use super::security::Trusted;
use crate::clock;
use crate::config::ServeConfig;
use crate::datadir::{FORMAT_FIRST, Identity, Ward};
use crate::formation::{self, FormationError, Newcomer};
use crate::ident::InstanceUuid;
use crate::net::gate::Gate;
use crate::peer::envelope::Sender;
use crate::peer::link::Links;
use crate::store::Store;

/// Between two questions to the others.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often the log says that the node still waits.
const REMIND: Duration = Duration::from_secs(10);

/// How healing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healed {
    /// The folder is that of a new member, which can start.
    AsNew,
    /// The node was told to stop before.
    Stopped,
}

/// Makes a damaged folder that of a new member, as soon as the others have a quorum.
///
/// # Errors
/// There are no others, certificates or secret cannot be read, the disk failed, or did damage too
/// often.
pub fn heal(
    config: &ServeConfig,
    cause: &str,
    stop: &CancellationToken,
) -> Result<Healed, NodeError> {
    let mut ward = Ward::open(&config.data_dir, cause)?;
    let refused = |ward: &Ward| NodeError::Damaged {
        folder: config.data_dir.clone(),
        cause: ward.cause().to_owned(),
    };
    if config.peers.is_empty() {
        return Err(refused(&ward));
    }
    if ward.is_hopeless()? {
        let (folder, times) = (config.data_dir.clone(), ward.damages()? + 1);
        return Err(NodeError::BadDisk { folder, times, cause: ward.cause().to_owned() });
    }
    if !ward.is_numbered() {
        let Some(identity) = number(config, &ward, stop)? else { return Ok(Healed::Stopped) };
        ward.come_back_as(identity)?;
    }
    let cause = ward.cause().to_owned();
    let aside = ward.exchange()?;
    tracing::warn!(
        folder = %aside.display(), %cause,
        "this node was damaged and comes back as a new member; what it had was moved there"
    );
    Ok(Healed::AsNew)
}

/// Asks until the cluster gives a number; `None` where `stop` was cancelled first.
fn number(
    config: &ServeConfig,
    ward: &Ward,
    stop: &CancellationToken,
) -> Result<Option<Identity>, NodeError> {
    let runtimes = Runtimes::start().map_err(NodeError::Runtime)?;
    let instance = InstanceUuid(clock::fresh_uuid());
    let newcomer = Newcomer {
        name: config.id.clone(),
        instance,
        http_addr: config.advertise.clone(),
        raft_addr: config.raft_advertise.clone(),
    };
    let links = Links::new(runtimes.raft.clone(), Sender::new(config.id.clone()), Gate::default())
        .trusting(Trusted::read(config)?.peers);
    let addrs: Vec<String> = config.peers.iter().map(|peer| peer.raft_addr.clone()).collect();
    let asking = async {
        let mut reminded = None;
        loop {
            let refusal = match formation::ask_for_number(&links, &newcomer, &addrs).await {
                Ok((cluster, raft_id)) if ward.cluster().is_none_or(|ours| ours == cluster) => {
                    return Identity {
                        format: FORMAT_FIRST,
                        node: config.id.clone(),
                        instance,
                        cluster_uuid: Some(cluster),
                        raft_id: Some(raft_id),
                    };
                }
                Ok((cluster, _)) => {
                    let told = format!("the others are of another cluster, {cluster}");
                    FormationError::Refused(told)
                }
                Err(error) => error,
            };
            if reminded.is_none_or(|at: clock::Instant| at.elapsed() >= REMIND) {
                reminded = Some(clock::now());
                tracing::error!(
                    folder = %config.data_dir.display(), cause = %ward.cause(), %refusal,
                    "this node's data are damaged: it serves nobody, and waits for a quorum of \
                     the others to come back as a new member"
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let identity = runtimes.block_on(async {
        tokio::select! {
            () = stop.cancelled() => None,
            identity = asking => Some(identity),
        }
    });
    runtimes.stop();
    Ok(identity)
}

/// Saves from `remains`, a damaged data folder, what only this node had. May wait for the disk.
#[cfg(not(sim))]
pub fn save_journal(remains: &Path, store: &dyn Store) {
    use crate::datadir::STORE_FOLDER;
    use crate::store::{Disk, RocksStore, WatchedStore};

    let folder = remains.join(STORE_FOLDER);
    let saved = RocksStore::open_remains(&folder)
        .map_err(|error| (0, error))
        .and_then(|found| crate::solo::salvage(&WatchedStore::new(found, Disk::default()), store));
    match saved {
        Ok(0) => {}
        Ok(records) => tracing::warn!(
            records, folder = %remains.display(),
            "records that this node had acknowledged alone were saved from what was damaged"
        ),
        Err((records, error)) => tracing::error!(
            records, folder = %remains.display(), cause = %error,
            "records that this node had acknowledged alone, and not yet handed on, may be lost: \
             not all of what was damaged can be read"
        ),
    }
}

/// A simulated disk is never damaged.
#[cfg(sim)]
pub fn save_journal(_remains: &Path, _store: &dyn Store) {}
