//! `stegcluster doctor`: what usually goes wrong, looked at in one go, each finding with what
//! to do about it.
//!
//! `machine` looks at this machine, `cluster` at the nodes that answer, `election` says why
//! nobody leads. All but the asking is pure. Works with a dead cluster too.

mod cluster;
mod election;
mod holders;
mod machine;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::servers::{self, Named, ServersArgs};
use super::term::{self, Style};
use super::{exit, output};
use crate::client::{Server, Servers};
use crate::config::raw::{ConfigError, Partial, key};
use crate::config::resolve::{self, Resolved};
use crate::trust::Roots;

/// Find what is wrong with this machine or with the cluster, and what to do
///
/// Looks at this machine as the node would that is started with the same flags: ports, data
/// folder, disk, limits. Then asks every node, and compares what they say: who reaches whom,
/// clocks, versions, settings, disks, and why nobody leads if nobody does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster doctor
  stegcluster doctor --id n2 --config cluster.yaml
  stegcluster doctor --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081
  stegcluster doctor --json | jq '.findings[] | select(.level != \"ok\")'")]
pub struct DoctorArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The node of this machine [default: n1]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// All nodes by client address, as for serve
    #[arg(long, value_name = "NAME=HOST:PORT[/RAFT_PORT],...")]
    peers: Vec<String>,
    /// The cluster.yaml of this machine [default: ./cluster.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the node of this machine listens for clients
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where it listens for the other nodes
    #[arg(long, value_name = "HOST:PORT")]
    raft_listen: Option<String>,
    /// Its data folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Milliseconds to wait for each node
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    timeout_ms: u64,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// How bad it is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// It works, and may not for long, or not as well as it could.
    Warning,
    /// Something does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    /// `machine` or `cluster`.
    about: &'static str,
    /// What was looked at, such as `client port`.
    subject: String,
    /// What was found.
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Gathers findings about one thing.
struct Findings {
    about: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn new(about: &'static str) -> Self {
        Self { about, list: Vec::new() }
    }

    fn ok(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Level::Ok, subject.into(), text.into(), None);
    }

    fn warn(
        &mut self,
        subject: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(Level::Warning, subject.into(), text.into(), Some(advice.into()));
    }

    /// Where the text says what to do.
    fn warn_of(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.add(Level::Warning, subject.into(), text.into(), None);
    }

    fn problem(
        &mut self,
        subject: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(Level::Problem, subject.into(), text.into(), Some(advice.into()));
    }

    fn add(&mut self, level: Level, subject: String, text: String, advice: Option<String>) {
        self.list.push(Finding { level, about: self.about, subject, text, advice });
    }
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    level: Level,
    findings: Vec<Finding>,
}

/// Looks, and prints what was found.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let resolved = match args.resolve() {
        Ok(resolved) => resolved,
        Err(error) => return Ok(output::fail(exit::USAGE, &error)),
    };
    let Named { servers, by_default } = args.cluster(&resolved)?;
    let mut machine = Findings::new("machine");
    machine::look(&resolved.config, &mut machine);
    let (client, _) = args.servers.client(Duration::from_secs(10))?;
    let client = client.to(servers);
    let seen = cluster::ask(&client, Duration::from_millis(args.timeout_ms));
    let mut nodes = Findings::new("cluster");
    cluster::look(&cluster::relevant(&seen, by_default), &mut nodes);
    let nobody = seen.iter().all(|seen| seen.status.is_err());
    let findings = [machine.list, nodes.list].concat();
    let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let report = Report { schema: 1, level, findings };
    if args.json {
        output::print(&output::json(&report)?);
    } else {
        print(&report, &args.title(&resolved), &format!("cluster at {}", client.servers()));
    }
    Ok(ExitCode::from(match level {
        _ if nobody => exit::UNREACHABLE,
        Level::Ok => exit::OK,
        Level::Warning => exit::WARNED,
        Level::Problem => exit::BROKEN,
    }))
}

