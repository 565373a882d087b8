//! The write-ahead log's files, before RocksDB reads them: two things that it would pass over.
//!
//! **A torn tail.** The log is only ever appended to, and sectors are written whole; but those
//! that nobody had synced may reach the disk in any order. One that did not is past the end of the
//! file or, where a later one made the file longer, full of zeros. RocksDB takes an end in the
//! middle of a record for what it is, and zeros for damage or, worse, for a block without records,
//! behind which it goes on. So after a power cut the log is cut at the first sector of zeros.
//! Our records are text behind short headers: none has five hundred zeros in a row. A bit that
//! flipped leaves no such sector, so what it damaged is not taken for torn. Whether anything that
//! was synced lay behind the cut, `guard` says.
//!
//! **A header that ends a file early.** One bit makes of a record's type that of a recycled log,
//! or of its length one that reaches beyond the file; RocksDB takes both for the end, and goes on
//! with the next file: a hole. In the manifest it forgets a whole table that way. We never recycle
//! logs, and only the newest can be torn, since the database syncs it before it begins another. So
//! each is walked from header to header. The format is that of RocksDB's `db/log_format.h`: blocks
//! of 32 KiB; a record is a CRC of 4 bytes, a length of 2, a type of 1, and its bytes; what is left
//! of a block below a header's size is zeros.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;

/// What was behind the last cut, for whoever wants to see it.
const TORN: &str = "cut-off.torn";
const SECTOR_BYTES: usize = 512;
const BLOCK_BYTES: usize = 32 * 1024;
const HEAD_BYTES: usize = 7;
/// Types of records in a log that is reused; their headers are longer.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Cuts the newest log of the database in `folder` at its first sector of zeros, and says where.
/// What was behind is kept beside it, in place of what an earlier cut kept.
///
/// # Errors
/// The disk failed.
pub fn cut(folder: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    let Some(log) = logs(folder)?.pop() else { return Ok(None) };
    let bytes = fs::read(&log)?;
    let zeros = |sector: &[u8]| sector.len() == SECTOR_BYTES && sector.iter().all(|b| *b == 0);
    let Some(sector) = bytes.chunks(SECTOR_BYTES).position(zeros) else { return Ok(None) };
    let at = sector * SECTOR_BYTES;
    fs::write(folder.join(TORN), &bytes[at..])?;
    let file = OpenOptions::new().write(true).open(&log)?;
    file.set_len(at as u64)?;
    file.sync_all()?;
    Ok(Some((log, at as u64)))
}

/// Walks every log of the database in `folder`, and its manifest, which has the same form. The
/// manifest is synced with every record, so it is torn only by a power cut.
///
/// # Errors
/// The disk failed, or a log ends where it did not.
pub fn check(folder: &Path, after_power_cut: bool) -> Result<(), StoreError> {
    let failed = |error| StoreError::Io(format!("{}: {error}", folder.display()));
    if let Some(manifest) = manifest(folder).map_err(failed)? {
        let bytes = fs::read(&manifest).map_err(failed)?;
        let damage = match walk(&bytes) {
            End::Whole => None,
            End::Torn(_) if after_power_cut => None,
            End::Torn(at) | End::Bad(at) => Some(at),
        };
        if let Some(at) = damage {
            let cause = format!("{}: no whole record at byte {at}", manifest.display());
            return Err(StoreError::Corrupt { what: "the database's manifest", cause });
        }
    }
    let mut logs = logs(folder).map_err(failed)?;
    let newest = logs.pop();
    for (log, is_newest) in
        logs.iter().map(|log| (log, false)).chain(newest.iter().map(|log| (log, true)))
    {
        let bytes = fs::read(log).map_err(failed)?;
        let damage = match walk(&bytes) {
            End::Whole => continue,
            End::Torn(_) if is_newest => continue,
            End::Torn(at) => format!("{}: it ends within the record at byte {at}", log.display()),
            End::Bad(at) => format!("{}: no record begins at byte {at}", log.display()),
        };
        return Err(StoreError::Corrupt { what: "the write-ahead log", cause: damage });
    }
    Ok(())
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Behind a record.
    Whole,
    /// Within the one at this byte, or with zeros from there.
    Torn(usize),
    /// Here is what cannot be a record.
    Bad(usize),
}

