//! Merges the layers and checks the result: flags over environment over file over
//! defaults. What comes out is valid; what is wrong is named with its source.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::memory;
use super::nodes::{NodeEntry, Placement, place};
use super::raw::{ConfigError, Partial, SETTINGS, Source, Sourced, key, scalar};
use super::{ServeConfig, Snapshots};
use crate::ident::NodeName;
use crate::limits;
use crate::observe::log::{LogFormat, check_filter};

/// The node name when none is given: right for a cluster of one.
const ID_DEFAULT: &str = "n1";
const CLUSTER_DEFAULT: &str = "stegcluster";
/// `{id}` keeps nodes that share a machine apart.
const DATA_DIR_DEFAULT: &str = "./data/{id}";
/// Some 25 photographs of 1920x1080, which take 10 MB each. Less where a quarter of the
/// memory is less.
const COVER_CACHE_MIB_DEFAULT: u64 = 256;
/// Requests keep at least this much of the memory.
const REQUESTS_MIB_MIN: u64 = 64;
const LOG_FILTER_DEFAULT: &str = "info";
/// Names the file where `--config` does not.
pub const CONFIG_VARIABLE: &str = "STEGCLUSTER_CONFIG";

/// What each source says, the strongest first.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub flags: Partial,
    pub environment: Partial,
    pub file: Partial,
}

/// A value as `serve --print-config` shows it. Empty: left unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub key: &'static str,
    pub value: String,
    pub source: Source,
}

/// A valid configuration and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub config: ServeConfig,
    /// Every value but the node list, in the order of [`SETTINGS`].
    pub shown: Vec<Shown>,
    /// Where the node list comes from; `None`: there is none.
    pub nodes_source: Option<Source>,
    /// Odd but usable choices, a sentence each.
    pub warnings: Vec<String>,
}

impl Resolved {
    /// The configuration as a `cluster.yaml` that gives it again, each value with
    /// its source in a comment.
    pub fn to_yaml(&self) -> String {
        let mut yaml = String::new();
        let mut level = "";
        for shown in &self.shown {
            let (above, name) = shown.key.split_once('.').unwrap_or(("", shown.key));
            if above != level {
                if !above.is_empty() {
                    push_line(&mut yaml, format_args!("{above}:"));
                }
                level = above;
            }
            let indent = if above.is_empty() { "" } else { "  " };
            let pair = format!("{indent}{name}: {}", quoted(&shown.value));
            push_line(&mut yaml, format_args!("{:<44} # {}", pair, shown.source));
            if shown.key == key::RAFT_LISTEN {
                self.nodes_to_yaml(&mut yaml);
            }
        }
        yaml
    }

    fn nodes_to_yaml(&self, yaml: &mut String) {
        let Some(source) = &self.nodes_source else { return };
        push_line(yaml, format_args!("{:<44} # {source}", "nodes:"));
        let config = &self.config;
        let own = (&config.id, &config.advertise, &config.raft_advertise);
        let peers = config.peers.iter().map(|peer| (&peer.name, &peer.http_addr, &peer.raft_addr));
        let mut nodes: Vec<_> = peers.chain([own]).collect();
        nodes.sort();
        for (name, address, raft) in nodes {
            let name = quoted(name.as_str());
            let (address, raft) = (quoted(address), quoted(raft));
            push_line(yaml, format_args!("  {name}: {{address: {address}, raft: {raft}}}"));
        }
    }
}

fn push_line(yaml: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(yaml, "{line}");
}

