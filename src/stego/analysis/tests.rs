//! Estimates against known truth: photographs in which a known part of the lowest bits was
//! overwritten.

use super::super::cover::{Picture, Shape, Source};
use super::super::default_cover;
use super::quality::quality;
use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn chance(&mut self, probability: f64) -> bool {
        (self.next() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }
}

fn photograph() -> Picture {
    Source::open(default_cover()).unwrap().decode().unwrap()
}

/// The photograph in 16 bits: what a camera would have seen between two 8-bit levels.
fn deep_photograph() -> Picture {
    let mut random = Random(16);
    let shallow = photograph();
    let raster = shallow.raster.iter().flat_map(|&high| [high, random.next() as u8]).collect();
    Picture { shape: Shape { sample_bytes: 2, ..shallow.shape }, raster }
}

/// The photograph's green channel.
fn grey_photograph() -> Picture {
    let colour = photograph();
    let raster = colour.raster.chunks_exact(3).map(|pixel| pixel[1]).collect();
    Picture { shape: Shape { colours: 1, ..colour.shape }, raster }
}

/// Overwrites the lowest bits of colour samples with random ones, each with `probability`.
fn overwrite(picture: &mut Picture, bits: u8, mut probability: impl FnMut(usize) -> f64) {
    let mut random = Random(7);
    let shape = picture.shape;
    let depth = usize::from(shape.sample_bytes);
    let per_pixel = shape.pixel_bytes() / depth;
    for (at, sample) in picture.raster.chunks_exact_mut(depth).enumerate() {
        if at % per_pixel < usize::from(shape.colours) && random.chance(probability(at)) {
            let low = &mut sample[depth - 1];
            *low = *low >> bits << bits | (random.next() as u8 & ((1 << bits) - 1));
        }
    }
}

/// Adds or takes one from each colour sample of 8 bits with `probability`.
fn step(picture: &mut Picture, probability: f64) {
    let mut random = Random(9);
    for sample in &mut picture.raster {
        if random.chance(probability) {
            let up = (random.next() & 1 == 0 || *sample == 0) && *sample != 255;
            *sample = if up { *sample + 1 } else { *sample - 1 };
        }
    }
}

fn rates(estimates: &Estimates) -> [f64; 3] {
    [estimates.sample_pairs.rate, estimates.rs.rate, estimates.ws.rate]
}

fn assert_near(found: [f64; 3], expected: [f64; 3], tolerance: f64) {
    for (at, name) in ["sample pairs", "RS", "WS"].into_iter().enumerate() {
        let (found, expected) = (found[at], expected[at]);
        assert!((found - expected).abs() <= tolerance, "{name}: {found} instead of {expected}");
    }
}

#[test]
fn a_clean_photograph_has_nothing() {
    for picture in [photograph(), grey_photograph()] {
        let found = estimates(&picture);
        // Its shadows were cut off at black, which sample pairs and RS take amiss.
        assert_near(rates(&found), [0.0; 3], 0.06);
        assert!(found.ws.rate.abs() < 2.0 * found.ws_error, "{found:?}");
        assert_eq!(found.ws_from_top, 0.0);
        assert_eq!((found.verdict, found.likely_rate), (Verdict::Nothing, None));
        assert_eq!(found.ws.channels.len(), usize::from(picture.shape.colours));
    }
}

#[test]
fn every_rate_is_estimated_as_it_was_embedded() {
    for clean in [photograph(), grey_photograph()] {
        let offset = rates(&estimates(&clean));
        for rate in [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0] {
            let mut picture = clean.clone();
            overwrite(&mut picture, 1, |_| rate);
            let found = estimates(&picture);
            // What the clean photograph reads is overwritten along with the rest.
            let expected = offset.map(|offset| rate + (1.0 - rate) * offset);
            // WS reads a full picture of this size as 0.95: little of the cover is left to predict.
            let full = if rate == 1.0 { 0.01 } else { 0.0 };
            assert_near(rates(&found), expected, 0.02 + 0.02 * rate + full);
            if rate >= 0.1 {
                assert_eq!(found.verdict, Verdict::Found, "{rate}: {found:?}");
                let likely = found.likely_rate.unwrap();
                assert!((likely - rate).abs() <= 0.03 + 2.0 * full, "{rate}: {likely}");
            }
        }
    }
}

#[test]
fn channels_are_told_apart() {
    let mut picture = photograph();
    overwrite(&mut picture, 1, |at| if at % 3 == 2 { 0.6 } else { 0.0 });
    let found = estimates(&picture);
    for estimate in [&found.sample_pairs, &found.rs, &found.ws] {
        let [red, green, blue] = estimate.channels[..] else { panic!("{estimate:?}") };
        assert!(red.abs() < 0.05 && green.abs() < 0.05, "{estimate:?}");
        assert!((blue - 0.6).abs() < 0.06, "{estimate:?}");
        assert!((estimate.rate - (red + green + blue) / 3.0).abs() < 1e-12);
    }
}

#[test]
fn a_payload_from_the_top_on_is_measured_to_the_row() {
    for (part, bits) in [(0.02, 1), (0.1, 1), (0.4, 1), (0.4, 2), (0.9, 1)] {
        let mut picture = photograph();
        let end = (part * picture.raster.len() as f64) as usize;
        overwrite(&mut picture, bits, |at| if at < end { 1.0 } else { 0.0 });
        let found = estimates(&picture);
        assert!((found.ws_from_top - part).abs() < 0.01, "{part}: {found:?}");
        assert_eq!(found.verdict, Verdict::Found, "{part}: {found:?}");
        assert_eq!(found.likely_rate, Some(found.ws_from_top));
    }
}

