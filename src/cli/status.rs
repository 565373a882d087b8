//! `stegcluster status`: every node asked at the same time, one table; once, or as a live view.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::servers::{Named, ServersArgs};
use super::status_table::{Line, render};
use super::term::{Screen, Style};
use super::{exit, output, term};
use crate::api::cluster::{ClusterStatus, Mode, NodeStatus, Role};
use crate::client::{Client, ClientError, Stop};
use crate::clock;

/// Show the cluster: who leads, who is up, and how many nodes it can still lose
///
/// Asks every server at the same time; one that is down costs no more than --timeout-ms. What a
/// node says of itself counts more than what others say of it, and where nodes disagree it is
/// said so. Columns that do not fit the terminal are left out; all are there in a pipe.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster status
  stegcluster status --watch
  stegcluster status --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081
  stegcluster status --json | jq .leader_id")]
pub struct StatusArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Keep showing it, until q or Ctrl-C is pressed
    #[arg(long, short, conflicts_with = "json")]
    watch: bool,
    /// With --watch: milliseconds between two looks
    #[arg(long, value_name = "MS", default_value_t = 500, requires = "watch")]
    interval_ms: u64,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Milliseconds to wait for each server
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    timeout_ms: u64,
}

/// What a look at all servers amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    Healthy,
    Degraded,
    NoQuorum,
    Conflict,
    Unreachable,
}

impl Health {
    fn code(self) -> u8 {
        match self {
            Self::Healthy => exit::OK,
            Self::Degraded => exit::DEGRADED,
            Self::NoQuorum => exit::NO_QUORUM,
            Self::Conflict => exit::CONFLICT,
            Self::Unreachable => exit::UNREACHABLE,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "DEGRADED",
            Self::NoQuorum => "NO QUORUM",
            Self::Conflict => "CONFLICT",
            Self::Unreachable => "UNREACHABLE",
        }
    }

    pub(super) fn style(self) -> Style {
        match self {
            Self::Healthy => Style::Good,
            Self::Degraded => Style::Warning,
            Self::NoQuorum | Self::Conflict | Self::Unreachable => Style::Bad,
        }
    }
}

type Asked = Result<ClusterStatus, ClientError>;

/// The best informed status, with every node's own word, and what all of them amount to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub health: Health,
    #[serde(flatten)]
    pub status: Option<ClusterStatus>,
    /// What one node says and another does not, in sentences.
    pub disagreements: Vec<String>,
    /// Why servers did not answer.
    pub errors: Vec<String>,
}

/// Prints the table, or JSON, or keeps showing it.
///
/// # Errors
/// The configuration file or the terminal. None that a script should tell from an unreachable
/// cluster.
pub fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let Named { servers, by_default } = args.servers.named()?;
    let (client, stop) = args.servers.client(Duration::from_secs(5))?;
    let within = Duration::from_millis(args.timeout_ms);
    if args.watch {
        return watch(&client, &stop, within, Duration::from_millis(args.interval_ms));
    }
    let report = judge(&client.statuses(within));
    if args.json {
        output::print(&output::json(&report)?);
    } else {
        // In a pipe there is no width, and nothing is left out.
        let lines = render(&report, term::columns().unwrap_or(usize::MAX));
        lines.iter().for_each(|(line, style)| output::print(&(term::styled(line, *style) + "\n")));
        report.errors.iter().for_each(|error| output::complain(error));
        if report.health == Health::Unreachable && by_default {
            output::complain(&format!(
                "nobody said where the nodes are, so {servers} were asked; \
                 say it with --servers, STEGCLUSTER_SERVERS or a cluster.yaml here"
            ));
        }
    }
    Ok(ExitCode::from(report.health.code()))
}

/// How long a key may wait to be noticed.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// The last look: what came of it, and when.
type Latest = Mutex<Option<(Report, clock::Instant)>>;

