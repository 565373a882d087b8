//! An export of [`super::transfer`] read back record by record, checked to its last line.

use std::io::{self, BufRead};

use super::transfer::{Header, Trailer, is_known};
use crate::record::Record;

/// Why a file is no whole backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("this is no backup of a ledger: {0}")]
    NoBackup(String),
    #[error("line {line} is no record: {cause}")]
    Line { line: u64, cause: serde_json::Error },
    #[error("it was cut short: its last line, with the checksum, is missing")]
    CutShort,
    #[error("its checksum or its number of records is wrong")]
    Damaged,
}

/// Gives every record of a backup to `visit`, and checks the whole. What was visited before an
/// error may be damaged: to be sure, read it once for the check alone. The number of records.
///
/// # Errors
/// See [`BackupError`]; those of `visit` are passed on as [`BackupError::Io`].
pub fn read(
    reader: &mut dyn BufRead,
    visit: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<u64, BackupError> {
    let mut crc = crc32fast::Hasher::new();
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let no_backup = |error: serde_json::Error| BackupError::NoBackup(error.to_string());
    let header: Header = serde_json::from_slice(&line).map_err(no_backup)?;
    if !is_known(&header) {
        return Err(BackupError::NoBackup("its format is not known here".to_owned()));
    }
    let mut records = 0;
    loop {
        crc.update(&line);
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(BackupError::CutShort);
        }
        if let Ok(trailer) = serde_json::from_slice::<Trailer>(&line) {
            let whole = trailer.crc32 == crc.finalize() && trailer.records == records;
            return if whole { Ok(records) } else { Err(BackupError::Damaged) };
        }
        let number = records + 2;
        if line.last() != Some(&b'\n') {
            return Err(BackupError::CutShort);
        }
        let record = serde_json::from_slice(&line)
            .map_err(|cause| BackupError::Line { line: number, cause })?;
        visit(record)?;
        records += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::apply::tests::{apply_all, record};
    use super::super::transfer::export;
    use super::*;
    use crate::store::MemoryStore;

    fn exported(records: usize) -> Vec<u8> {
        let store = MemoryStore::default();
        let put = |i| Command::Put { record: record(&format!("r{i:05}"), &format!("{i}")) };
        apply_all(&store, (0..records).map(put).collect());
        let mut bytes = Vec::new();
        export(&store, &mut |chunk| {
            bytes.extend(chunk);
            true
        })
        .unwrap();
        bytes
    }

    #[test]
    fn a_whole_backup_gives_every_record_in_order() {
        let mut ids = Vec::new();
        let count = read(&mut &exported(700)[..], &mut |record| {
            ids.push(record.id.to_string());
            Ok(())
        });
        assert_eq!(count.unwrap(), 700);
        assert_eq!((ids.len(), ids[0].as_str()), (700, "r00000"));
        assert!(ids.is_sorted());
    }

    #[test]
    fn whatever_is_cut_or_changed_is_refused() {
        let bytes = exported(40);
        let check = |bytes: &[u8]| read(&mut &bytes[..], &mut |_| Ok(()));
        assert_eq!(check(&bytes).unwrap(), 40);
        for end in (0..bytes.len()).step_by(97) {
            assert!(check(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut changed = bytes.clone();
        let digit = changed.iter().rposition(|byte| *byte == b'3').unwrap();
        changed[digit] = b'4';
        assert!(matches!(check(&changed), Err(BackupError::Damaged)));
        assert!(matches!(check(b"hello\n"), Err(BackupError::NoBackup(_))));
    }
}
