//! The faults of a drill by name, and which comes next.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::words;
use crate::load::random::Random;

/// A fault, by the word of `--faults`. `docs/DRILL.md` has what must hold under each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The leader's process ends at once.
    Crash,
    /// The leader is told to stop, and hands over first.
    Term,
    /// The leader's process stands still, and goes on when its successor has served.
    Freeze,
    /// The leader's peer traffic is dropped, until its successor has served.
    Isolate,
    /// What the leader sends to peers is dropped; it hears them.
    IsolateOneway,
    /// Each write of the leader's database takes longer than a leader's may.
    DiskSlow,
    /// The leader's database finds no space.
    DiskFull,
    /// Leadership is handed over, and nothing ends.
    Transfer,
    /// All followers are killed, and the leader serves alone.
    KillBothFollowers,
    /// Each node in turn is told to stop, and started again.
    RollingRestart,
    /// A follower is killed, and comes back with an empty data folder.
    Wipe,
}

impl FaultKind {
    pub const ALL: [Self; 11] = [
        Self::Crash,
        Self::Term,
        Self::Freeze,
        Self::Isolate,
        Self::IsolateOneway,
        Self::DiskSlow,
        Self::DiskFull,
        Self::Transfer,
        Self::KillBothFollowers,
        Self::RollingRestart,
        Self::Wipe,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Term => "term",
            Self::Freeze => "freeze",
            Self::Isolate => "isolate",
            Self::IsolateOneway => "isolate-oneway",
            Self::DiskSlow => "disk-slow",
            Self::DiskFull => "disk-full",
            Self::Transfer => "transfer",
            Self::KillBothFollowers => "kill-both-followers",
            Self::RollingRestart => "rolling-restart",
            Self::Wipe => "wipe",
        }
    }

    /// True where another node has to take over: its times are those of a failover.
    pub fn takes_leader(self) -> bool {
        match self {
            Self::Crash
            | Self::Term
            | Self::Freeze
            | Self::Isolate
            | Self::IsolateOneway
            | Self::DiskSlow
            | Self::DiskFull
            | Self::Transfer => true,
            Self::KillBothFollowers | Self::RollingRestart | Self::Wipe => false,
        }
    }

    /// True where requests that reach the node are neither answered nor refused.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Freeze | Self::Isolate | Self::IsolateOneway)
    }

    /// True where the node still answers clients and must acknowledge nothing.
    pub fn cuts_off(self) -> bool {
        matches!(self, Self::Isolate | Self::IsolateOneway)
    }

    /// Elections that it may cause in a cluster of `nodes`; any more are spurious.
    pub fn elections_max(self, nodes: usize) -> u64 {
        match self {
            Self::Wipe => 0,
            // Each node may be the one that leads when its turn comes.
            Self::RollingRestart => nodes as u64,
            // The followers that return may not have heard yet that their leader is still there.
            Self::KillBothFollowers => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Serialize for FaultKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.word() == text);
        known.ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.map(Self::word).into_iter().chain(["all"]).collect();
            format!("unknown fault {text:?}{}", words::did_you_mean(text, &words))
        })
    }
}

/// Reads `crash,term`, or `all`.
///
/// # Errors
/// Names the word that is no fault, and what may have been meant.
pub fn faults(text: &str) -> Result<Vec<FaultKind>, String> {
    let mut faults = Vec::new();
    for word in text.split(',').map(str::trim) {
        match word {
            "all" => faults.extend(FaultKind::ALL),
            word => faults.push(word.parse()?),
        }
    }
    Ok(faults)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written_and_what_was_meant_is_named() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!(faults("crash, wipe").unwrap(), [FaultKind::Crash, FaultKind::Wipe]);
        assert_eq!(faults("all").unwrap(), FaultKind::ALL);
        let error = faults("crash,isolate-one-way").unwrap_err();
        assert!(error.contains("did you mean \"isolate-oneway\"?"), "{error}");
        assert!(faults("fire").unwrap_err().contains("; known: crash, term"));
    }

    #[test]
    fn each_round_has_every_fault_and_the_seed_repeats_the_order() {
        let draw = |seed| {
            let mut schedule = Schedule::new(&FaultKind::ALL, seed);
            (0..55).map(|_| schedule.next()).collect::<Vec<_>>()
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
