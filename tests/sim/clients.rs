//! Clients: they put records and read linearizably through any node that runs, and learn
//! of some writes only that their outcome is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stegcluster::clock;
use stegcluster::ident::RecordId;
use stegcluster::record::{Digest, Durability, Method, Record};
use stegcluster::service::submit::SubmitError;
use stegcluster::service::{LedgerAccess, LedgerOrJournal};
use stegcluster::sim::random::Random;
use stegcluster::sim::{self, process, random};
use stegcluster::solo::Books;

use crate::cluster::Cluster;
use crate::host::Host;
use crate::properties::{Told, Wanted};
use crate::trace;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// Embeds in a hundred under an id that others use too, and how many ids there are to use.
const REUSED: u64 = 15;
const IDS_APART: u32 = 6;
/// Embeds in a hundred that ask for a quorum and nothing less.
const QUORUM_ONLY: u64 = 20;

/// Told to the clients when the run ends.
pub type Stop = Arc<AtomicBool>;

fn draw_host(cluster: &Cluster) -> &Arc<Host> {
    random::draw(|random| random.pick(&cluster.hosts))
}

async fn pause(shortest_ms: u64, longest_ms: u64) {
    let ms = random::draw(|random| random.within(shortest_ms..=longest_ms));
    sim::pass(Duration::from_millis(ms)).await;
}

/// The embed that `embed` tells from others under the same id.
fn record(id: RecordId, embed: &str, node: &Host) -> Record {
    let digest = Digest::of(format!("{id} {embed}").as_bytes());
    Record {
        id,
        time_ms: clock::unix_ms(),
        node: node.name.clone(),
        method: Method::None,
        secret_bytes: 0,
        cover_bytes: 0,
        stego_bytes: 0,
        cover_sha256: digest,
        stego_sha256: digest,
        durability: Durability::Quorum,
    }
}

/// Puts records one after the other; some with an unknown outcome again, elsewhere. A few
/// times an id is used for two embeds, perhaps on two sides of a partition.
pub async fn write(cluster: Arc<Cluster>, client: u32, stop: Stop) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        pause(20, 150).await;
        let host = draw_host(&cluster);
        if host.running().is_none() {
            continue;
        }
        number += 1;
        let (shared, least) = random::draw(|r| (r.chance(REUSED), least_of(r)));
        let id = if shared {
            format!("both-{:05}", number / IDS_APART)
        } else {
            format!("c{client}-{number:05}")
        };
        let embed = format!("{client} {number}");
        let record = process::enter(host.ip, || record(id.parse().unwrap(), &embed, host));
        cluster.checks.lock().records.submit(&record);
        let mut answered = put(&cluster, host, record.clone(), least).await.is_some();
        while !answered && !stop.load(Ordering::Relaxed) && random::draw(|r| r.chance(50)) {
            pause(1, 100).await;
            let least = random::draw(least_of);
            answered = put(&cluster, draw_host(&cluster), record.clone(), least).await.is_some();
        }
    }
}

/// What a client asks for.
fn least_of(random: &mut Random) -> Durability {
    if random.chance(QUORUM_ONLY) { Durability::Quorum } else { Durability::Local }
}

/// One attempt; what came of it, unless that is unknown.
pub async fn put(
    cluster: &Cluster,
    host: &Arc<Host>,
    record: Record,
    least: Durability,
) -> Option<Told> {
    let ledger = host.running()?.ledger;
    let given = record.clone();
    let putting =
        process::spawn_on(host.ip, async move { LedgerAccess::put(&ledger, record, least).await });
    // Not cancelled when the patience is over: a client that hangs up cancels nothing.
    let answer = tokio::time::timeout(PATIENCE, putting).await;
    let mut checks = cluster.checks.lock();
    let (name, id) = (host.name.as_str(), &given.id);
    // Refused late, or the process ended, or no answer: it may be entered all the same.
    let Ok(Ok(Ok(answer))) = answer else {
        trace::line(format_args!("{name} left {id} unknown"));
        checks.records.unknown += 1;
        checks.reads.unknown(id);
        return None;
    };
    let (told, found) = checks.records.answered(name, &given, least, &answer);
    trace::line(format_args!("{name} answered {id}: {told:?}"));
    checks.report(found);
    match answer.durability {
        Durability::Quorum => checks.reads.visible(id),
        Durability::Local => checks.reads.visible_on(name, id),
    }
    Some(told)
}

