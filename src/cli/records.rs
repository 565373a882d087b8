//! `stegcluster records`: read the ledger.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::servers::{ServersArgs, code_of};
use super::{exit, files, output};
use crate::api::codec::{Consistency, RecordView};
use crate::client::{CallError, Client};
use crate::ident::RecordId;
use crate::limits::{RECORDS_PAGE, RECORDS_PAGE_MAX};

/// Read the ledger: who embedded what, when, with which digest
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster records list --limit 20
  stegcluster records list --all --json
  stegcluster records export --out records.jsonl
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
    /// Write every record as a line of JSON
    ///
    /// For jq and databases. A page is as fresh as acknowledged, and so is what follows; for
    /// the ledger as of one moment, to be restored, there is stegcluster backup.
    #[command(after_help = "Examples:
  stegcluster records export | jq -r .node | sort | uniq -c
  stegcluster records export --out records.jsonl")]
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Where to write
    #[arg(long, short, value_name = "FILE", default_value = files::STD)]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long, short)]
    force: bool,
    /// Begin after this id
    #[arg(long, value_name = "ID")]
    after: Option<RecordId>,
    /// Whatever the first node that answers has, also without a quorum
    #[arg(long)]
    stale: bool,
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
        Action::Export(args) => return export(&args),
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
    let mut records = Vec::new();
    pages(client, args.after.clone(), limit, args.stale, &mut |page| {
        records.extend(page);
        Ok(())
    })
    .map_err(|error: PagesError<std::convert::Infallible>| match error {
        PagesError::Call(error) => error,
        PagesError::Sink(never) => match never {},
    })?;
    Ok(records)
}

/// Reading went wrong, or what became of the pages.
enum PagesError<E> {
    Call(CallError),
    Sink(E),
}

/// Gives up to `limit` records after `after` to `sink`, a page at a time.
fn pages<E>(
    client: &Client,
    mut after: Option<RecordId>,
    limit: usize,
    stale: bool,
    sink: &mut dyn FnMut(Vec<RecordView>) -> Result<(), E>,
) -> Result<(), PagesError<E>> {
    let consistency = if stale { Consistency::Stale } else { Consistency::Linearizable };
    let mut given = 0;
    while given < limit {
        let page = (limit - given).min(RECORDS_PAGE_MAX);
        let answer = client.records(0, after.as_ref(), page, consistency);
        let answer = answer.map_err(PagesError::Call)?.value;
        given += answer.records.len();
        sink(answer.records).map_err(PagesError::Sink)?;
        // A next page that does not move on would be read for ever.
        let Some(next) = answer.next.filter(|next| after.as_ref() != Some(next)) else { break };
        after = Some(next);
    }
    Ok(())
}

fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let (client, _) = args.servers.client(Duration::from_secs(30))?;
    let mut out: Box<dyn Write> = if files::is_std(&args.out) {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(files::create(&args.out, args.force)?)
    };
    let mut written = 0;
    let done = pages(&client, args.after.clone(), usize::MAX, args.stale, &mut |page| {
        let mut lines = Vec::new();
        for record in &page {
            serde_json::to_writer(&mut lines, record).map_err(std::io::Error::from)?;
            lines.push(b'\n');
        }
        written += page.len();
        out.write_all(&lines)
    });
    match done.map_or_else(Err, |()| out.flush().map_err(PagesError::Sink)) {
        Ok(()) => {
            if !files::is_std(&args.out) {
                output::print(&format!("{written} records written to {}\n", args.out.display()));
            }
            Ok(ExitCode::from(exit::OK))
        }
        // `| head` has read enough.
        Err(PagesError::Sink(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::from(exit::OK))
        }
        Err(PagesError::Sink(error)) => {
            Err(error).with_context(|| format!("cannot write {}", args.out.display()))
        }
        Err(PagesError::Call(error)) => Ok(output::fail(code_of(&error), &error)),
    }
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
