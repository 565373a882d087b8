//! `serve --config` and `--print-config`, through the binary.

use std::process::{Command, Output};

fn serve(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stegcluster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STEGCLUSTER_") {
            command.env_remove(name);
        }
    }
    command.arg("serve").args(arguments).output().unwrap()
}

const FILE: &str = "\
cluster: demo
nodes:
  n1: {address: 127.0.0.1:8081, raft: 127.0.0.1:5001}
  n2: 127.0.0.1:8082
  n3: 127.0.0.1:8083
solo_after: never
timings:
  probe_misses: 4
";

#[test]
fn the_printed_configuration_shows_values_and_sources_and_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    std::fs::write(&file, FILE).unwrap();
    let path = file.to_str().unwrap();
    let output = serve(&["--config", path, "--id", "n2", "--codec-threads", "3", "--print-config"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let shown: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(" # "))
        .map(|(value, source)| (value.trim().to_owned(), source.replace(path, "FILE")))
        .collect();
    for (value, source) in [
        ("cluster: demo", "FILE line 1"),
        ("id: n2", "--id"),
        ("listen: 127.0.0.1:8082", "n2's entry, FILE line 4"),
        ("raft_listen: 127.0.0.1:5002", "n2's entry, FILE line 4"),
        ("nodes:", "FILE line 2"),
        ("data_dir: ./data/n2", "default"),
        ("solo_after: never", "FILE line 6"),
        ("codec_threads: 3", "--codec-threads"),
        ("probe_misses: 4", "FILE line 8"),
        ("probe_interval_ms: 25", "default"),
    ] {
        assert!(shown.contains(&(value.to_owned(), source.to_owned())), "{value}: {text}");
    }
    let again = folder.path().join("again.yaml");
    std::fs::write(&again, &text).unwrap();
    let output = serve(&["--config", again.to_str().unwrap(), "--print-config"]);
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split(" #").next())
            .map(|s| s.trim_end().to_owned())
            .collect()
    };
    assert_eq!(values(&String::from_utf8(output.stdout).unwrap()), values(&text));
}

#[test]
fn a_wrong_file_is_answered_with_line_and_field() {
    let table = [
        ("cluster: a\n  id: b\n", "line 2: this is not valid YAML"),
        ("cluster: a\nlisten_on: b\n", "line 2: unknown key `listen_on`; known here: cluster, id,"),
        ("nodes:\n  n1: 10.0.0.1\n", "line 2: node n1: \"10.0.0.1\" is no HOST:PORT"),
        (
            "timings:\n  probe_misses: none\n",
            "line 2: timings.probe_misses: \"none\" is no whole number",
        ),
        (
            "id: n7\nnodes:\n  n1: a:8081\n",
            "line 1: node `n7` is not among the configured nodes (n1)",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    for (yaml, expected) in table {
        std::fs::write(&file, yaml).unwrap();
        let output = serve(&["--config", file.to_str().unwrap()]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{yaml:?}: {text}");
        let expected = format!("stegcluster: {} {expected}", file.display());
        assert!(text.starts_with(&expected), "{yaml:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
