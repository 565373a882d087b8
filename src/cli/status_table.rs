//! The status of a cluster as lines for people: as many columns as fit, and sentences for what
//! a table cannot say.

use super::output::span;
use super::status::Report;
use super::term::{Style, wrapped};
use crate::api::cluster::{ClusterStatus, Mode, NodeStatus};

/// Text, and how it is to be shown.
pub(super) type Line = (String, Style);

/// A column of the table.
struct Column {
    head: &'static str,
    /// Columns with higher numbers are the first to go where there is no room.
    rank: u8,
    /// Set to the right, as numbers are.
    number: bool,
    /// Left empty (`-`) for a node that is down.
    fresh: bool,
    cell: fn(&NodeStatus) -> String,
}

const fn text(head: &'static str, rank: u8, cell: fn(&NodeStatus) -> String) -> Column {
    Column { head, rank, number: false, fresh: false, cell }
}

const fn number(head: &'static str, rank: u8, cell: fn(&NodeStatus) -> String) -> Column {
    Column { head, rank, number: true, fresh: true, cell }
}

/// In the order in which they stand.
const COLUMNS: &[Column] = &[
    text("NODE", 0, |node| node.id.to_string()),
    text("ADDRESS", 15, |node| format!("{}:{}", node.ip, node.http_port)),
    text("ROLE", 1, |node| node.role.to_string()),
    text("STATE", 2, state),
    text("VOTER", 9, |node| if node.voter { "yes" } else { "no" }.to_owned()),
    number("TERM", 3, |node| node.term.to_string()),
    number("COMMIT", 4, |node| node.commit.to_string()),
    number("APPLIED", 14, |node| node.applied.to_string()),
    number("LAG", 5, |node| node.lag.to_string()),
    Column { fresh: false, ..number("SEEN", 10, |node| span(node.last_contact_ms)) },
    number("ACK", 6, |node| span(node.quorum_ack_ms)),
    number("FSYNC", 7, |node| span(node.fsync_p99_ms)),
    Column { number: false, ..number("DETECTOR", 12, |node| node.detector.clone()) },
    number("REQ/S", 8, |node| format!("{:.1}", node.qps_1m)),
    number("P95", 11, |node| span(Some(node.p95_ms))),
    number("CPU%", 16, |node| format!("{:.0}", node.cpu_pct)),
    number("MEM%", 17, |node| format!("{:.0}", node.mem_pct)),
    Column { number: false, ..number("VERSION", 13, |node| node.version.clone()) },
];

/// Up in a word or two, or why not.
fn state(node: &NodeStatus) -> String {
    match node.mode {
        _ if !node.healthy => "DOWN".to_owned(),
        Mode::Normal => "up".to_owned(),
        Mode::Forming | Mode::Joining | Mode::Solo | Mode::Faulted => node.mode.to_string(),
    }
}

/// The whole report, in lines of at most `width` characters, but for words that are longer.
pub(super) fn render(report: &Report, width: usize) -> Vec<Line> {
    let Some(status) = &report.status else {
        return vec![(format!("{}: no server answered", report.health.words()), Style::Bad)];
    };
    let head = format!("{}: {}", report.health.words(), summary(status));
    let mut lines = vec![(head, report.health.style()), (String::new(), Style::Plain)];
    lines.extend(table(&status.nodes, width));
    let notes: Vec<Line> = notes(report, status);
    if !notes.is_empty() {
        lines.push((String::new(), Style::Plain));
    }
    for (note, style) in notes {
        lines.extend(wrapped(&note, width, 2).into_iter().map(|line| (line, style)));
    }
    lines
}

fn summary(status: &ClusterStatus) -> String {
    let leader = status.leader_id.as_ref().map_or("none".to_owned(), ToString::to_string);
    let quorum = match (status.quorum, status.can_lose) {
        (false, _) => "no quorum".to_owned(),
        (true, more) => format!("can lose {more} more"),
    };
    let (name, term) = (&status.cluster_name, status.term);
    format!("cluster {name}, leader {leader}, term {term}, {quorum}")
}

/// A column, its cells, and the width of the widest.
type Filled<'a> = (&'a Column, Vec<String>, usize);

