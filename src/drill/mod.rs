//! Prove that nothing was lost or doubled: load, faults, and an account of every acknowledged
//! record. Knows nodes by their public API and, where local, as processes; never by their
//! insides. Begin with [`run`]; `iteration` has what all faults share, `check` and `linear` the
//! pure verdicts.

mod board;
pub mod check;
mod clients;
pub mod evidence;
mod failover;
mod faults;
mod ground;
pub mod history;
pub mod html;
mod iteration;
mod leaders;
mod ledger;
pub mod linear;
mod outage;
pub mod picture;
mod plan;
mod probe;
pub mod report;
mod slo;
mod stages;
pub mod timeline;
mod words;

use std::time::Duration;

pub use faults::{FaultKind, faults};
pub use ground::{Ground, RestartCommand};
pub use plan::{DrillPlan, Targets};
pub use report::DrillReport;
pub use slo::{Slo, SloError};

use crate::client::{Client, ClientError, Interrupt, Patience, ServerError, Servers, Stop};
use crate::clock::millis;
use crate::fleet::FleetError;
use check::Listing;
use clients::{Clients, Pulse};
use history::{History, Operation};
use iteration::{Drill, Ended, Stage};
use leaders::Leaders;
use report::IterationReport;

/// The drill could not do its work; says nothing about records.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Servers(#[from] ServerError),
    #[error("the cluster was not whole before the drill: {0}")]
    NotReady(String),
    #[error("a drill needs at least 3 nodes to lose one of, and found {0}")]
    TooSmall(usize),
    #[error("the ledger could not be read back: {0}")]
    Ledger(String),
    #[error("the node could not be made to fail: {0}")]
    Fault(#[source] ClientError),
    #[error("{0} can be done to own nodes only: use --local, or leave it out of --faults")]
    LocalOnly(FaultKind),
    #[error("--restart-cmd for {node} failed: {cause}")]
    RestartCommand { node: String, cause: String },
    #[error("{node} did not stop cleanly within {within:?} of SIGTERM")]
    BadStop { node: String, within: Duration },
}

impl DrillError {
    /// True where what the nodes wrote may tell more.
    pub fn is_of_nodes(&self) -> bool {
        match self {
            Self::Fleet(_)
            | Self::NotReady(_)
            | Self::Ledger(_)
            | Self::Fault(_)
            | Self::BadStop { .. } => true,
            Self::Servers(_)
            | Self::TooSmall(_)
            | Self::LocalOnly(_)
            | Self::RestartCommand { .. } => false,
        }
    }
}

/// Who is told what, while a drill goes on.
pub struct Telling<'a> {
    /// What the drill does just now.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// An iteration that is over, by its number.
    pub iteration: &'a dyn Fn(u32, &IterationReport),
}

/// A drill that came to its end: the report, and what it was made from.
#[derive(Debug)]
pub struct Drilled {
    pub report: DrillReport,
    /// Of every client, in the order of their ends.
    pub operations: Vec<Operation>,
    /// Every node's ledger at the end.
    pub listings: Vec<Listing>,
}

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
    telling: &Telling<'_>,
) -> Result<Drilled, DrillError> {
    ground.can(&plan.faults)?;
    let client = Client::new(ground.servers().clone(), Patience::default(), Stop::new());
    client.break_off_on(&interrupt.at_once);
    let loading = load_client(ground.servers(), plan);
    loading.break_off_on(&interrupt.at_once);
    let (history, pulse, leaders) = (History::default(), Pulse::start(), Leaders::default());
    let stage = Stage { pulse: &pulse, history: &history, leaders: &leaders };
    let mut drill = Drill::new(client.clone(), plan, interrupt, stage);
    (telling.progress)("waiting for the cluster to be whole");
    let first_term = drill.await_whole(ground)?;
    let load_stop = Stop::new();
    let on_interrupt = load_stop.clone();
    interrupt.clean.when_tripped(move || on_interrupt.trip());

    let mut iterations: Vec<IterationReport> = Vec::new();
    let clients =
        Clients { client: &loading, plan, history: &history, pulse: &pulse, stop: &load_stop };
    let ended = std::thread::scope(|scope| {
        // Whatever happens below, the load ends, or the scope would wait for ever.
        let _guard = load_stop.trip_on_drop();
        scope.spawn(|| clients.run());
        drill.iterate(ground, &mut iterations, telling)
    })?;
    let unfinished = match ended {
        Ended::AsPlanned | Ended::Interrupted => None,
        Ended::Stuck(why) => Some(why),
    };

    (telling.progress)("reading the ledger back from every node");
    drill.bring_all_back(ground)?;
    let listings = ledger::read_all(&client).map_err(DrillError::Ledger)?;
    let operations = history.operations();
    (telling.progress)("checking the history");
    let conflicts = leaders.conflicts();
    let outcome = report::Outcome {
        counts: history.counts(),
        verdict: check::check(&history::acked(&operations), &listings),
        linear: linear::check(&operations),
        spurious_elections: drill.spurious_elections(first_term),
        terms_led: leaders.terms(),
        conflicts: conflicts.len() as u64,
        violations: drill.violations.iter().cloned().chain(conflicts).collect(),
        max_gap_ms: millis(pulse.longest_gap()),
        p99_ms: pulse.p99_ms(),
        interrupted: interrupt.clean.is_tripped(),
        unfinished,
    };
    let report = DrillReport::new(plan, ground, iterations, outcome);
    Ok(Drilled { report, operations, listings })
}

fn load_client(servers: &Servers, plan: &DrillPlan) -> Client {
    let mut patience = Patience::default();
    if plan.faults.iter().any(|kind| kind.is_silent()) {
        patience.attempt_max = SILENT_ATTEMPT_MAX;
    }
    Client::new(servers.clone(), patience, Stop::new())
}

/// The servers of a drill, at least three.
///
/// # Errors
/// [`DrillError::TooSmall`].
pub fn enough(servers: &Servers) -> Result<(), DrillError> {
    if servers.len() >= 3 { Ok(()) } else { Err(DrillError::TooSmall(servers.len())) }
}
