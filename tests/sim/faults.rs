//! What can happen to a cluster: each fault begins, lasts, and ends.

use std::time::Duration;

use stegcluster::sim::net::Quality;
use stegcluster::sim::{self, disk, net, process};

use crate::cluster::Cluster;
use crate::trace;

/// Hosts are given by their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGTERM, as `systemctl restart` sends it.
    Stop(usize),
    /// SIGKILL: the kernel refuses from then on.
    Kill(usize),
    KillAll,
    /// No kernel answers, and what was not synced is lost.
    PowerOff(usize),
    PowerOffAll,
    /// SIGSTOP.
    Freeze(usize),
    /// One direction.
    Cut(usize, usize),
    /// Both directions.
    CutBoth(usize, usize),
    /// It hears nobody.
    Deaf(usize),
    /// Nobody hears it.
    Mute(usize),
    Isolate(usize),
    /// The first so many hosts, counted from the given one, and the rest.
    Split(usize, usize),
    /// Two groups that only the given host reaches.
    Bridge(usize),
    /// Every segment takes up to so many milliseconds.
    Delay(u64),
    /// So many segments in a hundred are late by a resend.
    Loss(u64),
    SlowDisk(usize, u64),
    SlowDisks(u64),
    StuckDisk(usize),
    FailingDisk(usize),
    /// The disk is lost with everything on it.
    Wipe(usize),
    /// The wall clock jumps by so many milliseconds.
    Clock(usize, i64),
}

impl Fault {
    /// True where the leader must stay the leader: what concerns one of the others, or the
    /// wall clock only.
    pub fn is_harmless(&self, leader: usize, hosts: usize) -> bool {
        match *self {
            Self::Stop(host)
            | Self::Kill(host)
            | Self::PowerOff(host)
            | Self::Freeze(host)
            | Self::Isolate(host)
            | Self::Deaf(host)
            | Self::Mute(host)
            | Self::SlowDisk(host, _)
            | Self::StuckDisk(host)
            | Self::FailingDisk(host) => host != leader,
            // One follower alone sees it dead; of three that is no quorum either.
            Self::Cut(_, _) | Self::CutBoth(_, _) => hosts >= 3,
            Self::Clock(_, _) => true,
            Self::Delay(ms) => ms <= 10,
            Self::KillAll
            | Self::PowerOffAll
            | Self::Split(_, _)
            | Self::Bridge(_)
            | Self::Loss(_)
            | Self::SlowDisks(_)
            | Self::Wipe(_) => false,
        }
    }

    /// Its name, without whom it strikes.
    pub fn kind(&self) -> String {
        let whole = format!("{self:?}");
        whole.split('(').next().unwrap_or_default().to_owned()
    }

    pub async fn begin(&self, cluster: &Cluster) {
        trace::line(format_args!("FAULT {self:?}"));
        *cluster.faults.lock().unwrap().entry(self.kind()).or_default() += 1;
        let hosts = &cluster.hosts;
        match *self {
            Self::Stop(host) => hosts[host].stop(),
            Self::Kill(host) => hosts[host].kill(),
            Self::KillAll => hosts.iter().for_each(|host| host.kill()),
            Self::PowerOff(host) => hosts[host].power_off(),
            Self::PowerOffAll => hosts.iter().for_each(|host| host.power_off()),
            Self::Freeze(host) => process::freeze(hosts[host].ip),
            Self::Delay(ms) => quality(cluster, Quality { delay_ms: (0, ms), loss_percent: 0 }),
            Self::Loss(percent) => {
                quality(cluster, Quality { delay_ms: (0, 1), loss_percent: percent });
            }
            Self::SlowDisk(host, ms) => disk::slow_down(hosts[host].ip, ms / 4, ms),
            Self::SlowDisks(ms) => {
                hosts.iter().for_each(|host| disk::slow_down(host.ip, ms / 4, ms));
            }
            Self::StuckDisk(host) => disk::stick(hosts[host].ip),
            Self::FailingDisk(host) => disk::fail(hosts[host].ip),
            Self::Wipe(host) => {
                hosts[host].kill();
                sim::pass(Duration::from_millis(20)).await;
                hosts[host].wipe();
            }
            Self::Clock(host, ms) => process::set_clock(hosts[host].ip, ms),
            Self::Cut(_, _)
            | Self::CutBoth(_, _)
            | Self::Deaf(_)
            | Self::Mute(_)
            | Self::Isolate(_)
            | Self::Split(_, _)
            | Self::Bridge(_) => {
                for (a, b) in cluster.directions().filter(|(a, b)| self.cuts(*a, *b, hosts.len())) {
                    cluster.cut(a, b);
                }
            }
        }
    }

    /// True if nothing passes from `a` to `b`.
    fn cuts(&self, a: usize, b: usize, hosts: usize) -> bool {
        match *self {
            Self::Cut(from, to) => (a, b) == (from, to),
            Self::CutBoth(one, other) => (a, b) == (one, other) || (a, b) == (other, one),
            Self::Deaf(host) => b == host,
            Self::Mute(host) => a == host,
            Self::Isolate(host) => a == host || b == host,
            Self::Split(first, count) => {
                let inside = |host: usize| (host + hosts - first) % hosts < count;
                inside(a) != inside(b)
            }
            Self::Bridge(host) => {
                let group = |other: usize| (other + hosts - host - 1) % hosts < hosts / 2;
                a != host && b != host && group(a) != group(b)
            }
            _ => false,
        }
    }

    /// Ends it; processes that it ended start again.
    pub async fn end(&self, cluster: &Cluster) {
        trace::line(format_args!("END {self:?}"));
        let hosts = &cluster.hosts;
        match *self {
            Self::Stop(host) | Self::Kill(host) | Self::Wipe(host) => hosts[host].start(),
            Self::PowerOff(host) => {
                hosts[host].power_on();
                hosts[host].start();
            }
            Self::KillAll | Self::PowerOffAll => {
                for host in hosts {
                    host.power_on();
                    host.start();
                }
            }
            Self::Freeze(host) => process::thaw(hosts[host].ip),
            Self::Delay(_) | Self::Loss(_) => quality(cluster, Quality::default()),
            Self::SlowDisk(host, _) | Self::StuckDisk(host) | Self::FailingDisk(host) => {
                disk::mend(hosts[host].ip);
            }
            Self::SlowDisks(_) => hosts.iter().for_each(|host| disk::mend(host.ip)),
            Self::Clock(host, _) => process::set_clock(hosts[host].ip, 0),
            Self::Cut(_, _)
            | Self::CutBoth(_, _)
            | Self::Deaf(_)
            | Self::Mute(_)
            | Self::Isolate(_)
            | Self::Split(_, _)
            | Self::Bridge(_) => {
                for (a, b) in cluster.directions().filter(|(a, b)| self.cuts(*a, *b, hosts.len())) {
                    cluster.mend(a, b);
                }
            }
        }
    }
}

fn quality(cluster: &Cluster, quality: Quality) {
    for (a, b) in cluster.directions() {
        net::set_quality(cluster.hosts[a].ip, cluster.hosts[b].ip, quality);
    }
}