fn watch(
    client: &Client,
    stop: &Stop,
    within: Duration,
    every: Duration,
) -> anyhow::Result<ExitCode> {
    let latest = Latest::default();
    std::thread::scope(|scope| {
        // Also when this thread panics: the other one must not keep the scope open.
        let _guard = stop.trip_on_drop();
        // Apart, so that a server that is down does not keep a key waiting.
        scope.spawn(|| {
            loop {
                let report = judge(&client.statuses(within));
                let now = clock::now();
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((report, now));
                if stop.wait(every) {
                    return;
                }
            }
        });
        if term::columns().is_some() { on_screen(&latest, stop) } else { in_pipe(&latest, stop) }
    })?;
    let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(ExitCode::from(latest.as_ref().map_or(exit::OK, |(report, _)| report.health.code())))
}

fn on_screen(latest: &Latest, stop: &Stop) -> std::io::Result<()> {
    let screen = Screen::open()?;
    let mut shown = None;
    while !stop.is_tripped() {
        let size = screen.size();
        let lines = {
            let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
            let seconds = latest.as_ref().map(|(_, at)| at.elapsed().as_secs());
            let wanted = Some((latest.as_ref().map(|(_, at)| *at), seconds, size));
            (wanted != shown).then(|| {
                shown = wanted;
                live(latest.as_ref(), size.0)
            })
        };
        if let Some(lines) = lines {
            screen.show(&lines)?;
        }
        if let Some(b'q' | b'Q' | 27) = screen.key(KEY_WAIT) {
            return Ok(());
        }
    }
    Ok(())
}

fn live(latest: Option<&(Report, clock::Instant)>, columns: usize) -> Vec<Line> {
    let Some((report, at)) = latest else {
        return vec![("asking the nodes; q quits".to_owned(), Style::Faint)];
    };
    let mut lines = render(report, columns);
    lines.push((String::new(), Style::Plain));
    for error in &report.errors {
        for line in term::wrapped(error, columns, 2) {
            lines.push((line, Style::Bad));
        }
    }
    let age = match at.elapsed().as_secs() {
        0 => String::new(),
        seconds => format!(" (asked {seconds} s ago)"),
    };
    lines.push((format!("q quits{age}"), Style::Faint));
    lines
}

/// For a file or `grep`: one table after the other.
fn in_pipe(latest: &Latest, stop: &Stop) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut shown = None;
    loop {
        if stop.wait(KEY_WAIT) {
            return Ok(());
        }
        let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((report, at)) = latest.as_ref().filter(|(_, at)| Some(*at) != shown) else {
            continue;
        };
        shown = Some(*at);
        let mut text = String::new();
        for (line, _) in render(report, usize::MAX) {
            text += &(line + "\n");
        }
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all((text + "\n").as_bytes()).and_then(|()| stdout.flush()).is_err() {
            // The reader has gone away, as `head` does.
            return Ok(());
        }
    }
}

pub(super) fn judge(asked: &[Asked]) -> Report {
    let said: Vec<&ClusterStatus> = asked.iter().flatten().collect();
    let errors: Vec<String> =
        asked.iter().filter_map(|asked| asked.as_ref().err()).map(ToString::to_string).collect();
    let Some((health, best)) = judge_seen(&said) else {
        let (health, disagreements) = (Health::Unreachable, Vec::new());
        return Report { health, status: None, disagreements, errors };
    };
    // A node that nobody asked may be down too; one that was asked and is silent is.
    let health = match health {
        Health::Healthy if !errors.is_empty() => Health::Degraded,
        health => health,
    };
    let disagreements = disagreements(best, &said);
    Report { health, status: Some(merged(best, &said)), disagreements, errors }
}

/// What the answers amount to, and the best informed of them; `None` where there is none.
pub(super) fn judge_seen<'a>(said: &[&'a ClusterStatus]) -> Option<(Health, &'a ClusterStatus)> {
    // A node with a quorum knows more than one without; then the later term; then the leader.
    let informed = |status: &&ClusterStatus| {
        (status.quorum, status.term, status.leader_id.is_some() && status.leader_id == status.node)
    };
    let best = said.iter().copied().max_by_key(informed)?;
    let settled =
        || best.nodes.iter().all(|node| node.healthy) && said.iter().all(|status| status.quorum);
    let health = if in_conflict(said) {
        Health::Conflict
    } else if !best.quorum || best.leader_id.is_none() {
        Health::NoQuorum
    } else if settled() {
        Health::Healthy
    } else {
        Health::Degraded
    };
    Some((health, best))
}

