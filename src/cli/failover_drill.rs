//! `stegcluster failover-drill`: take the leader away under load, again and again, and prove that
//! nothing was lost.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::servers::{GroundArgs, interrupt};
use super::{exit, output};
use crate::client::Interrupt;
use crate::drill::report::{IterationReport, Spread, Times};
use crate::drill::{
    self, DrillError, DrillPlan, DrillReport, Drilled, FaultKind, Ground, RestartCommand, Slo,
    SloError, Targets, Telling, evidence, html, picture,
};

/// Own nodes where neither --servers nor --local is given.
const LOCAL: usize = 3;
/// Columns that a timeline may take.
const WIDTH: usize = 80;

/// Inflict faults under load, again and again, and account for every acknowledged record
///
/// With own nodes (the default, --local 3) processes are killed, stopped and restarted here; with
/// --servers each fault is asked for through /admin/fail, and a node that ended is started again
/// by whoever supervises it (serve --supervise), or by --restart-cmd. Each round has every fault
/// of --faults once, in an order drawn by the seed. At the end the ledger is read back from every
/// node, and the history of all operations is checked. Ctrl-C ends the drill cleanly, with the
/// report so far.
///
/// Faults of the leader: crash (SIGKILL), term (SIGTERM, so that it hands over and stops), freeze
/// (SIGSTOP), isolate (peer traffic is dropped), isolate-oneway (only what it sends), disk-slow
/// (each write takes 800 ms), disk-full (no write finds space), transfer (a planned hand-over).
/// Others: rolling-restart (each node in turn by SIGTERM), and, of own nodes only,
/// kill-both-followers (the leader must serve alone) and wipe (a follower loses its data folder).
///
/// From just before each fault of the leader a fresh write is offered to each survivor every
/// 5 ms, answered or not; FIRST COMMIT is the first that was offered after the fault and
/// acknowledged. VIEW is how much later the status of every survivor was right about who leads.
/// GAP is the longest time without a success: of the load, or of those writes with --load 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster failover-drill --iterations 5
  stegcluster failover-drill --local 5 --faults all --rounds 2 --html drill.html --plot gaps.png
  stegcluster failover-drill --faults crash,freeze --slo 'client_gap_ms.p99<250,failed<0.1%'
  stegcluster failover-drill --load 0 --iterations 100 --max-first-commit-ms 60
  stegcluster failover-drill --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081 \\
      --restart-cmd 'ssh $STEGCLUSTER_HOST systemctl start stegcluster'")]
pub struct FailoverDrillArgs {
    #[command(flatten)]
    ground: GroundArgs,
    /// Faults to inflict
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Inflict each fault this many times, instead of --iterations
    #[arg(long, value_name = "N", conflicts_with = "iterations", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: Option<u32>,
    /// Which, with commas between, or all: crash, term, freeze, isolate, isolate-oneway,
    /// disk-slow, disk-full, transfer, kill-both-followers, rolling-restart, wipe
    #[arg(long, value_name = "LIST", default_value = "crash", value_parser = parse_faults)]
    faults: Faults,
    /// Clients that embed meanwhile; 0 for an idle cluster
    #[arg(long, visible_alias = "clients", value_name = "CLIENTS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=1000))]
    load: u32,
    /// Least milliseconds between two embeds of one client
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pace_ms: u64,
    /// Size of each secret
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    secret_bytes: usize,
    /// Makes the same secrets, pauses and order of faults again
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// With --servers: a shell command that starts a node again after crash and term. It finds
    /// STEGCLUSTER_NODE, STEGCLUSTER_HOST and STEGCLUSTER_PORT in its environment
    #[arg(long, value_name = "COMMAND", requires = "servers")]
    restart_cmd: Option<String>,
    /// Exit with 2 where a target is missed: MEASURE[.p50|.p99|.max] < LIMIT, with commas
    /// between, such as client_gap_ms.p99<250,failed<0.1%
    #[arg(long, value_name = "TARGETS", value_parser = parse_targets)]
    slo: Option<SloList>,
    /// Exit with 2 where a first commit takes longer
    #[arg(long, value_name = "MS")]
    max_first_commit_ms: Option<f64>,
    /// Exit with 2 where a client gap is longer
    #[arg(long, value_name = "MS")]
    max_client_gap_ms: Option<f64>,
    /// Exit with 2 where a rejoin takes longer
    #[arg(long, value_name = "MS")]
    max_rejoin_ms: Option<f64>,
    /// Exit with 2 where a survivor's status is right later than this after the first commit
    #[arg(long, value_name = "MS")]
    max_view_ms: Option<f64>,
    /// Also write the report as JSON, to standard output for -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the gaps as a picture: PNG, or SVG where FILE ends so
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also write the report as one page that needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Where history, ledgers and logs are kept if a record is lost, doubled or read stale
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    evidence: PathBuf,
}

