//! The use cases: what a client may ask of a node, in the service's own words.
//!
//! Knows no HTTP and no Raft. Codec work goes to the pool, records to the
//! [`LedgerAccess`], commands to the [`Operator`]. Begin with [`Service`]; each use
//! case is an `impl Service` in the file that bears its name.

mod about;
mod admission;
mod alone;
mod backup;
mod bench;
mod commit;
mod compare;
mod cost;
mod dataset;
mod digests;
mod embed;
mod error;
mod extract;
mod groups;
mod ledger;
pub mod operate;
mod records;
mod stats;
pub mod submit;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::about::About;
pub use self::admission::Permit;
pub use self::alone::LedgerOrJournal;
pub use self::bench::{Bench, BenchError, BenchNews};
pub use self::commit::Committed;
pub use self::embed::{EmbedRequest, Embedded};
pub use self::error::ServiceError;
pub use self::extract::Extracted;
pub use self::ledger::{LedgerAccess, LedgerFuture};
pub use self::records::RecordsPage;
pub use self::stats::RequestStats;
pub use self::verify::Verified;

use self::admission::Admission;
use self::bench::Benches;
use self::cost::Experience;
use self::dataset::Dataset;
use self::digests::Digests;
use self::operate::{Done, Operation, Operator};
use crate::api::cluster::{ClusterStatus, Mode};
use crate::api::codec::CapacityResponse;
use crate::ident::NodeName;
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::observe::recent::Recent;
use crate::observe::traffic::Traffic;
use crate::pool::{Cost, Pool, PoolError};
use crate::record::{Digest, Method};
use crate::rt::ClientRt;
use crate::stego::Codec;
use crate::{limits, stego};

/// Files that are digested and looked at between two requests: some 20 µs.
const LOOK_BYTES_MAX: usize = 32 * 1024;

/// What `node` puts together for [`Service::new`].
pub struct ServiceParts {
    /// Where the service's own tasks run; its token ends open event streams.
    pub rt: ClientRt,
    pub node: NodeName,
    /// The way to the ledger: [`LedgerOrJournal`] on a real node.
    pub ledger: Arc<dyn LedgerAccess>,
    pub pool: Pool,
    /// The cover used where a request brings none.
    pub default_cover: Bytes,
    /// Covers seen before.
    pub covers: stego::Covers,
    /// What all requests may hold together.
    pub memory_bytes: u64,
    pub metrics: Arc<Metrics>,
    /// Fed by `http`, read by `node` for its status.
    pub stats: RequestStats,
    pub status: watch::Receiver<Arc<ClusterStatus>>,
    /// Told of each reading of the status that somebody looks at.
    pub readers: Recent,
    pub operator: Operator,
    pub events: Events,
    /// What this node sends to its peers.
    pub traffic: Traffic,
    pub about: About,
    /// The CA of the nodes, where clients are served over TLS.
    pub ca: Option<PathBuf>,
}

/// Everything a client may ask of this node. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    parts: ServiceParts,
    default_cover_sha256: Digest,
    admission: Admission,
    experience: Experience,
    dataset: Dataset,
    digests: Digests,
    codec: Arc<Codec>,
    benches: Benches,
}

impl Service {
    /// Digests the default cover, which for a large one takes some 100 ms. Starts a task
    /// that forgets keys of passphrases once they are old.
    pub fn new(parts: ServiceParts) -> Self {
        let codec = Arc::new(Codec::new(parts.covers.clone()));
        parts.rt.spawn_until_stop("key sweep", sweep_keys(Arc::clone(&codec)));
        let inner = Inner {
            default_cover_sha256: Digest::of(&parts.default_cover),
            admission: Admission::new(limits::REQUESTS_MAX, parts.memory_bytes),
            experience: Experience::default(),
            dataset: Dataset::default(),
            digests: Digests::default(),
            benches: Benches::default(),
            codec,
            parts,
        };
        Self { inner: Arc::new(inner) }
    }

    /// A place among the requests in progress, with `bytes` of memory. To be had before a body
    /// is read, and kept until the answer is taken.
    ///
    /// # Errors
    /// [`ServiceError::Busy`], [`ServiceError::NoMemory`], [`ServiceError::TooCostly`].
    pub fn admit(&self, bytes: u64) -> Result<Permit, ServiceError> {
        let permit = self.inner.admission.admit(bytes);
        self.report_admission(permit.as_ref().err());
        permit
    }

    /// The same for a request that needs a codec thread.
    ///
    /// # Errors
    /// Also [`ServiceError::Overloaded`].
    pub fn admit_codec(&self, bytes: u64) -> Result<Permit, ServiceError> {
        self.check_wait(self.inner.experience.of_unread(bytes))?;
        self.admit(bytes)
    }

    /// When a client that was turned away should come again: when what waits now is done.
    pub fn retry_after(&self) -> Duration {
        self.parts().pool.wait(Cost(limits::SMALL_JOB_PIXELS_MAX + 1))
    }

    /// How long a job that came now would wait for a codec thread.
    pub fn busy(&self) -> Duration {
        self.retry_after()
    }

    fn check_wait(&self, cost: Cost) -> Result<(), ServiceError> {
        let wait = self.parts().pool.wait(cost);
        if wait > limits::POOL_WAIT_MAX {
            let error = ServiceError::Overloaded { wait };
            self.report_admission(Some(&error));
            return Err(error);
        }
        Ok(())
    }

