//! What clients send: covers and secrets that were given, or made-up bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::random::Random;
use crate::client::EmbedRequest;
use crate::record::Method;

/// Shared by all clients of a load; a clone shares the bytes.
#[derive(Clone, Default)]
pub struct Material {
    /// One is drawn for each embed; none: the node's own cover.
    pub covers: Arc<Vec<Vec<u8>>>,
    /// One is drawn for each embed; none: fresh random bytes.
    pub secrets: Arc<Vec<Vec<u8>>>,
    pub passphrase: Option<String>,
    /// `None`: the node's choice.
    pub method: Option<Method>,
    /// Low bits of each colour sample to use; `None`: the node's choice.
    pub bits: Option<u8>,
}

impl Material {
    /// A secret; of `made_up_bytes` where none was given.
    pub(super) fn secret(&self, random: &mut Random, made_up_bytes: usize) -> Cow<'_, [u8]> {
        match one_of(&self.secrets, random) {
            Some(secret) => Cow::Borrowed(secret),
            None => Cow::Owned(random.bytes(made_up_bytes)),
        }
    }

    /// What hides `secret` in a cover of its own choice.
    pub(super) fn embed<'a>(&'a self, secret: &'a [u8], random: &mut Random) -> EmbedRequest<'a> {
        EmbedRequest {
            secret,
            cover: one_of(&self.covers, random),
            passphrase: self.passphrase.as_deref(),
            method: self.method,
            bits: self.bits,
            keep_metadata: false,
            report: false,
        }
    }
}

fn one_of<'a>(all: &'a [Vec<u8>], random: &mut Random) -> Option<&'a [u8]> {
    match all {
        [] => None,
        [only] => Some(only),
        several => Some(&several[random.below(several.len() as u64) as usize]),
    }
}

impl fmt::Debug for Material {
    /// Never a secret or a passphrase.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("covers", &self.covers.len())
            .field("secrets", &self.secrets.len())
            .field("method", &self.method)
            .field("bits", &self.bits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_goes_before_what_is_made_up() {
        let mut random = Random::new(1);
        let nothing = Material::default();
        let secret = nothing.secret(&mut random, 9);
        assert_eq!(secret.len(), 9);
        assert!(nothing.embed(&secret, &mut random).cover.is_none());
        let given = Material {
            covers: Arc::new(vec![b"a".to_vec(), b"b".to_vec()]),
            secrets: Arc::new(vec![b"s".to_vec()]),
            ..Material::default()
        };
        assert_eq!(&*given.secret(&mut random, 9), b"s");
        let drawn: Vec<Option<&[u8]>> =
            (0..50).map(|_| given.embed(b"s", &mut random).cover).collect();
        assert!(drawn.contains(&Some(b"a")) && drawn.contains(&Some(b"b")));
        assert!(!format!("{given:?}").contains("passphrase"), "{given:?}");
    }
}
