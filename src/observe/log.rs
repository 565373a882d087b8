//! Log set-up: text for people, JSON for machines, both on standard error.
//!
//! Field names come from one list: `node peer leader term index record attempt
//! elapsed_ms cause`, so that a search for `leader=n2` finds every line about it.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

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
    match EnvFilter::builder().parse(filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{filter:?} does not parse: {error}")),
    }
}

/// Starts logging for the whole process.
///
/// `filter` is a level (`info`) or tracing directives (`stegcluster::raft=debug`).
///
/// # Errors
/// The filter does not parse, or logging was started before.
pub fn start(format: LogFormat, filter: &str, colour: bool) -> Result<(), String> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|error| format!("log filter {filter:?}: {error}"))?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(colour).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| error.to_string())
}
