//! Linearizable reads: what was acknowledged, or read by anyone, before a read began is in
//! its answer. Records never change, so that this is all there is to it.

use std::collections::BTreeSet;

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
    pub answered: u32,
}

/// What one read looks for.
pub struct Wanted {
    pub visible: Vec<RecordId>,
    pub perhaps: Vec<RecordId>,
}

impl Reads {
    /// Acknowledged, or seen by a linearizable read.
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

    /// A read begins now.
    pub fn begin(&self) -> Wanted {
        let newest = self.visible.len().saturating_sub(NEWEST);
        let mut visible = self.visible[newest..].to_vec();
        if newest > 0 {
            for _ in 0..OLD {
                visible.push(random::draw(|r| r.pick(&self.visible[..newest]).clone()));
            }
        }
        let perhaps = self.unknown.iter().rev().take(OLD).cloned().collect();
        Wanted { visible, perhaps }
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
