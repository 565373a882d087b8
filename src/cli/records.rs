//! `stegcluster records`: read the ledger.

use std::process::ExitCode;
use std::time::Duration;

use super::servers::{ServersArgs, code_of};
use super::{exit, output};
use crate::api::codec::{Consistency, RecordView};
use crate::client::{CallError, Client};
use crate::ident::RecordId;
use crate::limits::{RECORDS_PAGE, RECORDS_PAGE_MAX};

/// Read the ledger: who embedded what, when, with which digest
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster records list --limit 20
  stegcluster records list --all --json
  stegcluster records get 01980f5e-0000-7000-8000-000000000000")]
pub struct RecordsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List records in the order of their ids
    List(ListArgs),
    /// Show one record
    Get(GetArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Most records to list
    #[arg(long, value_name = "N", default_value_t = RECORDS_PAGE)]
    limit: usize,
    /// List every record
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Begin after this id
    #[arg(long, value_name = "ID")]
    after: Option<RecordId>,
    /// Whatever the first node that answers has, also without a quorum
    #[arg(long)]
    stale: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The record's id
    #[arg(value_name = "ID")]
    id: RecordId,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Lists or shows.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: RecordsArgs) -> anyhow::Result<ExitCode> {
    let (found, json) = match args.action {
        Action::List(args) => {
            let (client, _) = args.servers.client(Duration::from_secs(30))?;
            (list(&client, &args), args.json)
        }
        Action::Get(args) => {
            let (client, _) = args.servers.client(Duration::from_secs(30))?;
            (client.record(0, &args.id).map(|answer| vec![answer.value]), args.json)
        }
    };
    let records = match found {
        Ok(records) => records,
        Err(error) => return Ok(output::fail(code_of(&error), &error)),
    };
    output::print(&if json { output::json(&records)? } else { render(&records) });
    Ok(ExitCode::from(exit::OK))
}

fn list(client: &Client, args: &ListArgs) -> Result<Vec<RecordView>, CallError> {
    let limit = if args.all { usize::MAX } else { args.limit };
    let consistency = if args.stale { Consistency::Stale } else { Consistency::Linearizable };
    let (mut records, mut after) = (Vec::new(), args.after.clone());
    while records.len() < limit {
        let page = (limit - records.len()).min(RECORDS_PAGE_MAX);
        let answer = client.records(0, after.as_ref(), page, consistency)?.value;
        records.extend(answer.records);
        // A next page that does not move on would be read for ever.
        let Some(next) = answer.next.filter(|next| after.as_ref() != Some(next)) else { break };
        after = Some(next);
    }
    Ok(records)
}

fn render(records: &[RecordView]) -> String {
    let row = |view: &RecordView| {
        let record = &view.record;
        vec![
            record.id.to_string(),
            view.time.clone(),
            record.node.to_string(),
            record.method.to_string(),
            record.secret_bytes.to_string(),
            record.stego_bytes.to_string(),
            record.stego_sha256.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    output::table(&["ID", "TIME", "NODE", "METHOD", "SECRET", "PICTURE", "SHA-256"], &rows)
}
