//! `stegcluster embed`: hide a file in a picture.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::files::{self, check_free, expand, is_std, read, targets};
use super::worker::{Embedded, WorkerArgs, complain};
use super::{analyze, exit, harden, output};
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
  stegcluster embed letter.pdf --cover photo.jpg --report --out holiday.png
  stegcluster embed --offline 'letters/*.pdf' --out pictures/
  tar cz letters | stegcluster embed - --cover photo.jpg --out - > holiday.png")]
pub struct EmbedArgs {
    #[command(flatten)]
    worker: WorkerArgs,
    /// The file to hide, or several; `-` is standard input, patterns such as '*.pdf' are looked up
    #[arg(value_name = "SECRET", required = true)]
    secrets: Vec<PathBuf>,
    /// Where to write the picture (a PNG); `-` is standard output. For several secrets a folder
    /// that is there, in which each picture is called like its secret, with .png behind
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long, short)]
    force: bool,
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

/// Embeds, and writes the pictures.
///
/// # Errors
/// A file could not be read or written, or Ctrl-C not be caught.
pub fn run(args: EmbedArgs) -> anyhow::Result<ExitCode> {
    harden::keep_memory_private();
    let secrets = expand(&args.secrets)?;
    let targets = targets(&secrets, &args.out, |name| format!("{name}.png"))?;
    anyhow::ensure!(
        args.id.is_none() || secrets.len() == 1,
        "--id names one record, and {} secrets are given",
        secrets.len()
    );
    targets.iter().try_for_each(|target| check_free(target, args.force))?;
    let worker = args.worker.worker()?;
    let cover = args.cover.as_deref().map(read).transpose()?;
    let passphrase = passphrase(args.passphrase_file.as_ref())?;
    let mut code = exit::OK;
    for (secret, target) in secrets.iter().zip(&targets) {
        let bytes = read(secret)?;
        let id = args.id.clone().unwrap_or_else(|| clock::fresh_time_ordered_uuid().into());
        let request = EmbedRequest {
            secret: &bytes,
            cover: cover.as_deref(),
            passphrase: passphrase.as_ref().map(|text| text.as_str()),
            method: args.method,
            bits: args.bits,
            keep_metadata: args.keep_metadata,
            report: args.report,
        };
        match worker.embed(&id, &request) {
            Ok(embedded) => {
                files::write(target, &embedded.png, args.force)?;
                tell(&args, &embedded, bytes.len(), target)?;
            }
            Err(error) => {
                code = complain(&secret.display().to_string(), &error);
                if error.outcome_unknown {
                    let advice = format!("it may have been done; repeat it with --id {id}");
                    output::complain(&advice);
                }
            }
        }
    }
    Ok(ExitCode::from(code))
}

/// What was done, on standard output unless the picture is there.
fn tell(
    args: &EmbedArgs,
    embedded: &Embedded,
    secret_bytes: usize,
    target: &Path,
) -> anyhow::Result<()> {
    let mut text = if args.json {
        output::json(&embedded.json)?
    } else {
        format!(
            "{secret_bytes} bytes hidden by {} in {} ({} bytes); {}\n",
            embedded.method,
            target.display(),
            embedded.png.len(),
            embedded.entered
        )
    };
    if let (false, Some(quality)) = (args.json, &embedded.quality) {
        text += &report(quality);
    }
    if is_std(target) {
        output::note(text.trim_end())
    } else {
        output::print(&text)
    }
    Ok(())
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

/// The first line of a file. Not a flag: flags are in every process list.
///
/// # Errors
/// Names the file.
pub(super) fn passphrase(path: Option<&PathBuf>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let Some(path) = path else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = Zeroizing::new(text);
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!line.is_empty(), "{} has no passphrase on its first line", path.display());
    Ok(Some(Zeroizing::new(line.to_owned())))
}
