//! The hosts of a run and the network between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stegcluster::config::Snapshots;
use stegcluster::ident::NodeName;
use stegcluster::sim::net;

use crate::host::Host;
use crate::properties::Checks;

/// See the module.
pub struct Cluster {
    pub hosts: Vec<Arc<Host>>,
    pub checks: Arc<Checks>,
    /// How often each kind of fault happened.
    pub faults: Mutex<BTreeMap<String, u32>>,
}

impl Cluster {
    pub fn new(hosts: usize, snapshots: Snapshots) -> Self {
        let checks: Arc<Checks> = Arc::default();
        let host = |index| Arc::new(Host::new(index, hosts, snapshots, Arc::clone(&checks)));
        Self { hosts: (0..hosts).map(host).collect(), checks, faults: Mutex::default() }
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
        net::mend(self.hosts[a].ip, self.hosts[b].ip);
    }

    /// All pairs of different hosts.
    pub fn directions(&self) -> impl Iterator<Item = (usize, usize)> {
        let hosts = self.hosts.len();
        (0..hosts).flat_map(move |a| (0..hosts).map(move |b| (a, b))).filter(|(a, b)| a != b)
    }
}
