//! `stegcluster backup` and `stegcluster restore`: the ledger in a file, and back, while the
//! cluster runs.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::members::at_any;
use super::servers::ServersArgs;
use super::{exit, files, output};
use crate::api::cluster::RestoreResponse;
use crate::api::codec::Consistency;
use crate::client::{Client, ClientError};
use crate::ledger::backup;
use crate::limits::RECORDS_PAGE_MAX;

/// Write the whole ledger, as of one moment, into a file
///
/// The cluster goes on meanwhile. Every record that was acknowledged before the backup began is
/// in it. The file ends with a checksum, which restore looks at first; so does this command.
/// Pictures and secrets are in no ledger, and so in no backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster backup --out ledger.jsonl
  stegcluster backup --stale --servers 10.0.0.2:8081 --out n2.jsonl")]
pub struct BackupArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long, short)]
    force: bool,
    /// Whatever the first node that answers has, also without a quorum
    #[arg(long)]
    stale: bool,
}

/// Enter the records of a backup in the ledger of a running cluster
///
/// A record whose id is there already stays as it is, so that this may be repeated, after an
/// interruption for instance, and never undoes anything. The file is checked as a whole before the
/// first record is entered. Ordered at a server on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster restore ledger.jsonl
  stegcluster restore --dry-run ledger.jsonl")]
pub struct RestoreArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// What stegcluster backup wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only check the file
    #[arg(long)]
    dry_run: bool,
    /// Print JSON instead of a sentence
    #[arg(long)]
    json: bool,
}

/// How long a server may take to begin its answer, or to enter a thousand records.
const ATTEMPT_MAX: Duration = Duration::from_secs(60);

/// Backs up, and checks what was written.
///
/// # Errors
/// The file could not be written, or Ctrl-C not be caught.
pub fn run_backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let (client, _) = args.servers.client(ATTEMPT_MAX)?;
    let client = client.with_attempt_max(ATTEMPT_MAX);
    files::check_free(&args.out, args.force)?;
    let folder = args.out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let named = || format!("cannot write {}", args.out.display());
    // Under its name only once it is whole and checked.
    let mut temporary = tempfile::Builder::new()
        .prefix(".stegcluster-backup-")
        .tempfile_in(folder.unwrap_or(std::path::Path::new(".")))
        .with_context(named)?;
    let consistency = if args.stale { Consistency::Stale } else { Consistency::Linearizable };
    let mut last = ClientError::Stopped;
    for server in client.servers().iter() {
        temporary.as_file_mut().set_len(0).with_context(named)?;
        io::Seek::rewind(temporary.as_file_mut()).with_context(named)?;
        match client.ledger(server, consistency, temporary.as_file_mut()) {
            Ok(bytes) => {
                temporary.as_file_mut().sync_all().with_context(named)?;
                let mut reader = BufReader::new(temporary.reopen().with_context(named)?);
                let records = match backup::read(&mut reader, &mut |_| Ok(())) {
                    Ok(records) => records,
                    Err(error) => {
                        let problem = format!("{server}: the backup is not whole: {error}");
                        return Ok(output::fail(exit::FAILED, &problem));
                    }
                };
                let kept = if args.force {
                    temporary.persist(&args.out)
                } else {
                    temporary.persist_noclobber(&args.out)
                };
                kept.map_err(|error| error.error).with_context(named)?;
                let out = args.out.display();
                output::print(&format!("{records} records, {bytes} bytes, written to {out}\n"));
                return Ok(ExitCode::from(exit::OK));
            }
            Err(error) if error.is_retryable() => last = error,
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    let code = if last.is_unreachable() { exit::UNREACHABLE } else { exit::FAILED };
    Ok(output::fail(code, &last))
}

/// Checks the file, then enters what is in it.
///
/// # Errors
/// The file could not be read, or Ctrl-C not be caught.
pub fn run_restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let open = || -> anyhow::Result<BufReader<File>> {
        let file = File::open(&args.file).with_context(|| format!("cannot read {file}"))?;
        Ok(BufReader::new(file))
    };
    let records = match backup::read(&mut open()?, &mut |_| Ok(())) {
        Ok(records) => records,
        Err(error) => return Ok(output::fail(exit::FAILED, &format!("{file}: {error}"))),
    };
    if args.dry_run {
        output::print(&format!("{file}: {records} records, whole\n"));
        return Ok(ExitCode::from(exit::OK));
    }
    let (client, stop) = args.servers.client(ATTEMPT_MAX)?;
    let client = client.with_attempt_max(ATTEMPT_MAX);
    let bar = progress_bar(records);
    let mut restore = Restore { client: &client, total: RestoreResponse::default(), failed: None };
    let mut lines = Vec::new();
    let mut held = 0;
    let read = backup::read(&mut open()?, &mut |record| {
        serde_json::to_writer(&mut lines, &record)?;
        lines.push(b'\n');
        held += 1;
        if held == RECORDS_PAGE_MAX {
            bar.inc(held as u64);
            held = 0;
            restore.send(std::mem::take(&mut lines))?;
        }
        if stop.is_tripped() {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        Ok(())
    });
    if read.is_ok() && held > 0 {
        // Its outcome is in `restore.failed`.
        let _ = restore.send(lines);
    }
    bar.finish_and_clear();
    let Restore { total, failed, .. } = restore;
    if let Some(error) = failed {
        let code = if error.is_unreachable() { exit::UNREACHABLE } else { exit::FAILED };
        let done = total.added;
        return Ok(output::fail(
            code,
            &format!("{error}; {done} records were added before; repeat it"),
        ));
    }
    read.with_context(|| format!("{file}"))?;
    tell(args, records, &total)
}

fn tell(args: &RestoreArgs, records: u64, total: &RestoreResponse) -> anyhow::Result<ExitCode> {
    if args.json {
        output::print(&output::json(total)?);
    } else {
        output::print(&format!(
            "{records} records: {} added, {} were there, {} differ from what is there\n",
            total.added,
            total.present,
            total.conflicts.len()
        ));
    }
    for id in &total.conflicts {
        output::complain(&format!("record {id} is in the ledger with other contents, which stay"));
    }
    let code = if total.conflicts.is_empty() { exit::OK } else { exit::FAILED };
    Ok(ExitCode::from(code))
}

struct Restore<'a> {
    client: &'a Client,
    total: RestoreResponse,
    failed: Option<ClientError>,
}

impl Restore<'_> {
    /// An error ends the reading; what it was stays here.
    fn send(&mut self, lines: Vec<u8>) -> io::Result<()> {
        match at_any(self.client, |server| self.client.restore_records(server, lines.clone())) {
            Ok(answer) => {
                self.total.added += answer.added;
                self.total.present += answer.present;
                self.total.conflicts.extend(answer.conflicts);
                Ok(())
            }
            Err(error) => {
                let text = error.to_string();
                self.failed = Some(error);
                Err(io::Error::other(text))
            }
        }
    }
}

/// On a terminal; indicatif hides it elsewhere.
fn progress_bar(records: u64) -> ProgressBar {
    let bar = ProgressBar::new(records);
    // The default style stays where the template should be refused.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} records, {eta} left") {
        bar.set_style(style);
    }
    bar
}
