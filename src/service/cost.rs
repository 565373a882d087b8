//! What a request will take, before it is begun: memory, and work in pixels. From the headers
//! of its pictures alone, so it says what the worst of them would take.
//!
//! Measured with pictures of 3000x2000, as the growth of a process's peak in bytes a pixel of
//! three: a PNG by `lsb` 5.2 (6.2 where nothing makes it smaller), JPEG and WebP 4.8, by `spread`
//! 7, by `adaptive` 13; a report 3.6 more; extract from a PNG 3.5, from a JPEG 6.5. What is said
//! here is a half more and up to twice as much, since files can be made to take more.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::pool::Cost;
use crate::record::Method;
use crate::stego::Appraisal;

/// What any job takes beside its picture: digests, keys, the ledger's record.
const BASE: Cost = Cost(20_000);

/// What a request will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    /// Beside the bodies, while it is worked on, in bytes.
    pub working_bytes: u64,
    pub cost: Cost,
}

/// Digests of bodies, and what else is done to each byte.
pub(super) fn of_bytes(bytes: u64) -> Cost {
    Cost(BASE.0 + bytes / 8)
}

/// What requests with pictures turned out to take for each byte of their bodies, so that one
/// whose body was not read yet can be put where it will belong.
#[derive(Debug)]
pub(super) struct Experience(AtomicU64);

/// Bodies from this size on hold pictures; smaller ones say nothing of what they will take.
const PICTURE_BYTES: u64 = 16 * 1024;
/// In a byte of a body, in sixteenths of a pixel: no picture that is worth the name has fewer.
const RATE_FIRST: u64 = 3;
/// How much one request counts.
const LESSONS: u64 = 8;

impl Default for Experience {
    fn default() -> Self {
        Self(AtomicU64::new(RATE_FIRST))
    }
}

impl Experience {
    /// Of a body that nobody has looked at: half of what such bodies took lately.
    pub fn of_unread(&self, bytes: u64) -> Cost {
        let rate = if bytes < PICTURE_BYTES { RATE_FIRST } else { self.0.load(Ordering::Relaxed) };
        Cost(BASE.0 + bytes.saturating_mul(rate) / 32)
    }

    /// That one took `cost`. A lesson that is lost to another thread is no loss.
    pub fn learn(&self, bytes: u64, cost: Cost) {
        if bytes >= PICTURE_BYTES {
            let (rate, known) = (cost.0.saturating_mul(16) / bytes, self.0.load(Ordering::Relaxed));
            let learned = (known.saturating_mul(LESSONS - 1) + rate) / LESSONS;
            self.0.store(learned.max(RATE_FIRST), Ordering::Relaxed);
        }
    }
}

/// Of an embed of `secret_bytes` by `method`, where `bits` of each sample are used.
pub(super) fn of_embed(
    cover: &Appraisal,
    secret_bytes: u64,
    method: Method,
    bits: u8,
    encrypted: bool,
    report: bool,
) -> Estimate {
    let raster = cover.raster_bytes;
    let decoding = decoding_bytes(cover);
    // The strips of a cover that nothing makes smaller, and room for them to grow.
    let strips = raster + raster / 8;
    let preparing = if cover.is_held { 0 } else { decoding + strips };
    // Rows that change, and their strips: all of them but for what is written in order.
    let in_order = secret_bytes.saturating_mul(8) / u64::from(bits.max(1));
    let changed = match method {
        Method::Lsb | Method::None => {
            let share = in_order.saturating_add(1024).min(cover.carriers);
            share * raster / cover.carriers.max(1)
        }
        Method::Spread | Method::Adaptive => raster,
    };
    let embedding = 2 * changed
        + changed / 8
        + match method {
            Method::Lsb | Method::None => 0,
            Method::Spread => 2 * cover.carriers,
            // The map of costs, and the order of all samples while it is dealt.
            Method::Adaptive => 4 * cover.carriers,
        };
    let reporting = if report { 4 * raster } else { 0 };
    let pixels = |share: u64| cover.pixels * share / 16;
    let work = pixels(if cover.is_held { 0 } else { 16 })
        + cover.pixels * changed / raster.max(1)
        + match method {
            Method::Lsb | Method::None => 0,
            Method::Spread => pixels(16),
            Method::Adaptive => pixels(96),
        }
        + pixels(if report { 128 } else { 0 });
    Estimate {
        working_bytes: preparing + embedding + reporting + secret_bytes + key_bytes(encrypted),
        cost: Cost(BASE.0 + work),
    }
}