/// All values of one `--faults`.
#[derive(Debug, Clone)]
struct Faults(Vec<FaultKind>);

fn parse_faults(text: &str) -> Result<Faults, String> {
    drill::faults(text).map(Faults)
}

#[derive(Debug, Clone)]
struct SloList(Vec<Slo>);

fn parse_targets(text: &str) -> Result<SloList, SloError> {
    Slo::list(text).map(SloList)
}

/// Drills and reports.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: FailoverDrillArgs) -> anyhow::Result<ExitCode> {
    let interrupt = interrupt()?;
    // Not the first Ctrl-C: the end of the drill still asks the nodes what they hold.
    let ground = match args.ground.ground(Some(LOCAL), &interrupt.at_once) {
        Ok(ground) => ground,
        Err(error) => return Ok(output::fail(exit::COULD_NOT_RUN, &format!("{error:#}"))),
    };
    let mut ground = args.on(ground);
    let drilled = drill(&args, &mut ground, &interrupt);
    if let (Err(error), Ground::Local(fleet)) = (&drilled, &mut ground)
        && error.is_of_nodes()
    {
        fleet.keep_folder();
        output::say(&format!("the nodes' logs and data are in {}", fleet.folder().display()));
    }
    let drilled = match drilled {
        Ok(drilled) => drilled,
        Err(error) => return Ok(output::fail(exit::COULD_NOT_RUN, &error)),
    };
    let report = &drilled.report;
    if !args.json_takes_stdout() {
        output::print(&render(report));
    }
    let mut code = code(report);
    if !report.is_sound() || report.summary.unfinished.is_some() {
        match evidence::keep(&args.evidence, &drilled, &mut ground) {
            Ok(folder) => output::say(&format!("kept for you in {}", folder.display())),
            Err(error) => output::complain(&format!("the evidence could not be kept: {error}")),
        }
    }
    if let Err(error) = args.write(report) {
        output::complain(&format!("{error:#}"));
        // A loss is the graver news.
        code = if report.is_sound() { exit::COULD_NOT_RUN } else { exit::LOST };
    }
    Ok(ExitCode::from(code))
}

impl FailoverDrillArgs {
    fn json_takes_stdout(&self) -> bool {
        self.json.as_deref().is_some_and(|path| path.as_os_str() == "-")
    }

    fn on(&self, ground: Ground) -> Ground {
        match ground {
            Ground::Remote(servers, _) => {
                Ground::Remote(servers, self.restart_cmd.clone().map(RestartCommand))
            }
            local @ Ground::Local(_) => local,
        }
    }

    fn plan(&self) -> DrillPlan {
        let faults = self.faults.0.clone();
        let in_rounds = self.rounds.map(|rounds| rounds.saturating_mul(faults.len() as u32));
        DrillPlan {
            iterations: in_rounds.unwrap_or(self.iterations),
            faults,
            clients: self.load as usize,
            pace_ms: self.pace_ms,
            secret_bytes: self.secret_bytes,
            seed: self.seed,
            targets: Targets {
                first_commit_ms: self.max_first_commit_ms,
                client_gap_ms: self.max_client_gap_ms,
                rejoin_ms: self.max_rejoin_ms,
                view_ms: self.max_view_ms,
            },
            slo: self.slo.clone().map_or_else(Vec::new, |list| list.0),
            ..DrillPlan::default()
        }
    }

    /// The files that were asked for.
    fn write(&self, report: &DrillReport) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            output::write_json(path, report)?;
        }
        if let Some(path) = &self.plot {
            let figure = picture::gaps(report);
            let svg = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));
            write(path, if svg { figure.svg().into_bytes() } else { figure.png() })?;
        }
        if let Some(path) = &self.html {
            write(path, html::page(report).into_bytes())?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: Vec<u8>) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn drill(
    args: &FailoverDrillArgs,
    ground: &mut Ground,
    interrupt: &Interrupt,
) -> Result<Drilled, DrillError> {
    let plan = args.plan();
    drill::enough(ground.servers())?;
    let told = |number: u32, report: &IterationReport| {
        if !args.json_takes_stdout() {
            output::print(&report.told(number, plan.iterations, WIDTH));
        }
    };
    let telling = Telling { progress: &output::note, iteration: &told };
    drill::run(ground, &plan, interrupt, &telling)
}

