//! A checksum around each value, from where it is made to where it is read.
//!
//! RocksDB's own are made when a block is written to a file. What a bad memory module changes
//! before, in a write buffer or while files are merged, gets a valid one. So each value is
//! written as a mark, a CRC-32 of column, key and value, and the value. Values without the mark,
//! which version 1 wrote, are read as they are: all of those are JSON or empty, and no JSON begins
//! with the mark.

use super::{Column, StoreError};

const MARK: u8 = 2;
const HEAD_BYTES: usize = 5;

fn checksum(column: Column, key: &[u8], value: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(column.name().as_bytes());
    crc.update(&(key.len() as u64).to_le_bytes());
    crc.update(key);
    crc.update(value);
    crc.finalize().to_le_bytes()
}

/// The value as it is stored.
pub fn seal(column: Column, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEAD_BYTES + value.len());
    sealed.push(MARK);
    sealed.extend_from_slice(&checksum(column, key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value within, checked.
///
/// # Errors
/// It is not what was sealed.
pub fn unseal<'a>(column: Column, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match stored.split_first() {
        Some((&MARK, rest)) => match rest.split_first_chunk() {
            Some((crc, value)) if *crc == checksum(column, key, value) => Ok(value),
            _ => Err(StoreError::corrupt(
                "a value",
                format!(
                    "checksum mismatch in column {}, key {}",
                    column.name(),
                    key.escape_ascii()
                ),
            )),
        },
        _ => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back_and_nothing_else_does() {
        for value in [&b""[..], b"{\"a\":1}"] {
            let sealed = seal(Column::Log, b"key", value);
            assert_eq!(unseal(Column::Log, b"key", &sealed).unwrap(), value);
            assert!(unseal(Column::Meta, b"key", &sealed).is_err());
            assert!(unseal(Column::Log, b"kez", &sealed).is_err());
            for at in 1..sealed.len() {
                for bit in 0..8 {
                    let mut flipped = sealed.clone();
                    flipped[at] ^= 1 << bit;
                    assert!(unseal(Column::Log, b"key", &flipped).is_err(), "{at}");
                }
            }
            assert_eq!(unseal(Column::Log, b"key", value).unwrap(), value, "of version 1");
        }
    }
}
