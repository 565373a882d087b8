//! The command line: the clap root, and what each subcommand does and prints, one file
//! each. Only this room knows `anyhow`; only `exit` knows exit codes.

mod analyze;
mod backup;
mod bench;
mod capacity;
mod certs;
mod doctor;
mod embed;
pub mod exit;
mod extract;
mod failover_drill;
mod files;
mod generate;
mod harden;
mod kill_leader;
mod members;
mod output;
mod records;
mod recover;
pub mod reference;
mod serve;
mod servers;
mod status;
mod status_table;
mod steps;
mod supervise;
mod term;
mod thaw;
mod transfer_leader;
mod verify;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// A steganography service that keeps answering when machines die, and proves it
///
/// `serve` runs a node on each of 1, 3 or 5 machines. The other commands operate the
/// cluster and prove that it survives: they kill its leader, measure what clients saw,
/// and check that nothing was lost.
#[derive(Debug, Parser)]
#[command(
    name = "stegcluster",
    version,
    max_term_width = 100,
    after_help = "Examples:
  stegcluster serve
  stegcluster failover-drill --local 3 --iterations 5"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // By far the largest: the others need not be as large.
    Serve(Box<serve::ServeArgs>),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    KillLeader(kill_leader::KillLeaderArgs),
    Members(members::MembersArgs),
    Recover(recover::RecoverArgs),
    TransferLeader(transfer_leader::TransferLeaderArgs),
    Bench(bench::BenchArgs),
    FailoverDrill(failover_drill::FailoverDrillArgs),
    Embed(embed::EmbedArgs),
    Extract(extract::ExtractArgs),
    Capacity(capacity::CapacityArgs),
    Verify(verify::VerifyArgs),
    Records(records::RecordsArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Certs(certs::CertsArgs),
    Analyze(analyze::AnalyzeArgs),
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
    #[command(name = "_thaw", hide = true)]
    Thaw(thaw::ThawArgs),
}

/// Version, commit and target, as `--version` says them. The manual has only the
/// version, so that it does not change with every commit.
fn version() -> String {
    format!(
        "{} (commit {}, {})",
        env!("CARGO_PKG_VERSION"),
        env!("STEGCLUSTER_COMMIT"),
        env!("STEGCLUSTER_TARGET")
    )
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    // Clap itself answers --help and --version, and wrong usage with exit code 2.
    let matches = Cli::command().version(version()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Status(args) => status::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::KillLeader(args) => kill_leader::run(args),
        Command::Members(args) => members::run(args),
        Command::Recover(args) => recover::run(&args),
        Command::TransferLeader(args) => transfer_leader::run(args),
        Command::Bench(args) => bench::run(args),
        Command::FailoverDrill(args) => failover_drill::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Extract(args) => extract::run(args),
        Command::Capacity(args) => capacity::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Records(args) => records::run(args),
        Command::Backup(args) => backup::run_backup(&args),
        Command::Restore(args) => backup::run_restore(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Thaw(args) => thaw::run(&args),
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(exit::FAILED)
    })
}

/// One line on standard error, with its causes.
fn complain(error: &anyhow::Error) {
    // The terminal may be gone; then there is nobody left to tell.
    let _ = writeln!(std::io::stderr().lock(), "stegcluster: {error:#}");
}
