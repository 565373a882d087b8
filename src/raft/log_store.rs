//! openraft's log and vote over our store. Writes go through the log writer; reads
//! come from memory, or for old entries from the disk, off the runtime.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use serde::de::DeserializeOwned;

use super::ballots::Ballots;
use super::log_writer::LogWriter;
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::ledger::apply::encode;
use crate::limits::LOG_CACHE_ENTRIES_MAX;
use crate::rt::RaftRt;
use crate::store::{Batch, Column, Reader, Store, StoreError};

pub(super) const VOTE_KEY: &[u8] = b"raft/vote";
pub(super) const COMMITTED_KEY: &[u8] = b"raft/committed";
pub(super) const PURGED_KEY: &[u8] = b"raft/purged";

/// What is known without asking the disk.
#[derive(Debug, Default)]
struct Memory {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// The newest entries, and every entry that is not on the disk yet.
    recent: BTreeMap<u64, Entry>,
    /// Entries up to this index are on the disk.
    flushed: u64,
}

/// What other parts of the room may know of the log. Cheap to clone.
#[derive(Clone)]
pub struct LogView {
    memory: Arc<Mutex<Memory>>,
}

impl LogView {
    /// The last entry that a crash cannot take away any more, if the log holds any and it is
    /// known without asking the disk.
    pub fn durable_last(&self) -> Option<LogId> {
        let memory = locked(&self.memory);
        let last = memory.last?;
        if last.index() <= memory.flushed {
            return Some(last);
        }
        memory.recent.get(&memory.flushed).map(RaftEntry::log_id)
    }

    /// True where the log holds this very entry, as far as is known without asking the disk.
    pub fn holds(&self, log_id: LogId) -> bool {
        let memory = locked(&self.memory);
        let held = memory.recent.get(&log_id.index()).map(RaftEntry::log_id);
        held == Some(log_id) || memory.last == Some(log_id)
    }
}

fn locked(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module. A clone is the same log.
#[derive(Clone)]
pub struct LogStore {
    rt: RaftRt,
    store: Arc<dyn Store>,
    writer: LogWriter,
    ballots: Ballots,
    memory: Arc<Mutex<Memory>>,
}

impl LogStore {
    /// Reads where the log stands. May wait for the disk.
    ///
    /// # Errors
    /// The store failed or holds something else.
    pub fn open(
        rt: RaftRt,
        store: Arc<dyn Store>,
        writer: LogWriter,
        ballots: Ballots,
    ) -> Result<Self, StoreError> {
        let purged: Option<LogId> = load(&*store, PURGED_KEY, "the purge position")?;
        check(&*store, purged)?;
        let last = match store.last(Column::Log, &key(0), &key(u64::MAX))? {
            Some((_, json)) => Some(decode(&json)?.log_id()),
            None => purged,
        };
        let memory = Memory {
            vote: load(&*store, VOTE_KEY, "the vote")?,
            committed: load(&*store, COMMITTED_KEY, "the commit position")?,
            purged,
            last,
            recent: BTreeMap::new(),
            flushed: last.map_or(0, |last| last.index()),
        };
        Ok(Self { rt, store, writer, ballots, memory: Arc::new(Mutex::new(memory)) })
    }

    /// What is known of the log, also while openraft owns it.
    pub fn view(&self) -> LogView {
        LogView { memory: Arc::clone(&self.memory) }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        locked(&self.memory)
    }
}

pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn decode(json: &[u8]) -> Result<Entry, StoreError> {
    serde_json::from_slice(json).map_err(|error| StoreError::corrupt("a log entry", error))
}

pub(super) fn load<T: DeserializeOwned>(
    reader: &dyn Reader,
    key: &[u8],
    what: &'static str,
) -> Result<Option<T>, StoreError> {
    let json = reader.get(Column::Meta, key)?;
    json.map(|json| serde_json::from_slice(&json))
        .transpose()
        .map_err(|error| StoreError::corrupt(what, error))
}

/// `range` as first index and the index after the last.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index + 1,
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

pub(super) fn read_from_disk(
    store: &dyn Reader,
    from: u64,
    to: u64,
) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    let mut damaged = None;
    store.scan(Column::Log, &key(from), &key(to), &mut |_, json| match decode(json) {
        Ok(entry) => {
            entries.push(entry);
            ControlFlow::Continue(())
        }
        Err(error) => {
            damaged = Some(error);
            ControlFlow::Break(())
        }
    })?;
    damaged.map_or(Ok(entries), Err)
}

