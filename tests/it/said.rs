//! What the command line says, word for word: the help of every command, and the errors that
//! people meet. Each is a file under `tests/it/said`.
//!
//! `STEGCLUSTER_REGENERATE=1 cargo test --test it said` writes them anew; then read the diff.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::cli::{stderr, stdout, stegcluster};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/said")
}

/// Compares with the file, or writes it.
fn check(name: &str, said: &str) {
    let file = folder().join(name);
    if env::var_os("STEGCLUSTER_REGENERATE").is_some() {
        fs::create_dir_all(folder()).unwrap();
        fs::write(&file, said).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        said, expected,
        "{name} changed; if that is right: STEGCLUSTER_REGENERATE=1 cargo test --test it said"
    );
}

/// The names in the list of commands of a help text.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_help_of_every_command() {
    let mut todo: Vec<Vec<String>> = vec![Vec::new()];
    let mut files = BTreeSet::new();
    while let Some(path) = todo.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = stegcluster(&arguments, &[]);
        assert!(output.status.success(), "{path:?}: {}", stderr(&output));
        let help = stdout(&output);
        for command in commands(&help) {
            todo.push([path.clone(), vec![command]].concat());
        }
        let name = format!("help{}.txt", path.iter().map(|p| format!("-{p}")).collect::<String>());
        check(&name, &help);
        files.insert(name);
    }
    files.insert("errors.txt".to_owned());
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(files.contains(&name), "{name} belongs to no command any more: remove it");
    }
}

/// A server that nobody runs: port 1 of this machine.
const NOBODY: &str = "--servers=127.0.0.1:1";

#[test]
fn the_errors_that_people_meet() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("there.png"), "no picture").unwrap();
    fs::write(path("cluster.yaml"), "nodes:\n  n1: 10.0.0.1:8081\nnode: n1\n").unwrap();
    let (there, absent, yaml) = (path("there.png"), path("absent.png"), path("cluster.yaml"));
    let (pattern, taken) = (path("*.gif"), format!("--out={there}"));
    let out = format!("--out={}", path("out.bin"));
    let data = format!("--data-dir={}", path(""));
    let calls: &[&[&str]] = &[
        &["statsu"],
        &["status", "--server", "x"],
        &["status", "--servers", "ftp://a:1"],
        &["status", "--servers", "localhost"],
        &["status", "--interval-ms", "5"],
        &["status", NOBODY],
        &["doctor", "--id", "n9", "--peers", "n1=127.0.0.1:8081"],
        &["kill-leader", "--signal", "hup"],
        &["kill-leader", NOBODY],
        &["transfer-leader", NOBODY],
        &["members", "remvoe", "n2"],
        &["members", "add", "n4"],
        &["members", "list", NOBODY],
        &["members", "remove", NOBODY, "n2"],
        &["embed", NOBODY, &there, &taken],
        &["embed", NOBODY, &pattern, &out],
        &["embed", NOBODY, &there, &there, &out],
        &["embed", "--offline", "--cover", &there, &there, &out],
        &["extract", "--offline", &there, &out],
        &["extract", "--offline", &absent, &out],
        &["capacity", "--offline", "--cover", &there],
        &["restore", NOBODY, &there],
        &["backup", NOBODY, &taken],
        &["backup", NOBODY, &out],
        &["recover", &data],
        &["recover"],
        &["serve", "--config", &yaml],
    ];
    let root = folder.path().to_str().unwrap();
    let mut said = String::new();
    for call in calls {
        let output = stegcluster(call, &[]);
        let shown = call.join(" ").replace(root, "DIR");
        let code = output.status.code().unwrap();
        let errors = stderr(&output).replace(root, "DIR");
        assert!(!errors.contains("panicked"), "{shown}: {errors}");
        writeln!(said, "$ stegcluster {shown}\n{errors}exit code {code}\n").unwrap();
    }
    check("errors.txt", &said);
}

#[test]
fn servers_come_from_the_flag_the_environment_the_file_or_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = folder.path().join("cluster.yaml");
    fs::write(&yaml, "nodes:\n  n1: 127.0.0.1:2\n  n2: 127.0.0.1:3\n").unwrap();
    let file = ("STEGCLUSTER_CONFIG", yaml.to_str().unwrap());
    let variable = ("STEGCLUSTER_SERVERS", "127.0.0.1:4");
    let asked = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["status", "--timeout-ms=200"], arguments].concat();
        stderr(&stegcluster(&arguments, environment))
    };
    let flag = asked(&["--servers=127.0.0.1:5"], &[variable, file]);
    assert!(flag.contains(":5: ") && !flag.contains(":4: "), "{flag}");
    let by_variable = asked(&[], &[variable, file]);
    assert!(by_variable.contains(":4: ") && !by_variable.contains(":2: "), "{by_variable}");
    let by_file = asked(&[], &[file]);
    assert!(by_file.contains(":2: ") && by_file.contains(":3: "), "{by_file}");
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, "nodes: 7\n").unwrap();
    let wrong = asked(&[], &[("STEGCLUSTER_CONFIG", wrong.to_str().unwrap())]);
    assert!(wrong.contains("wrong.yaml") && wrong.contains("nodes"), "{wrong}");
}

#[test]
fn colours_are_for_terminals_only() {
    for environment in [&[][..], &[("NO_COLOR", "1")], &[("TERM", "xterm-256color")]] {
        for call in [&["status", NOBODY][..], &["doctor", NOBODY, "--timeout-ms=200"], &["--help"]]
        {
            let output = stegcluster(call, environment);
            assert!(!stdout(&output).contains('\x1b') && !stderr(&output).contains('\x1b'));
        }
    }
}
