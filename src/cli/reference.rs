//! The manual and the shell completions, in memory, made from the clap definitions.
//!
//! Always the same bytes for the same source: no date, no commit, no default that is
//! computed from the machine. `tests/it/generated.rs` holds the committed files to it.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{Cli, exit};
use crate::config::raw::SETTINGS;
use crate::datadir;

/// The name of the binary and of the manual's first page.
const NAME: &str = "stegcluster";

/// A `cluster.yaml` with what most clusters set.
pub const EXAMPLE_FILE: &str = "\
cluster: demo
nodes:
  n1: 10.0.0.1:8081
  n2: 10.0.0.2:8081
  n3: {address: 10.0.0.3:8081, raft: 10.0.0.3:5001}
data_dir: /var/lib/stegcluster/{id}
solo_after: 5s
log: {format: json, filter: info}
timings:
  probe_interval_ms: 25
snapshots:
  every_entries: 10000
";

/// Every generated file: its path below the repository, and its bytes.
///
/// # Errors
/// Never in practice: everything is written to memory.
pub fn files() -> io::Result<Vec<(String, Vec<u8>)>> {
    let root = public_command();
    let mut files = Vec::new();
    add_pages(&root, None, &mut files)?;
    for (shell, name) in [
        (Shell::Bash, "stegcluster.bash"),
        (Shell::Zsh, "_stegcluster"),
        (Shell::Fish, "stegcluster.fish"),
    ] {
        let mut bytes = Vec::new();
        clap_complete::generate(shell, &mut root.clone(), NAME, &mut bytes);
        files.push((format!("completions/{name}"), bytes));
    }
    Ok(files)
}

/// The command line without its hidden commands, which completions would offer.
pub fn public_command() -> Command {
    let whole = Cli::command();
    let visible = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let visible: Vec<Command> = visible.collect();
    let mut root = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands(visible);
    if let Some(about) = whole.get_about() {
        root = root.about(about.clone());
    }
    if let Some(about) = whole.get_long_about() {
        root = root.long_about(about.clone());
    }
    if let Some(examples) = whole.get_after_help() {
        root = root.after_help(examples.clone());
    }
    root.build();
    root
}

/// Adds the page of `command` and those of the commands below it. `top` is the
/// subcommand that they all belong to.
fn add_pages(
    command: &Command,
    top: Option<&str>,
    files: &mut Vec<(String, Vec<u8>)>,
) -> io::Result<()> {
    let man = Man::new(command.clone())
        .title(display_name(command).to_uppercase())
        .source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))
        .manual("stegcluster manual");
    files.push((format!("man/{}", man.get_filename()), page(command, &man, top)?));
    for below in command.get_subcommands() {
        add_pages(below, top.or(Some(below.get_name())), files)?;
    }
    Ok(())
}

fn display_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, man: &Man, top: Option<&str>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut bytes)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    let mut rest = Roff::new();
    examples(&mut rest, command);
    exit_status(&mut rest, top);
    if top == Some("serve") {
        configuration(&mut rest);
        files_of_a_node(&mut rest);
    }
    see_also(&mut rest, command, top);
    rest.to_writer(&mut bytes)?;
    Ok(bytes)
}

/// Clap's "Examples:" after the options, as a section.
fn examples(roff: &mut Roff, command: &Command) {
    let Some(after) = command.get_after_help() else { return };
    let after = after.to_string();
    roff.control("SH", ["EXAMPLES"]);
    verbatim(roff, after.lines().filter(|line| *line != "Examples:").map(str::trim_start));
}

fn verbatim<'a>(roff: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

fn item(roff: &mut Roff, head: impl Into<Inline>, text: &str) {
    roff.control("TP", []);
    roff.text([head.into()]);
    roff.text([roman(text)]);
}

fn exit_status(roff: &mut Roff, top: Option<&str>) {
    roff.control("SH", ["EXIT STATUS"]);
    let table = exit::TABLE.iter().find(|(name, _)| Some(*name) == top);
    match table {
        Some((_, codes)) => {
            for (code, meaning) in *codes {
                item(roff, bold(code.to_string()), meaning);
            }
        }
        None => {
            roff.text([roman("See the page of each command. 0 is success, and 2 is wrong usage.")]);
        }
    }
}

fn configuration(roff: &mut Roff) {
    roff.control("SH", ["CONFIGURATION"]);
    roff.text([roman(
        "Each setting can be a key of the file given with --config, an environment variable, or \
         a flag; --set takes any key. Flags go over the environment, over the file, over the \
         defaults. Keys are written with dots between levels. --print-config shows every value \
         and its source.",
    )]);
    for setting in SETTINGS {
        roff.control("TP", []);
        roff.text([bold(setting.key), roman(", "), bold(setting.variable())]);
        roff.text([roman(setting.about)]);
    }
    roff.text([roman("A file:")]);
    verbatim(roff, EXAMPLE_FILE.lines());
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman("Beside the variables above:")]);
    item(roff, bold("STEGCLUSTER_CONFIG"), "The configuration file, where --config is not given.");
    item(roff, bold("NO_COLOR"), "Log lines on a terminal have no colours.");
}

fn files_of_a_node(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    item(roff, italic("./data/ID"), "The data folder, unless --data-dir says otherwise. In it:");
    item(roff, italic(datadir::LOCK_FILE), "Locked while the node runs; holds its process id.");
    item(
        roff,
        italic(datadir::IDENTITY_FILE),
        "Format, node, cluster and Raft id. Marks the folder as a node's own.",
    );
    let store = format!("{}/", datadir::STORE_FOLDER);
    item(roff, italic(store), "The database: Raft's log, votes, and the ledger.");
}

fn see_also(roff: &mut Roff, command: &Command, top: Option<&str>) {
    let pages: Vec<String> = match top {
        None => command.get_subcommands().map(|below| display_name(below).to_owned()).collect(),
        Some(top) if display_name(command) == format!("{NAME}-{top}") => vec![NAME.to_owned()],
        Some(top) => vec![NAME.to_owned(), format!("{NAME}-{top}")],
    };
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for page in &pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(page.as_str()), roman("(1)")]);
    }
    roff.text(line);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::raw::Partial;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_its_exit_codes_in_the_table() {
        let commands: BTreeSet<String> =
            public_command().get_subcommands().map(|below| below.get_name().to_owned()).collect();
        let listed = exit::TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
        let missing: Vec<_> = commands.difference(&listed).collect();
        assert!(missing.is_empty(), "not in exit::TABLE: {missing:?}");
    }

    #[test]
    fn hidden_commands_stay_hidden() {
        for (name, bytes) in files().unwrap() {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("_thaw") && !text.contains("generate"), "{name}");
        }
    }

    #[test]
    fn the_manual_knows_no_commit() {
        let commit = env!("STEGCLUSTER_COMMIT");
        for (name, bytes) in files().unwrap() {
            let text = String::from_utf8(bytes).unwrap();
            assert!(commit == "unknown" || !text.contains(commit), "{name}");
        }
    }

    #[test]
    fn the_example_file_is_valid() {
        Partial::from_yaml("example.yaml", EXAMPLE_FILE).unwrap();
    }
}
