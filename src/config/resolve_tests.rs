//! What the layers mean together.

use super::*;
use crate::config::{Preset, Timings};

const FILE: &str = "\
cluster: demo
nodes:
  n1: {address: 127.0.0.1:8081, raft: 127.0.0.1:5001}
  n3: 127.0.0.1:8083
data_dir: /var/lib/steg/{id}
solo_after: never
log: {format: json, filter: 'info,stegcluster::raft=debug'}
timings:
  probe_misses: 4
snapshots: {every_entries: 500, keep_entries: 0}
codec_threads: 3
";

fn layers(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: &str) -> Layers {
    let mut layer = Partial::default();
    for (key, value) in flags {
        layer.flag(&format!("--{key}"), key, value).unwrap();
    }
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Layers {
        flags: layer,
        environment: Partial::from_environment(environment).unwrap(),
        file: Partial::from_yaml("cluster.yaml", file).unwrap(),
    }
}

#[test]
fn nothing_at_all_is_a_cluster_of_one() {
    let resolved = resolve(&Layers::default()).unwrap();
    let config = &resolved.config;
    assert_eq!(config.id.as_str(), "n1");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.raft_listen.to_string(), "127.0.0.1:5001");
    assert_eq!(config.data_dir, PathBuf::from("./data/n1"));
    assert_eq!(config.solo_after, Some(Duration::from_secs(5)));
    assert_eq!((config.timings, config.snapshots), (Timings::default(), Snapshots::default()));
    assert!(config.peers.is_empty() && config.codec_threads >= 1 && config.cover.is_none());
    assert!(resolved.shown.iter().all(|shown| !matches!(shown.source, Source::File { .. })));
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);
}

#[test]
fn a_file_is_read_whole() {
    let config = resolve(&layers(&[("id", "n3")], &[], FILE)).unwrap().config;
    assert_eq!(config.cluster_name, "demo");
    assert_eq!(config.raft_listen.to_string(), "127.0.0.1:5003");
    assert_eq!(config.peers[0].http_addr, "127.0.0.1:8081");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/steg/n3"));
    assert_eq!((config.solo_after, config.codec_threads), (None, 3));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.timings.probe_misses, 4);
    assert_eq!(config.snapshots, Snapshots { every_entries: 500, keep_entries: 0 });
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_defaults() {
    let listen = "127.0.0.1:9001";
    let environment = [("STEGCLUSTER_CLUSTER", "from-env"), ("STEGCLUSTER_ID", "n3")];
    let mut given = layers(&[], &environment, FILE);
    assert_eq!(resolve(&given).unwrap().config.cluster_name, "from-env");
    given.flags = layers(&[("cluster", "from-flag"), ("listen", listen)], &[], "").flags;
    let resolved = resolve(&given).unwrap();
    assert_eq!(resolved.config.cluster_name, "from-flag");
    assert_eq!(resolved.config.id.as_str(), "n3");
    let source = |key: &str| {
        let shown = resolved.shown.iter().find(|shown| shown.key == key);
        shown.unwrap_or_else(|| panic!("{key} is not shown")).source.to_string()
    };
    assert_eq!(source(key::CLUSTER), "--cluster");
    assert_eq!(source(key::ID), "STEGCLUSTER_ID");
    assert_eq!(source(key::LISTEN), "--listen");
    assert_eq!(source(key::PROBE_MISSES), "cluster.yaml line 9");
    assert_eq!(source(key::COVER), "default");
}

