//! Pages, run: docs/GETTING_STARTED.md as a whole, and what README.md and docs/OPERATE.md mark to be
//! run, in its order, on three hosts of a network of their own; what they print is compared with
//! what the page says, but for the numbers.
//!
//! A block of commands says behind `sh` on which machine it runs: `n1`, `n2`, `n3` or `all`, and
//! how: `stays` is a node, that runs on; `beside` goes on while the next blocks run, and `joins`
//! waits for it first; `until` is repeated until it prints what follows in the block of `text`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::netns::{Lan, address, skip};
use crate::pages::{Block, blocks};
use crate::support::{BINARY, PATIENCE, poll, turn};

const GETTING_STARTED: &str = include_str!("../../docs/GETTING_STARTED.md");
const README: &str = include_str!("../../README.md");
const OPERATE: &str = include_str!("../../docs/OPERATE.md");
const MACHINES: [&str; 3] = ["n1", "n2", "n3"];
/// Tools of the page that are not ours.
const TOOLS: [&str; 2] = ["curl", "jq"];

/// Numbers that are as good as words: where the page has one of these, so must the output.
const PROMISES: [&str; 4] = ["failed 0 ", "lost 0,", "doubled 0", "0 records not linearizable"];

/// Without what differs from run to run: ids, numbers, and how much space is between words.
fn masked(text: &str) -> Vec<String> {
    let word = |word: &str| {
        let is_id = word.len() >= 36 && word.chars().filter(|c| *c == '-').count() >= 4;
        if is_id {
            return "ID".to_owned();
        }
        let mut out = String::new();
        let mut rest = word.chars().peekable();
        while let Some(next) = rest.next() {
            if !next.is_ascii_digit() {
                out.push(next);
                continue;
            }
            // 12, 1.2 and 10.0.0.3 are one number each.
            while rest.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
            out.push('#');
        }
        out
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect()
}

fn agree(page: &str, printed: &str) -> bool {
    let promised = PROMISES.iter().filter(|promise| page.contains(*promise));
    masked(page) == masked(printed) && promised.into_iter().all(|promise| printed.contains(promise))
}

/// Three machines, and what runs on them.
struct Machines<'a> {
    lan: &'a Lan,
    folder: TempDir,
    nodes: Vec<Child>,
    beside: Option<Child>,
}

impl Machines<'_> {
    fn home(&self, machine: &str) -> PathBuf {
        self.folder.path().join(machine)
    }

    fn command(&self, machine: &str, script: &str) -> Command {
        let index = MACHINES.iter().position(|name| *name == machine).expect("a machine");
        let mut script = script.to_owned();
        for (index, machine) in MACHINES.iter().enumerate() {
            script = script.replace(&format!("10.0.0.{}", &machine[1..]), &address(index));
        }
        let bin = Path::new(BINARY).parent().expect("it lies in a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.lan.spokes[index]])
            // `exec`, so that a signal to the process reaches the node.
            .args(["bash", "-c", &script])
            .current_dir(self.home(machine))
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, machine: &str, script: &str) -> Output {
        let script = format!("set -e\n{script}");
        self.command(machine, &script).output().expect("ip and bash start")
    }

    fn stays(&mut self, machine: &str, script: &str) {
        let log = File::create(self.home(machine).join("log")).expect("a log file");
        let mut command = self.command(machine, &format!("exec {}", script.trim()));
        self.nodes.push(command.stderr(log).spawn().expect("ip and bash start"));
    }

    fn join(&mut self) {
        let mut load = self.beside.take().expect("something runs beside");
        let status = load.wait().expect("a child");
        assert!(status.success(), "what ran beside ended with {status}: {}", self.logs());
    }

    fn logs(&self) -> String {
        let read = |machine| fs::read_to_string(self.home(machine).join("log"));
        MACHINES.iter().filter_map(|machine| read(machine).ok()).collect()
    }
}

impl Drop for Machines<'_> {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().chain(&mut self.beside) {
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        for child in self.nodes.iter_mut().chain(&mut self.beside) {
            let _ = child.wait();
        }
    }
}

