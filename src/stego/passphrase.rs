//! What a user types to lock a picture.

use std::fmt;

use zeroize::Zeroizing;

use super::error::StegoError;
use crate::limits;

/// A passphrase: 1 to [`limits::PASSPHRASE_BYTES_MAX`] bytes, taken as they come
/// (UTF-8, not normalised). Wiped from memory when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// # Errors
    /// [`StegoError::PassphraseLength`] where it is empty or too long. An empty one is
    /// refused because a picture sealed with it would only seem protected.
    pub fn new(text: String) -> Result<Self, StegoError> {
        let text = Zeroizing::new(text);
        let (bytes, max_bytes) = (text.len(), limits::PASSPHRASE_BYTES_MAX);
        if bytes == 0 || bytes > max_bytes {
            return Err(StegoError::PassphraseLength { bytes, max_bytes });
        }
        Ok(Self(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_bounded_and_hidden() {
        let max_bytes = limits::PASSPHRASE_BYTES_MAX;
        for bytes in [0, max_bytes + 1] {
            assert_eq!(
                Passphrase::new("x".repeat(bytes)).err(),
                Some(StegoError::PassphraseLength { bytes, max_bytes })
            );
        }
        let longest = Passphrase::new("x".repeat(max_bytes)).unwrap();
        assert_eq!(format!("{longest:?}"), "Passphrase([hidden])");
    }
}