#[test]
fn every_setting_is_shown_once() {
    use super::super::raw::SETTINGS;
    let resolved = resolve(&Layers::default()).unwrap();
    let shown: Vec<&str> = resolved.shown.iter().map(|shown| shown.key).collect();
    let settings = SETTINGS.iter().map(|setting| setting.key);
    let expected: Vec<&str> = settings.filter(|key| *key != key::NODES).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_printed_configuration_gives_itself_again() {
    for given in [
        Layers::default(),
        layers(&[("id", "n1")], &[], FILE),
        layers(&[("cluster", "1e3")], &[], ""),
        layers(&[("cluster", "a \"b\": #c")], &[("STEGCLUSTER_COVER", "my cover.png")], ""),
        layers(&[("nodes", "n1=[::1]:8081,n2=[::1]:8082/9"), ("solo_after", "1m 5s")], &[], ""),
    ] {
        let first = resolve(&given).unwrap();
        let yaml = first.to_yaml();
        let file = Partial::from_yaml("printed.yaml", &yaml).unwrap();
        let again = resolve(&Layers { file, ..Layers::default() }).unwrap();
        assert_eq!(first.config, again.config, "{yaml}");
    }
}

#[test]
fn a_wrong_value_is_answered_with_its_source_and_what_to_do() {
    let table = [
        (key::ID, "n 1", "--id: id: node name \"n 1\" must be 1 to 64"),
        (key::CLUSTER, "", "--cluster: cluster: must be 1 to 64 printable"),
        (key::DATA_DIR, "", "--data_dir: data_dir: must name a folder"),
        (key::COVER, "", "--cover: cover: must name a file"),
        (
            key::SOLO_AFTER,
            "5",
            "--solo_after: solo_after: \"5\" is no time with a unit, such as 5s",
        ),
        (
            key::SOLO_AFTER,
            "1s",
            "--solo_after: solo_after: solo_after = 1s must be over election_timeout_max_ms = 2000",
        ),
        (key::SUPERVISE, "maybe", "--supervise: supervise: \"maybe\" is neither true nor false"),
        (key::CODEC_THREADS, "0", "\"0\" is no whole number from 1 to 1024"),
        (key::LOG_FORMAT, "xml", "unknown log format \"xml\"; known: text, json"),
        (key::LOG_FILTER, "inof", "\"inof\" is no level"),
        (key::LOG_FILTER, "a=b=c", "--log.filter: log.filter: "),
        (key::LOG_FILTER, "a[b]=info", "\"a[b]=info\" names a span"),
        (key::SNAPSHOT_EVERY, "0", "from 1 to"),
        (key::CAMPAIGN_SPACING_MS, "299", "\"299\" is no whole number from 300 to 3600000"),
        (
            key::HEARTBEAT_INTERVAL_MS,
            "334",
            "timings.heartbeat_interval_ms: heartbeat_interval_ms * 3 = 1002 must be under \
             election_timeout_min_ms = 1000, or one late heartbeat starts an election",
        ),
        (
            key::ELECTION_TIMEOUT_MIN_MS,
            "200",
            "--timings.election_timeout_min_ms: timings.election_timeout_min_ms: probe_misses *",
        ),
        (key::ELECTION_TIMEOUT_MAX_MS, "1000", "= 1000 must be under election_timeout_max_ms"),
        (
            key::ELECTION_TIMEOUT_MAX_MS,
            "9000",
            "timings.election_timeout_max_ms: solo_after = 5s must be over",
        ),
        (key::PROBE_MISSES, "20", "= 1500 must be under election_timeout_min_ms = 1000"),
        (
            key::PROBE_TIMEOUT_MS,
            "999",
            "--timings.probe_timeout_ms: timings.probe_timeout_ms: probe_misses *",
        ),
    ];
    for (key, value, expected) in table {
        let error = resolve(&layers(&[(key, value)], &[], "")).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}={value}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn heartbeats_suit_an_election_timeout_that_is_set_alone() {
    for (least, beat) in [("500", 125), ("900", 225), ("1000", 250), ("1900", 250)] {
        let given = layers(&[(key::ELECTION_TIMEOUT_MIN_MS, least)], &[], "");
        let timings = resolve(&given).unwrap().config.timings;
        assert_eq!(timings.heartbeat_interval_ms, beat, "{least}");
    }
}

#[test]
fn a_file_knows_every_node() {
    let error = resolve(&layers(&[("id", "n2")], &[], FILE)).unwrap_err().to_string();
    assert_eq!(
        error,
        "--id: node `n2` is not among the configured nodes (n1, n3); say which of them this is with --id"
    );
    let error = resolve(&layers(&[], &[], "nodes: {a: 'x:8081'}")).unwrap_err().to_string();
    assert!(error.starts_with("cluster.yaml line 1: node `n1` is not among"), "{error}");
}

#[test]
fn an_empty_node_list_is_refused() {
    let error = resolve(&layers(&[], &[], "nodes: {}")).unwrap_err().to_string();
    assert!(error.starts_with("cluster.yaml line 1: nodes: names no node"), "{error}");
}

#[test]
fn a_node_list_is_replaced_not_mixed() {
    let given = layers(&[("id", "x"), ("nodes", "y=127.0.0.1:9000")], &[], FILE);
    let peers = resolve(&given).unwrap().config.peers;
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["y"]);
}

#[test]
fn the_file_of_a_flag_beats_the_one_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yaml");
    std::fs::write(&path, "cluster: from-flag\n").unwrap();
    let variable = ("STEGCLUSTER_CONFIG".to_owned(), "/nowhere/c.yaml".to_owned());
    let resolved = load(Partial::default(), Some(&path), [variable.clone()]).unwrap();
    assert_eq!(resolved.config.cluster_name, "from-flag");
    let error = load(Partial::default(), None, [variable]).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/c.yaml: No such file"), "{error}");
}

#[test]
fn a_file_error_names_its_line() {
    let file = "log:\n  format: text\ntimings:\n  probe_misses: 99\n";
    let error = resolve(&layers(&[], &[], file)).unwrap_err().to_string();
    assert!(error.starts_with("cluster.yaml line 4: timings.probe_misses: "), "{error}");
}

#[test]
fn a_preset_is_where_the_other_timings_begin() {
    let resolved =
        resolve(&layers(&[(key::PRESET, "wan"), (key::PROBE_INTERVAL_MS, "200")], &[], ""))
            .unwrap();
    let wan = Preset::Wan.timings();
    assert_eq!(resolved.config.timings, Timings { probe_interval_ms: 200, ..wan });
    assert_eq!(resolved.config.solo_after, Some(Preset::Wan.solo_after()));
    assert!(resolved.to_yaml().contains("preset: wan"));
    let error = resolve(&layers(&[(key::PRESET, "moon")], &[], "")).unwrap_err().to_string();
    assert!(error.contains("\"moon\" is neither lan nor wan"), "{error}");
}
