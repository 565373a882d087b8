//! What can go wrong in the codec, as situations a caller can act on.

/// Why bytes could not be hidden or found. Each sentence says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StegoError {
    /// The bytes are not a picture, or a damaged one.
    #[error("this is not a readable picture ({cause}); send a whole PNG, JPEG, WebP or BMP file")]
    NotAPicture { cause: String },
    /// Refused by its header, before anything was decoded.
    #[error("the picture has {pixels} pixels, more than the {max} allowed; scale it down")]
    TooManyPixels { pixels: u64, max: u64 },
    /// The decoder asked for more memory than it may have.
    #[error("decoding the picture takes more than the {max_bytes} bytes allowed; scale it down")]
    TooLarge { max_bytes: u64 },
    #[error("the secret has {bytes} bytes, more than the {max_bytes} allowed; split it")]
    SecretTooLarge { bytes: u64, max_bytes: u64 },
    /// `needed_bytes` is the secret as it would be stored (compressed where that helps),
    /// plus what is missing for the frame where not even that fits.
    /// `available_bytes` is what [`crate::stego::capacity`] says.
    #[error(
        "the cover holds {available_bytes} bytes, the secret needs {needed_bytes}; \
         use a larger cover or more bits per sample"
    )]
    CoverTooSmall { needed_bytes: u64, available_bytes: u64 },
    /// No payload, a damaged one, and a wrong or missing passphrase are one answer on
    /// purpose: it must not tell a stranger which of them it is.
    #[error(
        "nothing to recover: there is no whole payload in this picture, or it takes another \
         passphrase (or none); check the passphrase, and that the picture is the original PNG"
    )]
    NoPayload,
    #[error("the payload has format version {version}, newer than this program; upgrade it")]
    UnsupportedVersion { version: u8 },
    #[error("this method hides nothing; choose lsb")]
    UnsupportedMethod,
    #[error("{bits} bits per sample are not supported; choose 1, 2, 3 or 4")]
    UnsupportedBits { bits: u8 },
    #[error("a passphrase has 1 to {max_bytes} bytes, this one has {bytes}")]
    PassphraseLength { bytes: usize, max_bytes: usize },
}
