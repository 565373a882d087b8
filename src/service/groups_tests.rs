//! Groups on their way to another node, over real connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ledger::apply::tests::record;
use crate::net::gate::Gate;
use crate::peer::envelope::Sender;
use crate::peer::link::{Lane, Links};
use crate::peer::routes::{Admit, Routes};
use crate::peer::testing;
use crate::record::Durability;

/// Records with this in their ids are never answered.
const STUCK: &str = "stuck";

struct Peer {
    groups: Groups,
    leader: Leader,
    messages: Arc<AtomicUsize>,
    /// Nothing is answered until it is true.
    open: watch::Sender<bool>,
    _stop: CancellationToken,
}

/// A leader that takes every record, and several in one message where it `takes_groups`.
async fn peer(takes_groups: bool) -> Peer {
    let rt = RaftRt::new(tokio::runtime::Handle::current());
    let (open, opened) = watch::channel(true);
    let messages = Arc::new(AtomicUsize::new(0));
    let take = {
        let messages = Arc::clone(&messages);
        move |records: Vec<Record>| {
            let (messages, mut opened) = (Arc::clone(&messages), opened.clone());
            async move {
                messages.fetch_add(1, Ordering::Relaxed);
                opened.wait_for(|open| *open).await.unwrap();
                if records.iter().any(|record| record.id.as_str().contains(STUCK)) {
                    std::future::pending::<()>().await;
                }
                let durability = Durability::Quorum;
                let taken = |record| Submitted { record, replayed: false, durability };
                records.into_iter().map(taken).collect::<Vec<_>>()
            }
        }
    };
    let mut routes = Routes::default();
    let one = take.clone();
    routes.json(PUT, Admit::Newcomers, move |_, record: Record| {
        let taking = one(vec![record]);
        async move { Ok(taking.await.remove(0)) }
    });
    if takes_groups {
        routes.json(PUT_ALL, Admit::Newcomers, move |_, records: Vec<Record>| {
            let taking = take(records);
            async move { Ok(taking.await.into_iter().map(Entered::Submitted).collect::<Vec<_>>()) }
        });
    }
    let (addr, stop) = testing::serve(&rt, routes, Sender::new("n2".parse().unwrap())).await;
    let links = Links::new(rt.clone(), Sender::new("n1".parse().unwrap()), Gate::default());
    let leader = Leader::There(links.to(addr, Lane::Service));
    Peer { groups: Groups::new(rt, Arc::default()), leader, messages, open, _stop: stop }
}

async fn put_many(peer: &Peer, count: usize) {
    let records = (0..count).map(|number| record(&format!("r{number}"), "picture"));
    let put = |record: Record| async move {
        let submitted = peer.groups.put(&peer.leader, record.clone()).await.unwrap();
        assert_eq!(submitted.record, record);
    };
    join_all(records.map(put)).await;
    let ways = peer.groups.ways();
    assert!(ways.is_empty(), "{} ways are left", ways.len());
}

#[tokio::test]
async fn what_waits_goes_in_one_message_and_each_is_answered_with_its_own() {
    let peer = peer(true).await;
    peer.open.send_replace(false);
    let opening = async {
        let on_their_way = || peer.messages.load(Ordering::Relaxed);
        while on_their_way() == 0 {
            tokio::task::yield_now().await;
        }
        peer.open.send_replace(true);
    };
    tokio::join!(put_many(&peer, 200), opening);
    let messages = peer.messages.load(Ordering::Relaxed);
    assert!(messages <= 2 * FLIGHTS_THERE_MAX, "{messages} messages for 200 records");
}

#[tokio::test]
async fn a_leader_of_the_version_before_is_sent_one_at_a_time() {
    let peer = peer(false).await;
    put_many(&peer, 50).await;
    assert_eq!(peer.messages.load(Ordering::Relaxed), 50);
}

#[tokio::test]
async fn what_is_stuck_holds_up_nothing_behind_it() {
    let peer = peer(true).await;
    let mut held = Vec::new();
    for number in 0..FLIGHTS_THERE_MAX {
        let (groups, leader) = (peer.groups.clone(), peer.leader.clone());
        let record = record(&format!("{STUCK}-{number}"), "picture");
        held.push(peer.groups.rt.spawn("held", async move { groups.put(&leader, record).await }));
        while peer.messages.load(Ordering::Relaxed) <= number {
            tokio::task::yield_now().await;
        }
    }
    let free = record("free", "picture");
    let submitted = peer.groups.put(&peer.leader, free.clone()).await.unwrap();
    assert_eq!(submitted.record, free);
    assert!(held.iter().all(|held| !held.is_finished()));
}

#[test]
fn the_longer_the_way_the_more_groups_are_on_it() {
    let flights = |millis: &[u64]| {
        let mut pace = Pace::default();
        millis.iter().for_each(|ms| pace.took(Duration::from_millis(*ms)));
        pace.flights()
    };
    let long = [20; COMMITS_JUDGED];
    assert_eq!(flights(&[]), 1);
    assert_eq!(flights(&long[1..]), 1);
    assert_eq!(flights(&long), FLIGHTS_HERE_MAX);
    assert_eq!(flights(&[9; COMMITS_JUDGED]), 2);
    // One that was quick shows that the others were late for another reason; until it is long ago.
    let quick = |before: usize| [vec![1], vec![20; before]].concat();
    assert_eq!(flights(&quick(COMMITS_JUDGED - 1)), 1);
    assert_eq!(flights(&quick(COMMITS_JUDGED)), FLIGHTS_HERE_MAX);
}
