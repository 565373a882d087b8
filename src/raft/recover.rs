//! Raft's state on a disk, without Raft: what it says, and how it is rewritten for a node whose
//! cluster lost its majority for good.
//!
//! The rewritten state is the one that a node has after it took a snapshot: an empty log that
//! was purged up to the last entry, the ledger applied up to the same, and a membership of one.
//! Every entry of the old log is applied before, also those not known to be committed: the lost
//! leader may have acknowledged them, and a record too many does less harm than one too few.

use std::collections::{BTreeMap, BTreeSet};

use openraft::entry::RaftEntry;
use openraft::{EntryPayload, Membership};

use super::log_store::{COMMITTED_KEY, PURGED_KEY, VOTE_KEY, key, load, read_from_disk};
use super::members::node_of;
use super::state_machine::Position;
use super::types::{Entry, LogId, StoredMembership, Vote, position};
use crate::ident::{LogPosition, RaftId, Term};
use crate::ledger::apply::{Applier, LedgerState, encode};
use crate::store::{Batch, Column, Reader, StoreError};
use crate::view::Member;

/// Where a node's Raft stands, by its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    pub term: Term,
    /// The last entry of its log.
    pub last_log: LogPosition,
    /// The last entry that its ledger has.
    pub applied: LogPosition,
    /// By the newest membership in its log.
    pub members: Vec<Member>,
    /// Records in its ledger.
    pub records: u64,
    /// Entries of its log that its ledger does not have.
    pub unapplied: u64,
}

/// All that is read.
struct Found {
    vote: Option<Vote>,
    last: Option<LogId>,
    position: Position,
    state: LedgerState,
    unapplied: Vec<Entry>,
}

fn find(reader: &dyn Reader) -> Result<Found, StoreError> {
    let position = Position::load(reader)?;
    let purged: Option<LogId> = load(reader, PURGED_KEY, "the purge position")?;
    let next = position.applied.as_ref().map_or(0, |applied| applied.index() + 1);
    let unapplied = read_from_disk(reader, next, u64::MAX)?;
    for (expected, entry) in (next..).zip(&unapplied) {
        if entry.log_id().index() != expected {
            let cause = format!("entry {expected} is missing");
            return Err(StoreError::corrupt("the log", cause));
        }
    }
    let last = unapplied.last().map(RaftEntry::log_id).max(position.applied).max(purged);
    Ok(Found {
        vote: load(reader, VOTE_KEY, "the vote")?,
        last,
        state: LedgerState::load(reader)?,
        position,
        unapplied,
    })
}

/// The newest membership counts as soon as it is in a log (dissertation, section 4.1).
fn members(found: &Found) -> Vec<Member> {
    let newest = found.unapplied.iter().rev().find_map(RaftEntry::get_membership);
    let membership = newest.unwrap_or_else(|| found.position.membership.membership().clone());
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    membership
        .nodes()
        .map(|(id, node)| Member {
            raft_id: RaftId(*id),
            name: node.name.clone(),
            http_addr: node.http_addr.clone(),
            raft_addr: node.raft_addr.clone(),
            voter: voters.contains(id),
        })
        .collect()
}

/// Reads where the node stands. Changes nothing.
///
/// # Errors
/// The store failed or holds something else.
pub fn survey(reader: &dyn Reader) -> Result<Survey, StoreError> {
    let found = find(reader)?;
    let last_log = position(found.last.as_ref());
    let voted = found.vote.map_or(0, |vote| vote.leader_id.term);
    Ok(Survey {
        term: Term(voted.max(last_log.term)),
        last_log,
        applied: position(found.position.applied.as_ref()),
        members: members(&found),
        records: found.state.count,
        unapplied: found.unapplied.len() as u64,
    })
}

/// Counts the records of the ledger anew, and sees on the way whether each can be read.
///
/// # Errors
/// The store failed, or some record cannot be read.
pub fn recount(reader: &dyn Reader) -> Result<Batch, StoreError> {
    let mut state = LedgerState::load(reader)?;
    state.count = crate::ledger::query::count(reader, state.generation)?;
    let mut batch = Batch::default();
    state.save(&mut batch)?;
    Ok(batch)
}

