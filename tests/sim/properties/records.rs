//! No acknowledged record is lost, doubled or changed, on any node, and no node holds a
//! record that nobody submitted.

use std::collections::{BTreeMap, BTreeSet};

use stegcluster::drill::check::{Listing, check};
use stegcluster::drill::history::Acked;
use stegcluster::ident::RecordId;
use stegcluster::record::Record;
use stegcluster::service::submit::Submitted;

/// What clients submitted, and what they were told.
#[derive(Default)]
pub struct Records {
    submitted: BTreeMap<RecordId, Record>,
    acked: BTreeSet<RecordId>,
    /// Acknowledged as new, which happens once to a record.
    entered: BTreeSet<RecordId>,
    pub unknown: u32,
}

impl Records {
    pub fn submit(&mut self, record: &Record) {
        self.submitted.insert(record.id.clone(), record.clone());
    }

    pub fn acknowledged(&mut self, answer: &Submitted) -> Option<String> {
        let record = &answer.record;
        self.acked.insert(record.id.clone());
        if self.submitted.get(&record.id) != Some(record) {
            return Some(format!("record {} was acknowledged with other contents", record.id));
        }
        if !answer.replayed && !self.entered.insert(record.id.clone()) {
            return Some(format!("record {} was entered twice", record.id));
        }
        None
    }

    pub fn submitted(&self) -> usize {
        self.submitted.len()
    }

    pub fn acked(&self) -> usize {
        self.acked.len()
    }

    /// Judges what one node's ledger holds at the end.
    pub fn judge(&self, node: &str, count: u64, ledger: &[Record]) -> Vec<String> {
        let mut found = Vec::new();
        for record in ledger {
            match self.submitted.get(&record.id) {
                None => found.push(format!("{node} holds {}, which nobody submitted", record.id)),
                Some(submitted) if submitted != record => {
                    found.push(format!("{node} holds {} with other contents", record.id));
                }
                Some(_) => {}
            }
        }
        if count != ledger.len() as u64 {
            found.push(format!("{node} counts {count} records and lists {}", ledger.len()));
        }
        found
    }

    /// The same account that the drill makes of a real cluster.
    pub fn account(&self, ledgers: &[(String, Vec<Record>)]) -> Vec<String> {
        let acked: Vec<_> = self
            .acked
            .iter()
            .map(|id| Acked { id: id.clone(), digest: self.submitted[id].stego_sha256 })
            .collect();
        let listings: Vec<_> = ledgers
            .iter()
            .map(|(node, ledger)| Listing {
                node: node.clone(),
                entries: ledger.iter().map(|r| (r.id.clone(), r.stego_sha256)).collect(),
            })
            .collect();
        let verdict = check(&acked, &listings);
        if verdict.is_clean() {
            return Vec::new();
        }
        vec![format!(
            "{} acknowledged records lost, {} doubled or changed: {}",
            verdict.lost,
            verdict.duplicated,
            verdict.examples.join("; ")
        )]
    }
}
