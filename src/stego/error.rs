//! What can go wrong in the codec, as situations a caller can act on.

use crate::api::codec::MethodCapacity;
use crate::record::Method;

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
        "the cover holds {available_bytes} bytes, the secret needs {needed_bytes}, {} more; {}",
        needed_bytes - available_bytes,
        remedy(fits, larger.as_ref())
    )]
    CoverTooSmall {
        needed_bytes: u64,
        available_bytes: u64,
        /// Ways in which this cover would hold it, the best hidden first.
        fits: Vec<MethodCapacity>,
        /// Width and height of a cover, in the same proportion, that would hold it the way it
        /// was asked for. `None` where no cover that is allowed does.
        larger: Option<(u32, u32)>,
    },
    /// No payload, a damaged one, and a wrong or missing passphrase are one answer on
    /// purpose: it must not tell a stranger which of them it is.
    #[error(
        "nothing to recover: there is no whole payload in this picture, or it takes another \
         passphrase (or none); check the passphrase, and that the picture is the original PNG"
    )]
    NoPayload,
    #[error("the payload has format version {version}, newer than this program; upgrade it")]
    UnsupportedVersion { version: u8 },
    /// Whoever asked has no more memory for what was found.
    #[error("there is no memory for what is in this picture at the moment; try again shortly")]
    NoRoom,
    #[error("this method hides nothing; choose lsb, spread or adaptive")]
    UnsupportedMethod,
    #[error("{method} uses one bit of a sample, not {bits}; leave the bits out, or choose lsb")]
    OneBitOnly { method: Method, bits: u8 },
    #[error("{bits} bits per sample are not supported; choose 1, 2, 3 or 4")]
    UnsupportedBits { bits: u8 },
    #[error("a passphrase has 1 to {max_bytes} bytes, this one has {bytes}")]
    PassphraseLength { bytes: usize, max_bytes: usize },
}

/// What to do about a cover that is too small.
fn remedy(fits: &[MethodCapacity], larger: Option<&(u32, u32)>) -> String {
    let mut ways = Vec::new();
    if let Some(fit) = fits.first() {
        let bits = match fit.bits {
            1 => String::new(),
            bits => format!(" with {bits} bits per sample"),
        };
        let (method, holds) = (fit.method, fit.capacity_bytes);
        ways.push(format!("use method {method}{bits}, which holds {holds} bytes"));
    }
    if let Some((width, height)) = larger {
        ways.push(format!("use a cover of {width}x{height} pixels or more"));
    }
    if ways.is_empty() {
        ways.push("split the secret".to_owned());
    }
    ways.join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_small_says_by_how_much_and_what_would_fit() {
        let said = |fits: &[MethodCapacity], larger| {
            let fits = fits.to_vec();
            StegoError::CoverTooSmall { needed_bytes: 70, available_bytes: 50, fits, larger }
                .to_string()
        };
        let by = "the cover holds 50 bytes, the secret needs 70, 20 more; ";
        let lsb = |bits| MethodCapacity { method: Method::Lsb, bits, capacity_bytes: 99 };
        assert_eq!(
            said(&[lsb(2), lsb(3)], Some((40, 30))),
            format!(
                "{by}use method lsb with 2 bits per sample, which holds 99 bytes, or use a cover \
                 of 40x30 pixels or more"
            )
        );
        assert_eq!(said(&[lsb(1)], None), format!("{by}use method lsb, which holds 99 bytes"));
        assert_eq!(said(&[], None), format!("{by}split the secret"));
    }
}
