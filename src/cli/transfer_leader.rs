//! `stegcluster transfer-leader`: hand leadership over as planned, and time it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::servers::ServersArgs;
use super::{exit, output};
use crate::api::cluster::{AdminResponse, TransferRequest, Transferred};
use crate::client::{Client, ClientError};
use crate::ident::NodeName;

/// Hand leadership to another node, without a failed request
///
/// Any node takes the order and passes it on to the leader. Clients see a pause of some
/// milliseconds at the most. For a machine that is to be stopped or looked at: a node that is
/// stopped with SIGTERM hands over by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster transfer-leader
  stegcluster transfer-leader --to n2 --json -
  stegcluster transfer-leader --servers 127.0.0.1:8081")]
pub struct TransferLeaderArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The node that shall lead [default: the one whose log is most current]
    #[arg(long, value_name = "NODE")]
    to: Option<NodeName>,
    /// Write a report as JSON to this file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is written with `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: u32,
    #[serde(flatten)]
    transfer: &'a Transferred,
}

/// Orders and reports.
///
/// # Errors
/// Ctrl-C could not be caught, or the report not be written.
pub fn run(args: TransferLeaderArgs) -> anyhow::Result<ExitCode> {
    let (client, _stop) = args.servers.client(Duration::from_secs(10))?;
    let answer = match order(&client, &TransferRequest { to: args.to }) {
        Ok(answer) => answer,
        Err(error) => {
            let code = if error.is_unreachable() { exit::UNREACHABLE } else { exit::FAILED };
            return Ok(output::fail(code, &error));
        }
    };
    let Some(transfer) = &answer.transfer else {
        let problem = format!("{} answered without saying who leads: {}", answer.node, answer.done);
        return Ok(output::fail(exit::FAILED, &problem));
    };
    let to_stdout = args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if !to_stdout {
        output::print(&sentence(transfer));
    }
    if let Some(path) = &args.json {
        output::write_json(path, &Report { schema: 1, transfer })?;
    }
    Ok(ExitCode::from(exit::OK))
}

/// Asks one server after the other until one has anything to say. One that did not answer
/// may have acted all the same: the next then says who leads.
fn order(client: &Client, request: &TransferRequest) -> Result<AdminResponse, ClientError> {
    let mut last = ClientError::Stopped;
    for server in client.servers().iter() {
        match client.transfer(server, request) {
            // Admin calls are for the same machine only; another server may be this one.
            Err(
                error @ (ClientError::NotSent { .. } | ClientError::Refused { status: 403, .. }),
            ) => last = error,
            answer => return answer,
        }
    }
    Err(last)
}

fn sentence(transfer: &Transferred) -> String {
    let Transferred { old_leader, new_leader, term, took_ms } = transfer;
    if old_leader == new_leader {
        return format!("{new_leader} leads already, in term {term}\n");
    }
    let ms = output::ms(Some(*took_ms));
    format!("{old_leader} handed over; {new_leader} leads in term {term} after {ms} ms\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_who_led_and_who_leads() {
        let mut transfer = Transferred {
            old_leader: "n1".parse().unwrap(),
            new_leader: "n3".parse().unwrap(),
            term: 4,
            took_ms: 7.25,
        };
        assert_eq!(sentence(&transfer), "n1 handed over; n3 leads in term 4 after 7.2 ms\n");
        transfer.old_leader = transfer.new_leader.clone();
        assert_eq!(sentence(&transfer), "n3 leads already, in term 4\n");
    }
}
