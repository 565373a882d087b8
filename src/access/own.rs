//! The token that a node makes for itself, so that whoever can read its data folder, and nobody
//! else, can give it orders from a web page.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Its file in the data folder.
pub const OWN_FILE: &str = "admin.token";
/// 256 bits: nobody guesses them.
const TOKEN_BYTES: usize = 32;

/// The digest of the token in the folder's file, which is made where there is none, or none that
/// can be used.
pub(super) fn read_or_make(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join(OWN_FILE);
    let found = match fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => return Err(error),
    };
    let found = found.trim_ascii();
    if BASE64_URL_SAFE_NO_PAD.decode(found).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES) {
        return Ok(Sha256::digest(found).into());
    }
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| io::Error::other(error.to_string()))?;
    let token = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    // A crash leaves either no file or a whole one.
    let temporary = folder.join(format!("{OWN_FILE}.tmp"));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{}", token.as_str())?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    Ok(Sha256::digest(token.as_bytes()).into())
}
