//! `stegcluster bench`: a load, and what its clients saw. `files` reads what is sent, `progress`
//! shows it going, `text` and `picture` say how it went, `compare` whether two runs differ.

mod compare;
mod files;
mod picture;
mod progress;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::servers::{GroundArgs, interrupt};
use super::{exit, output};
use crate::client::{Client, Interrupt, Patience, Stop};
use crate::drill::Ground;
use crate::load::generator::{self, fresh_prefix};
use crate::load::meter::Totals;
use crate::load::{BenchReport, LoadError, LoadPlan, Meter, Mix, Mode, Monitor};
use crate::record::Method;

/// How long own nodes may take to form a cluster.
const FORM_MAX: Duration = Duration::from_secs(30);
/// Clients of a closed loop, and requests of each, as the guide has it where nothing is said.
const CLIENTS_CLOSED: u32 = 20;
const REQUESTS: u64 = 200;
/// Of an open loop: so many that a stop of a second still finds a client free at most rates.
const CLIENTS_OPEN: u32 = 256;
/// Threads. Beyond it the machine that measures would be what is measured.
const CLIENTS_MAX: u32 = 10_000;
/// More clients than this keep to one server each, so that each needs one connection.
const ROUND_MAX: usize = 64;
/// Open files of the program itself, own nodes' logs and pipes among them.
const OTHER_FILES: u64 = 128;

/// Load the cluster and report latencies, errors and the longest gap
///
/// Closed loop, unless --rate is given: each client waits for its answer before it asks again,
/// and latency counts from when a request was sent. With --rate the loop is open: requests are
/// due at a steady rate whatever became of the others, and latency counts from when each was
/// due, so that an outage counts for every request it held up and not for one of each client.
///
/// A request that fails is retried on another node under the same id, and its latency has all of
/// it. Ctrl-C ends the load with the report so far.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  stegcluster bench --local 3 --clients 20 --reqs 200
  stegcluster bench --rate 500 --duration 60s --warm-up 5s --plot run.png --json run.json
  stegcluster bench --mode embed=70,extract=30 --cover photos/ --secret letters/ --verify
  stegcluster bench compare before.json after.json"
)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, clap::Subcommand)]
enum BenchCommand {
    Compare(compare::CompareArgs),
}

#[derive(Debug, clap::Args)]
struct LoadArgs {
    #[command(flatten)]
    ground: GroundArgs,
    /// Clients that ask at the same time; with --rate, at most [default: 20; 256 with --rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    clients: Option<u32>,
    /// Requests of each client [default: 200, or as many as --duration allows]
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    reqs: Option<u64>,
    /// Open loop: so many requests a second by all clients together
    #[arg(long, value_name = "N", value_parser = rate, requires = "duration")]
    rate: Option<f64>,
    /// How long, such as 30s or 5m, the warm-up aside
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    duration: Option<Duration>,
    /// Make requests for this long before they count, such as 2s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    warm_up: Duration,
    /// What to ask for: embed, extract, roundtrip or commit, or a mix such as
    /// embed=70,extract=30
    #[arg(long, value_name = "MODE", default_value_t = Mix::from(Mode::Embed))]
    mode: Mix,
    /// Make each request once: what a node turns away, or does not answer, has failed
    #[arg(long)]
    no_retry: bool,
    /// Read each result back through another node, and compare; not part of the latency
    #[arg(long)]
    verify: bool,
    /// Hide secrets in this picture, or in those of this folder; the node's own if not given
    #[arg(long, value_name = "PATH")]
    cover: Vec<PathBuf>,
    /// Hide this file, or those of this folder; random bytes if not given
    #[arg(long, value_name = "PATH", conflicts_with = "secret_bytes")]
    secret: Vec<PathBuf>,
    /// Size of each random secret
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    secret_bytes: usize,
    /// lsb, spread or adaptive; the node's choice if not given
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// Low bits of each colour sample to use, 1 to 4; more than 1 for lsb only
    #[arg(long, value_name = "N")]
    bits: Option<u8>,
    /// Encrypt with the passphrase on the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Makes the same secrets again
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    outputs: Outputs,
}

/// Where else the results go.
#[derive(Debug, clap::Args)]
struct Outputs {
    /// Also write the report as JSON, to standard output for -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw throughput, latencies and changes of leader over time, as PNG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also write the whole latency distribution, as HdrHistogram does (.hgrm, in ms)
    #[arg(long, value_name = "FILE")]
    hdr_out: Option<PathBuf>,
    /// Also write a row for each second, as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "a rate is a number of requests a second, up to 1000000".to_owned())
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(time) }
}

/// Loads and reports, or compares two reports.
///
/// # Errors
/// Ctrl-C could not be caught.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(BenchCommand::Compare(args)) => compare::run(&args),
        None => load(&args.load),
    }
}

fn load(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let interrupt = interrupt()?;
    // A folder that is not there is better known before the load than after it.
    let measured = args.outputs.check().and_then(|()| measure(args, &interrupt));
    let (report, totals) = match measured {
        Ok(measured) => measured,
        Err(error) => return Ok(output::fail(exit::COULD_NOT_RUN, &format!("{error:#}"))),
    };
    let json_takes_stdout =
        args.outputs.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if !json_takes_stdout {
        output::print(&text::render(&report));
    }
    if let Err(error) = args.outputs.write(&report, &totals) {
        return Ok(output::fail(exit::COULD_NOT_RUN, &format!("{error:#}")));
    }
    let nothing_done = report.ok == 0;
    let code = if report.failed > 0 || nothing_done { exit::FAILED } else { exit::OK };
    Ok(ExitCode::from(code))
}

