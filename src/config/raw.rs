//! One layer of configuration as text: what the command line, the environment or
//! `cluster.yaml` says, with the source of each value. Knows which keys exist and
//! how each source spells them; what a value means is `resolve`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::nodes::{NodeEntry, parse_peers};

/// A key of `cluster.yaml`, with dots between levels, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub about: &'static str,
}

impl Setting {
    /// The environment variable of this key.
    pub fn variable(&self) -> String {
        variable(self.key)
    }
}

macro_rules! settings {
    ($($name:ident = $key:literal: $about:literal;)*) => {
        /// The keys, so that a misspelt one does not compile.
        pub mod key {
            $(#[doc = $about] pub const $name: &str = $key;)*
        }

        /// Every setting of `serve`: the one list behind the file, the environment,
        /// `--set`, `--print-config` and the manual.
        pub const SETTINGS: &[Setting] = &[$(Setting { key: $key, about: $about }),*];
    };
}

settings! {
    CLUSTER = "cluster": "The cluster's name, for people and dashboards.";
    ID = "id": "This node's name.";
    LISTEN = "listen": "HOST:PORT where clients connect.";
    RAFT_LISTEN = "raft_listen": "HOST:PORT where the other nodes connect.";
    NODES = "nodes": "All nodes of the cluster and their addresses.";
    DATA_DIR = "data_dir": "This node's data folder; {id} stands for its name.";
    COVER = "cover": "The picture used when a request brings none.";
    SOLO_AFTER = "solo_after": "Time without a quorum until the node serves alone, or never.";
    SUPERVISE = "supervise": "Restart the node when it crashes: true or false.";
    REMOTE_ADMIN = "remote_admin": "Take orders (/admin/...) from other machines: true or false.";
    TOKENS = "tokens": "A file with who may do what, ROLE NAME TOKEN a line; none: open but for orders.";
    TLS_DIR = "tls.dir": "Folder with ca.pem, node.pem and node.key, as `stegcluster certs` makes it.";
    TLS_CA = "tls.ca": "The CA of all nodes, in PEM form; with tls.cert and tls.key it turns TLS on.";
    TLS_CERT = "tls.cert": "This node's certificate, and those between it and the CA.";
    TLS_KEY = "tls.key": "The key of tls.cert.";
    TLS_CLIENT_CERT = "tls.client_cert": "What clients are shown, where that is not tls.cert.";
    TLS_CLIENT_KEY = "tls.client_key": "The key of tls.client_cert.";
    SECRET_FILE = "secret_file": "A secret of 16 bytes or more, the same on all nodes, by which they know each other without TLS.";
    CORE_DUMPS = "core_dumps": "Let debuggers and core dumps see this process's memory, with the secrets in it: true or false.";
    CODEC_THREADS = "codec_threads": "Threads that embed and extract.";
    MEMORY_MIB = "memory_mib": "Memory of the node, in MiB: what requests hold beyond their share of it is turned away.";
    COVER_CACHE_MIB = "cover_cache_mib": "Memory for covers seen before, in MiB; 0 keeps none.";
    CONNECTIONS_MAX = "connections_max": "Client connections at once.";
    CONNECTIONS_PER_CLIENT_MAX = "connections_per_client_max": "Client connections at once from one address; behind a load balancer, as many as it opens.";
    LOG_FORMAT = "log.format": "text or json.";
    LOG_FILTER = "log.filter": "A level such as info, or levels of modules: info,stegcluster::raft=debug.";
    PRESET = "timings.preset": "Where the other timings begin: lan, or wan for nodes far apart.";
    HEARTBEAT_INTERVAL_MS = "timings.heartbeat_interval_ms": "Leader to followers.";
    ELECTION_TIMEOUT_MIN_MS = "timings.election_timeout_min_ms": "Raft's election timer, least.";
    ELECTION_TIMEOUT_MAX_MS = "timings.election_timeout_max_ms": "Raft's election timer, most.";
    PROBE_INTERVAL_MS = "timings.probe_interval_ms": "Between a follower's probes of the leader.";
    PROBE_TIMEOUT_MS = "timings.probe_timeout_ms": "How long the answer to a probe may take.";
    PROBE_MISSES = "timings.probe_misses": "Failed probes in a row until a leader is suspected.";
    CONFIRM_INTERVAL_MS = "timings.confirm_interval_ms": "Between the dials that confirm a crash.";
    PREROUND_TIMEOUT_MS = "timings.preround_timeout_ms": "How long the other voters have to confirm a suspicion.";
    TURN_MS = "timings.turn_ms": "Head start of each better candidate.";
    CAMPAIGN_SPACING_MS = "timings.campaign_spacing_ms": "Least time between campaigns of one node.";
    FSYNC_HANDOVER_MS = "timings.fsync_handover_ms": "Age of an unfinished fsync at which a leader hands over.";
    FSYNC_EXIT_MS = "timings.fsync_exit_ms": "Age of an unfinished fsync at which a node ends.";
    SNAPSHOT_EVERY = "snapshots.every_entries": "Log entries from one snapshot to the next.";
    SNAPSHOT_KEEP = "snapshots.keep_entries": "Log entries kept behind a snapshot.";
}

/// Variables that begin like ours but are no settings of `serve`.
const OTHER_VARIABLES: [&str; 9] = [
    "STEGCLUSTER_CA",
    "STEGCLUSTER_CONFIG",
    "STEGCLUSTER_TOKEN",
    "STEGCLUSTER_TOKEN_FILE",
    "STEGCLUSTER_SERVERS",
    "STEGCLUSTER_COMMIT",
    "STEGCLUSTER_TARGET",
    "STEGCLUSTER_REGENERATE",
    "STEGCLUSTER_API_TEST",
];

/// The environment variable of a key. `nodes` has the name of its flag.
fn variable(key: &str) -> String {
    match key {
        key::NODES => "STEGCLUSTER_PEERS".to_owned(),
        key => format!("STEGCLUSTER_{}", key.to_ascii_uppercase().replace('.', "_")),
    }
}

/// The setting of that key, if there is one.
fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Where a value comes from. Shown in errors and by `serve --print-config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag, with its dashes.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// The configuration file and, where it could be told, the line.
    File {
        path: String,
        line: Option<usize>,
    },
    /// Computed from other values; says from which.
    Derived(String),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line: Some(line) } => write!(f, "{path} line {line}"),
            Self::File { path, line: None } => f.write_str(path),
            Self::Derived(from) => f.write_str(from),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub source: Source,
}

/// Why a configuration cannot be used. One line each; the command line exits with 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {cause}; check the path given with --config or STEGCLUSTER_CONFIG")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{at}: this is not valid YAML: {cause}; check the indentation and the quotes there")]
    Syntax { at: Source, cause: String },
    #[error("{at}: unknown key `{key}`; known here: {known}")]
    UnknownKey { at: Source, key: String, known: String },
    #[error("{at}: {field}: {cause}")]
    Value { at: Source, field: String, cause: String },
    #[error("{at}: {cause}")]
    Nodes { at: Source, cause: String },
    #[error(
        "{at}: node `{id}` is not among the configured nodes ({known}); say which of them this is with --id"
    )]
    UnknownNode { at: Source, id: String, known: String },
}

/// What one source says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partial {
    values: BTreeMap<&'static str, Sourced<String>>,
    pub(super) nodes: Option<Sourced<Vec<NodeEntry>>>,
    /// Things worth telling that stop nothing.
    pub(super) warnings: Vec<String>,
}

impl Partial {
    pub(super) fn value(&self, key: &str) -> Option<&Sourced<String>> {
        self.values.get(key)
    }

    /// The text that this layer has for a key.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.value.as_str())
    }

    /// The client addresses of the node list, as they are written there, in its order.
    pub fn client_addresses(&self) -> Vec<&str> {
        let nodes = self.nodes.iter().flat_map(|nodes| &nodes.value);
        nodes.map(|node| node.address.as_str()).collect()
    }

    /// Adds what a flag says.
    ///
    /// # Errors
    /// The key was given before, or is `nodes` and does not parse.
    pub fn flag(&mut self, flag: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        self.put(Source::Flag(flag.to_owned()), key, value)
    }

    /// Adds a `--set KEY=VALUE`.
    ///
    /// # Errors
    /// No `=`, an unknown key, or one that was given before.
    pub fn assignment(&mut self, text: &str) -> Result<(), ConfigError> {
        let at = Source::Flag("--set".to_owned());
        let Some((key, value)) = text.split_once('=') else {
            let cause = format!("{text:?} is no KEY=VALUE, such as snapshots.every_entries=500");
            return Err(ConfigError::Nodes { at, cause });
        };
        self.put(at, key.trim(), value.trim())
    }

    /// What the environment says; variables without our prefix are passed over.
    ///
    /// # Errors
    /// A node list that does not parse. An unknown variable is only a warning: some
    /// platforms set `STEGCLUSTER_PORT` and the like by themselves for a service of
    /// our name.
    pub fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for (name, value) in variables {
            let ours = name.starts_with("STEGCLUSTER_");
            // Empty counts as unset: compose files and units pass variables on that way.
            if !ours || value.is_empty() || OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            match SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(setting) => layer.put(Source::Variable(name), setting.key, &value)?,
                None => layer.warnings.push(format!("{name} is set but is no setting of serve")),
            }
        }
        Ok(layer)
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// Unreadable, not YAML, or with keys or shapes that we do not know.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_yaml(&shown, &text),
            Err(cause) => Err(ConfigError::Unreadable { path: shown, cause }),
        }
    }

    /// What the text of a configuration file says; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn from_yaml(path: &str, text: &str) -> Result<Self, ConfigError> {
        let file = YamlFile { path, text };
        let root: Value = serde_yaml::from_str(text).map_err(|error| {
            let line = error.location().map(|location| location.line());
            let at = Source::File { path: path.to_owned(), line };
            // The line is named in front already.
            let cause = error.to_string();
            let cause = cause.split(" at line ").next().unwrap_or(&cause).to_owned();
            ConfigError::Syntax { at, cause }
        })?;
        let mut layer = Self::default();
        match &root {
            Value::Null => {}
            Value::Mapping(mapping) => layer.add_mapping(&file, "", mapping)?,
            other => {
                let cause = format!("the file must hold keys and values, not {}", kind(other));
                let line = Some(1);
                let at = Source::File { path: path.to_owned(), line };
                return Err(ConfigError::Nodes { at, cause });
            }
        }
        Ok(layer)
    }

    /// Adds the entries of the mapping at `prefix` (empty, or ending in a dot).
    fn add_mapping(
        &mut self,
        file: &YamlFile<'_>,
        prefix: &str,
        mapping: &Mapping,
    ) -> Result<(), ConfigError> {
        for (name, value) in mapping {
            let name = scalar(name).unwrap_or_else(|| "?".to_owned());
            let key = format!("{prefix}{name}");
            let at = file.source(&key);
            if key == key::NODES {
                if value.is_null() {
                    continue;
                }
                let nodes = file.nodes(value)?;
                self.nodes = Some(Sourced { value: nodes, source: at });
            } else if setting(&key).is_some() {
                match (value, scalar(value)) {
                    // `key:` with nothing after it is a key left unset.
                    (Value::Null, _) => {}
                    (_, Some(text)) => self.put(at, &key, &text)?,
                    (other, None) => {
                        let cause = format!("must be a single value, not {}", kind(other));
                        return Err(ConfigError::Value { at, field: key, cause });
                    }
                }
            } else if SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}."))) {
                match value {
                    Value::Null => {}
                    Value::Mapping(inner) => self.add_mapping(file, &format!("{key}."), inner)?,
                    other => {
                        let known = known_under(&format!("{key}."));
                        let cause = format!("must hold {known}, not {}", kind(other));
                        return Err(ConfigError::Value { at, field: key, cause });
                    }
                }
            } else {
                return Err(ConfigError::UnknownKey { at, key, known: known_under(prefix) });
            }
        }
        Ok(())
    }

    fn put(&mut self, at: Source, key: &str, value: &str) -> Result<(), ConfigError> {
        let Some(setting) = setting(key) else {
            let known = SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ");
            return Err(ConfigError::UnknownKey { at, key: key.to_owned(), known });
        };
        if setting.key == key::NODES {
            let nodes = parse_peers(value, &at)?;
            // A repeated --peers adds to the list.
            let all = self.nodes.get_or_insert(Sourced { value: Vec::new(), source: at });
            all.value.extend(nodes);
            return Ok(());
        }
        if let Some(earlier) = self.values.get(setting.key) {
            let cause = format!("given twice; {} says {:?}", earlier.source, earlier.value);
            return Err(ConfigError::Value { at, field: setting.key.to_owned(), cause });
        }
        self.values.insert(setting.key, Sourced { value: value.to_owned(), source: at });
        Ok(())
    }
}

/// The keys of one level, for messages.
fn known_under(prefix: &str) -> String {
    let mut known = Vec::new();
    for rest in SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(prefix)) {
        let level = rest.split('.').next().unwrap_or(rest);
        if !known.contains(&level) {
            known.push(level);
        }
    }
    known.join(", ")
}

/// A YAML scalar as it could have been written; `None` for lists and mappings.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "keys and values",
        Value::Tagged(_) => "a tagged value",
    }
}

/// A file's text, to find the line of a key in: the YAML reader keeps no positions
/// of values it accepted.
struct YamlFile<'a> {
    path: &'a str,
    text: &'a str,
}

impl YamlFile<'_> {
    fn source(&self, key: &str) -> Source {
        let levels: Vec<&str> = key.split('.').collect();
        Source::File { path: self.path.to_owned(), line: self.line_of(&levels) }
    }

    /// The 1-based line of a key, given from the top level down. Of a key that
    /// cannot be found (quoted oddly, or under an anchor), the nearest level above.
    fn line_of(&self, levels: &[&str]) -> Option<usize> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut found = None;
        let mut range = 0..lines.len();
        for level in levels {
            let Some(at) = range.clone().find(|&at| names_key(lines[at], level)) else { break };
            found = Some(at);
            let indent = indent_of(lines[at]);
            let inside = |line: &str| line.trim().is_empty() || indent_of(line) > indent;
            let end = (at + 1..lines.len()).find(|&at| !inside(lines[at])).unwrap_or(lines.len());
            // A flow mapping continues on the line of its own key.
            range = at..end;
        }
        found.map(|at| at + 1)
    }

    fn nodes(&self, value: &Value) -> Result<Vec<NodeEntry>, ConfigError> {
        let Value::Mapping(mapping) = value else {
            let cause = format!(
                "must name each node and its address, such as `n1: 10.0.0.1:8081`, not {}",
                kind(value)
            );
            let at = self.source(key::NODES);
            return Err(ConfigError::Value { at, field: key::NODES.to_owned(), cause });
        };
        mapping.iter().map(|(name, value)| self.node(name, value)).collect()
    }

    fn node(&self, name: &Value, value: &Value) -> Result<NodeEntry, ConfigError> {
        let name = scalar(name).unwrap_or_default();
        let at = |field: Option<&str>| {
            let mut levels = vec![key::NODES, name.as_str()];
            levels.extend(field);
            Source::File { path: self.path.to_owned(), line: self.line_of(&levels) }
        };
        let field = format!("nodes.{name}");
        let wrong =
            |at: Source, field: String, cause: String| Err(ConfigError::Value { at, field, cause });
        let (address, raft) = match value {
            Value::String(address) => (address.clone(), None),
            Value::Mapping(inner) => {
                for known in inner.keys().map(|key| scalar(key).unwrap_or_default()) {
                    if !["address", "raft"].contains(&known.as_str()) {
                        let at = at(Some(&known));
                        let key = format!("{field}.{known}");
                        let known = "address, raft".to_owned();
                        return Err(ConfigError::UnknownKey { at, key, known });
                    }
                }
                let Some(address) = inner.get("address").and_then(scalar) else {
                    let cause = "`address: HOST:PORT` is missing".to_owned();
                    return wrong(at(None), field, cause);
                };
                (address, inner.get("raft").and_then(scalar))
            }
            other => {
                let cause = format!("must be HOST:PORT, not {}", kind(other));
                return wrong(at(None), field, cause);
            }
        };
        Ok(NodeEntry { source: at(None), name: name.clone(), address, raft })
    }
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether the line has `key:`, in block or flow style, outside a comment.
fn names_key(line: &str, key: &str) -> bool {
    let code = line.split(" #").next().unwrap_or(line);
    if code.trim_start().starts_with('#') {
        return false;
    }
    code.match_indices(key).any(|(at, _)| {
        let before = code[..at].trim_end_matches(['"', '\'']).trim_end();
        let after = code[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
        (before.is_empty() || before.ends_with(['{', ','])) && after.starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# demo: not a key
cluster: demo
nodes:
  n1: {address: 10.0.0.1:8081, raft: 10.0.0.1:5001}
  n2:
    address: 10.0.0.2:8082
  n3: 10.0.0.3:8083
timings:
  # probe_misses: 9
  probe_misses: 4
log: {format: json, filter: debug}
";

    #[test]
    fn values_carry_file_and_line() {
        let layer = Partial::from_yaml("cluster.yaml", FILE).unwrap();
        let line = |key: &str| match &layer.value(key).unwrap().source {
            Source::File { line, .. } => line.unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(line(key::CLUSTER), 2);
        assert_eq!(line(key::PROBE_MISSES), 10);
        assert_eq!(line(key::LOG_FILTER), 11);
        let nodes = layer.nodes.unwrap();
        assert_eq!(nodes.source.to_string(), "cluster.yaml line 3");
        let shown: Vec<_> = nodes
            .value
            .iter()
            .map(|node| format!("{} {} {:?} {}", node.name, node.address, node.raft, node.source))
            .collect();
        assert_eq!(
            shown,
            [
                "n1 10.0.0.1:8081 Some(\"10.0.0.1:5001\") cluster.yaml line 4",
                "n2 10.0.0.2:8082 None cluster.yaml line 5",
                "n3 10.0.0.3:8083 None cluster.yaml line 7",
            ]
        );
    }

    #[test]
    fn a_wrong_file_is_answered_with_line_and_field() {
        let table = [
            (
                "cluster: x\nlisten_on: y\n",
                "c.yaml line 2: unknown key `listen_on`; known here: cluster, id, listen, raft_listen, \
                 nodes, data_dir, cover, solo_after, supervise, remote_admin, tokens, tls, secret_file, core_dumps, codec_threads, memory_mib, cover_cache_mib, connections_max, connections_per_client_max, log, timings, snapshots",
            ),
            (
                "log:\n  colour: red\n",
                "c.yaml line 2: unknown key `log.colour`; known here: format, filter",
            ),
            ("log: text\n", "c.yaml line 1: log: must hold format, filter, not a text"),
            ("- n1\n", "c.yaml line 1: the file must hold keys and values, not a list"),
            ("\nlisten: [a, b]\n", "c.yaml line 2: listen: must be a single value, not a list"),
            (
                "nodes: [n1]\n",
                "c.yaml line 1: nodes: must name each node and its address, such as `n1: 10.0.0.1:8081`, not a list",
            ),
            ("nodes:\n  n1: 8081\n", "c.yaml line 2: nodes.n1: must be HOST:PORT, not a number"),
            (
                "nodes:\n  n1: {raft: 1}\n",
                "c.yaml line 2: nodes.n1: `address: HOST:PORT` is missing",
            ),
            (
                "nodes:\n  n1:\n    address: a:1\n    port: 2\n",
                "c.yaml line 4: unknown key `nodes.n1.port`; known here: address, raft",
            ),
        ];
        for (text, expected) in table {
            let error = Partial::from_yaml("c.yaml", text).unwrap_err();
            assert_eq!(error.to_string(), expected, "for {text:?}");
        }
    }

    #[test]
    fn broken_yaml_names_the_line() {
        for (text, line) in
            [("a: b\n c: d\n", 2), ("a: [1, 2\n", 2), ("a: 'b\n", 2), ("id: a\nid: b\n", 1)]
        {
            let error = Partial::from_yaml("c.yaml", text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("c.yaml line {line}: ")), "{text:?}: {error}");
            assert!(error.contains("not valid YAML"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn the_environment_knows_every_setting_and_warns_of_others() {
        let known = SETTINGS.iter().map(|setting| match setting.key {
            key::NODES => (setting.variable(), "n1=a:4000".to_owned()),
            _ => (setting.variable(), "x".to_owned()),
        });
        let other = [("STEGCLUSTER_PORT", "1"), ("STEGCLUSTER_SERVERS", "x"), ("HOME", "/")];
        let other = other.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let layer = Partial::from_environment(known.chain(other)).unwrap();
        assert_eq!(layer.values.len() + 1, SETTINGS.len());
        assert_eq!(layer.warnings, ["STEGCLUSTER_PORT is set but is no setting of serve"]);
        let misses = layer.value(key::PROBE_MISSES).unwrap();
        assert_eq!(misses.source.to_string(), "STEGCLUSTER_TIMINGS_PROBE_MISSES");
    }

    #[test]
    fn a_flag_given_twice_is_refused() {
        let mut layer = Partial::default();
        layer.flag("--listen", key::LISTEN, "a:1").unwrap();
        let error = layer.assignment("listen=b:2").unwrap_err();
        assert_eq!(error.to_string(), "--set: listen: given twice; --listen says \"a:1\"");
        assert!(layer.assignment("nonsense").unwrap_err().to_string().contains("KEY=VALUE"));
        assert!(layer.assignment("a.b=1").unwrap_err().to_string().contains("unknown key `a.b`"));
    }
}
