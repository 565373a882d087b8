//! What the command line says, and the code it ends with.

use std::process::{Command, Output};

/// Runs the binary with nothing of ours in its environment.
pub(crate) fn stegcluster(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stegcluster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STEGCLUSTER_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(environment.iter().copied()).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The whole of standard error, where that is one line, and exit code 2.
fn usage_error(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = stegcluster(arguments, environment);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    text.trim_end().to_owned()
}

/// A call, its environment, and what it must say.
type Wrong<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[test]
fn version_names_version_commit_and_target() {
    for flag in ["--version", "-V"] {
        let output = stegcluster(&[flag], &[]);
        let text = stdout(&output);
        let rest =
            text.strip_prefix(concat!("stegcluster ", env!("CARGO_PKG_VERSION"), " (commit "));
        let (commit, target) = rest.unwrap().trim_end().split_once(", ").unwrap();
        let is_commit = commit.len() == 12 && commit.chars().all(|c| c.is_ascii_hexdigit());
        assert!(is_commit || commit == "unknown", "{text}");
        assert!(target.contains(std::env::consts::ARCH) && target.ends_with(')'), "{text}");
        assert!(output.status.success());
    }
}

#[test]
fn each_command_has_help_with_examples() {
    let whole = stdout(&stegcluster(&["--help"], &[]));
    let commands = whole.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"serve"), "{whole}");
    assert!(!whole.contains("_thaw") && !whole.contains("generate"), "{whole}");
    for command in commands {
        let output = stegcluster(&[command, "--help"], &[]);
        let text = stdout(&output);
        assert!(output.status.success(), "{command}");
        assert!(text.contains(&format!("Usage: stegcluster {command}")), "{text}");
        assert!(text.contains("Examples:"), "{command} has no examples: {text}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint() {
    let table: &[(&[&str], &str)] = &[
        (&["serv"], "a similar subcommand exists: 'serve'"),
        (&["serve", "--peer", "x"], "a similar argument exists: '--peers'"),
        (&["serve", "--nonsense"], "unexpected argument '--nonsense'"),
        (&["serve", "--listen"], "a value is required for '--listen"),
        (&[], "Usage: stegcluster"),
    ];
    for (arguments, expected) in table {
        let output = stegcluster(arguments, &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn a_wrong_configuration_is_one_line_and_code_2() {
    let table: &[Wrong] = &[
        (
            &["serve", "--listen", "8081"],
            &[],
            "stegcluster: --listen: listen: \"8081\" is no HOST:PORT, such as 127.0.0.1:8081",
        ),
        (
            &["serve", "--solo-after", "5"],
            &[],
            "stegcluster: --solo-after: solo_after: \"5\" is no time with a unit, such as 5s or 1500ms, nor never",
        ),
        (
            &["serve"],
            &[("STEGCLUSTER_CODEC_THREADS", "many")],
            "stegcluster: STEGCLUSTER_CODEC_THREADS: codec_threads: \"many\" is no whole number from 1 to 1024",
        ),
        (
            &["serve", "--config", "/nowhere/cluster.yaml"],
            &[],
            "stegcluster: /nowhere/cluster.yaml: No such file or directory (os error 2); \
             check the path given with --config or STEGCLUSTER_CONFIG",
        ),
        (
            &["serve", "--set", "timings.probe_interval_ms=400"],
            &[],
            "stegcluster: --set: timings.probe_interval_ms: probe_misses * (probe_interval_ms + \
             probe_timeout_ms) = 1350 must be under election_timeout_min_ms = 1000, or the slow \
             timer beats the detector",
        ),
        (
            &["serve", "--id", "n3", "--peers", "n1=10.0.0.1:8081"],
            &[],
            "stegcluster: default: listen: nodes on other machines cannot connect to 127.0.0.1:8081; \
             add this node to the node list (n3=HOST:8081), or --listen on the address that the \
             others connect to",
        ),
    ];
    for (arguments, environment, expected) in table {
        assert_eq!(usage_error(arguments, environment), *expected);
    }
}

#[test]
fn nobody_to_ask_ends_with_4_and_says_who_was_asked() {
    for command in ["status", "kill-leader"] {
        let output = stegcluster(&[command, "--servers", "127.0.0.1:1"], &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{command}: {text}");
        assert!(text.contains("127.0.0.1:1") && !text.contains("panicked"), "{command}: {text}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let text = usage_error(&["serve", "--data-dir", "/dev/null/x"], &[]);
    assert!(text.contains("cannot create data folder /dev/null/x"), "{text}");
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
    let path = folder.path().to_str().unwrap();
    let text = usage_error(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path], &[]);
    assert!(text.contains("is not empty and no data folder of stegcluster"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_address_in_use_is_one_line_and_code_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n1");
    let arguments = ["serve", "--listen", &address, "--raft-listen", "127.0.0.1:0", "--data-dir"];
    let arguments = [&arguments[..], &[path.to_str().unwrap()]].concat();
    let output = stegcluster(&arguments, &[]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("stegcluster: ") && last.contains(&address), "{text}");
}