/// The changes that make `me` the only member, with every entry of its log applied. To be
/// written as one batch, synced. The vote stays: no term is ever forgotten.
///
/// # Errors
/// The store failed, or its log holds nothing at all.
pub fn rewrite(reader: &dyn Reader, me: &Member) -> Result<Batch, StoreError> {
    let found = find(reader)?;
    let highest = members(&found).iter().map(|member| member.raft_id.0).max().unwrap_or(0);
    let Some(last) = found.last else {
        return Err(StoreError::corrupt("the log", "it is empty: there is nothing to recover"));
    };
    let mut applier = Applier::new(reader, found.state);
    for entry in found.unapplied {
        if let EntryPayload::Normal(command) = entry.payload {
            applier.apply(command)?;
        }
    }
    let (mut batch, mut state) = applier.finish()?;
    // Numbers of the lost members are not given again.
    state.next_raft_id = state.next_raft_id.max(RaftId(highest + 1));
    state.save(&mut batch)?;
    let voters = vec![BTreeSet::from([me.raft_id.0])];
    let nodes = BTreeMap::from([(me.raft_id.0, node_of(me))]);
    let membership = Membership::new(voters, nodes)
        .map_err(|error| StoreError::corrupt("the new membership", error))?;
    let position =
        Position { applied: Some(last), membership: StoredMembership::new(Some(last), membership) };
    position.save(&mut batch)?;
    batch.delete_range(Column::Log, key(0), key(u64::MAX));
    batch.put(Column::Meta, PURGED_KEY, encode("the purge position", &last)?);
    batch.put(Column::Meta, COMMITTED_KEY, encode("the commit position", &Some(last))?);
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::ledger::Command;
    use crate::ledger::apply::tests::record;
    use crate::ledger::query::Ledger;
    use crate::store::{Durability, MemoryStore, Store};

    fn member(id: u64) -> Member {
        Member {
            raft_id: RaftId(id),
            name: format!("n{id}").parse().unwrap(),
            http_addr: format!("127.0.0.1:808{id}"),
            raft_addr: format!("127.0.0.1:500{id}"),
            voter: true,
        }
    }

    fn id(term: u64, index: u64) -> LogId {
        let leader = openraft::impls::leader_id_std::LeaderId::new(term, 1);
        LogId::new(leader.to_committed(), index)
    }

    /// A founder's disk: the membership of three, then two records, of which nothing is applied.
    fn survivor() -> MemoryStore {
        let store = MemoryStore::default();
        let members: BTreeMap<u64, _> = (1..=3).map(|id| (id, node_of(&member(id)))).collect();
        let membership = Membership::new(vec![members.keys().copied().collect()], members).unwrap();
        let put = |name| EntryPayload::Normal(Command::Put { record: record(name, name) });
        let payloads = [EntryPayload::Membership(membership), put("a"), put("b")];
        let mut batch = Batch::default();
        for (index, payload) in (0..).zip(payloads) {
            let entry = Entry { log_id: id(2, index), payload };
            batch.put(Column::Log, key(index), encode("an entry", &entry).unwrap());
        }
        store.write(batch, Durability::Synced).unwrap();
        store
    }

    #[test]
    fn the_only_member_keeps_every_entry_of_its_log() {
        let store = survivor();
        let before = survey(&store).unwrap();
        assert_eq!((before.records, before.unapplied), (0, 3));
        assert_eq!(before.last_log, LogPosition { term: 2, index: 2 });
        assert_eq!(before.members, [1, 2, 3].map(member));

        let batch = rewrite(&store, &member(1)).unwrap();
        store.write(batch, Durability::Synced).unwrap();
        let after = survey(&store).unwrap();
        assert_eq!((after.records, after.unapplied), (2, 0));
        assert_eq!((after.last_log, after.applied), (before.last_log, before.last_log));
        assert_eq!(after.members, [member(1)]);
        assert_eq!(LedgerState::load(&store).unwrap().next_raft_id, RaftId(4));
        // Twice is once.
        let batch = rewrite(&store, &member(1)).unwrap();
        store.write(batch, Durability::Synced).unwrap();
        assert_eq!(survey(&store).unwrap(), after);
        let ledger = Ledger::new(std::sync::Arc::new(store));
        assert_eq!(ledger.page(None, 10).unwrap().0, [record("a", "a"), record("b", "b")]);
    }

    #[test]
    fn a_log_with_a_hole_is_refused() {
        let store = survivor();
        let mut batch = Batch::default();
        batch.delete(Column::Log, key(1));
        store.write(batch, Durability::Synced).unwrap();
        assert!(survey(&store).is_err());
        assert!(rewrite(&MemoryStore::default(), &member(1)).is_err());
    }
}
