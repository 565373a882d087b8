//! A whole ledger as a stream of bytes, and back: what a snapshot carries to a
//! follower that is too far behind for the log.
//!
//! JSON lines: a header with the ledger's state, one line a record in order of id,
//! and a trailer with the number of records and a CRC-32 of all lines before it.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::apply::{LedgerState, encode, put_record};
use super::keys;
use super::query::{decode, each_record, end_of};
use crate::store::{Batch, Column, Durability, Reader, Store, StoreError};

/// Bytes gathered before they are handed on or written.
const CHUNK_BYTES: usize = 256 * 1024;

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    state: LedgerState,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Trailer {
    pub records: u64,
    pub crc32: u32,
}

/// True where this version can read what follows.
pub(super) fn is_known(header: &Header) -> bool {
    header.format == FORMAT
}

/// Streams the ledger that `view` shows; `sink` returns false to stop early.
///
/// # Errors
/// The store failed or holds what cannot be a record.
pub fn export(view: &dyn Reader, sink: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), StoreError> {
    let state = LedgerState::load(view)?;
    let generation = state.generation;
    let mut chunk = encode("a snapshot header", &Header { format: FORMAT, state })?;
    chunk.push(b'\n');
    let mut crc = crc32fast::Hasher::new();
    let mut records = 0;
    let mut stopped = false;
    let mut failed = None;
    let from = keys::records(generation);
    each_record(view, &from, &end_of(&from), &mut |record| {
        match encode("a record", &record) {
            Ok(line) => chunk.extend_from_slice(&line),
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        chunk.push(b'\n');
        records += 1;
        if chunk.len() >= CHUNK_BYTES {
            crc.update(&chunk);
            stopped = !sink(std::mem::take(&mut chunk));
        }
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if !stopped {
        crc.update(&chunk);
        let trailer = Trailer { records, crc32: crc.finalize() };
        chunk.extend_from_slice(&encode("a snapshot trailer", &trailer)?);
        chunk.push(b'\n');
        sink(chunk);
    }
    Ok(())
}

/// A ledger that is on this disk, complete and checked, but not yet the current one.
#[derive(Debug)]
pub struct Imported {
    /// Makes it current, and deletes the one before.
    pub batch: Batch,
    pub state: LedgerState,
}

/// Takes a stream that [`export`] made into the generation after the current one.
pub struct Importer {
    store: Arc<dyn Store>,
    old_generation: u32,
    generation: u32,
    header: Option<LedgerState>,
    trailer: Option<Trailer>,
    partial: Vec<u8>,
    crc: crc32fast::Hasher,
    records: u64,
    batch: Batch,
    batch_bytes: usize,
}

impl Importer {
    /// Clears what an interrupted import may have left. Only one import may run at a time.
    ///
    /// # Errors
    /// The store failed.
    pub fn new(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let old_generation = LedgerState::load(&*store)?.generation;
        let generation = old_generation + 1;
        let mut batch = Batch::default();
        delete_generation(&mut batch, generation);
        store.write(batch, Durability::Buffered)?;
        Ok(Self {
            store,
            old_generation,
            generation,
            header: None,
            trailer: None,
            partial: Vec::new(),
            crc: crc32fast::Hasher::new(),
            records: 0,
            batch: Batch::default(),
            batch_bytes: 0,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The store failed, or the bytes are no snapshot of a format that we know.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..=end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.partial);
            self.line(&line)?;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let damaged = |error| StoreError::corrupt("a snapshot", error);
        if self.header.is_none() {
            let header: Header = serde_json::from_slice(line).map_err(damaged)?;
            if header.format != FORMAT {
                let cause = format!("format {} is not known here", header.format);
                return Err(StoreError::corrupt("a snapshot", cause));
            }
            self.header = Some(header.state);
        } else if let Ok(trailer) = serde_json::from_slice::<Trailer>(line) {
            self.trailer = Some(trailer);
            return Ok(());
        } else {
            put_record(&mut self.batch, self.generation, &decode(line)?)?;
            self.records += 1;
            self.batch_bytes += line.len();
            if self.batch_bytes >= CHUNK_BYTES {
                self.batch_bytes = 0;
                self.store.write(std::mem::take(&mut self.batch), Durability::Buffered)?;
            }
        }
        self.crc.update(line);
        Ok(())
    }

    /// Checks that everything arrived.
    ///
    /// # Errors
    /// The stream was cut short or damaged, or the store failed.
    pub fn finish(mut self) -> Result<Imported, StoreError> {
        let (Some(mut state), Some(trailer)) = (self.header, self.trailer) else {
            return Err(StoreError::corrupt("a snapshot", "it was cut short"));
        };
        let crc32 = self.crc.finalize();
        if trailer.crc32 != crc32 || trailer.records != self.records || state.count != self.records
        {
            return Err(StoreError::corrupt("a snapshot", "its checksum or count is wrong"));
        }
        state.generation = self.generation;
        state.save(&mut self.batch)?;
        delete_generation(&mut self.batch, self.old_generation);
        Ok(Imported { batch: self.batch, state })
    }
}

fn delete_generation(batch: &mut Batch, generation: u32) {
    let from = keys::generation(generation);
    let to = keys::generation(generation + 1);
    batch.delete_range(Column::Ledger, from, to);
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::apply::tests::{apply_all, record};
    use super::super::query::Ledger;
    use super::*;
    use crate::store::MemoryStore;

    fn filled(records: usize) -> MemoryStore {
        let store = MemoryStore::default();
        let put = |i| Command::Put { record: record(&format!("r{i:05}"), &format!("{i}")) };
        apply_all(&store, (0..records).map(put).collect());
        store
    }

    fn exported(store: &dyn Store) -> Vec<u8> {
        let mut bytes = Vec::new();
        export(store, &mut |chunk| {
            bytes.extend(chunk);
            true
        })
        .unwrap();
        bytes
    }

    #[test]
    fn a_ledger_crosses_whole_whatever_the_chunks() {
        let source = filled(3000);
        let bytes = exported(&source);
        for chunk_bytes in [1 << 20, 997] {
            let target: Arc<dyn Store> = Arc::new(filled(5));
            let mut importer = Importer::new(Arc::clone(&target)).unwrap();
            for chunk in bytes.chunks(chunk_bytes) {
                importer.push(chunk).unwrap();
            }
            let imported = importer.finish().unwrap();
            let ledger = Ledger::new(Arc::clone(&target));
            assert_eq!(ledger.page(None, 9000).unwrap().1, 5, "not current before the batch");
            target.write(imported.batch, Durability::Synced).unwrap();
            let expected = Ledger::new(Arc::new(filled(3000))).page(None, 9000).unwrap();
            assert_eq!(ledger.page(None, 9000).unwrap(), expected);
        }
    }

    #[test]
    fn a_cut_or_changed_stream_is_refused() {
        let bytes = exported(&filled(50));
        let import = |bytes: &[u8]| {
            let mut importer = Importer::new(Arc::new(MemoryStore::default())).unwrap();
            importer.push(bytes).and_then(|()| importer.finish().map(drop))
        };
        assert!(import(&bytes).is_ok());
        for end in (0..bytes.len()).step_by(131) {
            assert!(import(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut changed = bytes.clone();
        let digit = changed.iter().rposition(|b| *b == b'3').unwrap();
        changed[digit] = b'4';
        assert!(import(&changed).is_err());
    }
}
