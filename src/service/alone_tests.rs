//! The way to the ledger of a node that belongs to no cluster, and goes solo or not.

use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::ledger::apply::tests::record;
use crate::net::gate::Gate;
use crate::observe::metrics::Metrics;
use crate::peer::envelope::Sender;
use crate::peer::link::Links;
use crate::rt::RaftRt;
use crate::solo::Books;
use crate::store::MemoryStore;
use crate::view::LeaderView;

/// The other end of the views has to be held.
fn lone() -> (LedgerOrJournal, watch::Sender<Arc<LeaderView>>) {
    let handle = tokio::runtime::Handle::current();
    let links = Links::new(
        RaftRt::new(handle.clone()),
        Sender::new("n1".parse().unwrap()),
        Gate::default(),
    );
    let (views, viewed) = watch::channel(Arc::new(LeaderView::default()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let journal = Journal::open(Arc::clone(&store), Arc::new(Metrics::new())).unwrap();
    let access = LedgerOrJournal {
        submitter: Submitter::new(
            Arc::default(),
            viewed,
            links,
            Default::default(),
            Arc::default(),
        ),
        solo: Solo::default(),
        journal,
        store,
        rt: ClientRt::new(handle),
    };
    (access, views)
}

#[tokio::test]
async fn a_request_in_flight_when_solo_begins_is_journalled_under_its_id() {
    let (access, _views) = lone();
    let mut waiting = Box::pin(access.put(record("a", "a"), Durability::Local));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert_eq!(access.journal.size().records, 0);
    access.solo.set(true);
    let submitted = waiting.await.unwrap();
    assert_eq!((submitted.replayed, submitted.durability), (false, Durability::Local));
    assert_eq!(submitted.record, Record { durability: Durability::Local, ..record("a", "a") });
    let again = access.put(record("a", "a"), Durability::Local).await.unwrap();
    assert!(again.replayed);
    assert_eq!(access.journal.size().records, 1);
}

#[tokio::test]
async fn what_asks_for_a_quorum_is_refused_and_never_journalled() {
    let (access, _views) = lone();
    let mut waiting = Box::pin(access.put(record("a", "a"), Durability::Quorum));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    access.solo.set(true);
    assert!(matches!(waiting.await, Err(SubmitError::Solo)));
    let refused = access.put(record("a", "a"), Durability::Quorum).await;
    assert!(matches!(refused, Err(SubmitError::Solo)));
    assert_eq!(access.journal.size().records, 0);
}

#[tokio::test]
async fn alone_it_reads_what_it_has_and_promises_no_more() {
    let (access, _views) = lone();
    assert!(access.ledger().is_none(), "nothing to read, and not alone");
    access.solo.set(true);
    assert!(matches!(access.barrier().await, Err(SubmitError::Solo)));
    access.put(record("a", "a"), Durability::Local).await.unwrap();
    let books = Books::new(access.ledger().unwrap(), LedgerAccess::journal(&access));
    assert_eq!(books.page(None, 10).unwrap().1, 1);
}

#[tokio::test(start_paused = true)]
async fn linearizable_reads_wait_for_what_this_node_acknowledged_alone() {
    let (access, _views) = lone();
    access.journal.enter(record("a", "a")).await.unwrap();
    let refused = access.barrier().await;
    assert!(matches!(refused, Err(SubmitError::Draining { records: 1 })), "{refused:?}");
}

/// A repeated request brings what waits under its id to the ledger, and nothing else: a
/// client that gives the id another content is told so by the record that it gets.
#[tokio::test]
async fn an_id_that_waits_in_the_journal_is_given_no_other_record() {
    let (access, _views) = lone();
    access.journal.enter(record("a", "first")).await.unwrap();
    let found = access.waiting(&"a".parse().unwrap()).await.unwrap();
    assert_eq!(found.map(|found| found.stego_sha256), Some(record("a", "first").stego_sha256));
    let mut waiting = Box::pin(access.put(record("a", "second"), Durability::Local));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    access.solo.set(true);
    assert_eq!(waiting.await.unwrap().record.stego_sha256, record("a", "first").stego_sha256);
}
