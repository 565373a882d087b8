//! `stegcluster verify`: is this picture in the ledger?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::files::{expand, read};
use super::servers::{ServersArgs, code_of};
use super::{exit, output};
use crate::api::codec::VerifyResponse;

/// Tell whether pictures are in the ledger: who made each, when, by which method
///
/// A picture is found by its digest: one changed bit, or another file format, and it is another
/// picture.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster verify holiday.png
  stegcluster verify '*.png'
  stegcluster verify --json - < holiday.png")]
pub struct VerifyArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Pictures; patterns such as '*.png' are looked up here, `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print one line of JSON for each picture
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    file: String,
    #[serde(flatten)]
    answer: &'a VerifyResponse,
}

/// Asks for each picture.
///
/// # Errors
/// A pattern that matches nothing, or Ctrl-C could not be caught.
pub fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let (client, _) = args.servers.client(Duration::from_secs(60))?;
    let mut code = exit::OK;
    for file in expand(&args.files)? {
        let picture = match read(&file) {
            Ok(picture) => picture,
            Err(error) => {
                output::complain(&format!("{error:#}"));
                code = exit::FAILED;
                continue;
            }
        };
        let answer = match client.verify(0, &picture) {
            Ok(answer) => answer.value,
            Err(error) => return Ok(output::fail(code_of(&error), &error)),
        };
        if !answer.known {
            code = exit::FAILED;
        }
        let file = file.display().to_string();
        if args.json {
            let line = serde_json::to_string(&Line { file, answer: &answer })?;
            output::print(&(line + "\n"));
        } else {
            output::print(&sentence(&file, &answer));
        }
    }
    Ok(ExitCode::from(code))
}

fn sentence(file: &str, answer: &VerifyResponse) -> String {
    match &answer.record {
        Some(view) => {
            let record = &view.record;
            format!(
                "{file}: in the ledger; made {} by {} with {}, record {}\n",
                view.time, record.node, record.method, record.id
            )
        }
        None => format!("{file}: not in the ledger (SHA-256 {})\n", answer.sha256),
    }
}
