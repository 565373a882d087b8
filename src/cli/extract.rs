//! `stegcluster extract`: get hidden files back.

use std::path::PathBuf;
use std::process::ExitCode;

use super::embed::passphrase;
use super::files::{self, check_free, expand, is_std, read, targets};
use super::worker::{WorkerArgs, complain};
use super::{exit, harden, output};

/// Get the file back that is hidden in a picture
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster extract holiday.png --out letter.pdf
  stegcluster extract holiday.png --passphrase-file key.txt --out letter.pdf
  stegcluster extract --offline 'pictures/*.png' --out letters/
  stegcluster extract holiday.png --out - | tar tz")]
pub struct ExtractArgs {
    #[command(flatten)]
    worker: WorkerArgs,
    /// The picture, or several; `-` is standard input, patterns such as '*.png' are looked up
    #[arg(value_name = "PICTURE", required = true)]
    pictures: Vec<PathBuf>,
    /// Where to write the file; `-` is standard output. For several pictures a folder that is
    /// there, in which each file is called like its picture, without .png
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long, short)]
    force: bool,
    /// Decrypt with the passphrase on the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print the answer as JSON, without the file
    #[arg(long)]
    json: bool,
}

/// Extracts, and writes the files.
///
/// # Errors
/// A file could not be read or written, or Ctrl-C not be caught.
pub fn run(args: ExtractArgs) -> anyhow::Result<ExitCode> {
    harden::keep_memory_private();
    let pictures = expand(&args.pictures)?;
    let targets = targets(&pictures, &args.out, without_png)?;
    targets.iter().try_for_each(|target| check_free(target, args.force))?;
    let worker = args.worker.worker()?;
    let passphrase = passphrase(args.passphrase_file.as_ref())?;
    let mut code = exit::OK;
    for (picture, target) in pictures.iter().zip(&targets) {
        let found =
            match worker.extract(&read(picture)?, passphrase.as_ref().map(|text| text.as_str())) {
                Ok(found) => found,
                Err(error) => {
                    code = complain(&picture.display().to_string(), &error);
                    continue;
                }
            };
        files::write(target, &found.secret, args.force)?;
        let text = if args.json {
            output::json(&found.json)?
        } else {
            let (bytes, mime) = (found.secret.len(), &found.mime);
            format!("{bytes} bytes ({mime}) written to {}\n", target.display())
        };
        if is_std(target) { output::note(text.trim_end()) } else { output::print(&text) }
    }
    Ok(ExitCode::from(code))
}

/// `letter.pdf.png`, as `embed` calls it, was `letter.pdf`.
fn without_png(name: &str) -> String {
    name.strip_suffix(".png").map_or_else(|| format!("{name}.out"), str::to_owned)
}