/// Columns up to this rank are worth standing closer together for.
const RANK_WANTED: u8 = 11;

fn table(nodes: &[NodeStatus], width: usize) -> Vec<Line> {
    let filled = |column: &'static Column| -> Filled<'_> {
        let cells: Vec<String> = nodes.iter().map(|node| cell(column, node)).collect();
        let widest = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        (column, cells, widest.max(column.head.len()))
    };
    let mut columns: Vec<Filled<'_>> = COLUMNS.iter().map(filled).collect();
    let wanted = columns.iter().filter(|(column, ..)| column.rank <= RANK_WANTED);
    let gap = if total(wanted, 2) <= width { 2 } else { 1 };
    while columns.len() > 1 && total(columns.iter(), gap) > width {
        let last = columns.iter().enumerate().max_by_key(|(_, (column, ..))| column.rank);
        let last = last.map_or(0, |(at, _)| at);
        columns.remove(last);
    }
    let line = |cell: &dyn Fn(&Filled<'_>) -> String| {
        let padded = columns.iter().map(|column| {
            let (text, width) = (cell(column), column.2);
            if column.0.number { format!("{text:>width$}") } else { format!("{text:<width$}") }
        });
        padded.collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_owned()
    };
    let mut lines = vec![(line(&|(column, ..)| column.head.to_owned()), Style::Faint)];
    for (row, node) in nodes.iter().enumerate() {
        let style = match (node.healthy, node.mode) {
            (false, _) => Style::Bad,
            (true, Mode::Normal) => Style::Plain,
            (true, _) => Style::Warning,
        };
        lines.push((line(&|(_, cells, _)| cells[row].clone()), style));
    }
    lines
}

fn total<'a>(columns: impl Iterator<Item = &'a Filled<'a>>, gap: usize) -> usize {
    columns.map(|(_, _, width)| width + gap).sum::<usize>().saturating_sub(gap)
}

fn cell(column: &Column, node: &NodeStatus) -> String {
    let text = if column.fresh && !node.healthy { String::new() } else { (column.cell)(node) };
    if text.is_empty() { "-".to_owned() } else { text }
}

/// What the table does not show, or not at 80 columns.
fn notes(report: &Report, status: &ClusterStatus) -> Vec<Line> {
    let mut notes: Vec<Line> =
        status.warnings.iter().map(|warning| (warning.clone(), Style::Warning)).collect();
    let mut versions: Vec<&str> = Vec::new();
    for node in &status.nodes {
        let id = &node.id;
        if let (false, Some(trouble)) = (node.healthy, &node.trouble) {
            notes.push((format!("{id} is down: {trouble}"), Style::Bad));
        }
        if node.healthy && !matches!(node.condition.as_str(), "" | "well") {
            notes.push((format!("{id} finds itself not well: {}", node.condition), Style::Bad));
        }
        if node.handing_over {
            notes.push((format!("{id} is handing leadership over"), Style::Warning));
        }
        if node.healthy && !matches!(node.detector.as_str(), "" | "leader alive" | NOBODY) {
            notes.push((format!("{id}'s detector: {}", node.detector), Style::Warning));
        }
        if node.journal > 0 {
            let records = node.journal;
            let note =
                format!("{id}: {records} records acknowledged by it alone wait for a quorum");
            notes.push((note, Style::Warning));
        }
        for denial in &node.denied {
            let (by, cause) = (&denial.by, &denial.cause);
            notes.push((format!("{by} {denial} {id}: {cause}"), Style::Warning));
        }
        if node.healthy && !node.version.is_empty() && !versions.contains(&node.version.as_str()) {
            versions.push(&node.version);
        }
    }
    if versions.len() > 1 {
        let versions = versions.join(", ");
        notes.push((format!("the nodes run different versions: {versions}"), Style::Warning));
    }
    let said = report.disagreements.iter();
    notes.extend(said.map(|said| (said.clone(), Style::Warning)));
    let warned = report.status.iter().flat_map(|status| &status.warnings);
    notes.extend(warned.map(|warning| (warning.clone(), Style::Warning)));
    notes
}

/// What a leader's detector says.
const NOBODY: &str = "no leader to watch";
