//! What a steganalyst would find in a picture, and what an embed gave away.

use serde::{Deserialize, Serialize};

/// One estimator's answer: the part of the samples whose lowest bit carries a payload
/// bit, if each was overwritten (LSB replacement). Such a payload changes half as many
/// samples. 0 is none and 1 all; noise takes an estimate a little below the one and above
/// the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean of `channels`.
    pub rate: f64,
    /// Red, green, blue; or the one grey.
    pub channels: Vec<f64>,
}

/// What four estimators make of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Dumitrescu, Wu, Wang 2003.
    pub sample_pairs: Estimate,
    /// Fridrich, Goljan, Du 2001.
    pub rs: Estimate,
    /// Fridrich, Goljan 2004; Ker, Böhme 2008.
    pub ws: Estimate,
    /// Standard error of `ws.rate`, from the picture itself. 1 where no sample tells
    /// anything.
    pub ws_error: f64,
    /// As `ws`, for a payload that fills the picture from its first row on: the part of
    /// the picture that it fills (Ker, Böhme 2008, on sequential embedding). 0 where no
    /// such part stands out of the noise, or is not full.
    pub ws_from_top: f64,
    pub verdict: Verdict,
    /// The part of the samples that carry a bit, where the verdict is `found`: that of
    /// `ws_from_top` if the payload begins at the top, else that of `ws`.
    pub likely_rate: Option<f64>,
}

/// The estimates in one word, for people who do not read them daily.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No estimate is beyond what pictures without a payload give.
    Nothing,
    /// Some estimate is, but the others do not agree.
    Doubtful,
    /// Overwritten low bits.
    Found,
    /// Too few samples, or none with texture: every estimate would be noise.
    Unreadable,
}

/// Answer of `stegcluster analyze` about one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Colour channels: 1 or 3. Alpha is not looked at.
    pub channels: u8,
    /// 8 or 16.
    pub bits_per_sample: u8,
    pub estimates: Estimates,
}

/// What an embed did to its cover, and what can be seen of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Colour samples that differ between cover and stego image.
    pub changed_samples: u64,
    /// `changed_samples` by the number of colour samples.
    pub changed_fraction: f64,
    /// Peak signal-to-noise ratio over the colour samples, in dB: `10 log10(max² / mse)`,
    /// `max` 255 or 65535. Null where nothing changed.
    pub psnr_db: Option<f64>,
    /// Payload bits by pixel.
    pub bits_per_pixel: f64,
    /// Of the cover.
    pub before: Estimates,
    /// Of the stego image.
    pub after: Estimates,
    /// Sentences for the person who asked.
    pub advice: Vec<String>,
}