/// Sees that no entry is missing between the purged ones and the last: a store that forgot one of
/// them must not be taken for a node's memory.
fn check(store: &dyn Reader, purged: Option<LogId>) -> Result<(), StoreError> {
    let mut next = purged.map(|purged| purged.index() + 1);
    let mut missing = None;
    // Below it are entries whose deletion a power cut undid, and the marks of all that were deleted.
    store.scan(Column::Log, &key(next.unwrap_or(0)), &key(u64::MAX), &mut |found, _| {
        let index = <[u8; 8]>::try_from(found).map_or(u64::MAX, u64::from_be_bytes);
        let expected = *next.get_or_insert(index);
        if index > expected {
            missing = Some(expected);
            return ControlFlow::Break(());
        }
        next = Some(index + 1);
        ControlFlow::Continue(())
    })?;
    match missing {
        Some(index) => {
            Err(StoreError::corrupt("the Raft log", format!("entry {index} is missing")))
        }
        None => Ok(()),
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (from, to) = bounds(&range);
        {
            let memory = self.memory();
            let end = memory.last.map_or(0, |last| last.index() + 1).min(to);
            if from >= end {
                return Ok(Vec::new());
            }
            let held = memory.recent.first_key_value().is_some_and(|(first, _)| *first <= from);
            if held {
                return Ok(memory
                    .recent
                    .range(from..end)
                    .map(|(_, entry)| entry.clone())
                    .collect());
            }
        }
        // What is not in memory is on the disk; a newer part of the range is in both or
        // in memory only, and is taken from there.
        let store = Arc::clone(&self.store);
        let mut entries = self.rt.blocking(move || read_from_disk(&*store, from, to)).await?;
        let memory = self.memory();
        let next = entries.last().map_or(from, |last| last.log_id().index() + 1);
        if let Some((first, _)) = memory.recent.first_key_value()
            && *first <= next
            && next < to
        {
            entries.extend(memory.recent.range(next..to).map(|(_, entry)| entry.clone()));
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.memory().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let memory = self.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.ballots.check()?;
        let mut batch = Batch::default();
        batch.put(Column::Meta, VOTE_KEY, encode("the vote", vote)?);
        // What Raft must never forget is the term and whom it voted for in it (dissertation,
        // figure 3.1). That this candidate has won is news, and the leader repeats it: a
        // node that forgot it is a voter like any other. So it waits for no fsync of its own.
        let same_ballot = self.memory().vote.is_some_and(|saved| saved.leader_id == vote.leader_id);
        if same_ballot && vote.committed {
            self.writer.write_lazily(batch).await?;
        } else if self.ballots.is_mine(vote) {
            // `network` holds the answers back until it is written.
            let written = self.ballots.cast(vote.leader_id.term);
            self.writer.write(batch, Box::new(written)).await;
        } else {
            self.writer.write_and_wait(batch).await?;
        }
        self.memory().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        batch.put(Column::Meta, COMMITTED_KEY, encode("the commit position", &committed)?);
        // A hint for the next start: it need not be newer than the last fsync.
        self.writer.write_lazily(batch).await?;
        self.memory().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.ballots.check()?;
        let mut batch = Batch::default();
        let mut last = None;
        {
            let mut memory = self.memory();
            for entry in entries {
                let log_id = entry.log_id();
                batch.put(Column::Log, key(log_id.index()), encode("a log entry", &entry)?);
                memory.recent.insert(log_id.index(), entry);
                last = Some(log_id);
            }
            memory.last = last.or(memory.last);
        }
        let Some(last) = last else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let memory = Arc::clone(&self.memory);
        let flushed = move |result: Result<(), StoreError>| {
            if result.is_ok() {
                let mut memory = locked(&memory);
                memory.flushed = memory.flushed.max(last.index());
                memory.forget_old();
            }
            callback.io_completed(result.map_err(io::Error::from));
        };
        self.writer.write(batch, Box::new(flushed)).await;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index() + 1);
        {
            let mut memory = self.memory();
            memory.recent.split_off(&from);
            memory.last = memory.last.min(last).max(memory.purged);
            memory.flushed = memory.flushed.min(from.saturating_sub(1));
        }
        let mut batch = Batch::default();
        batch.delete_range(Column::Log, key(from), key(u64::MAX));
        Ok(self.writer.write_and_wait(batch).await?)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        batch.delete_range(Column::Log, key(0), key(log_id.index() + 1));
        batch.put(Column::Meta, PURGED_KEY, encode("the purge position", &log_id)?);
        {
            let mut memory = self.memory();
            memory.recent = memory.recent.split_off(&(log_id.index() + 1));
            memory.purged = Some(log_id);
            memory.last = memory.last.max(Some(log_id));
        }
        Ok(self.writer.write_lazily(batch).await?)
    }
}

impl Memory {
    /// Keeps memory bounded, but never drops an entry that the disk does not have.
    fn forget_old(&mut self) {
        while self.recent.len() > LOG_CACHE_ENTRIES_MAX {
            match self.recent.first_entry() {
                Some(first) if *first.key() <= self.flushed => drop(first.remove()),
                _ => break,
            }
        }
    }
}
