//! What a steganalyst would find in a picture: estimators of LSB replacement from the
//! literature, and what an embed changed.
//!
//! Pixels in, numbers out; nothing here knows how this program hides anything. Begin with
//! [`estimates`]. Each estimator is one file with its formulas and source.

mod plane;
mod quadratic;
mod quality;
mod rs;
mod sample_pairs;
#[cfg(test)]
mod tests;
mod verdict;
mod ws;

pub use self::quality::{Changes, changes, compare};

use self::plane::Plane;
use super::cover::{Picture, Source};
use super::error::StegoError;
use crate::api::analysis::{Analysis, Estimate, Estimates, Verdict};

/// Decodes a picture file and looks for a payload in its lowest bits. The time is
/// proportional to the number of samples.
///
/// # Errors
/// What is wrong with the picture.
pub fn analyze(file: &[u8]) -> Result<Analysis, StegoError> {
    let picture = Source::open(file)?.decode()?;
    let shape = picture.shape;
    Ok(Analysis {
        width: shape.width,
        height: shape.height,
        channels: shape.colours,
        bits_per_sample: shape.sample_bytes * 8,
        estimates: estimates(&picture),
    })
}

/// What each estimator makes of each colour channel.
pub(crate) fn estimates(picture: &Picture) -> Estimates {
    let (mut sample_pairs, mut rs, mut ws, mut residuals) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for channel in 0..usize::from(picture.shape.colours) {
        let plane = Plane::of(picture, channel);
        sample_pairs.push(sample_pairs::rate(&plane));
        rs.push(rs::rate(&plane));
        let rows = ws::rows(&plane);
        ws.push(ws::rate(&rows));
        residuals.push(rows);
    }
    let mut estimates = Estimates {
        sample_pairs: combined(sample_pairs),
        rs: combined(rs),
        ws: combined(ws),
        ws_error: mean(&residuals.iter().map(|rows| ws::error(rows)).collect::<Vec<_>>()),
        ws_from_top: ws::filled_from_top(&residuals),
        verdict: Verdict::Nothing,
        likely_rate: None,
    };
    (estimates.verdict, estimates.likely_rate) = verdict::of(&estimates);
    estimates
}

fn combined(channels: Vec<f64>) -> Estimate {
    Estimate { rate: mean(&channels), channels }
}

/// Of the channels. For their errors too: the noise of colour channels is so alike that the
/// mean is hardly more certain than one of them.
fn mean(channels: &[f64]) -> f64 {
    channels.iter().sum::<f64>() / channels.len() as f64
}
