//! The nodes, by what they say of themselves and of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::machine::{FSYNCS_OF_A_FAILOVER, open_files, room};
use super::{Findings, election};
use crate::api::cluster::{ClusterStatus, Mode, NodeReport, NodeStatus};
use crate::cli::output::span;
use crate::client::{Client, ClientError, Server};
use crate::clock;
use crate::datadir::Space;

/// Questions to each node; the quickest answer tells most of its clock and its distance.
const QUESTIONS: usize = 3;
/// Records of two nodes are in order by their times only to within this.
const SKEW_MAX_MS: f64 = 1000.0;
/// Of the time that a probe may take; slower round trips leave no room for a busy moment.
const RTT_SHARE_MAX: f64 = 0.5;
/// Fsyncs of a healthy disk take less.
const FSYNC_SLOW_MS: f64 = 50.0;

/// What one server said.
#[derive(Debug)]
pub struct Seen {
    pub server: Server,
    pub status: Result<ClusterStatus, ClientError>,
    /// `None` from a version that does not know the question, or where nothing answered.
    pub report: Option<NodeReport>,
    pub rtt_ms: Option<f64>,
    /// Its clock less ours.
    pub skew_ms: Option<f64>,
}

impl Seen {
    fn name(&self) -> Option<&str> {
        Some(self.status.as_ref().ok()?.node.as_ref()?.as_str())
    }

    fn own(&self) -> Option<&NodeStatus> {
        crate::cli::status::own(self.status.as_ref().ok()?)
    }
}

/// Asks all servers at the same time, each for at most `within` a question.
pub fn ask(client: &Client, within: Duration) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let servers = client.servers().iter();
        let asking: Vec<_> =
            servers.map(|server| scope.spawn(move || ask_one(client, server, within))).collect();
        // A thread that panicked has said so; the others still count.
        asking.into_iter().filter_map(|asked| asked.join().ok()).collect()
    })
}

fn ask_one(client: &Client, server: &Server, within: Duration) -> Seen {
    let status = client.status(server, within);
    let mut seen =
        Seen { server: server.clone(), status, report: None, rtt_ms: None, skew_ms: None };
    if seen.status.is_err() {
        return seen;
    }
    for _ in 0..QUESTIONS {
        let (asked, asked_unix) = (clock::now(), clock::unix_ms());
        let Ok(report) = client.report(server, within) else { break };
        let rtt = clock::millis(asked.elapsed());
        if seen.rtt_ms.is_none_or(|best| rtt < best) {
            // It looked at its clock half-way, as NTP supposes too (RFC 5905, section 8).
            seen.skew_ms = Some(report.time_ms as f64 - asked_unix as f64 - rtt / 2.0);
            seen.rtt_ms = Some(rtt);
        }
        seen.report = Some(report);
    }
    seen
}

/// Without the usual servers that belong to nobody: a lone node has no neighbours on 8082.
pub fn relevant(seen: &[Seen], by_default: bool) -> Vec<&Seen> {
    let known: BTreeSet<u16> = seen
        .iter()
        .filter_map(|seen| seen.status.as_ref().ok())
        .flat_map(|status| &status.nodes)
        .map(|node| node.http_port)
        .collect();
    let port = |seen: &Seen| seen.server.address().rsplit(':').next()?.parse::<u16>().ok();
    let belongs = |seen: &&Seen| {
        !by_default
            || known.is_empty()
            || seen.status.is_ok()
            || port(seen).is_some_and(|port| known.contains(&port))
    };
    seen.iter().filter(belongs).collect()
}

/// Looks at what was said.
pub fn look(seen: &[&Seen], findings: &mut Findings) {
    let names = names(seen);
    seen.iter().for_each(|seen| answers(seen, &names, findings));
    raft_ports(seen, findings);
    distances(seen, findings);
    clocks(seen, findings);
    versions(seen, findings);
    settings(seen, findings);
    warnings(seen, findings);
    seen.iter().for_each(|seen| machines(seen, findings));
    election::look(seen, findings);
}

/// Client addresses and who should be there, by what the nodes say of each other.
fn names(seen: &[&Seen]) -> BTreeMap<String, String> {
    let statuses = seen.iter().filter_map(|seen| seen.status.as_ref().ok());
    let nodes = statuses.flat_map(|status| &status.nodes);
    nodes.map(|node| (format!("{}:{}", node.ip, node.http_port), node.id.to_string())).collect()
}