fn code(report: &DrillReport) -> u8 {
    if !report.is_sound() {
        exit::LOST
    } else if !report.met_targets() {
        exit::TARGET_MISSED
    } else {
        exit::OK
    }
}

/// What each fault cost, a row each: median and longest.
fn render(report: &DrillReport) -> String {
    let head =
        ["FAULT", "N", "DETECT", "ELECT", "1ST COMMIT", "GAP", "REJOIN", "FAILED", "UNKNOWN"];
    let summary = &report.summary;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (fault, of) in &summary.by_fault {
        let same = || report.iterations.iter().filter(|iteration| iteration.fault == *fault);
        let failed = same().map(|iteration| iteration.failed).sum();
        let unknown = same().map(|iteration| iteration.unknown).sum();
        rows.push(row(fault, of.iterations, &of.times, failed, unknown));
    }
    if summary.by_fault.len() > 1 {
        let (failed, unknown) = (summary.failed, summary.unknown);
        rows.push(row("all", report.iterations.len(), &summary.times, failed, unknown));
    }
    let mut text = "\n".to_owned() + &output::table(&head, &rows);
    text += "times in ms from the fault: median/longest\n\n";
    for (fault, of) in &summary.by_fault {
        text += &stages(fault, &of.times);
    }
    text += &format!(
        "load: ok {}, failed {}, unknown {}, retried {}; longest gap {} ms; seed {}\n",
        summary.ok,
        summary.failed,
        summary.unknown,
        summary.retried,
        output::ms(Some(summary.max_gap_ms)),
        report.seed
    );
    text += &format!(
        "history: {} operations with {} reads, {} records not linearizable\n",
        summary.linearizable_checked, summary.linearizable_reads, summary.linearizable_missed
    );
    text += &format!(
        "leaders: {} terms led, {} of them by two nodes; spurious elections: {}\n",
        summary.terms_led, summary.terms_conflicting, summary.spurious_elections
    );
    for sentence in summary.examples.iter().chain(&summary.missed).chain(&summary.unfinished) {
        text += &format!("! {sentence}\n");
    }
    if summary.interrupted {
        let (made, planned) = (report.iterations.len(), report.config.plan.iterations);
        text += &format!("interrupted after {made} of {planned} faults\n");
    }
    text += &format!(
        "{} acknowledged records on {} nodes: lost {}, doubled {}\n",
        summary.acked,
        report.config.servers.len(),
        summary.lost,
        summary.duplicated
    );
    text
}

/// The medians of what lies between a fault and the first commit; nothing where no node won.
fn stages(fault: &str, times: &Times) -> String {
    if times.won_ms.p50.is_none() {
        return String::new();
    }
    let stages = [
        ("suspected", times.suspected_ms),
        ("held dead", times.condemned_ms),
        ("agreed", times.agreed_ms),
        ("won", times.won_ms),
        ("first commit", times.first_commit_ms),
    ];
    let seen = stages.iter().filter(|(_, spread)| spread.p50.is_some());
    let words: Vec<String> =
        seen.map(|(word, spread)| format!("{word} {}", output::ms(spread.p50))).collect();
    format!("{fault}, medians from the fault on: {}\n", words.join(", "))
}

fn row(fault: &str, iterations: usize, times: &Times, failed: u64, unknown: u64) -> Vec<String> {
    let pair = |spread: &Spread| match spread.p50 {
        None => "-".to_owned(),
        Some(_) => format!("{}/{}", output::ms(spread.p50), output::ms(spread.max)),
    };
    let mut cells = vec![fault.to_owned(), iterations.to_string()];
    let spreads = [
        &times.detect_ms,
        &times.elect_ms,
        &times.first_commit_ms,
        &times.client_gap_ms,
        &times.rejoin_ms,
    ];
    cells.extend(spreads.map(pair));
    cells.extend([failed.to_string(), unknown.to_string()]);
    cells
}
