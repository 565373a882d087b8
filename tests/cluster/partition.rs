//! Both sides of a partition embed for as long as it lasts; afterwards every embed that was
//! acknowledged is on every node exactly once, with the digest that its client was told.
//!
//! It lasts until both sides have acknowledged enough, or for the number of seconds in
//! `STEGCLUSTER_PARTITION_SECONDS`:
//! `STEGCLUSTER_PARTITION_SECONDS=60 cargo test --test cluster partition:: -- --nocapture`

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use stegcluster::api::cluster::Mode;
use stegcluster::api::codec::RecordsResponse;
use stegcluster::clock;
use stegcluster::drill::check::{Listing, check};
use stegcluster::drill::history::Acked;

#[cfg(target_os = "linux")]
use crate::netns::{inside, on_a_lan};
use crate::support::{Client, Cluster, PATIENCE, poll};

/// Embeds that each side must have acknowledged.
const ENOUGH: usize = 40;
const PAGE: usize = 1000;

/// How long it lasts, where somebody says so.
fn asked_for() -> Duration {
    let seconds = std::env::var("STEGCLUSTER_PARTITION_SECONDS").unwrap_or_default();
    Duration::from_secs(if seconds.is_empty() { 0 } else { seconds.parse().expect("seconds") })
}

/// What one client was told.
#[derive(Default)]
struct Told {
    acked: Vec<Acked>,
    local: usize,
    /// Answers that are no acknowledgement, which a client repeats under the same id.
    repeated: usize,
}

impl Told {
    /// Embeds `secret` until it is acknowledged.
    fn embed(&mut self, client: &Client, id: &str, secret: &[u8]) {
        let answer = poll(PATIENCE, || {
            let reply = client.form("/api/embed", &[("idempotency-key", id)], &[("file", secret)]);
            let reply = reply.ok().filter(|reply| reply.status == 200);
            self.repeated += usize::from(reply.is_none());
            reply
        });
        let body: Value = answer.unwrap_or_else(|| panic!("{id} is not acknowledged")).ok();
        let text = |key: &str| body[key].as_str().expect("a text");
        self.local += usize::from(text("durability") == "local");
        let digest = text("sha256").parse().expect("a digest");
        self.acked.push(Acked { id: id.parse().expect("an id"), digest });
    }
}

/// A partition with one node on one side.
struct Partition<'a> {
    alone: usize,
    cut: &'a (dyn Fn() + Sync),
    mend: &'a (dyn Fn() + Sync),
    /// Where a client must be that reaches the lone node.
    netns: Option<&'a str>,
}

impl Partition<'_> {
    /// One client for each node embeds while it lasts.
    fn go_through(&self, cluster: &Cluster) -> Vec<Told> {
        let at_least = asked_for();
        let acknowledged = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let began = clock::now();
        let over = || {
            let enough = acknowledged.iter().all(|side| side.load(Ordering::Relaxed) >= ENOUGH);
            enough && began.elapsed() >= at_least
        };
        let embed = |index: usize| {
            let node = &cluster.nodes[index];
            let alone = index == self.alone;
            let mut told = Told::default();
            for number in 0.. {
                if over() {
                    break;
                }
                let id = format!("{}-{number:05}", node.name);
                told.embed(&node.client, &id, id.as_bytes());
                // Before it serves alone, what it is given waits.
                acknowledged[usize::from(alone)].fetch_add(1, Ordering::Relaxed);
            }
            told
        };
        (self.cut)();
        std::thread::scope(|scope| {
            let client = |index: usize| {
                let netns = self.netns.filter(|_| index == self.alone);
                scope.spawn(move || match netns {
                    #[cfg(target_os = "linux")]
                    Some(netns) => inside(netns, || embed(index)),
                    _ => embed(index),
                })
            };
            let clients: Vec<_> = (0..cluster.nodes.len()).map(client).collect();
            let join = |client: std::thread::ScopedJoinHandle<'_, Told>| {
                client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            clients.into_iter().map(join).collect()
        })
    }

    /// See the module.
    #[allow(clippy::print_stdout, reason = "figures, for whoever asks for a longer partition")]
    fn test(&self, cluster: &Cluster) {
        let began = clock::now();
        let told = self.go_through(cluster);
        let lasted = began.elapsed();
        (self.mend)();
        let healing = clock::now();
        healed(cluster);
        let took = healing.elapsed();
        let listings: Vec<_> = (0..cluster.nodes.len()).map(|n| listing(cluster, n)).collect();
        let (minority, majority): (Vec<_>, Vec<_>) =
            told.iter().enumerate().partition(|(index, _)| *index == self.alone);
        let count =
            |side: &[(usize, &Told)]| side.iter().map(|(_, t)| t.acked.len()).sum::<usize>();
        let (alone, others) = (count(&minority), count(&majority));
        let local: usize = minority.iter().map(|(_, told)| told.local).sum();
        let repeated: usize = told.iter().map(|told| told.repeated).sum();
        println!(
            "a partition of {:.1} s: {others} embeds acknowledged by the majority and {alone} by \
             the lone node ({local} alone), {repeated} requests repeated; one ledger {:.0} ms after",
            lasted.as_secs_f64(),
            clock::millis(took)
        );
        assert!(local >= ENOUGH, "{local}");
        assert_eq!(majority.iter().map(|(_, told)| told.local).sum::<usize>(), 0);
        let acked: Vec<Acked> = told.into_iter().flat_map(|told| told.acked).collect();
        let verdict = check(&acked, &listings);
        assert!(verdict.is_clean(), "{verdict:?}");
        for listing in &listings {
            let more = listing.entries.len() - acked.len();
            assert_eq!(more, 0, "{} lists {more} records that nobody was told of", listing.node);
        }
    }
}

/// Waits until all nodes are one cluster and nothing waits to get into the ledger.
fn healed(cluster: &Cluster) {
    cluster.whole();
    cluster.wait("the journals are empty", |cluster| {
        let mut nodes = 0..cluster.nodes.len();
        let drained = |index| {
            cluster.own(index).is_some_and(|own| own.journal == 0 && own.mode == Mode::Normal)
        };
        nodes.all(drained).then_some(())
    });
}

/// All that a node holds, once it has what was acknowledged until now.
fn listing(cluster: &Cluster, index: usize) -> Listing {
    cluster.caught_up(index);
    let node = &cluster.nodes[index];
    let mut entries = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/records?limit={PAGE}{after}");
        let page: RecordsResponse = node.client.get(&path).expect("the node answers").ok();
        entries.extend(page.records.into_iter().map(|r| (r.record.id, r.record.stego_sha256)));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Listing { node: node.name.clone(), entries },
        }
    }
}

#[test]
fn both_sides_of_a_partition_embed_and_every_record_is_everywhere_once() {
    let cluster = Cluster::formed(3, &[]);
    let alone = cluster.whole();
    let client = &cluster.nodes[alone].client;
    let partition = Partition {
        alone,
        cut: &|| client.fail(r#"{"action":"isolate"}"#),
        mend: &|| client.restore(),
        netns: None,
    };
    partition.test(&cluster);
}

#[cfg(target_os = "linux")]
#[test]
fn both_sides_of_a_pulled_cable_embed_and_every_record_is_everywhere_once() {
    on_a_lan("sides", &[], |lan, cluster| {
        let alone = (cluster.whole() + 1) % 3;
        let partition = Partition {
            alone,
            cut: &|| lan.cable(alone, "down"),
            mend: &|| lan.cable(alone, "up"),
            netns: Some(&lan.spokes[alone]),
        };
        partition.test(cluster);
    });
}