/// Runs the block on its machine, and compares what it prints with `expected`.
fn run(machines: &mut Machines<'_>, page: &str, block: &Block, expected: Option<&Block>) {
    let line = block.line;
    if block.is("joins") {
        machines.join();
    }
    let on = MACHINES.iter().filter(|machine| block.is(machine) || block.is("all"));
    for machine in on {
        if block.is("stays") {
            machines.stays(machine, &block.text);
        } else if block.is("beside") {
            let load = machines.command(machine, &block.text).spawn();
            machines.beside = Some(load.expect("ip and bash start"));
        } else {
            let mut last = None;
            let good = |output: &Output| {
                let printed = String::from_utf8_lossy(&output.stdout);
                output.status.success() && expected.is_none_or(|page| agree(&page.text, &printed))
            };
            let mut once = || {
                let output = machines.run(machine, &block.text);
                let done = good(&output);
                last = Some(output);
                done.then_some(())
            };
            let done = if block.is("until") { poll(PATIENCE, once) } else { once() };
            let Some(last) = last else { unreachable!("it ran at least once") };
            let said = String::from_utf8_lossy(&last.stderr).into_owned();
            let printed = String::from_utf8_lossy(&last.stdout);
            let logs = machines.logs();
            assert!(
                done.is_some(),
                "{page} line {line} on {machine}: {}\n{printed}{said}\nexpected:\n{}\n{logs}",
                last.status,
                expected.map_or("", |expected| &expected.text)
            );
        }
    }
}

/// Runs the blocks of a page that say where, and returns how many those are.
fn walk(machines: &mut Machines<'_>, name: &str, page: &str) -> usize {
    let blocks = blocks(page);
    let mut commands = 0;
    for (index, block) in blocks.iter().enumerate() {
        let expected =
            blocks.get(index + 1).filter(|next| next.language == "text" && next.words.is_empty());
        if block.language == "sh" && !block.words.is_empty() {
            run(machines, name, block, expected);
            commands += 1;
        } else if block.is("logged") {
            let logs = masked(&machines.logs());
            for line in masked(&block.text) {
                let found = logs.iter().any(|logged| logged.ends_with(&line));
                assert!(found, "{name} line {}: nobody logged {line:?}", block.line);
            }
        }
    }
    commands
}

/// Three machines for `test`, each with an empty folder; or why there are none.
fn on_three_machines(name: &str, test: impl FnOnce(&mut Machines<'_>)) {
    let _turn = turn();
    let has = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    if let Some(missing) = TOOLS.iter().find(|tool| !has(tool)) {
        return skip(name, &format!("there is no {missing}"));
    }
    let lan = match Lan::lay("guide") {
        Ok(lan) => lan,
        Err(why) => return skip(name, &why),
    };
    let folder = TempDir::new().expect("a temporary folder");
    let mut machines = Machines { lan: &lan, folder, nodes: Vec::new(), beside: None };
    for machine in MACHINES {
        fs::create_dir(machines.home(machine)).expect("a folder");
    }
    test(&mut machines);
}

#[test]
fn getting_started_does_what_it_says() {
    on_three_machines("getting started", |machines| {
        let commands = walk(machines, "GETTING_STARTED.md", GETTING_STARTED);
        assert!(commands >= 12, "only {commands} blocks of commands were found");
    });
}

#[test]
fn readme_does_what_it_says() {
    on_three_machines("README", |machines| {
        let commands = walk(machines, "README.md", README);
        assert!(commands >= 4, "only {commands} blocks of commands were found");
    });
}

/// The page is about a cluster that runs: the one of GETTING_STARTED.md.
#[test]
fn operate_does_what_it_says() {
    on_three_machines("OPERATE", |machines| {
        let blocks = blocks(GETTING_STARTED);
        for block in blocks.iter().filter(|block| block.is("all") || block.is("stays")) {
            run(machines, "GETTING_STARTED.md", block, None);
        }
        let commands = walk(machines, "OPERATE.md", OPERATE);
        assert!(commands >= 4, "only {commands} blocks of commands were found");
    });
}
