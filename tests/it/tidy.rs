//! The rules of the source tree that the compiler does not know: who may import whom,
//! where a crate may be named, how long a file may be, that no file is orphaned.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lexer::{Kind, Token, tokens, without_tests};

/// The rooms, lowest layer first. A room imports only from lower layers; those of the
/// first layer, plain words, may use each other.
const LAYERS: &[&[&str]] = &[
    &["api", "clock", "ident", "limits", "observe", "record", "sim", "view"],
    &["rt", "trust"],
    &["access", "config", "datadir", "net", "plot", "pool", "stego", "store"],
    &["client", "ledger", "peer"],
    &["detector", "fleet", "load", "solo"],
    &["drill", "raft"],
    &["formation"],
    &["service"],
    &["http"],
    &["node"],
    &["cli"],
];

/// Crates that few files may name, so that replacing one touches only those.
const CRATES: &[(&str, &[&str])] = &[
    ("anyhow", &["src/cli/"]),
    ("argon2", &["src/stego/"]),
    ("chacha20poly1305", &["src/stego/"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/reference.rs"]),
    ("clap_mangen", &["src/cli/reference.rs"]),
    ("image", &["src/stego/"]),
    ("indicatif", &["src/cli/"]),
    ("openraft", &["src/raft/"]),
    ("openraft_rt_tokio", &["src/raft/"]),
    ("pulp", &["src/stego/"]),
    ("prometheus", &["src/node/status.rs", "src/observe/"]),
    ("rand", &["src/raft/sim_runtime.rs"]),
    ("rcgen", &["src/trust/"]),
    ("rocksdb", &["src/store/rocks.rs"]),
    ("rustls", &["src/net/secured.rs", "src/trust/"]),
    ("serde_yaml", &["src/config/"]),
    ("snow", &["src/trust/secret.rs"]),
    ("todc_utils", &["src/drill/linear.rs"]),
    ("tokio_rustls", &["src/net/secured.rs"]),
    ("tracing_subscriber", &["src/observe/log.rs"]),
    ("ttf_parser", &["src/plot/"]),
    ("ureq", &["src/client/"]),
    ("warp", &["src/http/"]),
    ("x509_parser", &["src/trust/certificates.rs"]),
    ("zeno", &["src/plot/"]),
];

/// Words of the wall clock, and rooms that must not know it: they decide who leads, and a clock
/// that jumps must not. What they measure is `clock::now`, which is monotonic.
const WALL_CLOCK: [&str; 3] = ["unix_ms", "SystemTime", "UNIX_EPOCH"];
const TIMELESS: [&str; 8] =
    ["detector", "formation", "ledger", "net", "peer", "raft", "rt", "store"];

/// Lines of a file, tests aside. More is two files.
const LINES_MAX: usize = 600;

/// Macros of unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(root);
    let mut problems = Vec::new();
    for file in &files {
        let text = fs::read_to_string(root.join(file)).unwrap();
        problems.extend(problems_of(file, &text));
    }
    problems.extend(orphans(root, &files));
    problems.extend(missing_rooms(&files));
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Every source file of the package, by its path below the root.
fn rust_files(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "benches"].map(|name| root.join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root).unwrap();
                files.insert(below.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    files
}

/// What is wrong with one file.
fn problems_of(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push(format!("{file}: begins with no //! that says what it is for"));
    }
    if let Some(word) =
        tokens(text).iter().find(|token| file.starts_with("tests/") && sleeps(token))
    {
        problems.push(format!("{file}:{}: a test sleeps; wait for a condition", word.line));
    }
    if !file.starts_with("src/") || is_test_file(file) {
        return problems;
    }
    let (tokens, lines) = without_tests(text);
    if lines > LINES_MAX {
        problems.push(format!("{file}: {lines} lines without tests, {LINES_MAX} are allowed"));
    }
    problems.extend(imports(file, &tokens));
    problems.extend(crates(file, &tokens));
    problems.extend(wall_clock(file, &tokens));
    for pair in tokens.windows(2) {
        if pair[1].is('!') && pair[0].word().is_some_and(|word| UNFINISHED.contains(&word)) {
            let (word, line) = (pair[0].word().unwrap_or_default(), pair[0].line);
            problems.push(format!("{file}:{line}: {word}! is unfinished work"));
        }
    }
    problems
}

fn sleeps(token: &Token) -> bool {
    token.word() == Some("sleep")
}

/// Compiled only for tests, by the way it is named.
fn is_test_file(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    ["tests.rs", "testing.rs"].contains(&name)
        || name.ends_with("_tests.rs")
        || file.contains("/tests/")
}

/// The room that a file of `src/` belongs to; `None` for `lib.rs` and `main.rs`.
fn room_of(file: &str) -> Option<&str> {
    let below = file.strip_prefix("src/")?;
    let room = below.split('/').next()?;
    let room = room.strip_suffix(".rs").unwrap_or(room);
    (!["lib", "main"].contains(&room)).then_some(room)
}

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Imports that go upwards or sideways.
fn imports(file: &str, tokens: &[Token]) -> Vec<String> {
    let Some(room) = room_of(file) else { return Vec::new() };
    let Some(layer) = layer_of(room) else {
        return vec![format!("{file}: room {room} is not in the table of layers")];
    };
    let mut problems = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_root = token.word() == Some("crate")
            && tokens.get(at + 1).is_some_and(|next| next.kind == Kind::PathSep);
        if !is_root {
            continue;
        }
        for named in first_names(&tokens[at + 2..]) {
            let allowed = match layer_of(named) {
                _ if named == room => true,
                Some(0) if layer == 0 => true,
                Some(other) => other < layer,
                None => false,
            };
            if !allowed {
                let line = token.line;
                problems.push(format!("{file}:{line}: {room} must not import {named}"));
            }
        }
    }
    problems
}