impl Outputs {
    fn check(&self) -> anyhow::Result<()> {
        let all = [&self.json, &self.plot, &self.hdr_out, &self.csv];
        for path in all.into_iter().flatten().filter(|path| path.as_os_str() != "-") {
            let opened = std::fs::File::options().append(true).create(true).open(path);
            opened.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn write(&self, report: &BenchReport, totals: &Totals) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            output::write_json(path, report)?;
        }
        if let Some(path) = &self.plot {
            write(path, &picture::figure(report, &totals.slices).png())?;
        }
        if let Some(path) = &self.hdr_out {
            write(path, totals.distribution.hgrm().as_bytes())?;
        }
        if let Some(path) = &self.csv {
            write(path, report.csv().as_bytes())?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn measure(args: &LoadArgs, interrupt: &Interrupt) -> anyhow::Result<(BenchReport, Totals)> {
    let plan = plan(args)?;
    allow_files(&plan, args.ground.count())?;
    // Named, because it must live until the load is over: own nodes end with it.
    let mut ground = args.ground.ground_or_configured(&interrupt.clean)?;
    if let Ground::Local(fleet) = &mut ground {
        output::note("waiting for the local nodes to form a cluster");
        fleet.wait_formed(FORM_MAX, &interrupt.clean)?;
    }
    let attempts_max = if args.no_retry { 1 } else { u32::MAX };
    let patience = Patience { attempts_max, ..Patience::default() };
    let client = Client::new(ground.servers().clone(), patience, Stop::new());
    client.break_off_on(&interrupt.at_once);
    let monitor = Monitor::default();
    monitor.look(&client, None);
    anyhow::ensure!(
        monitor.learned().first_term.is_some(),
        "no server answered: {}",
        client.servers()
    );
    let (meter, done) = (Meter::start(), Stop::new());
    let progress = progress::Progress::new(&plan);
    std::thread::scope(|scope| -> Result<(), LoadError> {
        let _guard = done.trip_on_drop();
        scope.spawn(|| monitor.watch(&client, &meter, &done));
        scope.spawn(|| progress.show(&meter, &done));
        generator::run(&client, &plan, &interrupt.clean, &meter, &|_| {})
    })?;
    monitor.look(&client, None);
    let interrupted = interrupt.clean.is_tripped();
    let (totals, learned) = (meter.finish(), monitor.learned());
    let started = meter.started();
    let report = BenchReport::new(&client, &plan, &totals, &learned, started, interrupted);
    Ok((report, totals))
}

fn plan(args: &LoadArgs) -> anyhow::Result<LoadPlan> {
    let usual = if args.rate.is_some() { CLIENTS_OPEN } else { CLIENTS_CLOSED };
    let clients = args.clients.unwrap_or(usual) as usize;
    let usual = args.duration.is_none().then_some(REQUESTS);
    Ok(LoadPlan {
        mix: args.mode.clone(),
        clients,
        requests: args.reqs.or(usual),
        duration: args.duration,
        warm_up: Some(args.warm_up),
        pace: None,
        rate_rps: args.rate,
        sticky: clients > ROUND_MAX,
        verify: args.verify,
        secret_bytes: args.secret_bytes,
        material: files::material(args)?,
        seed: args.seed,
        id_prefix: fresh_prefix("bench"),
    })
}

/// Raises the limit of open files, for a socket or more of each client, as far as is allowed.
fn allow_files(plan: &LoadPlan, servers: usize) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let each = if plan.sticky { 2 } else { servers.max(1) };
    let needed = (plan.clients * each) as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        let allowed = limit.maximum.unwrap_or_default();
        anyhow::bail!(
            "{} clients need up to {needed} open files, and this process may have {allowed}; \
             raise the limit (ulimit -Hn), or take fewer clients",
            plan.clients
        );
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parsed(line: &str) -> Result<LoadArgs, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.bench.load).map_err(|error| error.to_string())
    }

    #[test]
    fn a_closed_loop_has_requests_or_a_duration_or_both() {
        let of = |line: &str| plan(&parsed(line).unwrap()).unwrap();
        let plain = of("");
        assert_eq!((plain.clients, plain.requests, plain.duration), (20, Some(200), None));
        let timed = of("--duration 30s --warm-up 2s");
        assert_eq!((timed.requests, timed.duration), (None, Some(Duration::from_secs(30))));
        assert_eq!(timed.warm_up, Some(Duration::from_secs(2)));
        assert_eq!(of("--duration 30s --reqs 7").requests, Some(7));
        assert!(of("--clients 2000").sticky && !plain.sticky);
    }

    #[test]
    fn an_open_loop_has_a_rate_and_a_duration() {
        let open = plan(&parsed("--rate 500 --duration 1m").unwrap()).unwrap();
        assert_eq!((open.rate_rps, open.clients, open.requests), (Some(500.0), 256, None));
        for (line, reason) in [
            ("--rate 500", "--duration"),
            ("--rate 0 --duration 1s", "requests a second"),
            ("--rate nan --duration 1s", "requests a second"),
            ("--rate 5 --duration 1s --reqs 2", "cannot be used with"),
            ("--duration 0s", "longer than nothing"),
            ("--duration 5", "time unit"),
            ("--clients 0", "1..=10000"),
            ("--mode embed=1,embed=2", "given twice"),
            ("--secret x --secret-bytes 9", "cannot be used with"),
        ] {
            let refused = parsed(line).unwrap_err();
            assert!(refused.contains(reason), "{line}: {refused}");
        }
    }
}
