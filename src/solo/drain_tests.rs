//! Journal, books and drain over memory: what is acknowledged survives a crash, and reaches
//! the ledger once, whatever fails on the way.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::super::{Books, Entered, Size};
use super::*;
use crate::ledger::apply::tests::record;
use crate::ledger::apply::{Applier, LedgerState};
use crate::ledger::{Command, Outcome};
use crate::record::Durability;
use crate::store::{self, MemoryStore, Store};

/// A put that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It never reaches the leader.
    Before,
    /// It is committed, and the answer is lost.
    After,
    /// It is acknowledged, and is nowhere: what must never be, and must cost nothing.
    Lie,
}

/// A cluster's ledger, to which nodes have a way that can fail.
#[derive(Default)]
struct Cluster {
    store: Arc<MemoryStore>,
    writing: Mutex<()>,
    /// What becomes of the next puts, the last first.
    faults: Mutex<Vec<Fault>>,
}

impl Cluster {
    fn commit(&self, record: Record) -> Record {
        let _writing = self.writing.lock().unwrap();
        let mut applier = Applier::new(&*self.store, LedgerState::load(&*self.store).unwrap());
        let outcome = applier.apply(Command::Put { record }).unwrap();
        self.store.write(applier.finish().unwrap().0, store::Durability::Synced).unwrap();
        match outcome {
            Outcome::Put { record, .. } => record,
            other => panic!("{other:?}"),
        }
    }

    fn records(&self) -> Vec<Record> {
        Ledger::new(self.store.clone()).page(None, 10_000).unwrap().0
    }
}

impl Sink for Cluster {
    fn put(&self, record: Record) -> SinkFuture<'_, Record> {
        Box::pin(async move {
            let fault = self.faults.lock().unwrap().pop().unwrap_or(Fault::None);
            let lost = || SinkError("no quorum".into());
            match fault {
                Fault::None => Ok(self.commit(record)),
                Fault::Before => Err(lost()),
                Fault::After => {
                    self.commit(record);
                    Err(lost())
                }
                Fault::Lie => Ok(record),
            }
        })
    }

    fn settle(&self) -> SinkFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ledger(&self) -> Option<Ledger> {
        Some(Ledger::new(self.store.clone()))
    }
}

/// A node with a disk of its own, cut off or not.
struct Node {
    store: Arc<MemoryStore>,
    journal: Journal,
    cluster: Arc<Cluster>,
    solo: Solo,
    events: Events,
    metrics: Arc<Metrics>,
}

impl Node {
    fn new(name: &str, cluster: &Arc<Cluster>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let metrics = Arc::new(Metrics::new());
        let journal = Journal::open(store.clone(), Arc::clone(&metrics)).unwrap();
        let (cluster, solo) = (Arc::clone(cluster), Solo::default());
        Self { store, journal, cluster, solo, events: Events::new(name.parse().unwrap()), metrics }
    }

    /// Power cut and restart.
    fn crash(&mut self) {
        self.store.crash();
        self.journal = Journal::open(self.store.clone(), Arc::clone(&self.metrics)).unwrap();
    }