fn answers(seen: &Seen, names: &BTreeMap<String, String>, findings: &mut Findings) {
    match &seen.status {
        Ok(status) => {
            let name = status.node.as_ref().map_or("a node", |node| node.as_str());
            let rtt = seen.rtt_ms.map_or(String::new(), |ms| format!(" in {}", span(Some(ms))));
            findings.ok(format!("{name} at {}", seen.server.address()), format!("answers{rtt}"));
        }
        Err(error) => {
            let advice = match error {
                ClientError::NotSent { cause, .. } if cause.contains("refused") => {
                    "nobody listens there: start the node, or correct the address"
                }
                ClientError::NotSent { .. } => {
                    "is the machine up, and does a firewall let the client port through?"
                }
                ClientError::NoAnswer { .. } => {
                    "the process is frozen or overloaded, or something else listens there"
                }
                _ => "is this a stegcluster node, and of the same version?",
            };
            let address = seen.server.address();
            let subject = match names.get(address) {
                Some(name) => format!("{name} at {address}"),
                None => address.to_owned(),
            };
            findings.problem(subject, cause(error), advice);
        }
    }
}

fn cause(error: &ClientError) -> String {
    match error {
        ClientError::NotSent { cause, .. } | ClientError::NoAnswer { cause, .. } => cause.clone(),
        other => other.to_string(),
    }
}

/// Who reaches whose Raft port: by the nodes' own word where there is one.
fn raft_ports(seen: &[&Seen], findings: &mut Findings) {
    let mut silent: BTreeMap<(String, String), Vec<(&str, &str)>> = BTreeMap::new();
    let mut reached = BTreeSet::new();
    let mut unsure = BTreeMap::new();
    for seen in seen {
        let (Ok(status), Some(reporter)) = (&seen.status, seen.name()) else { continue };
        for node in status.nodes.iter().filter(|node| node.id.as_str() != reporter) {
            let address = format!("{}:{}", node.ip, node.raft_port);
            match &node.trouble {
                Some(trouble) => silent
                    .entry((node.id.to_string(), address))
                    .or_default()
                    .push((reporter, trouble)),
                None if node.rtt_ms.is_some() => drop(reached.insert(node.id.to_string())),
                None => drop(unsure.insert(node.id.to_string(), address)),
            }
        }
    }
    for ((node, address), by) in &silent {
        let by: Vec<String> = by.iter().map(|(by, why)| format!("{by} ({why})")).collect();
        let subject = format!("Raft port of {node}, {address}");
        let text = format!("not reached by {}", by.join(", "));
        let advice = "start that node, or open this port between the nodes; the client port \
                      alone is not enough";
        findings.problem(subject, text, advice);
    }
    let well: Vec<&str> = reached
        .iter()
        .map(String::as_str)
        .filter(|node| !silent.keys().any(|(silent, _)| silent == node))
        .collect();
    if !well.is_empty() {
        findings.ok("Raft ports", format!("the nodes reach those of {}", well.join(", ")));
    }
    // Nobody has asked them yet: from here they may at least be seen.
    for (node, address) in unsure {
        if !reached.contains(&node) && !open(&address) {
            let advice = "start that node, or open this port between the nodes";
            findings.problem(format!("Raft port of {node}, {address}"), "not reached", advice);
        }
    }
}

fn open(address: &str) -> bool {
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses
        .into_iter()
        .any(|address| TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok())
}

fn distances(seen: &[&Seen], findings: &mut Findings) {
    let mut longest: Option<(f64, &str, &str)> = None;
    for seen in seen {
        let (Ok(status), Some(reporter)) = (&seen.status, seen.name()) else { continue };
        for node in status.nodes.iter().filter(|node| node.healthy) {
            let Some(rtt) = node.rtt_ms else { continue };
            if longest.is_none_or(|(most, _, _)| rtt > most) {
                longest = Some((rtt, reporter, node.id.as_str()));
            }
        }
    }
    let Some((rtt, from, to)) = longest else { return };
    let timeout = seen
        .iter()
        .filter_map(|seen| seen.report.as_ref()?.settings.get("timings.probe_timeout_ms"))
        .find_map(|text| text.parse::<f64>().ok());
    let text = format!("{} at the most, from {from} to {to}", span(Some(rtt)));
    match timeout {
        Some(timeout) if rtt > timeout * RTT_SHARE_MAX => findings.warn(
            "round trips",
            format!("{text}; a probe may take {timeout:.0} ms"),
            "for nodes far apart start all of them with --timings wan; a busy machine is slow too",
        ),
        _ => findings.ok("round trips", text),
    }
}

