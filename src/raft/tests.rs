//! openraft's own suite of storage tests, over both of our stores.
#![allow(clippy::unwrap_used, reason = "tests; clippy does not see that behind `not(sim)`")]

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::log_store::LogStore;
use super::log_writer::LogWriter;
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use crate::rt::RaftRt;
use crate::store::{MemoryStore, RocksStore, Store};

fn open(store: Arc<dyn Store>) -> (LogStore, StateMachine) {
    let rt = RaftRt::new(tokio::runtime::Handle::current());
    let writer = LogWriter::start(Arc::clone(&store), Arc::default()).unwrap();
    let log = LogStore::open(rt.clone(), Arc::clone(&store), writer).unwrap();
    (log, StateMachine::new(rt, store, Arc::default()))
}

struct OnDisk;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for OnDisk {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let (log, machine) = open(Arc::new(RocksStore::open(folder.path()).unwrap()));
        Ok((folder, log, machine))
    }
}

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, ()> for InMemory {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<TypeConfig>> {
        let (log, machine) = open(Arc::new(MemoryStore::default()));
        Ok(((), log, machine))
    }
}

#[test]
fn openraft_suite_on_rocksdb() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Suite::test_all(OnDisk)).unwrap();
}

#[test]
fn openraft_suite_in_memory() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Suite::test_all(InMemory)).unwrap();
}
