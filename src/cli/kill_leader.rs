//! `stegcluster kill-leader`: crash the leader on purpose and time its successor.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::servers::ServersArgs;
use super::{exit, output};
use crate::api::cluster::{ClusterStatus, FailRequest, FaultAction};
use crate::client::{Client, ClientError, Stop, shows_new_leader};
use crate::clock::{self, millis};
use crate::ident::Term;

/// Between two looks for the new leader.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const STATUS_WITHIN: Duration = Duration::from_secs(1);

/// Crash the leader, wait for the new one, and show how long it took
///
/// The leader's process ends at once, as by SIGKILL; nothing restarts it but its own supervisor.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster kill-leader
  stegcluster kill-leader --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081 --timeout-ms 5000")]
pub struct KillLeaderArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
    /// Milliseconds to wait for the new leader
    #[arg(long, value_name = "MS", default_value_t = 15_000)]
    timeout_ms: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    old_leader: String,
    old_term: u64,
    new_leader: String,
    term: u64,
    /// From just before the fault.
    elect_ms: f64,
}

/// Kills and waits.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: KillLeaderArgs) -> anyhow::Result<ExitCode> {
    let (client, stop) = args.servers.client(Duration::from_secs(10))?;
    let asked = client.statuses(STATUS_WITHIN);
    let Some((number, old)) = leader(&asked) else {
        let problem = asked.iter().find_map(|asked| asked.as_ref().err());
        return Ok(match (asked.iter().any(Result::is_ok), problem) {
            (false, Some(error)) => output::fail(exit::UNREACHABLE, error),
            _ => output::fail(exit::FAILED, &"none of the servers leads; see stegcluster status"),
        });
    };
    let victim = client.servers().nth(number);
    let name = old.leader_id.as_ref().map_or_else(String::new, ToString::to_string);
    output::note(&format!("crashing {name} at {victim}, leader of term {}", old.term));
    let at = clock::now();
    let request = FailRequest::new(FaultAction::Crash);
    match client.fail(victim, &request) {
        // A crash may leave no time to answer.
        Ok(_) | Err(ClientError::NoAnswer { .. }) => {}
        Err(error @ ClientError::NotSent { .. }) => {
            return Ok(output::fail(exit::UNREACHABLE, &error));
        }
        Err(error) => return Ok(output::fail(exit::FAILED, &error)),
    }
    let until = at + Duration::from_millis(args.timeout_ms);
    let Some((new, elapsed)) = await_new(&client, &name, old.term, (at, until), &stop) else {
        let waited = args.timeout_ms;
        let problem = format!("{name} is gone, and no new leader came within {waited} ms");
        return Ok(output::fail(exit::FAILED, &problem));
    };
    let new_leader = new.leader_id.as_ref().map_or_else(String::new, ToString::to_string);
    let report = Report {
        old_leader: name,
        old_term: old.term,
        new_leader,
        term: new.term,
        elect_ms: millis(elapsed),
    };
    if args.json {
        output::print(&output::json(&report)?);
    } else {
        output::print(&format!(
            "{} (term {}) crashed; {} leads in term {} after {} ms\n",
            report.old_leader,
            report.old_term,
            report.new_leader,
            report.term,
            output::ms(Some(report.elect_ms))
        ));
    }
    Ok(ExitCode::from(exit::OK))
}

/// The server that leads, by its own word, in the latest term.
fn leader(asked: &[Result<ClusterStatus, ClientError>]) -> Option<(usize, &ClusterStatus)> {
    let said =
        asked.iter().enumerate().filter_map(|(number, asked)| Some((number, asked.as_ref().ok()?)));
    said.filter(|(_, status)| status.leader_id.is_some() && status.leader_id == status.node)
        .max_by_key(|(_, status)| status.term)
}

fn await_new(
    client: &Client,
    old: &str,
    old_term: u64,
    (at, until): (clock::Instant, clock::Instant),
    stop: &Stop,
) -> Option<(ClusterStatus, Duration)> {
    while clock::now() < until {
        let said = client.statuses(STATUS_WITHIN).into_iter().flatten();
        let elapsed = clock::now() - at;
        if let Some(new) = said.into_iter().find(|new| shows_new_leader(new, old, Term(old_term))) {
            return Some((new, elapsed));
        }
        if stop.wait(LOOK_EVERY) {
            return None;
        }
    }
    None
}
