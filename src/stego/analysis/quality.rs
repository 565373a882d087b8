//! What an embed changed, and what can be seen of it: cover and stego image side by side.

use super::super::cover::{Picture, Shape, Source};
use super::super::error::StegoError;
use super::super::png::{self, Png};
use super::estimates;
use crate::api::analysis::{Quality, Verdict};

/// Said with every report: the estimates are of one picture, and cannot know of the other.
const COMPARED: &str = "Whoever has the cover, or a second picture made from it, sees every \
                        changed sample by comparing the two: use a cover of your own, once, and \
                        delete it.";
const SEEN: &str = "The payload can be seen in the picture's statistics. The method adaptive hides \
                    better than spread, spread better than lsb, and a smaller secret or a larger \
                    cover better than all.";

/// [`quality`] of the two files. `cover` is turned upright first, as an embed does.
///
/// # Errors
/// What is wrong with either picture.
pub fn compare(cover: &[u8], stego: &[u8], payload_bits: u64) -> Result<Quality, StegoError> {
    let cover = Source::open(cover)?.decode_upright()?;
    let stego = Source::open(stego)?.decode()?;
    Ok(quality(&cover, &stego, payload_bits))
}

/// Compares a cover with the stego image made from it, and estimates what a steganalyst
/// finds in either. `payload_bits` is how much was hidden.
///
/// # Panics
/// Where the shapes differ: an embed keeps its cover's.
pub(crate) fn quality(cover: &Picture, stego: &Picture, payload_bits: u64) -> Quality {
    assert_eq!(cover.shape, stego.shape, "an embed keeps its cover's shape");
    let shape = cover.shape;
    let difference = Difference::between(cover, stego);
    let (before, after) = (estimates(cover), estimates(stego));
    let mut advice = vec![COMPARED.to_owned()];
    if after.verdict == Verdict::Found && before.verdict != Verdict::Found {
        advice.push(SEEN.to_owned());
    }
    Quality {
        changed_samples: difference.changed,
        changed_fraction: difference.changed as f64 / shape.carriers() as f64,
        psnr_db: difference.psnr_db(&shape),
        bits_per_pixel: payload_bits as f64 * f64::from(shape.colours) / shape.carriers() as f64,
        before,
        after,
        advice,
    }
}

/// Where two pictures differ.
#[derive(Debug)]
pub struct Changes {
    /// Grey, of the pictures' size: each pixel is the greatest step of its colour samples, 255 at
    /// most.
    pub map: Png,
    /// How many colour samples differ.
    pub samples: u64,
    /// As in [`Quality`].
    pub psnr_db: Option<f64>,
}

/// Where `stego` differs from `cover`, which is turned upright first, as an embed does. `None`
/// where they have not the same shape.
///
/// # Errors
/// What is wrong with either picture.
pub fn changes(cover: &[u8], stego: &[u8]) -> Result<Option<Changes>, StegoError> {
    let cover = Source::open(cover)?.decode_upright()?;
    let stego = Source::open(stego)?.decode()?;
    if cover.shape != stego.shape {
        return Ok(None);
    }
    let shape = cover.shape;
    let difference = Difference::between(&cover, &stego);
    let pixels = cover.raster.chunks_exact(shape.pixel_bytes());
    let pairs = pixels.zip(stego.raster.chunks_exact(shape.pixel_bytes()));
    let raster = pairs.map(|(before, after)| greatest_step(&shape, before, after)).collect();
    let grey = Shape { colours: 1, alpha: false, sample_bytes: 1, ..shape };
    let map = png::encode(Picture { shape: grey, raster });
    Ok(Some(Changes { map, samples: difference.changed, psnr_db: difference.psnr_db(&shape) }))
}

/// Between the colour samples of two pixels; 255 at most.
fn greatest_step(shape: &Shape, before: &[u8], after: &[u8]) -> u8 {
    let depth = usize::from(shape.sample_bytes);
    let colour_bytes = usize::from(shape.colours) * depth;
    let samples = before[..colour_bytes].chunks_exact(depth);
    let pairs = samples.zip(after[..colour_bytes].chunks_exact(depth));
    let steps = pairs.map(|(before, after)| value(before).abs_diff(value(after)));
    u8::try_from(steps.max().unwrap_or(0)).unwrap_or(u8::MAX)
}

/// Over the colour samples.
struct Difference {
    changed: u64,
    squares: u64,
}

impl Difference {
    fn between(cover: &Picture, stego: &Picture) -> Self {
        let shape = cover.shape;
        let depth = usize::from(shape.sample_bytes);
        let colour_bytes = usize::from(shape.colours) * depth;
        let mut difference = Self { changed: 0, squares: 0 };
        let pixels = cover.raster.chunks_exact(shape.pixel_bytes());
        for (before, after) in pixels.zip(stego.raster.chunks_exact(shape.pixel_bytes())) {
            if before == after {
                continue;
            }
            let (before, after) = (&before[..colour_bytes], &after[..colour_bytes]);
            for (before, after) in before.chunks_exact(depth).zip(after.chunks_exact(depth)) {
                let step = value(before).abs_diff(value(after));
                difference.changed += u64::from(step != 0);
                difference.squares += u64::from(step) * u64::from(step);
            }
        }
        difference
    }

    fn psnr_db(&self, shape: &Shape) -> Option<f64> {
        if self.squares == 0 {
            return None;
        }
        let peak: f64 = if shape.sample_bytes == 2 { 65535.0 } else { 255.0 };
        let mse = self.squares as f64 / shape.carriers() as f64;
        Some(10.0 * (peak * peak / mse).log10())
    }
}

/// A sample of one byte, or of two with the higher first.
fn value(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}
