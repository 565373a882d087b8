//! What people and scripts read: aligned tables, JSON files, one-line errors.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

/// Prints to standard output. A reader that went away (`| head`) is no error of ours.
pub fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// One line on standard error, with the program's name.
pub fn complain(problem: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "stegcluster: {problem}");
}

/// Complains and gives the code to exit with.
pub fn fail(code: u8, problem: &dyn Display) -> ExitCode {
    complain(problem);
    ExitCode::from(code)
}

/// JSON for people and for `jq`, with a line end.
///
/// # Errors
/// The value cannot be expressed in JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Writes a report to `path`, or to standard output where that is `-`.
///
/// # Errors
/// Names the file.
pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = json(value)?;
    if path == Path::new("-") {
        print(&text);
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Columns side by side, as wide as their widest cell, with two spaces between.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(head[column].chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Milliseconds with as many digits as matter.
pub fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// Milliseconds as a short text with its unit, such as `0.4ms`, `12ms`, `3.4s` or `7min`.
pub fn span(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 9.95 => format!("{ms:.1}ms"),
        Some(ms) if ms < 999.5 => format!("{ms:.0}ms"),
        Some(ms) if ms < 99_950.0 => format!("{:.1}s", ms / 1000.0),
        Some(ms) => format!("{:.0}min", ms / 60_000.0),
    }
}

/// Says what is going on, on standard error, where people are looking.
pub fn note(text: &str) {
    if std::io::stderr().is_terminal() {
        say(text);
    }
}

/// One line on standard error, whoever reads it.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["n1".into(), "Leader".into()], vec!["long-name".into(), "-".into()]];
        let text = table(&["NODE", "ROLE"], &rows);
        assert_eq!(text, "NODE       ROLE\nn1         Leader\nlong-name  -\n");
    }

    #[test]
    fn spans_have_their_unit() {
        let spans = [0.0, 9.94, 12.3, 999.0, 1000.0, 99_900.0, 600_000.0].map(|ms| span(Some(ms)));
        assert_eq!(spans, ["0.0ms", "9.9ms", "12ms", "999ms", "1.0s", "99.9s", "10min"]);
        assert_eq!(span(None), "-");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = write_json(Path::new("/nonexistent/report.json"), &1).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /nonexistent/report.json");
    }
}
