//! `stegcluster bench compare`: what changed between two runs, and whether beyond noise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::text::title;
use crate::cli::{exit, output};
use crate::load::BenchReport;
use crate::load::compare::{Comparison, Figure, SECONDS_MIN, Single, Verdict};

/// Say what changed between two runs, and whether by more than noise
///
/// Each full second of a run is a sample. The runs are compared by the Mann-Whitney U test,
/// corrected for ties, for autocorrelation and for the number of figures (Holm); the change is
/// Hodges and Lehmann's estimate with its 95 % interval. Runs of 30 s or more say most.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster bench compare before.json after.json
  stegcluster bench compare --json before.json after.json | jq '.figures[].verdict'")]
pub(super) struct CompareArgs {
    /// The run to compare with, as bench --json wrote it
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The run to judge
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

/// Compares, prints, and ends with 1 where B is worse.
///
/// # Errors
/// The comparison cannot be expressed in JSON.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let read = |path| read(path).map_err(|error| format!("{error:#}"));
    let (a, b) = match read(&args.a).and_then(|a| Ok((a, read(&args.b)?))) {
        Ok(both) => both,
        Err(error) => return Ok(output::fail(exit::COULD_NOT_RUN, &error)),
    };
    let comparison = Comparison::new(&a, &b);
    if args.json {
        output::print(&output::json(&comparison)?);
    } else {
        output::print(&render(&comparison, [&args.a, &args.b], [&a, &b]));
    }
    let code = if comparison.is_worse() { exit::FAILED } else { exit::OK };
    Ok(ExitCode::from(code))
}

fn read(path: &Path) -> anyhow::Result<BenchReport> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: BenchReport = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of bench --json", path.display()))?;
    anyhow::ensure!(
        report.schema == 1 && !report.model.is_empty(),
        "{} is no report of bench --json of schema 1",
        path.display()
    );
    Ok(report)
}

fn render(comparison: &Comparison, paths: [&PathBuf; 2], reports: [&BenchReport; 2]) -> String {
    let mut text = String::new();
    for (name, (path, report)) in ["A", "B"].iter().zip(paths.into_iter().zip(reports)) {
        let (path, seconds) = (path.display(), report.duration_s);
        text += &format!("{name}: {path} ({}, {seconds:.1} s)\n", title(report));
    }
    for (name, a, b) in &comparison.different_settings {
        text += &format!("not the same load: {name} {a} in A, {b} in B\n");
    }
    let mut rows: Vec<Vec<String>> = comparison.figures.iter().map(row).collect();
    rows.extend(comparison.single.iter().map(single_row));
    let head = ["FIGURE", "A", "B", "CHANGE", "95 % INTERVAL", "P", "VERDICT"];
    text += &format!("\n{}", output::table(&head, &rows));
    if comparison.figures.iter().any(|figure| figure.verdict == Verdict::TooFewSeconds) {
        text += &format!("\nToo few: a run needs {SECONDS_MIN} full seconds with an answer.\n");
    }
    let test = comparison.test.replacen("two-sided, ", "two-sided,\n", 1);
    text + &format!("\nTest: {test}.\n")
}

fn row(figure: &Figure) -> Vec<String> {
    let base = figure.a.filter(|a| *a > 0.0);
    let change = |value: f64| match base {
        Some(a) => format!("{:+.1} %", value / a * 100.0),
        None => format!("{value:+.2}"),
    };
    let (shift, interval, p) = match &figure.shift {
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
        Some(shift) => (
            change(shift.estimate),
            format!("{} to {}", change(shift.low), change(shift.high)),
            if shift.p < 0.001 { "<0.001".to_owned() } else { format!("{:.3}", shift.p) },
        ),
    };
    let verdict = match figure.verdict {
        Verdict::Better => "BETTER",
        Verdict::Worse => "WORSE",
        Verdict::Different => "different",
        Verdict::WithinNoise => "noise",
        Verdict::TooFewSeconds => "too few",
    };
    let number = output::ms;
    let name = figure.name.to_owned();
    vec![name, number(figure.a), number(figure.b), shift, interval, p, verdict.to_owned()]
}

fn single_row(single: &Single) -> Vec<String> {
    let change = single.a.zip(single.b).filter(|(a, _)| *a > 0.0);
    let change = change.map_or("-".to_owned(), |(a, b)| format!("{:+.1} %", (b / a - 1.0) * 100.0));
    let number = output::ms;
    let name = single.name.to_owned();
    let none = || "-".to_owned();
    vec![name, number(single.a), number(single.b), change, none(), none(), "one each".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::timeline::Second;

    fn run(rate: u64) -> BenchReport {
        let row = |t: u64| Second {
            t_s: t as f64,
            ok: rate + t * 37 % 11,
            p50_ms: Some(2.0 + (t * 17 % 5) as f64 / 10.0),
            ..Second::default()
        };
        let timeline = (0..20).map(row).collect();
        let model = "closed".to_owned();
        BenchReport { schema: 1, model, mode: "embed".into(), timeline, ..BenchReport::default() }
    }

    #[test]
    fn the_table_says_what_changed_in_80_columns() {
        let (a, b) = (run(1000), run(600));
        let comparison = Comparison::new(&a, &b);
        let paths = [&PathBuf::from("a.json"), &PathBuf::from("b.json")];
        let text = render(&comparison, paths, [&a, &b]);
        let line =
            |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("requests/s").ends_with("<0.001  WORSE"), "{text}");
        assert!(line("requests/s").contains("-39.8 %"), "{text}");
        assert!(line("p50 ms").ends_with("noise") && line("p99 ms").ends_with("too few"), "{text}");
        assert!(line("max ms").ends_with("one each"), "{text}");
        assert!(text.lines().map(|line| line.chars().count()).max().unwrap() <= 80, "{text}");
    }

    #[test]
    fn a_file_that_is_no_report_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        for content in ["", "[]", "{}", r#"{"schema":2,"model":"closed"}"#] {
            std::fs::write(&path, content).unwrap();
            let refused = format!("{:#}", read(&path).unwrap_err());
            assert!(refused.contains("x.json is no report of bench --json"), "{refused}");
        }
    }
}
