//! `stegcluster extract`: get a hidden file back.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::embed::{passphrase, read};
use super::servers::{ServersArgs, code_of};
use super::{exit, output};

/// Get the file back that is hidden in a picture
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster extract holiday.png --out letter.pdf
  stegcluster extract holiday.png --passphrase-file key.txt --out letter.pdf")]
pub struct ExtractArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The picture
    #[arg(value_name = "PICTURE")]
    picture: PathBuf,
    /// Where to write the file
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Decrypt with the passphrase on the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print the answer as JSON, without the file
    #[arg(long)]
    json: bool,
}

/// Extracts, and writes the file.
///
/// # Errors
/// A file could not be read or written, or Ctrl-C not be caught.
pub fn run(args: ExtractArgs) -> anyhow::Result<ExitCode> {
    let (client, _) = args.servers.client(Duration::from_secs(60))?;
    let picture = read(&args.picture)?;
    let passphrase = passphrase(args.passphrase_file.as_ref())?;
    let extracted = match client.extract(0, &picture, passphrase.as_deref()) {
        Ok(answer) => answer.value,
        Err(error) => return Ok(output::fail(code_of(&error), &error)),
    };
    let secret = STANDARD.decode(&extracted.recovered_b64).context("the answer is no base64")?;
    std::fs::write(&args.out, secret)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    if args.json {
        output::print(&output::json(&serde_json::json!({
            "request_id": extracted.request_id,
            "recovered_size_bytes": extracted.recovered_size_bytes,
            "recovered_mime": extracted.recovered_mime,
        }))?);
    } else {
        output::print(&format!(
            "{} bytes ({}) written to {}\n",
            extracted.recovered_size_bytes,
            extracted.recovered_mime,
            args.out.display()
        ));
    }
    Ok(ExitCode::from(exit::OK))
}