/// A YAML scalar, in quotes unless it reads back as the same text without.
fn quoted(text: &str) -> String {
    let plain = text.is_empty() || {
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:+".contains(c);
        let same = serde_yaml::from_str(text).ok().and_then(|value| scalar(&value));
        text.chars().all(safe) && same.as_deref() == Some(text)
    };
    // A JSON string is a YAML string.
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// Reads the environment and the file, and merges them under the flags.
///
/// `file` is what `--config` says; without it `STEGCLUSTER_CONFIG` counts.
///
/// # Errors
/// A file that cannot be read, or any value that is not valid.
pub fn load(
    flags: Partial,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Resolved, ConfigError> {
    let environment: Vec<_> = environment.into_iter().collect();
    let named = |(name, value): &&(String, String)| name == CONFIG_VARIABLE && !value.is_empty();
    let named = environment.iter().find(named).map(|(_, path)| Path::new(path));
    let file = match file.or(named) {
        Some(path) => Partial::from_file(path)?,
        None => Partial::default(),
    };
    resolve(&Layers { flags, environment: Partial::from_environment(environment)?, file })
}

/// Merges the layers and checks what comes out.
///
/// # Errors
/// Any value that is not valid by itself or beside the others.
pub fn resolve(layers: &Layers) -> Result<Resolved, ConfigError> {
    let layers = [&layers.flags, &layers.environment, &layers.file];
    let mut merge = Merge { layers, shown: Vec::new() };
    let cluster_name = merge.text(key::CLUSTER, CLUSTER_DEFAULT, cluster_name)?.value;
    let id = merge.text(key::ID, ID_DEFAULT, |text| {
        text.parse::<NodeName>().map_err(|error| error.to_string())
    })?;
    let nodes = merge.nodes();
    check_id(&id, nodes)?;
    let (listen, raft_listen) = (merge.given(key::LISTEN), merge.given(key::RAFT_LISTEN));
    let placement = place(&id.value, nodes, listen, raft_listen)?;
    merge.show_placement(&placement);
    let data_dir = merge.text(key::DATA_DIR, DATA_DIR_DEFAULT, |text| match text {
        "" => Err("must name a folder".to_owned()),
        text => Ok(PathBuf::from(text.replace("{id}", id.value.as_str()))),
    })?;
    merge.show(key::DATA_DIR, data_dir.value.display(), &data_dir.source);
    let cover = merge.file(key::COVER)?;
    let preset = merge.preset()?;
    let solo_after =
        merge.parsed(key::SOLO_AFTER, Some(preset.value.solo_after()), show_patience, patience)?;
    let supervise = merge.parsed(key::SUPERVISE, false, bool::to_string, yes_or_no)?.value;
    let remote_admin = merge.parsed(key::REMOTE_ADMIN, false, bool::to_string, yes_or_no)?.value;
    let tokens = merge.file(key::TOKENS)?;
    let security = merge.security(id.value.as_str())?;
    let codec_threads =
        merge.whole(key::CODEC_THREADS, cores(), 1, limits::CODEC_THREADS_MAX)?.value;
    let (memory_mib, cover_cache_mib) = merge.memory()?;
    let (connections_max, connections_per_client_max) = merge.connections()?;
    let log_format =
        merge.parsed(key::LOG_FORMAT, LogFormat::default(), show_format, str::parse)?.value;
    let log_filter = merge.text(key::LOG_FILTER, LOG_FILTER_DEFAULT, |text| {
        check_filter(text).map(|()| text.to_owned())
    })?;
    let timings = merge.timings(&preset, &solo_after)?;
    let snapshots = merge.snapshots()?;

    let warnings = layers.iter().flat_map(|layer| layer.warnings.iter().cloned());
    let warnings = warnings.chain(placement.warnings).collect();
    let config = ServeConfig {
        cluster_name,
        id: id.value,
        listen: placement.listen.value,
        raft_listen: placement.raft_listen.value,
        advertise: placement.advertise.value,
        raft_advertise: placement.raft_advertise.value,
        peers: placement.peers,
        data_dir: data_dir.value,
        cover,
        solo_after: solo_after.value,
        supervise,
        remote_admin,
        tokens,
        security,
        codec_threads,
        memory_mib,
        cover_cache_mib,
        connections_max,
        connections_per_client_max,
        log_format,
        log_filter: log_filter.value,
        timings,
        snapshots,
    };
    let nodes_source = nodes.map(|nodes| nodes.source.clone());
    Ok(Resolved { config, shown: merge.into_shown(), nodes_source, warnings })
}

/// The layers, strongest first, and what was taken from them so far.
pub(super) struct Merge<'a> {
    layers: [&'a Partial; 3],
    shown: Vec<Shown>,
}

impl<'a> Merge<'a> {
    pub(super) fn given(&self, key: &str) -> Option<&'a Sourced<String>> {
        self.layers.iter().find_map(|layer| layer.value(key))
    }

    /// The node list of the strongest layer that has one; lists are not mixed.
    fn nodes(&self) -> Option<&'a Sourced<Vec<NodeEntry>>> {
        self.layers.iter().find_map(|layer| layer.nodes.as_ref())
    }

    /// Notes a value for `--print-config`; a second note of a key replaces the first.
    pub(super) fn show(&mut self, key: &'static str, value: impl Display, source: &Source) {
        let shown = Shown { key, value: value.to_string(), source: source.clone() };
        self.shown.retain(|earlier| earlier.key != key);
        self.shown.push(shown);
    }

    /// Takes one value: the strongest text, parsed, or the default.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        default: T,
        show: impl Fn(&T) -> String,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, ConfigError> {
        let sourced = match self.given(key) {
            None => Sourced { value: default, source: Source::Default },
            Some(Sourced { value: text, source }) => {
                let at = source.clone();
                match parse(text.trim()) {
                    Ok(value) => Sourced { value, source: at },
                    Err(cause) => {
                        return Err(ConfigError::Value { at, field: key.to_owned(), cause });
                    }
                }
            }
        };
        self.show(key, show(&sourced.value), &sourced.source);
        Ok(sourced)
    }

    /// Takes a whole number between bounds, both included.
    pub(super) fn whole<T>(
        &mut self,
        key: &'static str,
        default: T,
        least: T,
        most: T,
    ) -> Result<Sourced<T>, ConfigError>
    where
        T: FromStr + Display + PartialOrd + Copy,
    {
        self.parsed(key, default, T::to_string, |text| match text.parse() {
            Ok(value) if least <= value && value <= most => Ok(value),
            Ok(_) | Err(_) => Err(format!("{text:?} is no whole number from {least} to {most}")),
        })
    }

    /// Takes a value whose default is itself a text to parse.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, ConfigError> {
        let given = self.given(key);
        let text = given.map_or(default, |given| given.value.trim());
        let source = given.map_or(Source::Default, |given| given.source.clone());
        match parse(text) {
            Ok(value) => {
                self.show(key, text, &source);
                Ok(Sourced { value, source })
            }
            Err(cause) => Err(ConfigError::Value { at: source, field: key.to_owned(), cause }),
        }
    }

    /// Takes the cover's path. Whether it is a picture shows when it is opened.
    /// Takes the name of a file; `None` where there is none.
    fn file(&mut self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        if self.given(key).is_none() {
            self.show(key, "", &Source::Default);
            return Ok(None);
        }
        let file = self.text(key, "", |text| match text {
            "" => Err("must name a file".to_owned()),
            text => Ok(PathBuf::from(text)),
        })?;
        Ok(Some(file.value))
    }

    fn show_placement(&mut self, placement: &Placement) {
        self.show(key::LISTEN, placement.listen.value, &placement.listen.source);
        self.show(key::RAFT_LISTEN, placement.raft_listen.value, &placement.raft_listen.source);
    }

    pub(super) fn milliseconds(
        &mut self,
        key: &'static str,
        default: u64,
    ) -> Result<Sourced<u64>, ConfigError> {
        self.whole(key, default, 1, limits::TIMING_MS_MAX)
    }

    /// Memory in all, and for covers.
    fn memory(&mut self) -> Result<(u64, u64), ConfigError> {
        let (least, most) = (limits::MEMORY_MIB_MIN, limits::MEMORY_MIB_MAX);
        let memory = self.whole(key::MEMORY_MIB, memory::default_mib(), least, most)?;
        let usual = COVER_CACHE_MIB_DEFAULT.min(memory.value / 4);
        let covers = self.whole(key::COVER_CACHE_MIB, usual, 0, limits::COVER_CACHE_MIB_MAX)?;
        let others = limits::MEMORY_OWN_MIB + REQUESTS_MIB_MIN;
        let cause = format!(
            "cover_cache_mib ({}) must be at least {others} less than memory_mib ({}), which the \
             node itself and requests need",
            covers.value, memory.value
        );
        let involved = [(key::COVER_CACHE_MIB, &covers.source), (key::MEMORY_MIB, &memory.source)];
        require(covers.value + others <= memory.value, cause, &involved)?;
        Ok((memory.value, covers.value))
    }

    /// Client connections in all, and of one address.
    fn connections(&mut self) -> Result<(usize, usize), ConfigError> {
        let most = limits::CONNECTIONS_CONFIGURED_MAX;
        let usual = limits::CLIENT_CONNECTIONS_MAX;
        let all = self.whole(key::CONNECTIONS_MAX, usual, 1, most)?.value;
        let usual = limits::CLIENT_CONNECTIONS_PER_ADDRESS_MAX.min(all);
        let each = self.whole(key::CONNECTIONS_PER_CLIENT_MAX, usual, 1, most)?.value;
        Ok((all, each))
    }

    fn snapshots(&mut self) -> Result<Snapshots, ConfigError> {
        let default = Snapshots::default();
        let every = self.whole(key::SNAPSHOT_EVERY, default.every_entries, 1, u64::MAX)?;
        let keep = self.whole(key::SNAPSHOT_KEEP, default.keep_entries, 0, u64::MAX)?;
        Ok(Snapshots { every_entries: every.value, keep_entries: keep.value })
    }

    /// What was taken, in the order of [`SETTINGS`].
    fn into_shown(mut self) -> Vec<Shown> {
        let place = |key: &str| SETTINGS.iter().position(|setting| setting.key == key);
        self.shown.sort_by_key(|shown| place(shown.key).unwrap_or(SETTINGS.len()));
        self.shown
    }
}

