//! The verdict: what clients were told against what every node's ledger holds. Pure.

use std::collections::HashMap;

use super::history::Acked;
use crate::ident::RecordId;
use crate::record::Digest;

/// Examples kept of each kind, for people; the rest are only counted.
const EXAMPLES_MAX: usize = 5;

/// One node's whole ledger, as it listed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub node: String,
    pub entries: Vec<(RecordId, Digest)>,
}

/// What became of the acknowledged records. All counts are of records, not of nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Different records that were acknowledged.
    pub acked: u64,
    /// Acknowledged, and missing on at least one node.
    pub lost: u64,
    /// Listed twice by a node, or with different digests by two nodes, or with another digest
    /// than the client was given.
    pub duplicated: u64,
    /// The first few of the above, a sentence each.
    pub examples: Vec<String>,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0
    }

    fn example(&mut self, kind: u64, sentence: impl FnOnce() -> String) {
        if kind <= EXAMPLES_MAX as u64 {
            self.examples.push(sentence());
        }
    }

    fn lose(&mut self, sentence: impl FnOnce() -> String) {
        self.lost += 1;
        self.example(self.lost, sentence);
    }

    fn double(&mut self, sentence: impl FnOnce() -> String) {
        self.duplicated += 1;
        self.example(self.duplicated, sentence);
    }
}

/// Accounts for every acknowledged record on every node.
pub fn check(acked: &[Acked], listings: &[Listing]) -> Verdict {
    let mut verdict = Verdict::default();
    let indexed: Vec<HashMap<&RecordId, (Digest, u32)>> = listings.iter().map(index).collect();
    let mut told: HashMap<&RecordId, Digest> = HashMap::new();
    for Acked { id, digest } in acked {
        if *told.entry(id).or_insert(*digest) != *digest {
            verdict.double(|| format!("{id} was acknowledged with two digests"));
        }
    }
    verdict.acked = told.len() as u64;

    let missing_on = |id: &RecordId| {
        let pairs = listings.iter().zip(&indexed);
        pairs.filter(|(_, ledger)| !ledger.contains_key(id)).map(|(l, _)| l.node.as_str()).collect()
    };
    let mut ids: Vec<&RecordId> = told.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        let nodes: Vec<&str> = missing_on(id);
        if listings.is_empty() || !nodes.is_empty() {
            verdict.lose(|| format!("{id} was acknowledged and is not on {}", nodes.join(", ")));
        }
    }

    let mut all: Vec<&RecordId> = indexed.iter().flat_map(HashMap::keys).copied().collect();
    all.sort_unstable();
    all.dedup();
    for id in all {
        let found: Vec<(Digest, u32)> =
            indexed.iter().filter_map(|ledger| ledger.get(id)).copied().collect();
        let expected = told.get(id).copied().or(found.first().map(|(digest, _)| *digest));
        if found.iter().any(|(_, times)| *times > 1) {
            verdict.double(|| format!("{id} is listed more than once by a node"));
        } else if found.iter().any(|(digest, _)| Some(*digest) != expected) {
            verdict.double(|| format!("{id} has another digest than it should"));
        }
    }
    verdict
}

/// Each id with its digest and how often it is listed. Where it is listed with two digests the
/// first is kept: listed twice is bad enough.
fn index(listing: &Listing) -> HashMap<&RecordId, (Digest, u32)> {
    let mut index: HashMap<&RecordId, (Digest, u32)> = HashMap::new();
    for (id, digest) in &listing.entries {
        index.entry(id).or_insert((*digest, 0)).1 += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RecordId {
        text.parse().unwrap()
    }

    fn told() -> Vec<Acked> {
        ["a", "b"].map(|name| Acked { id: id(name), digest: Digest::of(name.as_bytes()) }).into()
    }

    fn listings() -> Vec<Listing> {
        let entries: Vec<_> =
            ["a", "b", "unknown"].map(|name| (id(name), Digest::of(name.as_bytes()))).into();
        ["n1", "n2", "n3"]
            .map(|node| Listing { node: node.into(), entries: entries.clone() })
            .into()
    }

    fn judge(plant: impl FnOnce(&mut Vec<Listing>)) -> Verdict {
        let mut listings = listings();
        plant(&mut listings);
        check(&told(), &listings)
    }

    #[test]
    fn whole_ledgers_are_clean_and_unacknowledged_records_are_no_matter() {
        let verdict = judge(|_| {});
        assert!(verdict.is_clean() && verdict.examples.is_empty());
        assert_eq!(verdict.acked, 2);
        let one_has_more = judge(|listings| listings[0].entries.truncate(2));
        assert!(one_has_more.is_clean());
    }

    #[test]
    fn a_planted_loss_on_a_single_node_is_caught() {
        let verdict = judge(|listings| drop(listings[2].entries.remove(1)));
        assert_eq!((verdict.lost, verdict.duplicated), (1, 0));
        assert_eq!(verdict.examples, ["b was acknowledged and is not on n3"]);
        assert_eq!(check(&told(), &[]).lost, 2);
    }

    #[test]
    fn a_planted_duplicate_is_caught() {
        let verdict = judge(|listings| {
            let again = listings[1].entries[0].clone();
            listings[1].entries.push(again);
        });
        assert_eq!((verdict.lost, verdict.duplicated), (0, 1));
    }

    #[test]
    fn a_planted_change_is_caught_whether_on_one_node_or_on_all() {
        let other = Digest::of(b"other");
        let one = judge(|listings| listings[1].entries[0].1 = other);
        let all = judge(|listings| listings.iter_mut().for_each(|l| l.entries[0].1 = other));
        let never_told = judge(|listings| listings[2].entries[2].1 = other);
        for verdict in [one, all, never_told] {
            assert_eq!((verdict.lost, verdict.duplicated), (0, 1), "{:?}", verdict.examples);
        }
    }

    #[test]
    fn an_id_acknowledged_with_two_digests_is_caught() {
        let mut acked = told();
        acked.push(Acked { id: id("a"), digest: Digest::of(b"other") });
        let verdict = check(&acked, &listings());
        assert_eq!((verdict.acked, verdict.duplicated), (2, 1));
    }
}
