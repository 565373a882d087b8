//! The ways in which a leader loses its leadership, and how it comes back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::DrillError;
use crate::api::cluster::{FailRequest, FaultAction, TransferRequest};
use crate::client::{Client, ClientError, Servers};
use crate::clock::{self, Instant};
use crate::fleet::Fleet;
use crate::load::random::Random;

/// How long a node may take to stop after SIGTERM before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);
/// A frozen node of somebody's wakes by itself after this: long after its successor served.
const REMOTE_FREEZE_MS: u64 = 1500;
/// A node that was told to fail, and answers nothing for this long, has.
const SILENT_AFTER: Duration = Duration::from_millis(100);
/// How long a node may go on answering after it was told to fail.
const FAIL_MAX: Duration = Duration::from_secs(2);

/// A way to take leadership from a leader, by the word of `--faults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The process ends at once.
    Crash,
    /// The process is told to stop, and hands over first.
    Term,
    /// The process stands still, and goes on when its successor has served.
    Freeze,
    /// Peer traffic is dropped, until its successor has served.
    Isolate,
    /// Leadership is handed over, and nothing ends.
    Transfer,
}

impl FaultKind {
    pub const ALL: [Self; 5] =
        [Self::Crash, Self::Term, Self::Freeze, Self::Isolate, Self::Transfer];

    /// True where requests that reach the old leader are neither answered nor refused.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Freeze | Self::Isolate)
    }

    /// True where a process ends.
    pub fn ends_process(self) -> bool {
        matches!(self, Self::Crash | Self::Term)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Crash => "crash",
            Self::Term => "term",
            Self::Freeze => "freeze",
            Self::Isolate => "isolate",
            Self::Transfer => "transfer",
        })
    }
}

impl Serialize for FaultKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        known.ok_or_else(|| {
            format!("unknown fault {text:?}; known: crash, term, freeze, isolate, transfer")
        })
    }
}

/// Which fault comes next: rounds through all that are planned, each round in an order that the
/// seed draws, so that each kind follows each other one.
#[derive(Debug)]
pub(super) struct Schedule {
    kinds: Vec<FaultKind>,
    round: Vec<FaultKind>,
    random: Random,
}

impl Schedule {
    pub fn new(kinds: &[FaultKind], seed: u64) -> Self {
        let kinds = if kinds.is_empty() { vec![FaultKind::Crash] } else { kinds.to_vec() };
        Self { kinds, round: Vec::new(), random: Random::stream(seed, 3) }
    }

    pub fn next(&mut self) -> FaultKind {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
        }
        let drawn = self.random.below(self.round.len() as u64) as usize;
        self.round.swap_remove(drawn)
    }
}

/// When a fault happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Just before it, so that times counted from here are never too short.
    pub at: Instant,
    /// A write that was offered from here on cannot be the old leader's to acknowledge, but in a
    /// planned hand-over.
    pub effective: Instant,
}

impl Timing {
    fn at(at: Instant) -> Self {
        Self { at, effective: at }
    }
}

/// Where the drill takes place.
#[derive(Debug)]
pub enum Ground {
    /// Own processes: killed, stopped and restarted by us.
    Local(Box<Fleet>),
    /// Somebody's cluster: fails through `/admin/fail`, restarted by its supervisor or by
    /// people.
    Remote(Servers),
}

impl Ground {
    pub fn servers(&self) -> &Servers {
        match self {
            Self::Local(fleet) => fleet.servers(),
            Self::Remote(servers) => servers,
        }
    }

