//! `stegcluster bench`: a closed-loop load and what its clients saw.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::servers::{GroundArgs, interrupt};
use super::{exit, output};
use crate::client::{Client, Interrupt, Patience, Stop};
use crate::drill::Ground;
use crate::load::generator::{self, fresh_prefix};
use crate::load::{BenchReport, LoadError, LoadPlan, Meter, Mode, Monitor};

/// How long own nodes may take to form a cluster.
const FORM_MAX: Duration = Duration::from_secs(30);

/// Load the cluster and report latencies, errors and the longest gap
///
/// Each client waits for its answer before it asks again; a request that fails is retried on
/// another node under the same id. Ctrl-C ends it with the report so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster bench --local 3 --clients 20 --reqs 200
  stegcluster bench --servers 10.0.0.1:8081,10.0.0.2:8081 --mode roundtrip --json bench.json")]
pub struct BenchArgs {
    #[command(flatten)]
    ground: GroundArgs,
    /// Clients that ask at the same time
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// Requests of each client
    #[arg(long, value_name = "N", default_value_t = 200)]
    reqs: u64,
    /// What to ask for: embed, extract, roundtrip or commit
    #[arg(long, value_name = "MODE", default_value_t = Mode::Embed)]
    mode: Mode,
    /// Size of each secret
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    secret_bytes: usize,
    /// Makes the same secrets again
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Also write the report as JSON, to standard output for -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Loads and reports.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let interrupt = interrupt()?;
    let report = match measure(&args, &interrupt) {
        Ok(report) => report,
        Err(error) => return Ok(output::fail(exit::COULD_NOT_RUN, &format!("{error:#}"))),
    };
    let json_takes_stdout = args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if !json_takes_stdout {
        output::print(&render(&report));
    }
    if let Some(path) = &args.json
        && let Err(error) = output::write_json(path, &report)
    {
        return Ok(output::fail(exit::COULD_NOT_RUN, &format!("{error:#}")));
    }
    let nothing_done = report.ok == 0;
    let code = if report.failed > 0 || nothing_done { exit::FAILED } else { exit::OK };
    Ok(ExitCode::from(code))
}

fn measure(args: &BenchArgs, interrupt: &Interrupt) -> anyhow::Result<BenchReport> {
    // Named, because it must live until the load is over: own nodes end with it.
    let mut ground = args.ground.ground_or_configured(&interrupt.clean)?;
    if let Ground::Local(fleet) = &mut ground {
        output::note("waiting for the local nodes to form a cluster");
        fleet.wait_formed(FORM_MAX, &interrupt.clean)?;
    }
    let client = Client::new(ground.servers().clone(), Patience::default(), Stop::new());
    client.break_off_on(&interrupt.at_once);
    let plan = LoadPlan {
        mode: args.mode,
        clients: args.clients as usize,
        requests: Some(args.reqs),
        duration: None,
        pace: None,
        sticky: false,
        secret_bytes: args.secret_bytes,
        seed: args.seed,
        id_prefix: fresh_prefix("bench"),
    };
    let monitor = Monitor::default();
    monitor.look(&client, None);
    anyhow::ensure!(
        monitor.learned().first_term.is_some(),
        "no server answered: {}",
        client.servers()
    );
    let bar = progress_bar(u64::from(args.clients).saturating_mul(args.reqs));
    let (meter, done) = (Meter::start(), Stop::new());
    std::thread::scope(|scope| -> Result<(), LoadError> {
        let _guard = done.trip_on_drop();
        scope.spawn(|| monitor.watch(&client, &meter, &done));
        generator::run(&client, &plan, &interrupt.clean, &meter, &|_| bar.inc(1))
    })?;
    bar.finish_and_clear();
    monitor.look(&client, None);
    let interrupted = interrupt.clean.is_tripped();
    Ok(BenchReport::new(&client, &plan, meter.finish(), &monitor.learned(), interrupted))
}

/// On a terminal; indicatif hides it elsewhere.
fn progress_bar(requests: u64) -> ProgressBar {
    let bar = ProgressBar::new(requests);
    // The default style stays where the template should be refused.
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

fn render(report: &BenchReport) -> String {
    let ms = output::ms;
    let latency = &report.latency_ms;
    let mut text = format!(
        "{} by {} clients: {} requests in {:.1} s, {:.1} a second{}\n\
         ok {}, failed {} ({:.2} %), unknown {}, retried {}\n\
         latency ms: p50 {}, p90 {}, p95 {}, p99 {}, p99.9 {}, max {}\n\
         longest gap without a success {} ms, elections {}\n\n",
        report.mode,
        report.clients,
        report.requests,
        report.duration_s,
        report.throughput_rps,
        if report.interrupted { " (interrupted)" } else { "" },
        report.ok,
        report.failed,
        report.error_rate * 100.0,
        report.unknown,
        report.retried,
        ms(latency.p50),
        ms(latency.p90),
        ms(latency.p95),
        ms(latency.p99),
        ms(latency.p999),
        ms(latency.max),
        ms(Some(report.max_gap_ms)),
        report.elections,
    );
    let row = |(node, counts): (&String, &crate::load::meter::PerNode)| {
        vec![node.clone(), counts.ok.to_string(), counts.failed.to_string()]
    };
    let rows: Vec<Vec<String>> = report.per_node.iter().map(row).collect();
    text += &output::table(&["NODE", "OK", "FAILED"], &rows);
    for (failure, times) in &report.failures {
        text += &format!("failed {times} times: {failure}\n");
    }
    text
}