/// The first segments after `crate::`: one, or those of a group in braces.
fn first_names(tokens: &[Token]) -> Vec<&str> {
    match tokens.first() {
        Some(first) if first.is('{') => {}
        Some(first) => return first.word().into_iter().collect(),
        None => return Vec::new(),
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut at_start = false;
    for token in tokens {
        match &token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => depth -= 1,
            Kind::Word(word) if at_start && depth == 1 => names.push(word.as_str()),
            Kind::Word(_) | Kind::Text(_) | Kind::PathSep | Kind::Mark(_) => {}
        }
        if depth == 0 {
            break;
        }
        at_start = depth == 1 && (token.is('{') || token.is(','));
    }
    names
}

/// Crates that are named where they must not be.
fn crates(file: &str, tokens: &[Token]) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        let Some((name, places)) = CRATES.iter().find(|(name, _)| *name == word) else { continue };
        let inside = at > 0 && tokens[at - 1].kind == Kind::PathSep;
        let follows = tokens.get(at + 1);
        let is_path = follows.is_some_and(|next| next.kind == Kind::PathSep);
        let is_use = at > 0 && tokens[at - 1].word() == Some("use");
        if !inside && (is_path || is_use) && !places.iter().any(|place| file.starts_with(place)) {
            let line = token.line;
            problems.push(format!("{file}:{line}: only {} may name {name}", places.join(" and ")));
        }
    }
    problems
}

fn wall_clock(file: &str, tokens: &[Token]) -> Vec<String> {
    let Some(room) = room_of(file).filter(|room| TIMELESS.contains(room)) else {
        return Vec::new();
    };
    let named = tokens.iter().filter_map(|token| Some((token.word()?, token.line)));
    let named = named.filter(|(word, _)| WALL_CLOCK.contains(word));
    named.map(|(word, line)| format!("{file}:{line}: {room} must not know {word}")).collect()
}

/// Files that no `mod` declaration reaches, so that nothing compiles them.
fn orphans(root: &Path, files: &BTreeSet<String>) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let is_root = |file: &str| {
        ["src/lib.rs", "src/main.rs"].contains(&file)
            || file.starts_with("benches/")
            || (file.starts_with("tests/") && file.split('/').count() == 2)
            || (file.starts_with("tests/") && file.ends_with("/main.rs"))
    };
    let mut open: Vec<String> = files.iter().filter(|file| is_root(file)).cloned().collect();
    while let Some(file) = open.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
        open.extend(children(&file, &text).into_iter().filter(|child| files.contains(child)));
    }
    let orphans = files.difference(&reached);
    orphans.map(|file| format!("{file}: no mod declaration reaches it")).collect()
}

/// Where the files of a file's `mod name;` declarations may be.
fn children(file: &str, text: &str) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let own = match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => file.trim_end_matches(".rs").to_owned(),
    };
    let tokens = tokens(text);
    let mut children = Vec::new();
    for window in tokens.windows(3) {
        let [first, second, third] = window else { continue };
        match (first.word(), second.word(), &third.kind) {
            (Some("mod"), Some(name), Kind::Mark(';')) => {
                children.push(format!("{own}/{name}.rs"));
                children.push(format!("{own}/{name}/mod.rs"));
            }
            // `#[path = "..."]` counts from the file's own folder.
            (Some("path"), None, Kind::Text(path)) if second.is('=') => {
                children.push(normal(&format!("{folder}/{path}")));
            }
            _ => {}
        }
    }
    children
}

