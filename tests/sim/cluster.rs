//! The hosts of a run and the network between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stegcluster::config::Snapshots;
use stegcluster::ident::NodeName;
use stegcluster::sim::net;

use crate::host::{Host, Settings};
use crate::properties::Checks;

/// See the module.
pub struct Cluster {
    pub hosts: Vec<Arc<Host>>,
    pub checks: Arc<Checks>,
    /// How often each kind of fault happened.
    pub faults: Mutex<BTreeMap<String, u32>>,
}

impl Cluster {
    /// One host for each of `solo_after`.
    pub fn new(solo_after: &[Option<Duration>], snapshots: Snapshots) -> Self {
        let checks: Arc<Checks> = Arc::default();
        let hosts = solo_after.len();
        let host = |(index, solo_after): (usize, &Option<Duration>)| {
            let settings = Settings { snapshots, solo_after: *solo_after };
            Arc::new(Host::new(index, hosts, settings, Arc::clone(&checks)))
        };
        let hosts = solo_after.iter().enumerate().map(host).collect();
        Self { hosts, checks, faults: Mutex::default() }
    }

    /// The index of the host that leads by the newest view of anyone.
    pub fn leader(&self) -> Option<usize> {
        let views = self.hosts.iter().filter_map(|host| host.running());
        let newest = views
            .map(|running| running.core.views.borrow().clone())
            .filter(|view| view.leader.is_some())
            .max_by_key(|view| view.term)?;
        let name: NodeName = newest.leader_member()?.name.clone();
        self.hosts.iter().position(|host| host.name == name)
    }

    /// Journal entries that the processes which run have brought to the ledger.
    pub fn drained(&self) -> u64 {
        let running = self.hosts.iter().filter_map(|host| host.running());
        running.map(|running| running.core.metrics.journal_drained_total.get()).sum()
    }

    /// A process that failed is started again, as a supervisor does.
    pub fn restart_ended(&self) {
        for host in self.hosts.iter().filter(|host| !host.is_started()) {
            host.start();
        }
    }

    /// Cuts from `a` to `b`, one way.
    pub fn cut(&self, a: usize, b: usize) {
        net::cut(self.hosts[a].ip, self.hosts[b].ip);
    }

    pub fn mend(&self, a: usize, b: usize) {
        self.checks.everyone_may_be_heard();
        net::mend(self.hosts[a].ip, self.hosts[b].ip);
    }

    /// All pairs of different hosts.
    pub fn directions(&self) -> impl Iterator<Item = (usize, usize)> {
        let hosts = self.hosts.len();
        (0..hosts).flat_map(move |a| (0..hosts).map(move |b| (a, b))).filter(|(a, b)| a != b)
    }
}
