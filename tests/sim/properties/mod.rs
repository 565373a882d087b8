//! What must hold in every run, one file a property. Each is told what happens and says
//! what is wrong; the run is judged by the first that speaks.

mod alone;
mod evidence;
mod formation;
mod leaders;
pub mod liveness;
mod reads;
mod records;
mod terms;

use std::sync::{Arc, Mutex, MutexGuard};

use stegcluster::ident::{ClusterUuid, NodeName};
use stegcluster::view::LeaderView;

pub use self::alone::Alone;
pub use self::evidence::Evidence;
pub use self::formation::Formations;
pub use self::leaders::Leaders;
pub use self::reads::{Reads, Wanted};
pub use self::records::{Records, Told};
pub use self::terms::Terms;
use crate::trace;

/// All properties, and what they found.
#[derive(Default)]
pub struct Checks {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub struct Inner {
    pub alone: Alone,
    pub leaders: Leaders,
    pub formations: Formations,
    pub terms: Terms,
    pub evidence: Evidence,
    pub records: Records,
    pub reads: Reads,
    violations: Vec<String>,
}

impl Checks {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A node's view of who leads has changed.
    pub fn saw(&self, node: &NodeName, cluster: Option<ClusterUuid>, view: &Arc<LeaderView>) {
        let leader = view.leader.map_or(0, |leader| leader.0);
        trace::line(format_args!(
            "{node} sees leader {leader} of term {}, quorum {}, log {}, committed {}, applied {}",
            view.term, view.quorum, view.last_log, view.committed, view.applied
        ));
        let mut inner = self.lock();
        let found = [
            inner.alone.saw(node, view),
            inner.leaders.saw(node, view),
            inner.terms.saw(node, view),
            cluster.and_then(|cluster| inner.formations.saw(node, cluster)),
            inner.evidence.weigh_votes(),
        ];
        inner.report(found.into_iter().flatten());
    }

    /// A cut ends, or a machine gets power.
    pub fn everyone_may_be_heard(&self) {
        let mut inner = self.lock();
        let found = inner.alone.all_left();
        inner.report(found);
    }

    /// The harness itself found something.
    pub fn violation(&self, what: String) {
        self.lock().report([what]);
    }

    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }
}

impl Inner {
    pub fn report(&mut self, found: impl IntoIterator<Item = String>) {
        for what in found {
            trace::line(format_args!("VIOLATION {what}"));
            self.violations.push(what);
        }
    }
}