    fn report_admission(&self, refused: Option<&ServiceError>) {
        let metrics = &self.parts().metrics;
        let held = self.inner.admission.held();
        metrics.requests_held_bytes.set(held.bytes as i64);
        let reason = match refused {
            Some(ServiceError::Busy { .. }) => "requests",
            Some(ServiceError::NoMemory { .. }) => "memory",
            Some(ServiceError::TooCostly { .. }) => "size",
            Some(ServiceError::Overloaded { .. }) => "queue",
            Some(_) | None => return,
        };
        metrics.requests_refused_total.with_label_values(&[reason]).inc();
    }

    /// Runs `job` on a codec thread. Where too much waits there already it is not begun.
    async fn on_codec<T: Send + 'static>(
        &self,
        cost: Cost,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        match self.parts().pool.run(cost, job).await {
            Err(PoolError::Full) => {
                let error = ServiceError::Overloaded { wait: self.parts().pool.wait(cost) };
                self.report_admission(Some(&error));
                Err(error)
            }
            ended => Ok(ended?),
        }
    }

    /// Looks at the header of a picture: here where the file is small, else on a thread that may
    /// be busy for a while, since a header may be behind megabytes of notes.
    async fn look<T: Send + 'static>(
        &self,
        file_bytes: usize,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        if file_bytes <= LOOK_BYTES_MAX {
            return Ok(look());
        }
        Ok(self.blocking(look).await)
    }

    /// Holds `bytes` from now on; counted where there is no room.
    fn hold(&self, permit: &mut Permit, bytes: u64) -> Result<(), ServiceError> {
        let held = permit.hold(bytes);
        self.report_admission(held.as_ref().err());
        held
    }

    /// What a cover can carry, by each method; of the node's own cover for `None`.
    ///
    /// # Errors
    /// Of the pool, and of the picture.
    pub async fn capacity(
        &self,
        cover: Option<Bytes>,
        method: Option<Method>,
        bits: Option<u8>,
        encrypted: bool,
    ) -> Result<CapacityResponse, ServiceError> {
        let cover = cover.unwrap_or_else(|| self.parts().default_cover.clone());
        let cost = cost::of_bytes(cover.len() as u64);
        let job = move || stego::capacity(&cover, method, bits, encrypted);
        Ok(self.on_codec(cost, job).await??)
    }

    /// How browsers reach the nodes of this cluster: `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.parts().ca.is_some() { "https" } else { "http" }
    }

    /// The cover that is used when a request brings none, as it was given.
    pub fn default_cover(&self) -> Bytes {
        self.parts().default_cover.clone()
    }

    /// The cluster as this node sees it now.
    pub fn status(&self) -> Arc<ClusterStatus> {
        Arc::clone(&self.parts().status.borrow())
    }

    /// Somebody looks at the status: from now on and for a while it is kept fresh.
    pub fn note_reader(&self) {
        self.parts().readers.note();
    }

    /// Follows [`Service::status`].
    pub fn status_rx(&self) -> watch::Receiver<Arc<ClusterStatus>> {
        self.parts().status.clone()
    }

    /// True while this node is the leader of a cluster that has a quorum.
    pub fn leads(&self) -> bool {
        let status = self.parts().status.borrow();
        status.quorum && status.leader_id.as_ref() == Some(&self.parts().node)
    }

    /// True while this node reaches no quorum and can acknowledge records alone.
    pub fn serves_alone(&self) -> bool {
        let status = self.parts().status.borrow();
        let own = status.nodes.iter().find(|node| node.id == self.parts().node);
        own.is_some_and(|own| own.mode == Mode::Solo && own.healthy)
    }

    /// Gives an operator's command to the node.
    ///
    /// # Errors
    /// [`ServiceError::Operate`]
    pub async fn operate(&self, operation: Operation) -> Result<Done, ServiceError> {
        // Whoever gives one looks at what becomes of it.
        self.note_reader();
        Ok(self.parts().operator.operate(operation).await?)
    }

    pub fn node(&self) -> &NodeName {
        &self.parts().node
    }

    pub fn events(&self) -> &Events {
        &self.parts().events
    }

    pub fn traffic(&self) -> &Traffic {
        &self.parts().traffic
    }

    pub fn metrics(&self) -> &Metrics {
        &self.parts().metrics
    }

    pub fn stats(&self) -> &RequestStats {
        &self.parts().stats
    }

    /// Cancelled when the node stops.
    pub fn stopping(&self) -> &CancellationToken {
        self.parts().rt.token()
    }

    /// Runs `job` on a thread that may be busy for a while, such as turning megabytes
    /// into base64.
    pub async fn blocking<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.parts().rt.blocking(job).await
    }

    fn parts(&self) -> &ServiceParts {
        &self.inner.parts
    }

    /// Runs `work` to its end even when the caller goes away.
    async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        // A task ends without a value when it panics, which its log line tells, or
        // with its runtime.
        let joined = self.parts().rt.spawn(name, work).await;
        joined.unwrap_or_else(|error| {
            Err(if error.is_panic() { ServiceError::Panicked } else { ServiceError::Stopping })
        })
    }
}

/// A node that nobody uses shall not keep keys.
///
/// # Cancel safety
/// Safe: it only waits.
async fn sweep_keys(codec: Arc<Codec>) {
    loop {
        tokio::time::sleep(limits::KEY_SWEEP_INTERVAL).await;
        codec.sweep();
    }
}