    /// The report's word for what was done.
    pub fn word(&self, kind: FaultKind) -> &'static str {
        match (self, kind) {
            (Self::Local(_), FaultKind::Crash) => "sigkill",
            (Self::Local(_), FaultKind::Term) => "sigterm",
            (Self::Local(_), FaultKind::Freeze) => "sigstop",
            (Self::Remote(_), FaultKind::Crash) => "crash",
            (Self::Remote(_), FaultKind::Term) => "term",
            (Self::Remote(_), FaultKind::Freeze) => "freeze",
            (_, FaultKind::Isolate) => "isolate",
            (_, FaultKind::Transfer) => "transfer",
        }
    }

    /// # Errors
    /// One of `kinds` cannot be done here.
    pub fn can(&self, kinds: &[FaultKind]) -> Result<(), DrillError> {
        match self {
            Self::Remote(_) if kinds.contains(&FaultKind::Term) => Err(DrillError::LocalOnly),
            Self::Local(_) | Self::Remote(_) => Ok(()),
        }
    }

    /// True where a node under this fault answers nobody until it is back, and when that is shows
    /// only by its answer.
    pub(super) fn returns_unannounced(&self, kind: FaultKind) -> bool {
        kind.ends_process() || (kind == FaultKind::Freeze && matches!(self, Self::Remote(_)))
    }

    /// Does it to node `number`, and says when.
    pub(super) fn inflict(
        &mut self,
        client: &Client,
        number: usize,
        kind: FaultKind,
    ) -> Result<Timing, DrillError> {
        match (self, kind) {
            (Self::Local(fleet), FaultKind::Crash) => Ok(Timing::at(fleet.kill(number)?)),
            (Self::Local(fleet), FaultKind::Term) => Ok(Timing::at(fleet.terminate(number)?)),
            (Self::Local(fleet), FaultKind::Freeze) => Ok(Timing::at(fleet.freeze(number)?)),
            (ground, FaultKind::Isolate) => {
                let at = clock::now();
                ground.fail(client, number, &FailRequest::new(FaultAction::Isolate))?;
                Ok(Timing { at, effective: clock::now() })
            }
            (ground, FaultKind::Transfer) => {
                let at = clock::now();
                let victim = ground.servers().nth(number);
                let handed = client.transfer(victim, &TransferRequest::default());
                handed.map(|_| Timing::at(at)).map_err(DrillError::Fault)
            }
            (Self::Remote(_), FaultKind::Term) => Err(DrillError::LocalOnly),
            (ground @ Self::Remote(_), FaultKind::Crash) => {
                ground.fail(client, number, &FailRequest::new(FaultAction::Crash))?;
                ground.await_silence(client, number)
            }
            (ground @ Self::Remote(_), FaultKind::Freeze) => {
                let request = FailRequest {
                    duration_ms: Some(REMOTE_FREEZE_MS),
                    ..FailRequest::new(FaultAction::Freeze)
                };
                ground.fail(client, number, &request)?;
                ground.await_silence(client, number)
            }
        }
    }

    fn fail(
        &self,
        client: &Client,
        number: usize,
        request: &FailRequest,
    ) -> Result<(), DrillError> {
        match client.fail(self.servers().nth(number), request) {
            // A crash may leave no time to answer.
            Ok(_) | Err(ClientError::NoAnswer { .. }) => Ok(()),
            Err(error) => Err(DrillError::Fault(error)),
        }
    }

    /// A node answers before it fails, so the fault happened at its last answer at the earliest.
    fn await_silence(&self, client: &Client, number: usize) -> Result<Timing, DrillError> {
        let victim = self.servers().nth(number);
        let asked = clock::now();
        let mut answered = asked;
        while clock::now() < asked + FAIL_MAX {
            match client.status(victim, SILENT_AFTER) {
                Ok(_) => answered = clock::now(),
                Err(_) => return Ok(Timing::at(answered)),
            }
        }
        Err(DrillError::NotReady(format!("{victim} was told to fail and still answers")))
    }

    /// Ends the fault, where that is ours to do, and says when it began to end.
    pub(super) fn relieve(
        &mut self,
        client: &Client,
        number: usize,
        kind: FaultKind,
    ) -> Result<Instant, DrillError> {
        let begun = clock::now();
        match (self, kind) {
            (Self::Local(fleet), FaultKind::Crash) => drop(fleet.start(number)?),
            (Self::Local(fleet), FaultKind::Term) => {
                if !fleet.await_exit(number, STOP_MAX)? {
                    let node = fleet.name(number).to_string();
                    return Err(DrillError::BadStop { node, within: STOP_MAX });
                }
                fleet.start(number)?;
            }
            (Self::Local(fleet), FaultKind::Freeze) => drop(fleet.thaw(number)?),
            (ground, FaultKind::Isolate) => {
                let victim = ground.servers().nth(number);
                client.restore(victim).map_err(DrillError::Fault)?;
            }
            (_, FaultKind::Transfer) | (Self::Remote(_), _) => {}
        }
        Ok(begun)
    }

    /// Ends whatever may be left of `kinds` on any node.
    pub(super) fn relieve_all(
        &mut self,
        client: &Client,
        kinds: &[FaultKind],
    ) -> Result<(), DrillError> {
        if let Self::Local(fleet) = self {
            // Those that do not run cannot be frozen.
            (0..fleet.len()).for_each(|number| drop(fleet.thaw(number)));
            fleet.start_all()?;
        }
        if kinds.contains(&FaultKind::Isolate) {
            // One that is down has lost its isolation with its process.
            self.servers().iter().for_each(|server| drop(client.restore(server)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("fire".parse::<FaultKind>().unwrap_err().contains("known"));
    }

    #[test]
    fn each_round_has_every_fault_and_the_seed_repeats_the_order() {
        let draw = |seed| {
            let mut schedule = Schedule::new(&FaultKind::ALL, seed);
            (0..50).map(|_| schedule.next()).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
        for round in drawn.chunks(FaultKind::ALL.len()) {
            assert!(FaultKind::ALL.iter().all(|kind| round.contains(kind)), "{round:?}");
        }
        let mut only = Schedule::new(&[], 1);
        assert_eq!([only.next(), only.next()], [FaultKind::Crash; 2]);
    }
}
