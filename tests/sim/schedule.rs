//! Draws a run from its seed: how many hosts, what goes wrong, for how long.

use std::time::Duration;

use stegcluster::config::{Preset, Snapshots};
use stegcluster::sim::random::Random;

use crate::faults::Fault;

/// Faults that happen at once, and the time until they end.
#[derive(Debug, Clone)]
pub struct Episode {
    pub faults: Vec<Fault>,
    pub lasts: Duration,
}

/// Which faults are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    All,
    /// Only losses of power, on disks that take their time.
    Power,
    /// Only partitions and frozen processes.
    Silence,
    /// Only partitions that last, so that nodes serve alone.
    Alone,
}

/// Episodes in a hundred that outlast the hosts' patience.
const LONG: u64 = 25;
/// Just over the longest election timeout, as the configuration requires.
const SOON: Duration = Duration::from_millis(2100);

/// See the module.
pub struct Schedule {
    random: Random,
    mix: Mix,
    pub hosts: usize,
    /// Of each host.
    pub solo_after: Vec<Option<Duration>>,
    pub snapshots: Snapshots,
    pub episodes: u64,
    /// Polls in a thousand that are put off.
    pub shuffle: u64,
    /// A segment usually takes up to so many milliseconds.
    pub delay_ms: u64,
}

impl Schedule {
    pub fn new(seed: u64, mix: Mix) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_5eed_5eed_5eed);
        let hosts = if random.chance(65) { 3 } else { 5 };
        // Every second run compacts its log all the time, so that snapshots are sent.
        let snapshots = if random.chance(50) {
            Snapshots { every_entries: 20, keep_entries: 10 }
        } else {
            Snapshots::default()
        };
        let episodes = random.within(2..=5);
        let shuffle = *random.pick(&[0, 20, 100]);
        let delay_ms = *random.pick(&[0, 1, 1, 4]);
        let solo_after = solo_after(&mut random, hosts, mix);
        Self { random, mix, hosts, solo_after, snapshots, episodes, shuffle, delay_ms }
    }

    pub fn millis(&mut self, shortest: u64, longest: u64) -> Duration {
        Duration::from_millis(self.random.within(shortest..=longest))
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.random.chance(percent)
    }

    /// Any host, but every second time the leader.
    fn victim(&mut self, leader: usize) -> usize {
        if self.random.chance(50) { leader } else { self.other(usize::MAX) }
    }

    /// Any host but `not`.
    fn other(&mut self, not: usize) -> usize {
        loop {
            let host = self.random.within(0..=self.hosts as u64 - 1) as usize;
            if host != not {
                return host;
            }
        }
    }

    /// What goes wrong next. `wipe`: a disk may be lost now.
    pub fn episode(&mut self, leader: usize, wipe: bool) -> Episode {
        let mut faults = vec![self.fault(leader)];
        while faults.len() < 3 && self.random.chance(35) {
            let another = self.fault(leader);
            if !faults.contains(&another) {
                faults.push(another);
            }
        }
        if wipe && self.mix == Mix::All && self.random.chance(15) {
            let host = self.victim(leader);
            faults.insert(0, Fault::Wipe(host));
            if self.random.chance(40) {
                faults.truncate(1);
            }
        }
        let lasts = self.duration();
        Episode { faults, lasts }
    }

    fn duration(&mut self) -> Duration {
        let patience = self.solo_after.iter().flatten().max().copied();
        let long = if self.mix == Mix::Alone { 100 } else { LONG };
        match patience {
            // Long enough for some to serve alone.
            Some(patience) if self.random.chance(long) => patience + self.millis(0, 3000),
            _ if self.random.chance(30) => self.millis(10, 300),
            _ => self.millis(300, 5000),
        }
    }

    fn fault(&mut self, leader: usize) -> Fault {
        let host = self.victim(leader);
        let other = self.other(host);
        let all = 0..=20;
        let kind = match self.mix {
            Mix::All => self.random.within(all),
            Mix::Power => *self.random.pick(&[2, 3, 3, 15, 15]),
            Mix::Alone => *self.random.pick(&[6, 7, 8, 9, 9, 10, 10, 11]),
            Mix::Silence => *self.random.pick(&[4, 4, 5, 6, 7, 8, 9, 10, 11]),
        };
        match kind {
            0 => Fault::Stop(host),
            1 => Fault::Kill(host),
            2 => Fault::PowerOff(host),
            3 => Fault::PowerOffAll,
            4 | 18 => Fault::Freeze(host),
            5 => Fault::Cut(host, other),
            6 => Fault::CutBoth(host, other),
            7 => Fault::Deaf(host),
            8 => Fault::Mute(host),
            9 => Fault::Isolate(host),
            10 => Fault::Split(host, self.random.within(1..=self.hosts as u64 - 1) as usize),
            11 => Fault::Bridge(host),
            12 => Fault::Delay(self.random.within(2..=60)),
            13 => Fault::Loss(self.random.within(1..=20)),
            14 => Fault::SlowDisk(host, self.random.within(20..=800)),
            15 => Fault::SlowDisks(self.random.within(5..=100)),
            16 => Fault::StuckDisk(host),
            17 => Fault::FailingDisk(host),
            19 => Fault::Clock(host, self.random.within(0..=7_200_000) as i64 - 3_600_000),
            _ => Fault::KillAll,
        }
    }
}

/// After how long each host serves alone: never, soon, or as it is by default. An operator may
/// have told them different things.
fn solo_after(random: &mut Random, hosts: usize, mix: Mix) -> Vec<Option<Duration>> {
    let soon = Some(SOON);
    let default = Some(Preset::Lan.solo_after());
    let all = match mix {
        Mix::Alone => soon,
        _ => *random.pick(&[None, soon, soon, default]),
    };
    if random.chance(75) {
        return vec![all; hosts];
    }
    (0..hosts).map(|_| *random.pick(&[all, soon, default])).collect()
}
