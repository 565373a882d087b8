//! `stegcluster failover-drill`: take the leader away under load, again and again, and prove that
//! nothing was lost.

use std::path::PathBuf;
use std::process::ExitCode;

use super::servers::{GroundArgs, interrupt};
use super::{exit, output};
use crate::client::Interrupt;
use crate::drill::report::{IterationReport, Spread, Times};
use crate::drill::{self, DrillError, DrillPlan, DrillReport, FaultKind, Targets};

/// Own nodes where neither --servers nor --local is given.
const LOCAL: usize = 3;

/// Kill the leader under load, again and again, and account for every acknowledged record
///
/// With own nodes (the default, --local 3) the leader is killed with SIGKILL and restarted; with
/// --servers it is crashed through /admin/fail and its return is awaited, so something must
/// restart it. At the end the ledger is read back from every node. Ctrl-C ends the drill cleanly,
/// with the report so far.
///
/// Other faults than a crash are asked for with --faults: term (SIGTERM, so that the leader hands
/// over and stops; own nodes only), freeze (SIGSTOP, and SIGCONT when the new leader has served),
/// isolate (peer traffic is dropped, and restored when the new leader has served) and transfer (a
/// planned hand-over). Each round has each of them once, in an order drawn by the seed. After
/// every fault the old leader must have stepped down and caught up.
///
/// From just before each fault a fresh write is offered to each survivor every 5 ms, answered or
/// not; FIRST COMMIT is the first that was offered after the fault and acknowledged. VIEW is how
/// much later the status of every survivor was right about who leads. GAP is the longest time
/// without a success: of the load, or of those writes with --load 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster failover-drill --iterations 5
  stegcluster failover-drill --local 5 --iterations 20 --json drill.json
  stegcluster failover-drill --faults crash,term,freeze,isolate,transfer --iterations 200
  stegcluster failover-drill --load 0 --iterations 100 --max-first-commit-ms 60
  stegcluster failover-drill --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081")]
pub struct FailoverDrillArgs {
    #[command(flatten)]
    ground: GroundArgs,
    /// Leaders to take away
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// What to do to them, with commas between: crash, term, freeze, isolate, transfer
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "crash")]
    faults: Vec<FaultKind>,
    /// Clients that embed meanwhile; 0 for an idle cluster
    #[arg(long, visible_alias = "clients", value_name = "CLIENTS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=1000))]
    load: u32,
    /// Least milliseconds between two embeds of one client
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pace_ms: u64,
    /// Size of each secret
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    secret_bytes: usize,
    /// Makes the same secrets and the same pauses again
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
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
}

/// Drills and reports.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: FailoverDrillArgs) -> anyhow::Result<ExitCode> {
    let interrupt = interrupt()?;
    let report = match drill(&args, &interrupt) {
        Ok(report) => report,
        Err(error) => return Ok(output::fail(exit::COULD_NOT_RUN, &error)),
    };
    let json_takes_stdout = args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if !json_takes_stdout {
        output::print(&render(&report));
    }
    if let Some(path) = &args.json
        && let Err(error) = output::write_json(path, &report)
    {
        output::complain(&format!("{error:#}"));
        // A loss is the graver news.
        let code = if report.is_sound() { exit::COULD_NOT_RUN } else { exit::LOST };
        return Ok(ExitCode::from(code));
    }
    Ok(ExitCode::from(code(&report)))
}

fn drill(args: &FailoverDrillArgs, interrupt: &Interrupt) -> Result<DrillReport, DrillError> {
    let plan = DrillPlan {
        iterations: args.iterations,
        faults: args.faults.clone(),
        clients: args.load as usize,
        pace_ms: args.pace_ms,
        secret_bytes: args.secret_bytes,
        seed: args.seed,
        targets: Targets {
            first_commit_ms: args.max_first_commit_ms,
            client_gap_ms: args.max_client_gap_ms,
            rejoin_ms: args.max_rejoin_ms,
            view_ms: args.max_view_ms,
        },
        ..DrillPlan::default()
    };
    // Not the first Ctrl-C: the end of the drill still asks the nodes what they hold.
    let mut ground = args.ground.ground(Some(LOCAL), &interrupt.at_once)?;
    drill::enough(ground.servers())?;
    drill::run(&mut ground, &plan, interrupt, &output::note)
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

fn render(report: &DrillReport) -> String {
    let head = [
        "#",
        "FAULT",
        "OLD",
        "NEW",
        "TERM",
        "DETECT",
        "ELECT",
        "1ST COMMIT",
        "GAP",
        "VIEW",
        "REJOIN",
        "OK",
        "FAILED",
        "UNKNOWN",
    ];
    let mut rows: Vec<Vec<String>> = report.iterations.iter().enumerate().map(row).collect();
    let summary = &report.summary;
    for (fault, of) in &summary.by_fault {
        rows.extend(spreads(fault, of.iterations, &of.times));
    }
    if summary.by_fault.len() > 1 {
        rows.extend(spreads("all", report.iterations.len(), &summary.times));
    }
    let mut text = output::table(&head, &rows);
    text += "times in ms\n\n";
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
        "linearizable reads: {} made, {} missed a record; spurious elections: {}\n",
        summary.linearizable_reads, summary.linearizable_missed, summary.spurious_elections
    );
    for sentence in summary.examples.iter().chain(&summary.missed).chain(&summary.unfinished) {
        text += &format!("! {sentence}\n");
    }
    if summary.interrupted {
        let (made, planned) = (report.iterations.len(), report.config.plan.iterations);
        text += &format!("interrupted after {made} of {planned} failovers\n");
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

/// Three rows for some iterations.
fn spreads(fault: &str, iterations: usize, times: &Times) -> Vec<Vec<String>> {
    type Pick = fn(&Spread) -> Option<f64>;
    let picks: [(&str, Pick); 3] =
        [("p50", |spread| spread.p50), ("p99", |spread| spread.p99), ("max", |spread| spread.max)];
    let row = |(name, pick): (&str, Pick)| {
        let mut cells = vec![name.to_owned(), fault.to_owned(), format!("of {iterations}")];
        cells.resize(5, String::new());
        let spreads = [
            &times.detect_ms,
            &times.elect_ms,
            &times.first_commit_ms,
            &times.client_gap_ms,
            &times.view_ms,
            &times.rejoin_ms,
        ];
        cells.extend(spreads.map(|spread| output::ms(pick(spread))));
        cells
    };
    picks.into_iter().map(row).collect()
}

fn row((number, iteration): (usize, &IterationReport)) -> Vec<String> {
    let ms = output::ms;
    vec![
        (number + 1).to_string(),
        iteration.fault.to_owned(),
        iteration.old_leader.clone(),
        iteration.new_leader.clone().unwrap_or_else(|| "-".to_owned()),
        iteration.term.to_string(),
        ms(iteration.detect_ms),
        ms(iteration.elect_ms),
        ms(iteration.first_commit_ms),
        ms(iteration.client_gap_ms),
        ms(iteration.view_ms),
        ms(iteration.rejoin_ms),
        iteration.ok.to_string(),
        iteration.failed.to_string(),
        iteration.unknown.to_string(),
    ]
}