fn walk(bytes: &[u8]) -> End {
    let mut at = 0;
    while at < bytes.len() {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        if left < HEAD_BYTES {
            at += left;
            continue;
        }
        let Some(head) = bytes.get(at..at + HEAD_BYTES) else { return End::Torn(at) };
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let end = at + HEAD_BYTES + length;
        if head[6] == 0 && length == 0 {
            let zeros = bytes[at..].iter().all(|byte| *byte == 0);
            return if zeros { End::Torn(at) } else { End::Bad(at) };
        }
        if RECYCLED.contains(&head[6]) || HEAD_BYTES + length > left {
            return End::Bad(at);
        }
        if end > bytes.len() {
            return End::Torn(at);
        }
        at = end;
    }
    End::Whole
}

/// The manifest that is in force, if there is a database. Where the file that names it is damaged,
/// the database says so itself.
fn manifest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let current = match fs::read(folder.join("CURRENT")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        current => current?,
    };
    let name = String::from_utf8_lossy(&current).trim().to_owned();
    let manifest = folder.join(&name);
    Ok((name.starts_with("MANIFEST-") && manifest.is_file()).then_some(manifest))
}

/// The logs, oldest first.
fn logs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs: Vec<(u64, PathBuf)> = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.extend(number.map(|number| (number, path)));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: u16, kind: u8) -> Vec<u8> {
        let mut record = vec![1, 2, 3, 4];
        record.extend(length.to_le_bytes());
        record.push(kind);
        record.resize(HEAD_BYTES + usize::from(length), b'x');
        record
    }

    #[test]
    fn the_newest_log_is_cut_where_zeros_begin() {
        let folder = tempfile::tempdir().unwrap();
        let (older, newest) = (folder.path().join("000009.log"), folder.path().join("000010.log"));
        fs::write(&older, vec![0; 2048]).unwrap();
        let mut bytes = vec![7; 1300];
        fs::write(&newest, &bytes).unwrap();
        assert_eq!(cut(folder.path()).unwrap(), None);
        // A sector, and the file goes on behind it.
        bytes.resize(2048, 0);
        bytes.extend([7; 300]);
        fs::write(&newest, &bytes).unwrap();
        assert_eq!(cut(folder.path()).unwrap(), Some((newest.clone(), 1536)));
        assert_eq!(fs::metadata(&newest).unwrap().len(), 1536);
        assert_eq!(fs::metadata(folder.path().join(TORN)).unwrap().len(), 812);
        assert_eq!(fs::metadata(&older).unwrap().len(), 2048);
        assert_eq!(cut(&folder.path().join("none")).unwrap(), None);
    }

    #[test]
    fn a_manifest_is_torn_by_a_power_cut_only() {
        let folder = tempfile::tempdir().unwrap();
        let whole = record(100, 1);
        let name = "MANIFEST-000005";
        fs::write(folder.path().join("CURRENT"), format!("{name}\n")).unwrap();
        for (bytes, killed, cut) in [
            (whole.clone(), true, true),
            (whole[..90].to_vec(), false, true),
            (record(100, 5), false, false),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
            assert_eq!(check(folder.path(), false).is_ok(), killed);
            assert_eq!(check(folder.path(), true).is_ok(), cut);
        }
    }

    #[test]
    fn a_log_may_end_early_only_where_it_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = record(100, 1);
        whole.extend(record(200, 1));
        let cases = [
            (whole.clone(), true, true),
            (whole[..200].to_vec(), false, true),
            ([&whole[..], &[0; 40]].concat(), false, true),
            ([&whole[..], &[0; 40], &[7; 9]].concat(), false, false),
            ([record(100, 5), whole.clone()].concat(), false, false),
            ([whole, record(40_000, 1)].concat(), false, false),
        ];
        for (number, (bytes, older, newest)) in cases.into_iter().enumerate() {
            fs::write(folder.path().join("000010.log"), &bytes).unwrap();
            assert_eq!(check(folder.path(), false).is_ok(), newest, "{number}");
            fs::write(folder.path().join("000011.log"), record(1, 1)).unwrap();
            assert_eq!(check(folder.path(), false).is_ok(), older, "{number}");
            fs::remove_file(folder.path().join("000011.log")).unwrap();
        }
    }
}
