//! Faults of the network on purpose: peer traffic dropped, of all peers or of some, one way or
//! both; and a listener that refuses new connections.
//!
//! Dropped is not refused: whoever sends waits until his own deadline, as at a pulled cable. What
//! still waits when the fault ends goes on, as TCP would send it again.

use std::net::SocketAddr;

use tokio::sync::watch;

use crate::api::cluster::Direction;
use crate::ident::NodeName;

/// Where traffic goes, as seen from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// A peer, by what is known of it on a connection: a name on incoming ones, an address on
/// outgoing ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer<'a> {
    Name(&'a NodeName),
    RaftAddr(&'a str),
}

/// One peer whose traffic is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: NodeName,
    /// `HOST:PORT`.
    pub raft_addr: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Faults {
    /// Of all peers.
    all: Vec<Direction>,
    some: Vec<(Target, Direction)>,
    deaf: bool,
}

impl Faults {
    fn drops(&self, peer: Peer<'_>, way: Way) -> bool {
        let meant = |target: &Target| match peer {
            Peer::Name(name) => target.name == *name,
            Peer::RaftAddr(addr) => target.raft_addr == addr,
        };
        let some = self.some.iter().filter(|(target, _)| meant(target));
        let directions = self.all.iter().chain(some.map(|(_, direction)| direction));
        directions.copied().any(|direction| covers(direction, way))
    }
}

fn covers(direction: Direction, way: Way) -> bool {
    match direction {
        Direction::Both => true,
        Direction::In => way == Way::In,
        Direction::Out => way == Way::Out,
    }
}

/// Shared by everything that sends to or hears from peers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    faults: watch::Sender<Faults>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { faults: watch::Sender::new(Faults::default()) }
    }
}

impl Gate {
    /// Drops the traffic of all peers, both ways.
    pub fn shut(&self) {
        self.shut_all(Direction::Both);
    }

    /// Drops the traffic of all peers.
    pub fn shut_all(&self, direction: Direction) {
        self.faults.send_modify(|faults| faults.all = vec![direction]);
    }

    /// Drops the traffic of these peers, besides what is dropped already.
    pub fn shut_some(&self, targets: Vec<Target>, direction: Direction) {
        self.faults.send_modify(|faults| {
            faults.some.extend(targets.into_iter().map(|target| (target, direction)));
        });
    }

    /// Refuses new connections; those that are open stay.
    pub fn deafen(&self) {
        self.faults.send_modify(|faults| faults.deaf = true);
    }

    /// Ends every fault.
    pub fn open(&self) {
        self.faults.send_replace(Faults::default());
    }

    /// True where all traffic is dropped, both ways.
    pub fn is_shut(&self) -> bool {
        let faults = self.faults.borrow();
        let covered = |way| faults.all.iter().any(|direction| covers(*direction, way));
        covered(Way::In) && covered(Way::Out)
    }

    /// True where traffic of `peer` passes `way` now.
    pub fn lets(&self, peer: Peer<'_>, way: Way) -> bool {
        !self.faults.borrow().drops(peer, way)
    }

    /// Waits until traffic of `peer` passes `way`: at once, but for a fault.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn passes(&self, peer: Peer<'_>, way: Way) {
        if !self.faults.borrow().drops(peer, way) {
            return;
        }
        let mut faults = self.faults.subscribe();
        // An error would mean that the sender is gone, which `self` holds.
        let _ = faults.wait_for(|faults| !faults.drops(peer, way)).await;
    }

    /// The listener's part of the faults.
    pub(super) fn hearing(&self, addr: SocketAddr) -> Hearing {
        Hearing { faults: self.faults.subscribe(), addr }
    }
}

/// Tells a listener when to close and when to open again.
pub(super) struct Hearing {
    faults: watch::Receiver<Faults>,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Hearing {
    pub fn is_deaf(&self) -> bool {
        self.faults.borrow().deaf
    }

    /// Waits until [`Hearing::is_deaf`] changes.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn changed(&mut self) {
        let before = self.is_deaf();
        if self.faults.wait_for(|faults| faults.deaf != before).await.is_err() {
            // No gate, no more faults.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn target(number: u16) -> Target {
        Target { name: name(&format!("n{number}")), raft_addr: format!("127.0.0.1:500{number}") }
    }

    fn drops(gate: &Gate, number: u16) -> [bool; 4] {
        let target = target(number);
        let (name, addr) = (Peer::Name(&target.name), Peer::RaftAddr(&target.raft_addr));
        let faults = gate.faults.borrow();
        [(name, Way::In), (name, Way::Out), (addr, Way::In), (addr, Way::Out)]
            .map(|(peer, way)| faults.drops(peer, way))
    }

    #[test]
    fn only_the_named_peers_are_cut_off_and_only_the_named_way() {
        let gate = Gate::default();
        assert_eq!(drops(&gate, 1), [false; 4]);
        gate.shut_some(vec![target(1)], Direction::In);
        assert_eq!(drops(&gate, 1), [true, false, true, false]);
        assert_eq!(drops(&gate, 2), [false; 4]);
        gate.shut_some(vec![target(1), target(2)], Direction::Out);
        assert_eq!(drops(&gate, 1), [true; 4]);
        assert_eq!(drops(&gate, 2), [false, true, false, true]);
        assert!(!gate.is_shut(), "others still pass");
        gate.shut();
        assert!(gate.is_shut() && drops(&gate, 3) == [true; 4]);
        gate.open();
        assert_eq!(drops(&gate, 1), [false; 4]);
        gate.shut_all(Direction::Out);
        assert!(!gate.is_shut());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_dropped_waits_and_goes_on_when_the_fault_ends() {
        let gate = Gate::default();
        let n1 = name("n1");
        gate.passes(Peer::Name(&n1), Way::In).await;
        gate.shut();
        let waiting = gate.passes(Peer::Name(&n1), Way::In);
        let mut waiting = std::pin::pin!(waiting);
        let long = Duration::from_secs(60);
        assert!(tokio::time::timeout(long, waiting.as_mut()).await.is_err());
        gate.deafen();
        assert!(tokio::time::timeout(long, waiting.as_mut()).await.is_err());
        gate.open();
        waiting.await;
    }
}
