//! Linearizable reads: what a quorum acknowledged, or anyone read, before a read began is in
//! its answer, and on a node that acknowledged records alone those as well. Records never
//! change, so that this is all there is to it. Stale reads show at least what their own node
//! acknowledged alone, at any time.

use std::collections::{BTreeMap, BTreeSet};

use stegcluster::ident::RecordId;
use stegcluster::sim::random;

/// Old records that each read looks for, beside the newest.
const OLD: usize = 8;
const NEWEST: usize = 24;

/// What reads must show from now on.
#[derive(Default)]
pub struct Reads {
    /// In the order in which they became visible.
    visible: Vec<RecordId>,
    known: BTreeSet<RecordId>,
    /// Submitted, and perhaps entered.
    unknown: Vec<RecordId>,
    /// Acknowledged by a node alone, in that order.
    own: BTreeMap<String, Vec<RecordId>>,
    pub answered: u32,
}

/// What one read looks for.
pub struct Wanted {
    pub visible: Vec<RecordId>,
    pub perhaps: Vec<RecordId>,
    /// What the node itself acknowledged alone.
    pub own: Vec<RecordId>,
}

/// The newest of `all`, and some old ones.
fn some_of(all: &[RecordId]) -> Vec<RecordId> {
    let newest = all.len().saturating_sub(NEWEST);
    let mut some = all[newest..].to_vec();
    if newest > 0 {
        for _ in 0..OLD {
            some.push(random::draw(|r| r.pick(&all[..newest]).clone()));
        }
    }
    some
}

impl Reads {
    /// Acknowledged by `node` alone.
    pub fn visible_on(&mut self, node: &str, id: &RecordId) {
        let own = self.own.entry(node.to_owned()).or_default();
        if !own.contains(id) {
            own.push(id.clone());
        }
    }

    /// `node` has lost its disk.
    pub fn forget(&mut self, node: &str) {
        self.own.remove(node);
    }

    /// Acknowledged by a quorum, or seen by a linearizable read.
    pub fn visible(&mut self, id: &RecordId) {
        if self.known.insert(id.clone()) {
            self.visible.push(id.clone());
            self.unknown.retain(|other| other != id);
        }
    }

    pub fn unknown(&mut self, id: &RecordId) {
        if !self.known.contains(id) && !self.unknown.contains(id) {
            self.unknown.push(id.clone());
        }
    }

    /// A read on `node` begins now.
    pub fn begin(&self, node: &str) -> Wanted {
        let perhaps = self.unknown.iter().rev().take(OLD).cloned().collect();
        let own = self.own.get(node).map_or_else(Vec::new, |own| some_of(own));
        Wanted { visible: some_of(&self.visible), perhaps, own }
    }

    /// A read on `node` ended: what it did not find, and what else it found.
    pub fn ended(
        &mut self,
        node: &str,
        missing: &[RecordId],
        found: &[RecordId],
    ) -> Option<String> {
        self.answered += 1;
        found.iter().for_each(|id| self.visible(id));
        let first = missing.first()?;
        Some(format!(
            "a linearizable read on {node} missed {} records that were visible before it began, \
             {first} among them",
            missing.len()
        ))
    }
}