fn clocks(seen: &[&Seen], findings: &mut Findings) {
    let skews: Vec<(f64, &str)> =
        seen.iter().filter_map(|seen| Some((seen.skew_ms?, seen.name()?))).collect();
    let least = skews.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0));
    let most = skews.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(least), Some(most)) = (least, most) else { return };
    let apart = most.0 - least.0;
    if apart > SKEW_MAX_MS {
        let text = format!("{} is {} ahead of {}", most.1, span(Some(apart)), least.1);
        let advice = "run an NTP client on every machine; who leads does not depend on it, but \
                      the records' times do";
        findings.warn("clocks", text, advice);
    } else {
        findings.ok("clocks", format!("within {} of each other", span(Some(apart.max(1.0)))));
    }
}

fn versions(seen: &[&Seen], findings: &mut Findings) {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for seen in seen {
        if let (Some(own), Some(name)) = (seen.own(), seen.name()) {
            by_version.entry(&own.version).or_default().push(name);
        }
    }
    if by_version.len() > 1 {
        let list: Vec<String> = by_version
            .iter()
            .map(|(version, nodes)| format!("{version} on {}", nodes.join(", ")))
            .collect();
        let advice = "bring all nodes to one version, one after the other, the leader last";
        findings.warn("versions", list.join("; "), advice);
    } else if let Some(version) = by_version.keys().next() {
        findings.ok("versions", format!("all run {version}"));
    }
}

fn settings(seen: &[&Seen], findings: &mut Findings) {
    let reports: Vec<(&str, &NodeReport)> =
        seen.iter().filter_map(|seen| Some((seen.name()?, seen.report.as_ref()?))).collect();
    if reports.len() < 2 {
        return;
    }
    let keys: BTreeSet<&String> =
        reports.iter().flat_map(|(_, report)| report.settings.keys()).collect();
    let mut differs = false;
    for key in keys {
        let mut by_value: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, report) in &reports {
            let value = report.settings.get(key).map_or("nothing", String::as_str);
            by_value.entry(value).or_default().push(name);
        }
        if by_value.len() > 1 {
            differs = true;
            let list: Vec<String> = by_value
                .iter()
                .map(|(value, nodes)| format!("{value} on {}", nodes.join(", ")))
                .collect();
            let advice = "give all nodes the same: one cluster.yaml for all is the simplest";
            findings.warn(format!("setting {key}"), list.join("; "), advice);
        }
    }
    if !differs {
        findings.ok("settings", "those that must be equal on all nodes are");
    }
}

/// What the nodes themselves say should be looked at.
fn warnings(seen: &[&Seen], findings: &mut Findings) {
    for seen in seen {
        let (Some(name), Ok(status)) = (seen.name(), &seen.status) else { continue };
        for warning in &status.warnings {
            findings.warn_of(format!("{name} warns"), warning.clone());
        }
    }
}

/// What a node's own machine gives it.
fn machines(seen: &Seen, findings: &mut Findings) {
    let (Some(name), Some(own)) = (seen.name(), seen.own()) else { return };
    if let Some(report) = &seen.report {
        if let (Some(free), Some(total)) = (report.disk_free_bytes, report.disk_bytes) {
            room(format!("free space of {name}"), Space { free, total }, findings);
        }
        open_files(format!("open files of {name}"), report.open_files_max, findings);
    }
    if let Some(p99) = own.fsync_p99_ms {
        let failover = span(Some(p99 * FSYNCS_OF_A_FAILOVER));
        let subject = format!("fsync of {name}");
        // Buckets: the true value lies below.
        let text = format!("p99 up to {}; five of them take {failover}", span(Some(p99)));
        if p99 > FSYNC_SLOW_MS {
            findings.warn(subject, text, "see what else uses this disk, or give it another");
        } else {
            findings.ok(subject, text);
        }
    }
    if !matches!(own.condition.as_str(), "" | "well") {
        let advice = "see its log and the kernel's; others lead meanwhile";
        findings.problem(format!("health of {name}"), own.condition.clone(), advice);
    }
    if own.mode == Mode::Faulted {
        let advice = format!("POST /admin/restore on {name} ends faults made on purpose");
        findings.problem(format!("health of {name}"), "faulted on purpose", advice);
    }
    if own.journal > 0 {
        let text = format!("{} records were acknowledged by it alone", own.journal);
        let advice = "they go to the ledger by themselves once it reaches a quorum; until then \
                      do not lose its disk";
        findings.warn(format!("journal of {name}"), text, advice);
    }
}
