//! Clients: they put records and read linearizably through any node that runs, and learn
//! of some writes only that their outcome is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stegcluster::clock;
use stegcluster::ident::RecordId;
use stegcluster::record::{Digest, Durability, Method, Record};
use stegcluster::service::submit::Submitted;
use stegcluster::sim::{self, process, random};

use crate::cluster::Cluster;
use crate::host::Host;
use crate::trace;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// Told to the clients when the run ends.
pub type Stop = Arc<AtomicBool>;

fn draw_host(cluster: &Cluster) -> &Arc<Host> {
    random::draw(|random| random.pick(&cluster.hosts))
}

async fn pause(shortest_ms: u64, longest_ms: u64) {
    let ms = random::draw(|random| random.within(shortest_ms..=longest_ms));
    sim::pass(Duration::from_millis(ms)).await;
}

fn record(id: RecordId, node: &Host) -> Record {
    let digest = Digest::of(id.as_str().as_bytes());
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

/// Puts records one after the other; some with an unknown outcome again, elsewhere.
pub async fn write(cluster: Arc<Cluster>, client: u32, stop: Stop) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        pause(20, 150).await;
        let host = draw_host(&cluster);
        if host.running().is_none() {
            continue;
        }
        number += 1;
        let id: RecordId = format!("c{client}-{number:05}").parse().unwrap();
        let record = process::enter(host.ip, || record(id, host));
        cluster.checks.lock().records.submit(&record);
        let mut acked = put(&cluster, host, record.clone()).await;
        while !acked && !stop.load(Ordering::Relaxed) && random::draw(|r| r.chance(50)) {
            pause(1, 100).await;
            acked = put(&cluster, draw_host(&cluster), record.clone()).await;
        }
    }
}

/// One attempt; true if it was acknowledged.
pub async fn put(cluster: &Cluster, host: &Arc<Host>, record: Record) -> bool {
    let Some(running) = host.running() else { return false };
    let submitter = running.core.submitter();
    let id = record.id.clone();
    let putting = process::spawn_on(host.ip, async move { submitter.put(record).await });
    // Not cancelled when the patience is over: a client that hangs up cancels nothing.
    let answer = tokio::time::timeout(PATIENCE, putting).await;
    let answer: Option<Submitted> = match answer {
        Ok(Ok(Ok(answer))) => Some(answer),
        // Refused late, or the process ended, or no answer: it may be entered all the same.
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => None,
    };
    let mut checks = cluster.checks.lock();
    match &answer {
        Some(answer) => {
            trace::line(format_args!("{} acknowledged {id}", host.name));
            let found = checks.records.acknowledged(answer);
            checks.report(found);
            checks.reads.visible(&id);
        }
        None => {
            trace::line(format_args!("{} left {id} unknown", host.name));
            checks.records.unknown += 1;
            checks.reads.unknown(&id);
        }
    }
    answer.is_some()
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
    let wanted = cluster.checks.lock().reads.begin();
    let submitter = running.core.submitter();
    let reading = process::spawn_on(host.ip, async move {
        submitter.barrier().await.ok()?;
        let ledger = submitter.ledger()?;
        let mut missing = Vec::new();
        let mut found = Vec::new();
        for id in wanted.visible {
            if ledger.get(&id).ok()?.is_none() {
                missing.push(id);
            }
        }
        for id in wanted.perhaps {
            if ledger.get(&id).ok()?.is_some() {
                found.push(id);
            }
        }
        Some((missing, found))
    });
    let Ok(Ok(Some((missing, found)))) = tokio::time::timeout(PATIENCE, reading).await else {
        return false;
    };
    trace::line(format_args!("{} answered a read", host.name));
    let mut checks = cluster.checks.lock();
    let wrong = checks.reads.ended(host.name.as_str(), &missing, &found);
    checks.report(wrong);
    true
}

/// Puts one more record through `host`; true if it was acknowledged.
pub async fn put_new(cluster: &Arc<Cluster>, host: &Arc<Host>) -> bool {
    let number = cluster.checks.lock().records.submitted();
    let id: RecordId = format!("last-{}-{number:05}", host.name).parse().unwrap();
    let record = process::enter(host.ip, || record(id, host));
    cluster.checks.lock().records.submit(&record);
    put(cluster, host, record).await
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
