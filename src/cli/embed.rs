//! `stegcluster embed`: hide a file in a picture.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::servers::{ServersArgs, code_of};
use super::{analyze, exit, output};
use crate::api::analysis::Quality;
use crate::client::EmbedRequest;
use crate::clock;
use crate::ident::RecordId;
use crate::record::Method;

/// Hide a file in a picture; the embed is entered in the ledger
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster embed letter.pdf --out holiday.png
  stegcluster embed letter.pdf --cover photo.jpg --passphrase-file key.txt --out holiday.png
  stegcluster embed letter.pdf --method lsb --bits 2 --out holiday.png
  stegcluster embed letter.pdf --cover photo.jpg --report --out holiday.png")]
pub struct EmbedArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The file to hide
    #[arg(value_name = "SECRET")]
    secret: PathBuf,
    /// Where to write the picture (a PNG)
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// The picture to hide it in; the node's own if not given
    #[arg(long, value_name = "FILE")]
    cover: Option<PathBuf>,
    /// lsb (in the lowest bits, in order; fastest), spread (all over the picture, by key) or
    /// adaptive (where the picture's texture hides it best); by default adaptive with a
    /// passphrase and lsb without
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Low bits of each colour sample to use, 1 to 4; more than 1 for lsb only
    #[arg(long, value_name = "N")]
    bits: Option<u8>,
    /// Encrypt with the passphrase on the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The record's id, to repeat an embed whose outcome is unknown
    #[arg(long, value_name = "ID")]
    id: Option<RecordId>,
    /// Keep the cover's texts, camera notes (such as the place) and dates, which are left out
    /// otherwise
    #[arg(long)]
    keep_metadata: bool,
    /// Also say what was changed, and what a steganalyst would find in the picture
    #[arg(long)]
    report: bool,
    /// Print the answer as JSON, without the picture
    #[arg(long)]
    json: bool,
}

/// Embeds, and writes the picture.
///
/// # Errors
/// A file could not be read or written, or Ctrl-C not be caught.
pub fn run(args: EmbedArgs) -> anyhow::Result<ExitCode> {
    let (client, _) = args.servers.client(Duration::from_secs(60))?;
    let secret = read(&args.secret)?;
    let cover = args.cover.as_deref().map(read).transpose()?;
    let passphrase = passphrase(args.passphrase_file.as_ref())?;
    let id = args.id.unwrap_or_else(|| clock::fresh_time_ordered_uuid().into());
    let request = EmbedRequest {
        secret: &secret,
        cover: cover.as_deref(),
        passphrase: passphrase.as_deref(),
        method: args.method,
        bits: args.bits,
        keep_metadata: args.keep_metadata,
        report: args.report,
    };
    let mut answer = match client.embed(0, &id, &request) {
        Ok(answer) => answer,
        Err(error) => {
            if error.outcome_unknown {
                output::complain(&format!("it may have been done; repeat it with --id {id}"));
            }
            return Ok(output::fail(code_of(&error), &error));
        }
    };
    let picture = answer.value.stego_image_b64.take().context("the answer has no picture")?;
    let picture = STANDARD.decode(picture).context("the answer's picture is no base64")?;
    std::fs::write(&args.out, picture)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let embedded = &answer.value;
    if args.json {
        output::print(&output::json(embedded)?);
    } else {
        output::print(&format!(
            "{} bytes hidden by {} in {} ({} bytes); record {} by {}\n",
            embedded.secret_size_bytes,
            embedded.method,
            args.out.display(),
            embedded.payload_size_bytes,
            embedded.request_id,
            embedded.node
        ));
        if let Some(quality) = &embedded.quality {
            output::print(&report(quality));
        }
    }
    Ok(ExitCode::from(exit::OK))
}

/// The report for people.
fn report(quality: &Quality) -> String {
    let changed = format!(
        "{} samples changed ({:.3} %), {:.4} bits per pixel, PSNR {}\n\n",
        quality.changed_samples,
        quality.changed_fraction * 100.0,
        quality.bits_per_pixel,
        quality.psnr_db.map_or_else(|| "infinite".to_owned(), |psnr| format!("{psnr:.1} dB")),
    );
    let rows = [("cover", &quality.before), ("result", &quality.after)]
        .map(|(name, estimates)| analyze::estimates_row(vec![name.to_owned()], estimates));
    let head = [&["PICTURE"], analyze::ESTIMATES_HEAD].concat();
    let advice: String = quality.advice.iter().map(|line| format!("\n{line}\n")).collect();
    changed + &output::table(&head, &rows) + &advice
}

/// A whole file.
///
/// # Errors
/// Names the file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The first line of a file. Not a flag: flags are in every process list.
///
/// # Errors
/// Names the file.
pub(super) fn passphrase(path: Option<&PathBuf>) -> anyhow::Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!line.is_empty(), "{} has no passphrase on its first line", path.display());
    Ok(Some(line.to_owned()))
}
