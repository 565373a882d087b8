//! Weighted stego image: J. Fridrich, M. Goljan, "On estimation of secret message length
//! in LSB steganography in spatial domain", SPIE 5306, 2004; with the predictor and the
//! weights of A. Ker, R. Böhme, "Revisiting weighted stego-image steganalysis", SPIE 6819,
//! 2008.
//!
//! Each sample `s` is predicted from its eight neighbours, `F(s) = ½ (n + e + s + w) − ¼
//! (ne + se + sw + nw)`. With `s̄` the sample whose lowest bit is flipped,
//! `(s − s̄)(s − F(s))` is 0 on average where nothing was changed and 1 where it was; its
//! mean, weighted with `1 / (5 + σ²)` by the variance of the neighbours, is the part `β`
//! of the samples that were changed, and `2 β` that of those which carry a bit.
//!
//! The changes also reach into their neighbours' predictions: in flat parts, where
//! neighbours share their lowest bit, the mean is nearly twice `β`. With
//! `B = Σ w (s − s̄) F(s̄ − s)` over the picture as it is, the mean is
//! `β (1 − B / (1 − 2 β))` instead of `β`: each of the two lowest bits that are compared in
//! `B` was flipped with probability `β` itself. So `β` is the lower root of
//! `2 β² − (1 − B + 2 mean) β + mean = 0`. (The paper corrects for the same effect to the
//! first order only, and by what is likely for a given stego image, where this takes the
//! cover as given.)
//!
//! For a payload that fills a picture from the top (the paper's section on sequential
//! embedding), the same residuals are summed up row by row: in the filled part they are ½
//! on average. The row up to which the weighted sum of `residual − ¼` is largest is the
//! least-squares estimate of where the payload ends.

use super::plane::Plane;
use super::quadratic::lower_root;

/// What one row of a plane says.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Row {
    weight: f64,
    /// Weighted residuals.
    residuals: f64,
    /// The squares of the same.
    squares: f64,
    /// `B`, weighted.
    bias: f64,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.weight += other.weight;
        self.residuals += other.residuals;
        self.squares += other.squares;
        self.bias += other.bias;
    }
}

/// The sums for each row but the first and the last, which lack neighbours on one side.
/// None where the plane is too low for others.
pub(super) fn rows(plane: &Plane) -> Vec<Row> {
    (1..plane.height.max(2) - 1).map(|y| row(plane, y)).collect()
}

fn row(plane: &Plane, y: usize) -> Row {
    let mut sums = Row::default();
    let rows = [plane.row(y - 1), plane.row(y), plane.row(y + 1)];
    for x in 1..plane.width.max(2) - 1 {
        let window = rows.map(|row| [row[x - 1], row[x], row[x + 1]]);
        if window.iter().flatten().all(|&sample| plane.tells(sample)) {
            add(&mut sums, window);
        }
    }
    sums
}

fn add(sums: &mut Row, window: [[u16; 3]; 3]) {
    let samples = window.map(|row| row.map(f32::from));
    // s̄ − s of each.
    let turns = window.map(|row| row.map(|sample| if sample & 1 == 1 { -1.0 } else { 1.0 }));
    let (sample, side) = (samples[1][1], -turns[1][1]);
    let weight = weight(&samples);
    let residual = weight * side * (sample - prediction(&samples));
    sums.weight += f64::from(weight);
    sums.residuals += f64::from(residual);
    sums.squares += f64::from(residual * residual);
    sums.bias += f64::from(weight * side * prediction(&turns));
}

fn prediction(window: &[[f32; 3]; 3]) -> f32 {
    let [[nw, n, ne], [w, _, e], [sw, s, se]] = window;
    (n + e + s + w) / 2.0 - (nw + ne + sw + se) / 4.0
}

fn weight(window: &[[f32; 3]; 3]) -> f32 {
    // Differences from one of them: the squares of 16-bit samples themselves would lose the
    // variance to rounding. The sample in the middle has no part in its own weight, which
    // would be less after a change; that took 2 % off the estimate.
    let [[nw, n, ne], [w, _, e], [sw, s, se]] = window;
    let (mut sum, mut squares) = (0.0, 0.0);
    for sample in [n, ne, w, e, sw, s, se] {
        let difference = sample - nw;
        sum += difference;
        squares += difference * difference;
    }
    let mean = sum / 8.0;
    1.0 / (5.0 + (squares / 8.0 - mean * mean).max(0.0))
}

/// The part of the samples that carry a bit, wherever they are.
pub(super) fn rate(rows: &[Row]) -> f64 {
    let sums = summed(rows);
    if sums.weight == 0.0 {
        return 0.0;
    }
    let mean = sums.residuals / sums.weight;
    let bias = sums.bias / sums.weight;
    2.0 * lower_root(2.0, -(1.0 - bias + 2.0 * mean), mean)
}

/// The standard error of [`rate`], as if residuals were independent. 1 where there are none.
pub(super) fn error(rows: &[Row]) -> f64 {
    let sums = summed(rows);
    if sums.weight == 0.0 {
        return 1.0;
    }
    (2.0 * sums.squares.sqrt() / sums.weight).min(1.0)
}

fn summed(rows: &[Row]) -> Row {
    let mut sums = Row::default();
    rows.iter().for_each(|row| sums.add(row));
    sums
}

/// How many standard deviations a filled part must stand out by: as many rows as there are
/// were tried, and the largest sum was taken.
const STANDS_OUT: f64 = 6.0;
/// How many of them it may be less than full by. A payload that is spread over most of the
/// samples fills no part.
const FULL: f64 = 3.0;

/// The part of the picture, from its top on, that is filled; `channels` has the rows of
/// each. In whole rows: 0 where none stands out of the noise, or what does is not full.
pub(super) fn filled_from_top(channels: &[Vec<Row>]) -> f64 {
    let count = channels.first().map_or(0, Vec::len);
    let mut part = Row::default();
    let (mut most, mut fullest, mut filled) = (0.0, part, 0);
    for y in 0..count {
        for rows in channels {
            part.add(&rows[y]);
        }
        let sum = part.residuals - part.weight / 4.0;
        if sum > most {
            (most, fullest, filled) = (sum, part, y + 1);
        }
    }
    let deviation = fullest.squares.sqrt();
    let stands_out = most > STANDS_OUT * deviation;
    let full = fullest.residuals + FULL * deviation >= fullest.weight / 2.0;
    if stands_out && full { filled as f64 / count as f64 } else { 0.0 }
}