#[test]
fn steps_by_one_escape_these_estimators() {
    // As many changes as an overwriting payload of 0.2 makes. This is why spread and
    // adaptive step by one instead of overwriting, and why the manual says that nothing
    // found does not mean nothing there.
    let mut picture = photograph();
    let clean = rates(&estimates(&picture));
    step(&mut picture, 0.1);
    let found = estimates(&picture);
    assert_near(rates(&found), clean, 0.02);
    assert_eq!(found.verdict, Verdict::Nothing, "{found:?}");
}

#[test]
fn alpha_is_not_looked_at() {
    let colour = photograph();
    let mut random = Random(3);
    let raster = colour
        .raster
        .chunks_exact(3)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], random.next() as u8])
        .collect();
    let with_alpha = Picture { shape: Shape { alpha: true, ..colour.shape }, raster };
    assert_eq!(estimates(&with_alpha), estimates(&colour));
}

#[test]
fn sixteen_bits_are_honestly_unreadable() {
    let mut picture = deep_photograph();
    overwrite(&mut picture, 1, |_| 0.2);
    // The lowest of sixteen bits is noise to begin with.
    let found = estimates(&picture);
    assert!(found.ws_error > 0.05, "{found:?}");
    assert_eq!(found.verdict, Verdict::Unreadable, "{found:?}");
}

#[test]
fn pictures_without_anything_to_see_are_unreadable() {
    for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (4, 4), (5, 7), (64, 64)] {
        for level in [0, 1, 77, 255] {
            for colours in [1, 3] {
                let shape = Shape { width, height, colours, alpha: false, sample_bytes: 1 };
                let raster = vec![level; (width * height * u32::from(colours)) as usize];
                let found = estimates(&Picture { shape, raster });
                assert_eq!(rates(&found), [0.0; 3], "{shape:?} {level}");
                let expected = if level == 77 && width.min(height) > 2 {
                    Verdict::Nothing
                } else {
                    Verdict::Unreadable
                };
                assert_eq!(found.verdict, expected, "{shape:?} {level}");
            }
        }
    }
}

#[test]
fn noise_gives_numbers_and_no_panic() {
    let mut random = Random(1);
    for (width, height) in [(3, 3), (4, 17), (33, 5), (64, 64)] {
        for sample_bytes in [1, 2] {
            let shape = Shape { width, height, colours: 3, alpha: true, sample_bytes };
            let bytes = width as usize * height as usize * shape.pixel_bytes();
            let raster = (0..bytes).map(|_| random.next() as u8).collect();
            let found = estimates(&Picture { shape, raster });
            assert!(rates(&found).iter().all(|rate| rate.is_finite()), "{found:?}");
            assert!((0.0..=1.0).contains(&found.ws_from_top), "{found:?}");
        }
    }
}

#[test]
fn the_report_counts_what_changed() {
    let cover = photograph();
    let mut stego = cover.clone();
    let same = quality(&cover, &cover, 0);
    assert_eq!((same.changed_samples, same.psnr_db), (0, None));
    for (at, by) in [(0, 1), (5, 2), (300, 1)] {
        stego.raster[at] ^= by;
    }
    let found = quality(&cover, &stego, 26_214);
    assert_eq!(found.changed_samples, 3);
    let samples: f64 = 512.0 * 512.0 * 3.0;
    assert_eq!(found.changed_fraction, 3.0 / samples);
    assert_eq!(found.bits_per_pixel, 26_214.0 / (512.0 * 512.0));
    let expected = 10.0 * (255.0 * 255.0 * samples / (1.0 + 4.0 + 1.0)).log10();
    assert!((found.psnr_db.unwrap() - expected).abs() < 1e-9, "{found:?}");
    assert_eq!(found.before, estimates(&cover));
    // That two results can be compared is said with every report.
    assert!(found.advice[0].contains("comparing the two"));
    assert_eq!(found.advice.len(), 1);
}

#[test]
fn the_report_of_a_payload_that_shows_says_so() {
    let cover = photograph();
    let mut stego = cover.clone();
    overwrite(&mut stego, 1, |_| 0.3);
    let found = quality(&cover, &stego, 1);
    assert!((found.changed_fraction - 0.15).abs() < 0.002, "{found:?}");
    assert_eq!((found.before.verdict, found.after.verdict), (Verdict::Nothing, Verdict::Found));
    assert!(found.advice[1].contains("can be seen"), "{:?}", found.advice);
}

#[test]
fn sixteen_bit_samples_are_compared_as_whole_numbers() {
    let cover = deep_photograph();
    let mut stego = cover.clone();
    // From 0x__ff to 0x__00 of the next, or the other way round: one step.
    let low = u16::from_be_bytes([cover.raster[0], cover.raster[1]]);
    stego.raster[..2].copy_from_slice(&(low ^ 1).to_be_bytes());
    let found = quality(&cover, &stego, 0);
    assert_eq!(found.changed_samples, 1);
    let expected = 10.0 * (65535.0_f64 * 65535.0 * 512.0 * 512.0 * 3.0).log10();
    assert!((found.psnr_db.unwrap() - expected).abs() < 1e-9, "{found:?}");
}
