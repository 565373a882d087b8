//! No acknowledged record is lost, doubled or changed, on any node, and no node holds a
//! record that nobody submitted; whether a quorum acknowledged it or one node alone.

use std::collections::{BTreeMap, BTreeSet};

use stegcluster::drill::check::{Listing, check};
use stegcluster::drill::history::Acked;
use stegcluster::ident::RecordId;
use stegcluster::record::{Digest, Durability, Record};
use stegcluster::service::submit::Submitted;

/// One embed: an id may be used for more than one, and then the ledger keeps each.
type Embed = (RecordId, Digest);

/// Between an id and what makes another one of it, where two embeds came under one.
const CONFLICT_MARK: &str = ".conflict-";

/// What clients submitted, and what they were told.
#[derive(Default)]
pub struct Records {
    submitted: BTreeMap<RecordId, Vec<Record>>,
    /// By a quorum.
    acked: BTreeSet<Embed>,
    /// By one node alone, and which.
    local: BTreeMap<Embed, BTreeSet<String>>,
    /// Acknowledged as new: by a quorum once to a record.
    entered: BTreeSet<Embed>,
    /// Likewise by each node alone, which need not know what the others have.
    entered_alone: BTreeSet<(String, Embed)>,
    pub unknown: u32,
    /// Embeds that were refused because their id belongs to another.
    pub refused: u32,
    /// Records that are in the ledger under another id than their own.
    pub conflicts: u32,
}

/// What a client makes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Acknowledged(Durability),
    /// The id belongs to another embed.
    Conflict,
}

fn embed(record: &Record) -> Embed {
    (base(&record.id), record.stego_sha256)
}

/// The id that a client gave.
fn base(id: &RecordId) -> RecordId {
    let own = id.as_str().split(CONFLICT_MARK).next().unwrap_or_default();
    own.parse().unwrap()
}

/// As it was submitted, whatever became of it.
fn as_submitted(record: &Record) -> Record {
    Record { id: base(&record.id), durability: Durability::Quorum, ..record.clone() }
}

impl Records {
    pub fn submit(&mut self, record: &Record) {
        let embeds = self.submitted.entry(record.id.clone()).or_default();
        if !embeds.contains(record) {
            embeds.push(record.clone());
        }
    }

    fn was_submitted(&self, record: &Record) -> bool {
        let given = as_submitted(record);
        self.submitted.get(&given.id).is_some_and(|embeds| embeds.contains(&given))
    }

    /// `host` answered the embed `given`, for which at least `least` was asked.
    pub fn answered(
        &mut self,
        host: &str,
        given: &Record,
        least: Durability,
        answer: &Submitted,
    ) -> (Told, Vec<String>) {
        let Submitted { record, replayed, durability } = answer;
        let id = &record.id;
        let mut found = Vec::new();
        if *id != given.id || !self.was_submitted(record) {
            found.push(format!("record {id} was acknowledged with other contents"));
        }
        if least == Durability::Quorum && *durability == Durability::Local {
            found.push(format!("{host} acknowledged {id} alone, where a quorum was asked for"));
        }
        if record.stego_sha256 != given.stego_sha256 {
            if !replayed {
                found.push(format!("{host} entered another embed than {id}'s as new"));
            }
            self.refused += 1;
            return (Told::Conflict, found);
        }
        let embed = embed(record);
        let first = match durability {
            Durability::Quorum => self.entered.insert(embed.clone()) || *replayed,
            Durability::Local => {
                self.entered_alone.insert((host.to_owned(), embed.clone())) || *replayed
            }
        };
        if !first {
            found.push(format!("record {id} was entered twice, by {host} at last"));
        }
        match durability {
            Durability::Quorum => drop(self.acked.insert(embed)),
            Durability::Local => {
                self.local.entry(embed).or_default().insert(host.to_owned());
            }
        }
        (Told::Acknowledged(*durability), found)
    }

    /// `host`'s disk is gone, and with it what waited in its journal.
    pub fn wiped(&mut self, host: &str, journal: &[Record]) {
        for record in journal {
            if let Some(hosts) = self.local.get_mut(&embed(record)) {
                hosts.remove(host);
            }
        }
        self.entered_alone.retain(|(other, _)| other != host);
    }

    pub fn submitted(&self) -> usize {
        self.submitted.len()
    }

    /// Acknowledged by a quorum.
    pub fn acked(&self) -> usize {
        self.acked.len()
    }

    /// Acknowledged by a node alone.
    pub fn acked_alone(&self) -> usize {
        self.local.len()
    }

    /// Judges what one node's ledger holds at the end.
    pub fn judge(&self, node: &str, count: u64, ledger: &[Record]) -> Vec<String> {
        let mut found = Vec::new();
        let mut embeds = BTreeSet::new();
        for record in ledger {
            if !self.submitted.contains_key(&base(&record.id)) {
                found.push(format!("{node} holds {}, which nobody submitted", record.id));
            } else if !self.was_submitted(record) {
                found.push(format!("{node} holds {} with other contents", record.id));
            }
            if !embeds.insert(embed(record)) {
                found.push(format!("{node} holds {} under two ids", record.id));
            }
        }
        if count != ledger.len() as u64 {
            found.push(format!("{node} counts {count} records and lists {}", ledger.len()));
        }
        found
    }

    /// The same account that the drill makes of a real cluster.
    pub fn account(&mut self, ledgers: &[(String, Vec<Record>)]) -> Vec<String> {
        let Some((first, others)) = ledgers.split_first() else { return Vec::new() };
        let held: BTreeMap<Embed, &RecordId> =
            first.1.iter().map(|record| (embed(record), &record.id)).collect();
        self.conflicts += held.iter().filter(|((id, _), held)| *id != ***held).count() as u32;
        let kept = self.local.iter().filter(|(_, hosts)| !hosts.is_empty()).map(|(embed, _)| embed);
        let kept: BTreeSet<&Embed> = self.acked.iter().chain(kept).collect();
        // An embed whose id another one has is looked for where the ledger keeps it.
        let acked: Vec<_> = kept
            .into_iter()
            .map(|embed| {
                let id = held.get(embed).map_or(&embed.0, |id| *id);
                Acked { id: id.clone(), digest: embed.1 }
            })
            .collect();
        let mut found = Vec::new();
        for (node, ledger) in others {
            if *ledger != first.1 {
                found.push(format!("the ledgers of {} and {node} are not the same", first.0));
            }
        }
        let listings: Vec<_> = ledgers
            .iter()
            .map(|(node, ledger)| Listing {
                node: node.clone(),
                entries: ledger.iter().map(|r| (r.id.clone(), r.stego_sha256)).collect(),
            })
            .collect();
        let verdict = check(&acked, &listings);
        if !verdict.is_clean() {
            found.push(format!(
                "{} acknowledged records lost, {} doubled or changed: {}",
                verdict.lost,
                verdict.duplicated,
                verdict.examples.join("; ")
            ));
        }
        found
    }
}
