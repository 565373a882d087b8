//! Log set-up: text for people, JSON for machines, both on standard error.
//!
//! Field names come from one list: `node peer leader term index record attempt
//! elapsed_ms cause`, so that a search for `leader=n2` finds every line about it.

use std::io::{self, Write};
use std::str::FromStr;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown log format {other:?}; known: text, json")),
        }
    }
}

/// openraft logs each internal step at INFO; our own lines say what happened
/// once and in an operator's words, so its own are heard from WARN up.
const QUIET: &str = "openraft=error,hyper=warn,warp=warn";

/// Whether [`start`] would take `filter`.
///
/// # Errors
/// It does not parse, or is one word that is no level: the parser would take that
/// for the name of a target, and log nothing at all.
pub fn check_filter(filter: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_word = !filter.contains(['=', ',', ':', '[']);
    if is_word && !LEVELS.contains(&filter.to_ascii_lowercase().as_str()) {
        return Err(format!("{filter:?} is no level; known: {}", LEVELS.join(", ")));
    }
    if filter.contains(['[', '{']) {
        // It would be taken for a module of that name, and nothing would be logged.
        return Err(format!("{filter:?} names a span; known: levels, and MODULE=LEVEL"));
    }
    match Targets::from_str(filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{filter:?} does not parse: {error}")),
    }
}

/// Starts logging for the whole process.
///
/// `filter` is a level (`info`), or levels of modules (`info,stegcluster::raft=debug`). Filters
/// that match the fields of spans would bring a regular expression engine, 0.9 MB of the binary.
///
/// # Errors
/// The filter does not parse, or logging was started before.
pub fn start(format: LogFormat, filter: &str, colour: bool) -> Result<(), String> {
    let filter = Targets::from_str(&format!("{QUIET},{filter}"))
        .map_err(|error| format!("log filter {filter:?}: {error}"))?;
    let lines = fmt::layer().with_target(false);
    let lines = match format {
        LogFormat::Text => {
            let writer = move || OneLine { inner: io::stderr(), colour };
            lines.with_writer(writer).with_ansi(colour).boxed()
        }
        LogFormat::Json => {
            let lines = lines.with_writer(io::stderr).json().flatten_event(true);
            lines.with_current_span(false).boxed()
        }
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    subscriber.try_init().map_err(|error| error.to_string())
}

/// Writes each event as one line, whatever is in it: what came from outside shall not look like
/// a line of ours, nor move the cursor of whoever reads it. JSON has its own escapes.
struct OneLine<W> {
    inner: W,
    /// The event's own colours stay.
    colour: bool,
}

impl<W: Write> Write for OneLine<W> {
    /// An event comes as a whole, with its line end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        let is_plain = |byte: &u8| !byte.is_ascii_control() && *byte != C1_LEAD;
        if text.iter().all(is_plain) {
            self.inner.write_all(event)?;
            return Ok(event.len());
        }
        let text = String::from_utf8_lossy(text);
        let mut line = String::with_capacity(text.len() + 16);
        for (at, character) in text.char_indices() {
            let is_colour = self.colour && character == '\u{1b}' && begins_with_colour(&text[at..]);
            if !character.is_control() || is_colour {
                line.push(character);
            } else {
                line.extend(character.escape_default());
            }
        }
        line.push('\n');
        self.inner.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The first byte of U+0080 to U+009F, controls too, in UTF-8.
const C1_LEAD: u8 = 0xc2;

/// True for `ESC [ digits and semicolons m` (ECMA-48, SGR).
fn begins_with_colour(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return false };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, colour: bool) -> String {
        let mut line = OneLine { inner: Vec::new(), colour };
        line.write_all(event.as_bytes()).unwrap();
        String::from_utf8(line.inner).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_controls() {
        for (event, expected) in [
            ("plain é\n", "plain é\n"),
            ("a\nERROR forged\n", "a\\nERROR forged\n"),
            ("a\r\n", "a\\r\n"),
            ("nul \0 bell \x07\n", "nul \\u{0} bell \\u{7}\n"),
            ("\u{1b}[2J\u{9b}1m\n", "\\u{1b}[2J\\u{9b}1m\n"),
            ("\u{1b}[31mred\n", "\\u{1b}[31mred\n"),
        ] {
            assert_eq!(written(event, false), expected, "{event:?}");
        }
        assert_eq!(
            written("\u{1b}[31mred\u{1b}[0m \u{1b}[2J\n", true),
            "\u{1b}[31mred\u{1b}[0m \\u{1b}[2J\n"
        );
    }
}
