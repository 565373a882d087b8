//! The secret that the nodes of a cluster share where they have no certificates, and the
//! handshake by which two of them show each other that they know it: Noise, pattern NNpsk0
//! (noiseprotocol.org, revision 34, sections 7.4 and 9), with X25519, ChaCha20-Poly1305 and
//! SHA-256.
//!
//! Better than a signature on each message: what was recorded cannot be sent again, since each
//! connection has keys of its own and counts its messages; answers are protected as questions
//! are; a body may stream; no clock is asked; and nobody can read along, not even who learns the
//! secret later. It does not tell nodes apart: whoever knows the secret may call itself any node.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::TrustError;

/// Fewer bytes can be guessed.
pub const SECRET_BYTES_MIN: usize = 16;
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// Another version of this use of Noise would have another one, and not be understood.
const PROLOGUE: &[u8] = b"stegcluster peer 1";

/// The key made of a cluster's secret. Wiped when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct ClusterSecret(Arc<Zeroizing<[u8; 32]>>);

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret([hidden])")
    }
}

impl ClusterSecret {
    /// Reads the secret from `file`, without white space at its ends, and warns where others may
    /// read it too.
    ///
    /// # Errors
    /// Unreadable, or shorter than [`SECRET_BYTES_MIN`].
    pub fn read(file: &Path) -> Result<(Self, Option<String>), TrustError> {
        let bytes = super::read(file)?;
        let secret = Self::of(bytes.trim_ascii()).ok_or_else(|| {
            let length = bytes.trim_ascii().len();
            let cause = format!(
                "a cluster secret of {length} bytes can be guessed; make one of {SECRET_BYTES_MIN} or \
                 more: head -c 32 /dev/urandom | base64 > {}",
                file.display()
            );
            TrustError::unusable(file, cause)
        })?;
        Ok((secret, super::too_open(file)))
    }

    /// `None` where there are too few bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < SECRET_BYTES_MIN {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        let derive = Hkdf::<Sha256>::new(None, bytes).expand(PROLOGUE, key.as_mut_slice());
        derive.expect("32 bytes are less than 255 digests");
        Some(Self(Arc::new(key)))
    }

    /// This side of a handshake.
    pub fn shake(&self, first: bool) -> Shaking {
        let params = PATTERN.parse().expect("the pattern is one of Noise's");
        let builder = snow::Builder::new(params);
        let builder = builder.psk(0, &self.0).and_then(|builder| builder.prologue(PROLOGUE));
        let builder = builder.expect("key and prologue are given once");
        let state = if first { builder.build_initiator() } else { builder.build_responder() };
        Shaking(state.expect("the pattern needs nothing more"))
    }
}

/// A handshake under way. Each of its two messages is [`Shaking::MESSAGE_BYTES`] long.
pub struct Shaking(snow::HandshakeState);

/// The other side does not know the secret, or what it sent was changed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sealed with the secret of this cluster")]
pub struct WrongSecret;

impl Shaking {
    /// A public key of X25519 and the tag of an empty message.
    pub const MESSAGE_BYTES: usize = 32 + 16;

    /// The next message to send.
    pub fn say(&mut self) -> [u8; Self::MESSAGE_BYTES] {
        let mut message = [0; Self::MESSAGE_BYTES];
        let written = self.0.write_message(&[], &mut message);
        debug_assert_eq!(written, Ok(Self::MESSAGE_BYTES));
        message
    }

    /// # Errors
    /// See [`WrongSecret`].
    pub fn hear(&mut self, message: &[u8; Self::MESSAGE_BYTES]) -> Result<(), WrongSecret> {
        self.0.read_message(message, &mut []).map(drop).map_err(|_| WrongSecret)
    }

    /// After both messages.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn finish(self) -> Result<Seal, WrongSecret> {
        self.0.into_transport_mode().map(Seal).map_err(|_| WrongSecret)
    }
}

/// The keys of one connection, and how many messages went each way.
pub struct Seal(snow::TransportState);

impl Seal {
    /// What a sealed message is longer than its content.
    pub const TAG_BYTES: usize = 16;

    /// Seals `content` into `sealed`, and says how many bytes of it that took.
    ///
    /// # Errors
    /// `sealed` is too small, or 2^64 - 1 messages were sealed.
    pub fn close(&mut self, content: &[u8], sealed: &mut [u8]) -> Result<usize, WrongSecret> {
        self.0.write_message(content, sealed).map_err(|_| WrongSecret)
    }

    /// Opens what [`Seal::close`] of the other side made, in its order.
    ///
    /// # Errors
    /// Changed, repeated, left out or made by somebody else.
    pub fn open(&mut self, sealed: &[u8], content: &mut [u8]) -> Result<usize, WrongSecret> {
        self.0.read_message(sealed, content).map_err(|_| WrongSecret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> ClusterSecret {
        ClusterSecret::of(text.as_bytes()).unwrap()
    }

    fn connected() -> (Seal, Seal) {
        let key = secret("a secret of the cluster");
        let (mut caller, mut callee) = (key.shake(true), key.shake(false));
        callee.hear(&caller.say()).unwrap();
        caller.hear(&callee.say()).unwrap();
        (caller.finish().unwrap(), callee.finish().unwrap())
    }

    #[test]
    fn who_knows_another_secret_is_found_out_by_its_first_message() {
        let (ours, theirs) = (secret("a secret of the cluster"), secret("another secret, as long"));
        assert_eq!(ours.shake(false).hear(&theirs.shake(true).say()), Err(WrongSecret));
        assert_eq!(format!("{ours:?}"), "ClusterSecret([hidden])");
        assert!(ClusterSecret::of(b"fifteen bytes..").is_none());
    }

    #[test]
    fn what_is_repeated_changed_or_left_out_is_not_opened() {
        let mut content = [0; 64];
        let mut sealed = [[0; 64]; 3];
        let (mut caller, mut callee) = connected();
        let lengths = sealed.each_mut().map(|sealed| caller.close(b"a vote", sealed).unwrap());
        let message = |number: usize| &sealed[number][..lengths[number]];
        assert_eq!(callee.open(message(1), &mut content), Err(WrongSecret), "one was left out");
        assert_eq!(callee.open(message(0), &mut content), Ok(6));
        assert_eq!(&content[..6], b"a vote");
        assert_eq!(callee.open(message(0), &mut content), Err(WrongSecret), "it was repeated");
        let mut changed = message(1).to_vec();
        changed[2] ^= 1;
        assert_eq!(callee.open(&changed, &mut content), Err(WrongSecret));
        assert_eq!(callee.open(message(1), &mut content), Ok(6));
        let (_, mut another) = connected();
        assert_eq!(
            another.open(message(0), &mut content),
            Err(WrongSecret),
            "of another connection"
        );
    }

    #[test]
    fn a_recorded_handshake_opens_nothing() {
        let key = secret("a secret of the cluster");
        let first = key.shake(true).say();
        for _ in 0..2 {
            let mut callee = key.shake(false);
            callee.hear(&first).unwrap();
            // Its answer is of no use without the private key behind the first message.
            let mut stranger = secret("a guess at the secret").shake(true);
            stranger.say();
            assert_eq!(stranger.hear(&callee.say()), Err(WrongSecret));
        }
    }
}