/// Without `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn missing_rooms(files: &BTreeSet<String>) -> Vec<String> {
    let found: BTreeSet<&str> = files.iter().filter_map(|file| room_of(file)).collect();
    let listed = LAYERS.iter().flat_map(|rooms| rooms.iter());
    let missing = listed.filter(|room| !found.contains(**room));
    missing.map(|room| format!("room {room} is in the table, but not in src")).collect()
}

/// A checker that never failed proves nothing: each rule meets its breach.
#[test]
fn each_rule_fires_on_its_breach() {
    let head = "//! A head.\n";
    let table: &[(&str, &str, &str)] = &[
        ("src/stego/a.rs", "use crate::raft::X;", "src/stego/a.rs:2: stego must not import raft"),
        ("src/raft/a.rs", "use crate::{ident::X, drill::{a, http}};", "raft must not import drill"),
        ("src/detector/mod.rs", "fn a() { crate::raft::b() }", "detector must not import raft"),
        ("src/http/mod.rs", "use crate::node::X;", "http must not import node"),
        ("src/garage/mod.rs", "", "room garage is not in the table"),
        ("src/pool.rs", "use crate::garage::X;", "pool must not import garage"),
        (
            "src/http/mod.rs",
            "use openraft::Raft;",
            "http/mod.rs:2: only src/raft/ may name openraft",
        ),
        (
            "src/store/mod.rs",
            "fn a(db: rocksdb::DB) {}",
            "only src/store/rocks.rs may name rocksdb",
        ),
        ("src/load/mod.rs", "use anyhow::Context;", "only src/cli/ may name anyhow"),
        ("src/node/mod.rs", "use warp;", "only src/http/ may name warp"),
        (
            "src/raft/a.rs",
            "fn a() -> u64 { crate::clock::unix_ms() }",
            "src/raft/a.rs:2: raft must not know unix_ms",
        ),
        ("src/pool.rs", "fn a() { todo!() }", "src/pool.rs:2: todo! is unfinished work"),
        ("src/pool.rs", "fn a() {\n dbg!(1); }", "src/pool.rs:3: dbg! is unfinished work"),
        ("tests/it/a.rs", "fn a() { std::thread::sleep(d) }", "tests/it/a.rs:2: a test sleeps"),
    ];
    for (file, source, expected) in table {
        let problems = problems_of(file, &format!("{head}{source}\n"));
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{source}: {problems:?}"
        );
        assert_eq!(problems.len(), 1, "{source}: {problems:?}");
    }
    let headless = problems_of("src/pool.rs", "use std::fs;\n");
    assert!(headless[0].contains("begins with no //!"), "{headless:?}");
    let long = format!("{head}{}", "fn a() {}\n".repeat(LINES_MAX));
    assert!(problems_of("src/pool.rs", &long)[0].contains("601 lines"));
}

#[test]
fn the_rules_let_good_source_pass() {
    let head = "//! A head, which may speak of crate::node.\n";
    let table = [
        ("src/raft/a.rs", "use crate::detector::X; use openraft::Raft;"),
        ("src/record.rs", "use crate::ident::X;"),
        ("src/service/a.rs", "fn a() -> u64 { crate::clock::unix_ms() }"),
        ("src/raft/a.rs", "fn a() { crate::clock::now(); }"),
        (
            "src/http/mod.rs",
            "use crate::http::X; // crate::node::Y\nconst A: &str = \"crate::node\";",
        ),
        ("src/stego/a.rs", "#[cfg(test)]\nmod tests { use crate::node::X; fn a() { todo!() } }"),
        (
            "src/service/mod.rs",
            "use crate::limits; fn image(image: u8) {} fn a() { self::image(1) }",
        ),
    ];
    for (file, source) in table {
        let problems = problems_of(file, &format!("{head}{source}\n"));
        assert!(problems.is_empty(), "{source}: {problems:?}");
    }
    let lines = format!("{head}#[cfg(test)]\nmod t {{\n{}}}\n", "fn a() {}\n".repeat(LINES_MAX));
    assert!(problems_of("src/pool.rs", &lines).is_empty());
}

#[test]
fn module_files_are_found_where_rust_looks() {
    let found = children("src/a/b.rs", "mod c;\n#[path = \"../d.rs\"]\nmod e;\nmod f { }");
    assert!(found.contains(&"src/a/b/c.rs".to_owned()) && found.contains(&"src/d.rs".to_owned()));
    assert!(!found.iter().any(|file| file.contains("/f")), "{found:?}");
    let found = children("src/a/mod.rs", "pub mod c;");
    assert_eq!(found, ["src/a/c.rs", "src/a/c/mod.rs"]);
}