/// Of looking for a secret everywhere in a picture.
pub(super) fn of_extract(picture: &Appraisal, encrypted: bool) -> Estimate {
    Estimate {
        working_bytes: decoding_bytes(picture) + 5 * picture.carriers + key_bytes(encrypted),
        cost: Cost(BASE.0 + picture.pixels),
    }
}

/// Of looking where two pictures differ: both decoded, and the map of a byte a pixel, coded.
pub(super) fn of_compare(cover: &Appraisal, picture: &Appraisal) -> Estimate {
    let pixels = cover.pixels + picture.pixels;
    Estimate {
        working_bytes: decoding_bytes(cover) + decoding_bytes(picture) + 2 * picture.pixels,
        cost: Cost(BASE.0 + pixels),
    }
}

/// What a passphrase takes until it is a key (Argon2id, with 19 MiB).
fn key_bytes(encrypted: bool) -> u64 {
    if encrypted { 20 << 20 } else { 0 }
}

/// Some decoders hold coefficients of two bytes for each sample beside the samples, or the
/// samples before and after they are turned upright.
fn decoding_bytes(picture: &Appraisal) -> u64 {
    picture.raster_bytes * if picture.is_by_rows { 1 } else { 3 }
}

/// An answer with a picture of `png_bytes`: in JSON it is there twice while it is written.
pub(super) fn answer_bytes(png_bytes: u64, as_json: bool) -> u64 {
    if as_json { png_bytes + png_bytes / 3 * 4 + 4096 } else { png_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photograph(is_held: bool) -> Appraisal {
        let pixels = 2_000_000;
        Appraisal {
            pixels,
            raster_bytes: pixels * 3,
            carriers: pixels * 3,
            is_by_rows: true,
            is_held,
        }
    }

    #[test]
    fn a_cover_that_is_held_costs_a_fraction_and_a_hidden_secret_more() {
        let of = |held, method| of_embed(&photograph(held), 1000, method, 1, false, false);
        let (new, held) = (of(false, Method::Lsb), of(true, Method::Lsb));
        assert!(held.cost.0 * 20 < new.cost.0 && held.working_bytes * 20 < new.working_bytes);
        let adaptive = of(true, Method::Adaptive);
        assert!(adaptive.cost > new.cost && adaptive.working_bytes > 15 * 2_000_000);
        let large = of_embed(&photograph(true), 700_000, Method::Lsb, 1, false, false);
        assert!(large.working_bytes > 10 * held.working_bytes);
        let report = of_embed(&photograph(true), 1000, Method::Lsb, 1, false, true);
        assert!(report.cost > new.cost);
    }

    #[test]
    fn what_bodies_took_is_expected_of_the_next() {
        let experience = Experience::default();
        let before = experience.of_unread(400_000);
        assert!(before < Cost(100_000));
        (0..40).for_each(|_| experience.learn(400_000, Cost(14_000_000)));
        assert!(experience.of_unread(400_000) > Cost(5_000_000));
        assert!(experience.of_unread(1000) < Cost(30_000), "a small one is still a small one");
        (0..100).for_each(|_| experience.learn(400_000, Cost(1)));
        assert!(experience.of_unread(400_000) < Cost(200_000));
    }

    #[test]
    fn nothing_overflows() {
        let huge = Appraisal {
            pixels: 1 << 26,
            raster_bytes: 1 << 29,
            carriers: 3 << 26,
            is_by_rows: false,
            is_held: false,
        };
        for method in [Method::Lsb, Method::Spread, Method::Adaptive] {
            let estimate = of_embed(&huge, 64 << 20, method, 4, true, true);
            assert!(estimate.working_bytes < 1 << 34, "{estimate:?}");
        }
        assert!(of_extract(&huge, true).working_bytes < 1 << 33);
    }
}