impl DoctorArgs {
    fn resolve(&self) -> Result<Resolved, ConfigError> {
        let mut partial = Partial::default();
        let flags = [
            ("--id", key::ID, &self.id),
            ("--listen", key::LISTEN, &self.listen),
            ("--raft-listen", key::RAFT_LISTEN, &self.raft_listen),
            ("--data-dir", key::DATA_DIR, &self.data_dir),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                partial.flag(flag, key, value)?;
            }
        }
        if !self.peers.is_empty() {
            partial.flag("--peers", key::NODES, &self.peers.join(","))?;
        }
        let here = Path::new(servers::FILE);
        let by_variable = std::env::var_os(resolve::CONFIG_VARIABLE).is_some();
        let file = self.config.as_deref().or((!by_variable && here.is_file()).then_some(here));
        resolve::load(partial, file, super::serve::environment())
    }

    /// The servers that are named, else the nodes of the configuration, else the usual ones.
    fn cluster(&self, resolved: &Resolved) -> anyhow::Result<Named> {
        let config = &resolved.config;
        if self.servers.servers.is_some() || resolved.nodes_source.is_none() {
            return self.servers.named();
        }
        let own = (config.id.as_str(), config.advertise.as_str());
        let peers = config.peers.iter().map(|peer| (peer.name.as_str(), peer.http_addr.as_str()));
        let mut nodes: Vec<_> = peers.chain([own]).collect();
        nodes.sort_unstable();
        let parsed: Result<Vec<Server>, _> =
            nodes.iter().map(|(_, address)| address.parse()).collect();
        let mut servers = parsed.and_then(Servers::new)?;
        if let Some(tls) = &config.security.tls
            && tls.ca.is_file()
        {
            servers = servers.trusting(Roots::read(&tls.ca)?);
        }
        Ok(Named { servers: self.servers.trust.over(servers)?, by_default: false })
    }

    fn title(&self, resolved: &Resolved) -> String {
        let id = &resolved.config.id;
        let hint = match (&self.id, resolved.config.peers.is_empty()) {
            (None, false) => " (for another node say --id)",
            _ => "",
        };
        format!("this machine, as {id}{hint}")
    }
}

/// Columns before the text, as wide as the longest mark and a space.
const MARGIN: usize = 6;
/// Where no terminal says otherwise.
const WIDTH: usize = 100;

fn print(report: &Report, machine: &str, cluster: &str) {
    let width = term::columns().unwrap_or(WIDTH).max(40);
    for (about, title) in [("machine", machine), ("cluster", cluster)] {
        let findings: Vec<&Finding> =
            report.findings.iter().filter(|finding| finding.about == about).collect();
        if findings.is_empty() {
            continue;
        }
        let title = term::wrapped(title, width, 2).join("\n");
        output::print(&format!("{title}\n"));
        findings.iter().for_each(|finding| print_one(finding, width));
        output::print("\n");
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    let text = match (problems, warnings) {
        (0, 0) => "nothing to do".to_owned(),
        (0, _) => format!("{warnings} to look at"),
        (_, 0) => format!("{problems} to mend"),
        (_, _) => format!("{problems} to mend, {warnings} to look at"),
    };
    output::print(&format!("{}\n", term::styled(&text, style(report.level))));
}

fn print_one(finding: &Finding, width: usize) {
    let mark = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "look",
        Level::Problem => "MEND",
    };
    let lines = |text: &str| {
        let text = term::wrapped(text, width - MARGIN, 0);
        text.join(&format!("\n{}", " ".repeat(MARGIN)))
    };
    let said = lines(&format!("{}: {}", finding.subject, finding.text));
    let mark = term::styled(&format!("{mark:<MARGIN$}"), style(finding.level));
    output::print(&format!("{mark}{said}\n"));
    if let Some(advice) = &finding.advice {
        let advice = lines(&format!("-> {advice}"));
        output::print(&format!("{}{}\n", " ".repeat(MARGIN), advice));
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::Ok => Style::Good,
        Level::Warning => Style::Warning,
        Level::Problem => Style::Bad,
    }
}
