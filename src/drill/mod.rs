//! Prove that nothing was lost or doubled: load, faults, and an account of every acknowledged
//! record. Knows nodes by their public API and, where local, as processes; never by their
//! insides. Begin with [`run`]; `iteration` is one failover, `check` the pure verdict.

mod board;
pub mod check;
mod faults;
pub mod history;
mod iteration;
mod ledger;
mod linear;
mod plan;
mod probe;
pub mod report;
mod stages;

use std::time::Duration;

pub use faults::{FaultKind, Ground};
pub use plan::{DrillPlan, Targets};
pub use report::DrillReport;

use crate::client::{Client, ClientError, Interrupt, Patience, ServerError, Servers, Stop};
use crate::clock;
use crate::fleet::FleetError;
use crate::load::generator::{self, LoadError, LoadPlan};
use crate::load::{Meter, Mode};
use history::History;
use iteration::{Drill, Ended};
use report::IterationReport;

/// The drill could not do its work; says nothing about records.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Servers(#[from] ServerError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the cluster was not whole before the drill: {0}")]
    NotReady(String),
    #[error("a drill needs at least 3 nodes to lose one of, and found {0}")]
    TooSmall(usize),
    #[error("the ledger could not be read back: {0}")]
    Ledger(String),
    #[error("the leader could not be made to fail: {0}")]
    Fault(#[source] ClientError),
    #[error("SIGTERM can be sent to own nodes only: use --local, or leave term out of --faults")]
    LocalOnly,
    #[error("{node} did not stop cleanly within {within:?} of SIGTERM")]
    BadStop { node: String, within: Duration },
}

/// What the drill does just now, for people.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// A load client's patience with one server where faults are silent: longer than a slow answer,
/// short enough that not all clients wait for one dead server.
const SILENT_ATTEMPT_MAX: Duration = Duration::from_secs(1);

/// Runs the drill to its end, or to a clean early one when `interrupt` is pressed.
///
/// # Errors
/// See [`DrillError`]. A fault that was not survived is no error but in the report.
pub fn run(
    ground: &mut Ground,
    plan: &DrillPlan,
    interrupt: &Interrupt,
    progress: Progress<'_>,
) -> Result<DrillReport, DrillError> {
    ground.can(&plan.faults)?;
    let client = Client::new(ground.servers().clone(), Patience::default(), Stop::new());
    client.break_off_on(&interrupt.at_once);
    let loading = load_client(ground.servers(), plan);
    loading.break_off_on(&interrupt.at_once);
    let mut drill = Drill::new(client.clone(), plan, interrupt);
    progress("waiting for the cluster to be whole");
    let first_term = drill.await_whole(ground)?;
    let (history, meter, load_stop) = (History::default(), Meter::start(), Stop::new());
    let on_interrupt = load_stop.clone();
    interrupt.clean.when_tripped(move || on_interrupt.trip());

    let mut iterations: Vec<IterationReport> = Vec::new();
    let mut unfinished = None;
    let linear = linear::Checker::new();
    std::thread::scope(|scope| -> Result<(), DrillError> {
        // Whatever happens below, the load ends, or the scope would wait for ever.
        let guard = load_stop.trip_on_drop();
        let closing = linear.close_on_drop();
        let loads = load_plans(plan, client.servers().len()).map(|load| {
            let (client, history, meter, stop) = (&loading, &history, &meter, &load_stop);
            let linear = &linear;
            scope.spawn(move || {
                generator::run(client, &load, stop, meter, &|done| {
                    history.record(done);
                    linear.offer(done);
                })
            })
        });
        let (checking, checker) = (&client, &linear);
        scope.spawn(move || checker.run(checking));
        let ended = drill.iterate(ground, &meter, &history, &mut iterations, progress);
        drop(guard);
        let loaded: Vec<_> = loads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        drop(closing);
        match ended {
            Ok(Ended::AsPlanned | Ended::Interrupted) => {}
            Ok(Ended::Stuck(why)) => unfinished = Some(why),
            Err(error) => return Err(error),
        }
        loaded.into_iter().flatten().collect::<Result<(), LoadError>>().map_err(DrillError::from)
    })?;

    progress("reading the ledger back from every node");
    drill.bring_all_back(ground)?;
    let listings = ledger::read_all(&client).map_err(DrillError::Ledger)?;
    let verdict = check::check(&history.acked(), &listings);
    let last_term = drill.highest_term().max(first_term);
    let spurious = last_term.saturating_sub(first_term).saturating_sub(drill.faults());
    let outcome = report::Outcome {
        counts: history.counts(),
        verdict,
        linear: linear.result(),
        spurious_elections: spurious,
        interrupted: interrupt.clean.is_tripped(),
        unfinished,
    };
    Ok(DrillReport::new(plan, ground, iterations, outcome, &meter.finish()))
}

fn load_client(servers: &Servers, plan: &DrillPlan) -> Client {
    let mut patience = Patience::default();
    if plan.faults.iter().any(|kind| kind.is_silent()) {
        patience.attempt_max = SILENT_ATTEMPT_MAX;
    }
    Client::new(servers.clone(), patience, Stop::new())
}

/// Mostly embeds, and for each server a client of small commits, whose short pace makes the gap
/// fine-grained. A silent server holds up only its own clients.
fn load_plans(plan: &DrillPlan, servers: usize) -> [LoadPlan; 2] {
    let load = |mode: Mode, clients, pace_ms, word: &str, stream| LoadPlan {
        mix: mode.into(),
        clients,
        requests: None,
        duration: None,
        pace: Some(Duration::from_millis(pace_ms)),
        sticky: true,
        secret_bytes: plan.secret_bytes,
        seed: plan.seed.wrapping_add(stream),
        id_prefix: format!("drill-{word}-{}", clock::fresh_time_ordered_uuid().simple()),
        ..LoadPlan::default()
    };
    [
        load(Mode::Embed, plan.clients, plan.pace_ms, "embed", 0),
        load(Mode::Commit, plan.clients.min(1) * servers, plan.pace_ms, "commit", 1),
    ]
}

/// The servers of a drill, at least three.
///
/// # Errors
/// [`DrillError::TooSmall`].
pub fn enough(servers: &Servers) -> Result<(), DrillError> {
    if servers.len() >= 3 { Ok(()) } else { Err(DrillError::TooSmall(servers.len())) }
}
