//! openraft's own suite of storage tests, over both of our stores.
#![allow(clippy::unwrap_used, reason = "tests; clippy does not see that behind `not(sim)`")]

use std::sync::Arc;

use openraft::storage::RaftLogStorage as _;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{RaftLogReader as _, StorageError};

use super::ballots::Ballots;
use super::log_store::LogStore;
use super::log_writer::LogWriter;
use super::state_machine::StateMachine;
use super::types::{TypeConfig, Vote};
use crate::rt::RaftRt;
use crate::store::{MemoryStore, RocksStore, Store};

/// None of the votes below is of this node for itself.
const ANOTHER: u64 = 99;

fn open(store: Arc<dyn Store>) -> (LogStore, StateMachine) {
    let rt = RaftRt::new(tokio::runtime::Handle::current());
    let writer = LogWriter::start(Arc::clone(&store), Arc::default()).unwrap();
    let ballots = Ballots::new(ANOTHER);
    let log = LogStore::open(rt.clone(), Arc::clone(&store), writer, ballots).unwrap();
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

#[test]
fn a_crash_forgets_no_ballot_though_it_may_forget_who_won() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(MemoryStore::default());
        let mut log = open(Arc::clone(&store) as Arc<dyn Store>).0;
        let after_crash = async || {
            store.crash();
            open(Arc::clone(&store) as Arc<dyn Store>).0.read_vote().await.unwrap()
        };
        let ballot = Vote::new(3, 1);
        log.save_vote(&ballot).await.unwrap();
        log.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
        let kept = after_crash().await.unwrap();
        assert_eq!(kept.leader_id, ballot.leader_id);
        // A leader that this node did not vote for brings a new term, which must stay.
        for elected in [Vote::new_committed(4, 2), Vote::new(5, 3)] {
            log.save_vote(&elected).await.unwrap();
            assert_eq!(after_crash().await, Some(elected));
        }
    });
}
