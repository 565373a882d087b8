//! The data folder's files on a simulated disk. One process at a time is the simulation's
//! own rule, so nothing is locked.

use std::io;
use std::path::Path;

use super::{DataDirError, io_error};
use crate::sim::disk;

#[derive(Debug)]
pub struct Lock;

pub fn open_folder(path: &Path) -> Result<Lock, DataDirError> {
    disk::check().map_err(io_error("create data folder", path))?;
    Ok(Lock)
}

pub fn holder(_folder: &Path) -> Option<String> {
    None
}

pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    disk::read_file(path)
}

pub fn replace(folder: &Path, file: &str, bytes: Vec<u8>) -> io::Result<()> {
    disk::replace_file(&folder.join(file), bytes)
}

pub fn sync_folder(folder: &Path) -> Result<(), DataDirError> {
    disk::check().map_err(io_error("sync", folder))
}