/// `best`, with what each node that answered says of itself.
fn merged(best: &ClusterStatus, said: &[&ClusterStatus]) -> ClusterStatus {
    let mut merged = best.clone();
    for node in &mut merged.nodes {
        let Some(own) = said.iter().find_map(|status| own(status).filter(|own| own.id == node.id))
        else {
            continue;
        };
        // These only another node can tell, or tells in relation to the others.
        let of_others = NodeStatus {
            last_contact_ms: node.last_contact_ms,
            rtt_ms: node.rtt_ms,
            trouble: node.trouble.clone(),
            healthy: node.healthy && own.healthy,
            voter: node.voter,
            raft_id: node.raft_id,
            ..own.clone()
        };
        *node = of_others;
    }
    let warned = |status: &ClusterStatus| {
        let name = status.node.as_ref().map(ToString::to_string).unwrap_or_default();
        let warned = status.warnings.iter().map(move |warning| format!("{name}: {warning}"));
        warned.collect::<Vec<_>>()
    };
    merged.warnings = said.iter().flat_map(|status| warned(status)).collect();
    // Of one moment for all: what each said of itself is newer than what `best` had heard.
    let commit = merged.nodes.iter().map(|node| node.commit).max().unwrap_or(0);
    for node in &mut merged.nodes {
        node.lag = commit.saturating_sub(node.applied);
    }
    merged
}

/// What the node that answered says of itself.
pub(super) fn own(status: &ClusterStatus) -> Option<&NodeStatus> {
    status.nodes.iter().find(|node| Some(&node.id) == status.node.as_ref())
}

/// What one node says and another does not.
fn disagreements(best: &ClusterStatus, said: &[&ClusterStatus]) -> Vec<String> {
    let mut found = Vec::new();
    let name =
        |status: &ClusterStatus| status.node.as_ref().map_or("?".into(), ToString::to_string);
    let chief = name(best);
    let leader = |status: &ClusterStatus| {
        let leader = status.leader_id.as_ref().map_or("nobody".into(), ToString::to_string);
        format!("{leader} leads, in term {}", status.term)
    };
    let voters = |status: &ClusterStatus| {
        let voters: Vec<&str> =
            status.nodes.iter().filter(|n| n.voter).map(|n| n.id.as_str()).collect();
        voters.join(", ")
    };
    for status in said.iter().copied().filter(|status| status.node != best.node) {
        let other = name(status);
        if status.cluster_uuid.is_some() && status.cluster_uuid != best.cluster_uuid {
            found.push(format!("{other} belongs to another cluster than {chief}"));
            continue;
        }
        if (&status.leader_id, status.term) != (&best.leader_id, best.term) {
            found.push(format!(
                "{chief} says that {}; {other} says that {}",
                leader(best),
                leader(status)
            ));
        }
        if voters(status) != voters(best) {
            let (ours, theirs) = (voters(best), voters(status));
            found.push(format!("{chief} has the voters {ours}; {other} has {theirs}"));
        }
    }
    for status in said {
        let (reporter, up) = (name(status), |id| said.iter().any(|s| s.node.as_ref() == Some(id)));
        // By their own word they are up: then it is the way between the two.
        for node in status.nodes.iter().filter(|node| !node.healthy && up(&node.id)) {
            let Some(trouble) = &node.trouble else { continue };
            found.push(format!("{reporter} does not hear {}: {trouble}", node.id));
        }
    }
    found
}

/// Two leaders of one term, or nodes of different clusters.
fn in_conflict(said: &[&ClusterStatus]) -> bool {
    let mut uuids = said.iter().filter_map(|status| status.cluster_uuid);
    let first = uuids.next();
    let strangers = uuids.any(|uuid| Some(uuid) != first);
    // A node's own word only: what others believe of it may be old. A solo node calls itself
    // leader, of nobody and of no term.
    let mut leaders: Vec<(u64, &str)> = said.iter().copied().filter_map(leads).collect();
    leaders.sort_unstable();
    leaders.dedup();
    strangers || leaders.windows(2).any(|pair| pair[0].0 == pair[1].0)
}

fn leads(status: &ClusterStatus) -> Option<(u64, &str)> {
    let own = own(status)?;
    let leads = own.role == Role::Leader && own.mode == Mode::Normal;
    leads.then(|| (own.term, own.id.as_str()))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
