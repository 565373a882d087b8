//! A service over a ledger in memory, for the tests of this room and of `http`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::operate::{OperateJob, Operator};
use super::submit::{SubmitError, Submitted};
use super::{LedgerAccess, LedgerFuture, RequestStats, Service, ServiceParts};
use crate::api::cluster::ClusterStatus;
use crate::ledger::apply::{Applier, LedgerState};
use crate::ledger::query::Ledger;
use crate::ledger::{Command, Outcome};
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::observe::recent::Recent;
use crate::observe::traffic::Traffic;
use crate::pool::Pool;
use crate::record::{Durability as Recorded, Record};
use crate::rt::ClientRt;
use crate::solo::Journal;
use crate::stego;
use crate::store::{Durability, MemoryStore, Store};

/// A cluster of one that commits at once, through the real `apply`, to the real store.
#[derive(Default)]
pub(crate) struct MemoryLedger {
    store: Arc<MemoryStore>,
    writing: Mutex<()>,
    /// While set, nothing is committed and no barrier passed.
    pub(crate) without_quorum: AtomicBool,
    /// Holds commits back until a permit is added, where set.
    pub(crate) held: Option<tokio::sync::Semaphore>,
}

impl MemoryLedger {
    fn check(&self) -> Result<(), SubmitError> {
        if self.without_quorum.load(Ordering::SeqCst) {
            return Err(SubmitError::NoQuorum { waited: Duration::ZERO, leader: None });
        }
        Ok(())
    }

    pub(crate) async fn enter(&self, record: Record) {
        LedgerAccess::put(self, record, Recorded::Quorum).await.unwrap();
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        Ledger::new(self.store.clone()).page(None, 1000).unwrap().0
    }
}

impl LedgerAccess for MemoryLedger {
    fn put(&self, record: Record, _least: Recorded) -> LedgerFuture<'_, Submitted> {
        Box::pin(async move {
            self.check()?;
            if let Some(held) = &self.held {
                held.acquire().await.map_err(|_| SubmitError::Stopped)?.forget();
            }
            let _writing = self.writing.lock().unwrap();
            let store = &*self.store;
            let mut applier = Applier::new(store, LedgerState::load(store).unwrap());
            let outcome = applier.apply(Command::Put { record }).unwrap();
            store.write(applier.finish().unwrap().0, Durability::Synced).unwrap();
            match outcome {
                Outcome::Put { record, replayed } => {
                    Ok(Submitted { record, replayed, durability: Recorded::Quorum })
                }
                other => panic!("a put had the outcome {other:?}"),
            }
        })
    }

    fn barrier(&self) -> LedgerFuture<'_, ()> {
        Box::pin(async move { self.check() })
    }

    fn ledger(&self) -> Option<Ledger> {
        Some(Ledger::new(self.store.clone()))
    }

    fn journal(&self) -> Option<Journal> {
        None
    }
}

/// A service named `n1`, and the other ends of what it holds.
pub(crate) struct Bench {
    pub(crate) service: Service,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) status: watch::Sender<Arc<ClusterStatus>>,
    /// Held open, so that an operator's command finds somebody.
    _operations: mpsc::Receiver<OperateJob>,
    pub(crate) rt: ClientRt,
    pub(crate) pool: Pool,
}

impl Bench {
    /// To be called on the runtime that the service shall use.
    pub(crate) fn new() -> Self {
        Self::over(MemoryLedger::default())
    }

    pub(crate) fn over(ledger: MemoryLedger) -> Self {
        let ledger = Arc::new(ledger);
        let metrics = Arc::new(Metrics::new());
        let pool = Pool::new(1, 8, Arc::clone(&metrics));
        let rt = ClientRt::new(tokio::runtime::Handle::current());
        let node: crate::ident::NodeName = "n1".parse().unwrap();
        let (status, status_rx) = watch::channel(Arc::new(ClusterStatus {
            node: Some(node.clone()),
            ..ClusterStatus::default()
        }));
        let (operator, operations) = Operator::channel(4);
        let service = Service::new(ServiceParts {
            rt: rt.clone(),
            node: node.clone(),
            ledger: ledger.clone(),
            pool: pool.clone(),
            default_cover: default_cover(),
            covers: stego::Covers::new(64 * 1024 * 1024),
            memory_bytes: 256 * 1024 * 1024,
            metrics,
            stats: RequestStats::default(),
            status: status_rx,
            readers: Recent::new(Duration::from_secs(3)),
            operator,
            events: Events::new(node),
            traffic: Traffic::default(),
            about: super::About::default(),
            ca: None,
        });
        Self { service, ledger, status, _operations: operations, rt, pool }
    }

    /// Publishes that `leader`, if any, leads with a quorum.
    pub(crate) fn lead(&self, leader: Option<&str>) {
        self.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            status.term = 3;
            status.quorum = leader.is_some();
            status.leader_id = leader.map(|leader| leader.parse().unwrap());
            status.leader_address = leader.map(|_| "127.0.0.1:9999".into());
        });
    }
}

/// Small, so that tests are quick.
pub(crate) fn default_cover() -> Bytes {
    stego::dataset(0).unwrap()
}