/// Reads linearizably, one read after the other.
pub async fn read(cluster: Arc<Cluster>, stop: Stop) {
    while !stop.load(Ordering::Relaxed) {
        pause(20, 200).await;
        read_once(&cluster, draw_host(&cluster)).await;
    }
}

/// One read; true if it was answered.
pub async fn read_once(cluster: &Cluster, host: &Arc<Host>) -> bool {
    let Some(running) = host.running() else { return false };
    let wanted = cluster.checks.lock().reads.begin(host.name.as_str());
    let (ledger, solo) = (running.ledger, running.core.solo);
    let reading = process::spawn_on(host.ip, async move {
        let missing = read_stale(&ledger, &wanted.own);
        if let Err(error) = LedgerAccess::barrier(&ledger).await {
            return (missing, Err(matches!(error, SubmitError::Solo)));
        }
        let alone = solo.is_on();
        (missing, Ok(read_ledger(&ledger, &wanted).map(|read| (alone, read))))
    });
    let Ok(Ok((stale, read))) = tokio::time::timeout(PATIENCE, reading).await else {
        return false;
    };
    let name = host.name.as_str();
    let mut checks = cluster.checks.lock();
    if let Some(id) = stale {
        checks.report([format!("a stale read on {name} missed its own record {id}")]);
    }
    let (alone, Read { missing, found }) = match read {
        Ok(Some(read)) => read,
        Ok(None) => return false,
        Err(because_alone) => {
            checks.alone.refused_reads += u32::from(because_alone);
            return false;
        }
    };
    trace::line(format_args!("{name} answered a read"));
    if alone {
        checks.report([format!("{name} serves alone, and called a read linearizable")]);
    }
    let wrong = checks.reads.ended(name, &missing, &found);
    checks.report(wrong);
    true
}

/// What a read found out.
struct Read {
    missing: Vec<RecordId>,
    found: Vec<RecordId>,
}

/// Reads this node's ledger; nothing where its disk fails.
fn read_ledger(ledger: &LedgerOrJournal, wanted: &Wanted) -> Option<Read> {
    let ledger = LedgerAccess::ledger(ledger)?;
    let mut read = Read { missing: Vec::new(), found: Vec::new() };
    for id in wanted.visible.iter().chain(&wanted.own) {
        if ledger.get(id).ok()?.is_none() {
            read.missing.push(id.clone());
        }
    }
    for id in &wanted.perhaps {
        if ledger.get(id).ok()?.is_some() {
            read.found.push(id.clone());
        }
    }
    Some(read)
}

/// The first of `own` that the ledger and the journal together do not have.
fn read_stale(ledger: &LedgerOrJournal, own: &[RecordId]) -> Option<RecordId> {
    let copy = LedgerAccess::ledger(ledger)?;
    let books = Books::new(copy, LedgerAccess::journal(ledger));
    own.iter().find(|id| matches!(books.get(id), Ok(None))).cloned()
}

/// Puts one more record through `host`; how far it reaches, if it was acknowledged.
pub async fn put_new(cluster: &Cluster, host: &Arc<Host>, least: Durability) -> Option<Durability> {
    let number = cluster.checks.lock().records.submitted();
    let id: RecordId = format!("new-{}-{number:05}", host.name).parse().unwrap();
    let record = process::enter(host.ip, || record(id, "", host));
    cluster.checks.lock().records.submit(&record);
    match put(cluster, host, record, least).await? {
        Told::Acknowledged(durability) => Some(durability),
        Told::Conflict => None,
    }
}

/// All that a node's ledger holds, and how many records it counts.
pub fn ledger_of(host: &Host) -> Option<(u64, Vec<Record>)> {
    let running = host.running()?;
    process::enter(host.ip, || {
        let ledger = running.core.submitter().ledger()?;
        let mut all: Vec<Record> = Vec::new();
        loop {
            let after = all.last().map(|record| record.id.clone());
            let (page, _) = ledger.page(after.as_ref(), 1000).ok()?;
            if page.is_empty() {
                return Some((ledger.count().ok()?, all));
            }
            all.extend(page);
        }
    })
}
