//! `stegcluster analyze`: what a steganalyst would find in pictures. Needs no server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::{exit, files, output};
use crate::api::analysis::{Analysis, Estimates, Verdict};
use crate::stego;

/// Estimate how much is hidden in the lowest bits of pictures, as a steganalyst would
///
/// Each picture is judged by itself, without the cover it was made from, and without asking
/// any server. Four estimators from the literature (sample pairs, RS, weighted stego image,
/// and the last for a payload that begins in the first row) say which part of the samples
/// carries a bit, if lowest bits were overwritten. They do not see changes by plus or minus
/// one: "nothing found" does not mean that there is nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster analyze holiday.png
  stegcluster analyze --json *.png | jq '.[] | select(.estimates.verdict == \"found\").file'")]
pub struct AnalyzeArgs {
    /// The pictures: PNG, JPEG, WebP or BMP
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print JSON instead of a table, with the estimates of each colour channel
    #[arg(long)]
    json: bool,
}

/// One file's line.
#[derive(Serialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    analysis: Analysis,
}

/// Analyzes each file. One that cannot be read is complained about, and the others go on.
///
/// # Errors
/// The result cannot be expressed in JSON.
pub fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let mut lines = Vec::new();
    let mut code = exit::OK;
    for file in &args.files {
        match analyze(file) {
            Ok(analysis) => {
                if analysis.estimates.verdict == Verdict::Found && code == exit::OK {
                    code = exit::PAYLOAD_FOUND;
                }
                lines.push(Line { file: file.display().to_string(), analysis });
            }
            Err(error) => {
                output::complain(&format!("{error:#}"));
                code = exit::FAILED;
            }
        }
    }
    if args.json {
        output::print(&output::json(&lines)?);
    } else if !lines.is_empty() {
        output::print(&table(&lines));
    }
    Ok(ExitCode::from(code))
}

fn analyze(file: &Path) -> anyhow::Result<Analysis> {
    use anyhow::Context as _;
    let bytes = files::read(file)?;
    stego::analyze(&bytes).with_context(|| file.display().to_string())
}

/// What [`estimates_row`] adds to a row.
pub(super) const ESTIMATES_HEAD: &[&str] = &["PAIRS", "RS", "WS", "FROM TOP", "READING"];

fn table(lines: &[Line]) -> String {
    let head = [&["FILE", "SIZE", "SAMPLES"], ESTIMATES_HEAD].concat();
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    output::table(&head, &rows)
}

fn row(line: &Line) -> Vec<String> {
    let Analysis { width, height, channels, bits_per_sample, estimates } = &line.analysis;
    let colour = if *channels == 1 { "grey" } else { "RGB" };
    let cells = vec![
        line.file.clone(),
        format!("{width}x{height}"),
        format!("{colour} {bits_per_sample}-bit"),
    ];
    estimates_row(cells, estimates)
}

/// `cells`, and the estimates after them.
pub(super) fn estimates_row(mut cells: Vec<String>, estimates: &Estimates) -> Vec<String> {
    cells.extend([
        percent(estimates.sample_pairs.rate),
        percent(estimates.rs.rate),
        percent(estimates.ws.rate),
        percent(estimates.ws_from_top),
        reading(estimates),
    ]);
    cells
}

/// The estimates in plain words.
fn reading(estimates: &Estimates) -> String {
    match (estimates.verdict, estimates.likely_rate) {
        (Verdict::Found, Some(rate)) if rate == estimates.ws_from_top => {
            format!("about {} of samples carry bits, from the top on", percent(rate))
        }
        (Verdict::Found, rate) => {
            format!("about {} of samples carry bits", percent(rate.unwrap_or(estimates.ws.rate)))
        }
        (Verdict::Nothing, _) => "nothing found".to_owned(),
        (Verdict::Doubtful, _) => "doubtful: the estimates disagree".to_owned(),
        (Verdict::Unreadable, _) => "too little to judge by".to_owned(),
    }
}

/// With one digit where it is small.
fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    // Rounds to 0: no sign.
    if percent.abs() < 0.05 {
        "0.0 %".to_owned()
    } else if percent.abs() < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}
