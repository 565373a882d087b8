//! Serving alone leaves Raft as it is: a node that hears nobody keeps its term, its log, what
//! it knows to be committed, and its members, however many records it acknowledges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stegcluster::clock::{self, Instant};
use stegcluster::ident::NodeName;
use stegcluster::view::LeaderView;
use tokio::sync::watch;

/// What came to the node before it began to serve alone may still get into its log.
const SETTLING: Duration = Duration::from_secs(1);

/// A node that serves alone and hears nobody.
struct Hermit {
    since: Instant,
    /// Its view once it had settled.
    before: Arc<LeaderView>,
    views: watch::Receiver<Arc<LeaderView>>,
}

/// See the module.
#[derive(Default)]
pub struct Alone {
    hermits: BTreeMap<NodeName, Hermit>,
    /// How often a node began to serve alone.
    pub begun: u32,
    /// How often the Raft of one that heard nobody was compared with what it was before.
    pub compared: u32,
    /// Entries that went from a journal to the ledger.
    pub drained: u64,
    /// Linearizable reads that were refused because the node serves alone.
    pub refused_reads: u32,
}

impl Alone {
    /// A node begins to serve alone; `deaf`: nothing that anybody sends can reach it.
    pub fn began(&mut self, node: &NodeName, views: &watch::Receiver<Arc<LeaderView>>, deaf: bool) {
        self.begun += 1;
        if deaf {
            let before = views.borrow().clone();
            let hermit = Hermit { since: clock::now(), before, views: views.clone() };
            self.hermits.insert(node.clone(), hermit);
        }
    }

    /// It serves with a quorum again, or its process ended.
    pub fn left(&mut self, node: &NodeName) {
        self.hermits.remove(node);
    }

    /// Anyone may be heard again, from now on.
    pub fn all_left(&mut self) -> Vec<String> {
        let mut hermits = std::mem::take(&mut self.hermits);
        hermits.retain(|_, hermit| hermit.since.elapsed() > SETTLING);
        self.compared += hermits.len() as u32;
        let compare = |(node, hermit): (&NodeName, &Hermit)| {
            compare(node, &hermit.before, &hermit.views.borrow())
        };
        hermits.iter().filter_map(compare).collect()
    }

    pub fn saw(&mut self, node: &NodeName, view: &Arc<LeaderView>) -> Option<String> {
        let hermit = self.hermits.get_mut(node)?;
        if hermit.since.elapsed() <= SETTLING {
            hermit.before = Arc::clone(view);
            return None;
        }
        self.compared += 1;
        compare(node, &hermit.before, view)
    }
}

fn compare(node: &NodeName, before: &LeaderView, now: &LeaderView) -> Option<String> {
    let raft = |view: &LeaderView| {
        let LeaderView { me, term, last_log, committed, members, .. } = view.clone();
        (me, term, last_log, committed, members)
    };
    (raft(before) != raft(now)).then(|| {
        format!("{node} changed its Raft while it served alone: {before:?} became {now:?}")
    })
}
