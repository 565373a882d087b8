//! What the pages say is there: each `stegcluster` command parses, each link and heading that
//! they point to exists, and so does each metric and variable that they and `packaging` name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use stegcluster::cli::reference;

use crate::pages::{Block, blocks};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with one of these endings, build results aside.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn pages() -> Vec<(PathBuf, String)> {
    let pages = files(".", &[".md"]).into_iter();
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// A page without its fenced blocks, whose lines stay as empty ones.
fn prose(page: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in page.lines() {
        let fence = line.starts_with("```");
        fenced ^= fence;
        if !fence && !fenced {
            out += line;
        }
        out.push('\n');
    }
    out
}

/// What stands between backticks, also over the end of a line; never over an empty line.
fn spans(prose: &str) -> Vec<String> {
    let paragraphs = prose.split("\n\n").map(|text| text.replace('\n', " "));
    paragraphs
        .flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

// --- links ---------------------------------------------------------------

/// The targets of `[text](target)` and of `![text](target)`.
fn links(prose: &str) -> Vec<String> {
    // In code there are no links.
    let text: String = prose.split('`').step_by(2).collect();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for (path, page) in pages() {
        for link in links(&prose(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let to =
                if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            if !to.exists() {
                broken.push(format!("{}: {link}: there is no such file", name(&path)));
            } else if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(&to).unwrap());
                if !anchors.iter().any(|own| own == anchor) {
                    broken.push(format!("{}: {link}: of {anchors:?} it is none", name(&path)));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    assert!(checked > 40, "only {checked} links were found");
}

// --- commands ------------------------------------------------------------

/// The simple commands of a line of shell, each as its words; `variables` are put in.
fn commands(line: &str, variables: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut rest = line.chars().peekable();
    let mut quote = None;
    while let Some(next) = rest.next() {
        match (quote, next) {
            (Some(open), _) if next == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(next);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None | Some('"'), '$') if rest.peek().is_some_and(|c| c.is_alphabetic()) => {
                let mut variable = String::new();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    variable.push(c);
                }
                let value = variables.get(&variable).map_or("x", String::as_str);
                word.get_or_insert_default().push_str(value);
            }
            (None, '|' | ';' | '&' | '(' | ')') => {
                commands.last_mut().unwrap().extend(word.take());
                commands.push(Vec::new());
            }
            (None, '<' | '>') => {
                // 2>file: the number belongs to the arrow, and what follows is a file.
                word.take_if(|word| word.chars().all(|c| c.is_ascii_digit()));
                commands.last_mut().unwrap().extend(word.take());
                while rest.next_if(|c| " >&".contains(*c)).is_some() {}
                while rest.next_if(|c| !" |;&)".contains(*c)).is_some() {}
            }
            (None, ' ') => commands.last_mut().unwrap().extend(word.take()),
            _ => word.get_or_insert_default().push(next),
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands.retain(|command| !command.is_empty());
    commands
}

/// Lines of shell in a block: all of a block of `sh`, and what follows `$ ` elsewhere.
fn shell(block: &Block) -> Vec<String> {
    let text = block.text.replace("\\\n", " ");
    let all = block.language == "sh";
    let mut document = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        if document.as_deref() == Some(line) {
            document = None;
        } else if document.is_none() {
            let line = if all { Some(line) } else { line.strip_prefix("$ ") };
            let Some(line) = line else { continue };
            document = line.split_once("<<").map(|(_, end)| end.trim_matches('\'').to_owned());
            lines.push(line.to_owned());
        }
    }
    lines
}

/// What is wrong with these arguments of `stegcluster`. A mention in the text, which is no whole
/// command, may leave out what is required.
fn complaint(arguments: &[String], mention: bool) -> Option<String> {
    // N is any number.
    let number = |word: &'_ String| if word == "N" { "1".to_owned() } else { word.clone() };
    let words = std::iter::once("stegcluster".to_owned()).chain(arguments.iter().map(number));
    let error = reference::public_command().try_get_matches_from(words).err()?;
    let fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => mention,
        // `bench --rate`, without its value.
        ErrorKind::InvalidValue => mention && error.to_string().contains("a value is required"),
        // The reader's own file, which is read as it is named.
        ErrorKind::ValueValidation => error.to_string().contains("No such file or directory"),
        _ => false,
    };
    (!fine).then(|| format!("stegcluster {}: {error}", arguments.join(" ")))
}

#[test]
fn every_command_in_the_pages_parses() {
    let names: Vec<String> = reference::public_command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let mut check = |page: &Path, arguments: &[String], mention: bool| {
        checked += 1;
        let complaint = complaint(arguments, mention);
        wrong.extend(complaint.map(|complaint| format!("{}: {complaint}", name(page))));
    };
    for (path, page) in pages() {
        let mut variables = BTreeMap::new();
        let prose = prose(&page);
        // A block may also be set in by four spaces.
        let set_in = prose.lines().filter_map(|line| line.strip_prefix("    "));
        for line in blocks(&page).iter().flat_map(shell).chain(set_in.map(str::to_owned)) {
            for mut words in commands(&line, &variables) {
                // NAME=VALUE before a command, or alone.
                while let Some((variable, value)) = words.first().and_then(|w| w.split_once('=')) {
                    variables.insert(variable.to_owned(), value.to_owned());
                    words.remove(0);
                }
                if words.first().is_some_and(|word| word == "stegcluster") {
                    check(&path, &words[1..], false);
                }
            }
        }
        for span in spans(&prose) {
            let Some(words) = commands(&span, &variables).into_iter().next() else { continue };
            let is_flag = |word: &String| word.starts_with("--");
            if words[0] == "stegcluster" && words.get(1).is_some_and(|word| word != "COMMAND") {
                check(&path, &words[1..], true);
            } else if names.contains(&words[0]) && words.iter().any(is_flag) {
                check(&path, &words, true);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked > 100, "only {checked} commands were found");
}

/// `tests/cluster/guide.rs` has what the words behind `sh` mean; a wrong one would run nothing.
#[test]
fn every_block_to_be_run_says_where_and_how() {
    let machines = ["n1", "n2", "n3", "all"];
    let ways = ["stays", "until", "beside", "joins"];
    for (path, page) in pages() {
        for block in blocks(&page).iter().filter(|block| block.language == "sh") {
            let place = format!("{} line {}", name(&path), block.line);
            let known = |word: &String| [&machines[..], &ways].concat().contains(&word.as_str());
            assert!(block.words.iter().all(known), "{place}: {:?}", block.words);
            let somewhere = machines.iter().any(|machine| block.is(machine));
            assert!(block.words.is_empty() || somewhere, "{place}: on which machine?");
        }
    }
}

#[test]
fn every_command_in_packaging_parses() {
    let read = |file: &str| fs::read_to_string(root().join("packaging").join(file)).unwrap();
    let mut found = Vec::new();
    let unit = read("systemd/stegcluster@.service").replace("%i", "n1");
    found.extend(
        unit.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/stegcluster")),
    );
    let list = |text: &str| text.replace(['[', ']', '"', ','], " ");
    let dockerfile = read("docker/Dockerfile");
    let image: Vec<_> =
        dockerfile.lines().filter_map(|line| line.strip_prefix("CMD ")).map(list).collect();
    let compose = read("docker/compose.yaml");
    let services: Vec<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("command: "))
        .map(list)
        .collect();
    let launchd = read("launchd/stegcluster.n1.plist");
    let strings = launchd.split("<key>ProgramArguments</key>").nth(1).unwrap();
    let strings = strings.split("</array>").next().unwrap().replace("<string>", "\n");
    let arguments: Vec<_> =
        strings.lines().filter_map(|line| line.strip_suffix("</string>")).skip(1).collect();
    let agent = arguments.join(" ");
    found.extend(image.iter().chain(&services).map(String::as_str).chain([agent.as_str()]));
    assert_eq!(found.len(), 6, "{found:?}");
    for command in found {
        let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        assert_eq!(complaint(&words, false), None);
    }
}

// --- names ---------------------------------------------------------------

/// The words of `text` that begin with `prefix` and go on with letters that `belongs` takes.
fn words_with<'a>(text: &'a str, prefix: &str, belongs: fn(char) -> bool) -> Vec<&'a str> {
    let starts = text.match_indices(prefix).map(|(start, _)| &text[start..]);
    let word = |rest: &'a str| rest.split(|c| !belongs(c)).next().unwrap_or_default();
    starts.map(word).filter(|word| word.len() > prefix.len()).collect()
}

#[test]
fn every_metric_that_is_named_exists() {
    let table = fs::read_to_string(root().join("src/observe/metrics.rs")).unwrap();
    let exists = |metric: &str| {
        let ends = ["", "_bucket", "_sum", "_count"];
        ends.iter().filter_map(|end| metric.strip_suffix(end)).any(|metric| {
            let bare = metric.strip_prefix("stegcluster_").unwrap();
            table.contains(&format!("\"{bare}\"")) || table.contains(&format!("\"{metric}\""))
        })
    };
    let mut unknown = Vec::new();
    let mut checked = 0;
    let dashboards = files("packaging", &[".json", ".yml"]);
    let texts =
        dashboards.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    for (path, text) in texts.chain(pages()) {
        let metrics = words_with(&text, "stegcluster_", |c| c.is_ascii_alphanumeric() || c == '_');
        // stegcluster_0.1.0-1_amd64.deb is a file.
        for metric in metrics.iter().filter(|word| word.as_bytes()[12].is_ascii_lowercase()) {
            checked += 1;
            if !exists(metric) {
                unknown.push(format!("{}: {metric}", name(&path)));
            }
        }
    }
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
    assert!(checked > 60, "only {checked} metrics were found");
}

#[test]
fn every_variable_that_is_named_exists() {
    let manual = files("man", &[".1"]);
    let code = ["src", "tests", "benches", ".ci"]
        .map(|folder| files(folder, &[".rs", ".py", "run", ".sh"]));
    let sources = manual.into_iter().chain(code.into_iter().flatten());
    let known: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    // roff writes a hyphen as \-.
    let known = known.replace('\\', "") + &fs::read_to_string(root().join("Makefile")).unwrap();
    for (path, page) in pages() {
        let belongs = |c: char| c.is_ascii_uppercase() || c == '_';
        for variable in words_with(&page, "STEGCLUSTER_", belongs) {
            assert!(known.contains(variable), "{}: nobody reads {variable}", name(&path));
        }
    }
}

#[test]
fn packages_have_the_version_of_the_program() {
    let changes = fs::read_to_string(root().join("packaging/debian/changelog")).unwrap();
    let first = changes.lines().next().unwrap();
    let wanted = concat!("stegcluster (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(
        first.starts_with(wanted),
        "packaging/debian/changelog begins {first:?}, not {wanted:?}"
    );
}

#[test]
fn shell_is_taken_apart() {
    let variables = BTreeMap::from([("nodes".to_owned(), "a,b".to_owned())]);
    let table: &[(&str, &[&[&str]])] = &[
        ("a --b 'c d' | e > f 2>&1", &[&["a", "--b", "c d"], &["e"]]),
        ("a $nodes \"$nodes\" $other # not this", &[&["a", "a,b", "a,b", "x"]]),
        ("A=1 b && c; d &", &[&["A=1", "b"], &["c"], &["d"]]),
        ("a '<0.1%' < in", &[&["a", "<0.1%"]]),
    ];
    for (line, wanted) in table {
        assert_eq!(commands(line, &variables), *wanted, "{line}");
    }
    assert!(complaint(&["serve".into(), "--nonsense".into()], true).is_some());
    assert!(complaint(&["nonsense".into()], true).is_some());
    assert!(complaint(&["bench".into(), "--clients".into(), "many".into()], true).is_some());
    assert_eq!(anchors("# A `b`, c?\n## D\n# D\n```\n# e\n```\n"), ["a-b-c", "d", "d-1"]);
}