/// Checks a relation between settings. Where it fails, the setting that somebody
/// set is blamed: a default is never at fault.
pub(super) fn require(
    holds: bool,
    cause: String,
    involved: &[(&'static str, &Source)],
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    let set = involved.iter().find(|(_, source)| **source != Source::Default);
    let (field, at) = set.map_or(("timings", Source::Default), |(key, at)| (*key, (*at).clone()));
    Err(ConfigError::Value { at, field: field.to_owned(), cause })
}

/// A node list in a file is the whole cluster, so this node must be in it. A list
/// from `--peers` may be only the others.
fn check_id(
    id: &Sourced<NodeName>,
    nodes: Option<&Sourced<Vec<NodeEntry>>>,
) -> Result<(), ConfigError> {
    let Some(Sourced { value: nodes, source: list @ Source::File { .. } }) = nodes else {
        return Ok(());
    };
    // An empty list is `place`'s to refuse.
    if nodes.is_empty() || nodes.iter().any(|node| node.name == id.value.as_str()) {
        return Ok(());
    }
    let known: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    let at = if id.source == Source::Default { list } else { &id.source }.clone();
    Err(ConfigError::UnknownNode { at, id: id.value.to_string(), known: known.join(", ") })
}

fn cluster_name(text: &str) -> Result<String, String> {
    let fits = (1..=limits::CLUSTER_NAME_MAX).contains(&text.chars().count());
    if fits && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {} printable characters", limits::CLUSTER_NAME_MAX))
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

fn patience(text: &str) -> Result<Option<Duration>, String> {
    if text == "never" {
        return Ok(None);
    }
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("must be more than nothing, or never".to_owned()),
        Ok(time) => Ok(Some(time)),
        Err(_) => Err(format!("{text:?} is no time with a unit, such as 5s or 1500ms, nor never")),
    }
}

pub(super) fn show_patience(patience: &Option<Duration>) -> String {
    patience.map_or("never".to_owned(), |time| humantime::format_duration(time).to_string())
}

fn show_format(format: &LogFormat) -> String {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
    .to_owned()
}

/// One codec thread a core; the threads have low priority, so the rest of the
/// process keeps its share.
fn cores() -> usize {
    std::thread::available_parallelism()
        .map_or(1, |cores| cores.get().min(limits::CODEC_THREADS_MAX))
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