    fn drain(&self) -> Drain {
        Drain {
            journal: self.journal.clone(),
            sink: self.cluster.clone(),
            solo: self.solo.clone(),
            rt: RaftRt::new(tokio::runtime::Handle::current()),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    async fn enter(&self, id: &str, content: &str) -> Entered {
        self.journal.enter(record(id, content)).await.unwrap()
    }
}

#[tokio::test]
async fn of_many_at_once_under_one_id_one_is_entered_and_all_are_told_of_it() {
    let cluster = Arc::new(Cluster::default());
    let mut node = Node::new("n1", &cluster);
    let contents: Vec<String> = (0..50).map(|number| format!("{}", number % 7)).collect();
    let entering = contents.iter().map(|content| node.enter("same", content));
    let entered = futures_util::future::join_all(entering).await;
    assert!(entered.iter().all(|one| one.record == entered[0].record));
    assert_eq!(entered.iter().filter(|one| !one.replayed).count(), 1);
    assert_eq!(entered[0].record.durability, Durability::Local);
    assert!(entered.iter().all(|one| one.durability == Durability::Local));
    assert_eq!(node.journal.size().records, 1);
    let before = node.journal.size();
    node.crash();
    assert_eq!(node.journal.size(), before, "counted again from the disk");
    assert_eq!(node.journal.page(None, 10).unwrap(), [entered[0].record.clone()]);
}

#[tokio::test]
async fn what_the_own_copy_of_the_ledger_has_is_not_journalled() {
    let cluster = Arc::new(Cluster::default());
    let node = Node::new("n1", &cluster);
    let known = record("known", "x");
    let mut applier = Applier::new(&*node.store, LedgerState::default());
    applier.apply(Command::Put { record: known.clone() }).unwrap();
    node.store.write(applier.finish().unwrap().0, store::Durability::Synced).unwrap();
    let entered = node.enter("known", "y").await;
    let durability = Durability::Quorum;
    assert_eq!(entered, Entered { record: known, replayed: true, durability });
    assert_eq!(node.journal.size(), Size::default());
}

#[tokio::test]
async fn a_full_journal_refuses_and_takes_again_when_there_is_room() {
    let store = Arc::new(MemoryStore::default());
    let room = Size { records: 2, bytes: 1 << 20 };
    let journal = Journal::with_room(store.clone(), Arc::default(), room).unwrap();
    for id in ["a", "b"] {
        journal.enter(record(id, id)).await.unwrap();
    }
    let refused = journal.enter(record("c", "c")).await;
    assert!(matches!(refused, Err(JournalError::Full { records: 2, .. })), "{refused:?}");
    let again = journal.enter(record("a", "a")).await.unwrap();
    assert!(again.replayed, "what it has it can still tell of");
    journal
        .remove(vec!["a".parse().unwrap(), "never there".replace(' ', "").parse().unwrap()])
        .await
        .unwrap();
    assert_eq!(journal.size().records, 1);
    journal.enter(record("c", "c")).await.unwrap();
    let narrow = Size { records: 100, bytes: journal.size().bytes };
    let journal = Journal::with_room(store, Arc::default(), narrow).unwrap();
    let refused = journal.enter(record("d", "d")).await;
    assert!(matches!(refused, Err(JournalError::Full { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_books_show_ledger_and_journal_as_one() {
    let cluster = Arc::new(Cluster::default());
    let node = Node::new("n1", &cluster);
    for id in ["b", "d", "f"] {
        cluster.commit(record(id, id));
    }
    for id in ["a", "c", "d", "e"] {
        node.enter(id, "alone").await;
    }
    let books = Books::new(Ledger::new(cluster.store.clone()), Some(node.journal.clone()));
    let mut after = None;
    let mut ids = Vec::new();
    loop {
        let (page, total) = books.page(after.as_ref(), 2).unwrap();
        assert_eq!(total, 6);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        ids.extend(page.iter().map(|record| record.id.to_string()));
    }
    assert_eq!(ids, ["a", "b", "c", "d", "e", "f"]);
    let get = |id: &str| books.get(&id.parse().unwrap()).unwrap();
    assert_eq!(get("d"), Some(record("d", "d")), "the ledger's counts");
    assert_eq!(get("c").unwrap().durability, Durability::Local);
    assert_eq!(get("z"), None);
    let found = books.by_stego_digest(&Digest::of(b"alone")).unwrap().unwrap();
    assert_eq!(found.id.as_str(), "a");
    assert_eq!(books.by_stego_digest(&Digest::of(b"f")).unwrap().unwrap().id.as_str(), "f");
}

#[tokio::test]
async fn the_drain_waits_for_the_end_of_solo_and_keeps_ids_and_contents() {
    let cluster = Arc::new(Cluster::default());
    let node = Node::new("n1", &cluster);
    node.solo.set(true);
    let mut events = node.events.subscribe(0).1;
    let draining = tokio::task::JoinSet::from_iter([node.drain().run()]);
    let mut entered = Vec::new();
    for number in 0..600 {
        entered.push(node.enter(&format!("r{number:03}"), &format!("{number}")).await.record);
    }
    assert_eq!(cluster.records(), []);
    // A put that fails on the way is made again.
    *cluster.faults.lock().unwrap() = vec![Fault::Before, Fault::After];
    node.solo.set(false);
    let mut sizes = node.journal.sizes();
    sizes.wait_for(|size| size.records == 0).await.unwrap();
    assert_eq!(cluster.records(), entered);
    let told = events.recv().await.unwrap().event.change;
    assert!(matches!(told, Change::JournalDrained { records: 600, .. }), "{told:?}");
    drop(draining);
}

#[tokio::test]
async fn an_entry_that_the_ledger_does_not_hold_is_kept() {
    let cluster = Arc::new(Cluster::default());
    let node = Node::new("n1", &cluster);
    node.enter("a", "a").await;
    *cluster.faults.lock().unwrap() = vec![Fault::Lie];
    let failed = node.drain().batch().await;
    assert!(matches!(failed, Err(DrainError::Missing { .. })), "{failed:?}");
    assert_eq!(node.journal.size().records, 1);
    assert_eq!(node.drain().batch().await.unwrap(), 1);
    assert_eq!(cluster.records().len(), 1);
}

#[tokio::test]
async fn of_two_embeds_under_one_id_both_are_kept_and_the_second_is_told_of() {
    let cluster = Arc::new(Cluster::default());
    let (one, two) = (Node::new("n1", &cluster), Node::new("n2", &cluster));
    one.enter("key", "first").await;
    let lost = two.enter("key", "second").await.record;
    let mut events = two.events.subscribe(0).1;
    one.drain().batch().await.unwrap();
    two.drain().batch().await.unwrap();
    let records = cluster.records();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!((records[0].id.as_str(), records[0].stego_sha256), ("key", Digest::of(b"first")));
    assert!(records[1].id.as_str().starts_with("key.conflict-"), "{records:?}");
    assert_eq!(Record { id: lost.id.clone(), ..records[1].clone() }, lost);
    let Change::RecordConflict { kept_as, .. } = events.recv().await.unwrap().event.change else {
        panic!("another event");
    };
    assert_eq!(kept_as, records[1].id);
    assert_eq!(two.metrics.journal_conflicts_total.get(), 1);
    assert_eq!(one.metrics.journal_conflicts_total.get(), 0);
}

#[test]
fn the_id_of_a_conflict_is_an_id_and_its_own() {
    let long = "x".repeat(RecordId::LENGTH_MAX);
    let ids = [record(&long, "a"), record(&long, "b")].map(|record| conflict_id(&record, 0));
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].as_str().len(), RecordId::LENGTH_MAX);
    assert_ne!(ids[0], conflict_id(&record(&long, "a"), 1));
}

/// What may happen to nodes that serve alone and meet again.
#[derive(Debug, Clone)]
enum Step {
    Enter {
        node: usize,
        id: u8,
        content: u8,
    },
    /// Through a quorum, elsewhere.
    Commit {
        id: u8,
        content: u8,
    },
    Drain {
        node: usize,
        faults: Vec<Fault>,
    },
    Crash {
        node: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop::sample::select(vec![Fault::None, Fault::Before, Fault::After]);
    let step = prop_oneof![
        4 => (0..2_usize, 0..12_u8, 0..2_u8)
            .prop_map(|(node, id, content)| Step::Enter { node, id, content }),
        1 => (0..12_u8, 0..2_u8).prop_map(|(id, content)| Step::Commit { id, content }),
        1 => (0..2_usize, prop::collection::vec(fault, 0..6))
            .prop_map(|(node, faults)| Step::Drain { node, faults }),
        1 => (0..2_usize).prop_map(|node| Step::Crash { node }),
    ];
    prop::collection::vec(step, 1..40)
}

/// Every record that somebody was told of, by id and content.
type Acknowledged = BTreeMap<(String, Digest), Record>;

async fn play(steps: Vec<Step>) -> (Acknowledged, Arc<Cluster>, [Node; 2]) {
    let cluster = Arc::new(Cluster::default());
    let mut nodes = ["n1", "n2"].map(|name| Node::new(name, &cluster));
    let mut told = Acknowledged::new();
    let mut tell = |record: Record| {
        told.entry((record.id.to_string(), record.stego_sha256)).or_insert(record);
    };
    for step in steps {
        match step {
            Step::Enter { node, id, content } => {
                tell(nodes[node].enter(&format!("r{id}"), &content.to_string()).await.record);
            }
            Step::Commit { id, content } => {
                tell(cluster.commit(record(&format!("r{id}"), &content.to_string())));
            }
            Step::Drain { node, faults } => {
                *cluster.faults.lock().unwrap() = faults;
                // Failing is part of it: what matters is what is left in the end.
                let _ = nodes[node].drain().batch().await;
                cluster.faults.lock().unwrap().clear();
            }
            Step::Crash { node } => nodes[node].crash(),
        }
    }
    for node in &nodes {
        while node.journal.size().records > 0 {
            node.drain().batch().await.unwrap();
        }
    }
    (told, cluster, nodes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The ledger ends as the union: each record that was acknowledged is in it once, with
    /// what it said, under its id or, where that belongs to another, under one made of it.
    #[test]
    fn the_ledger_ends_as_the_union_of_what_was_acknowledged(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (told, cluster, _nodes) = runtime.block_on(play(steps));
        let held = cluster.records();
        prop_assert_eq!(held.len(), told.len(), "{:#?} {:#?}", held, told);
        for acknowledged in told.values() {
            let own_or_other = |held: &&Record| {
                held.same_embed(acknowledged) || held.id == conflict_id(acknowledged, 0)
            };
            let found: Vec<_> = held.iter().filter(own_or_other).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].stego_sha256, acknowledged.stego_sha256);
        }
    }
}
