//! RS analysis: J. Fridrich, M. Goljan, R. Du, "Reliable detection of LSB steganography in
//! color and grayscale images", ACM Workshop on Multimedia and Security, 2001.
//!
//! Groups of four neighbours are compared with themselves after the lowest bits of the two
//! in the middle are flipped (mask 0 1 1 0), by the noise `|a−b| + |b−c| + |c−d|`: regular
//! if it grows, singular if it shrinks. The other way of flipping (mask 0 −1 −1 0) swaps
//! 2k − 1 with 2k instead of 2k with 2k + 1. In a picture without a payload both give the
//! same surplus of regular groups; a payload wears down the first and not the second.
//!
//! With `d0`, `n0` the surpluses of the picture for either mask and `d1`, `n1` those of the
//! picture with all lowest bits flipped, `x` is the root of smaller magnitude of
//! `2 (d1 + d0) x² + (n0 − n1 − d1 − 3 d0) x + d0 − n0 = 0`, and the rate is `x / (x − ½)`.
//! Groups are disjoint, along rows and along columns; all four samples must tell anything
//! ([`Plane::tells`]).

use super::plane::Plane;
use super::quadratic::{Roots, roots};

/// Regular groups less singular ones.
#[derive(Debug, Default, Clone, Copy)]
struct Surplus {
    d0: i64,
    n0: i64,
    d1: i64,
    n1: i64,
}

impl Surplus {
    fn add(&mut self, group: [i32; 4]) {
        let [a, b, c, d] = group;
        let flipped = group.map(flip);
        let [p, q, r, s] = flipped;
        let (plain, turned) = (noise(group), noise(flipped));
        self.d0 += sign(noise([a, q, r, d]) - plain);
        self.n0 += sign(noise([a, shifted_flip(b), shifted_flip(c), d]) - plain);
        self.d1 += sign(noise([p, b, c, s]) - turned);
        self.n1 += sign(noise([p, shifted_flip(q), shifted_flip(r), s]) - turned);
    }

    fn rate(&self) -> f64 {
        let [d0, n0, d1, n1] = [self.d0, self.n0, self.d1, self.n1].map(|count| count as f64);
        let x = match roots(2.0 * (d1 + d0), n0 - n1 - d1 - 3.0 * d0, d0 - n0) {
            Roots::Real(lower, upper) if lower.abs() <= upper.abs() => lower,
            Roots::Real(_, upper) => upper,
            // Where every sample carries a bit, d0 and d1 are nothing but noise around 0,
            // which decides whether two large roots are real. Their size still tells.
            Roots::Complex { modulus, .. } => -modulus,
        };
        // The pole stands for more than all samples.
        if x == 0.5 { 1.0 } else { x / (x - 0.5) }
    }
}

/// 0 with 1, 2 with 3, and so on.
fn flip(sample: i32) -> i32 {
    sample ^ 1
}

/// −1 with 0, 1 with 2, and so on.
fn shifted_flip(sample: i32) -> i32 {
    ((sample + 1) ^ 1) - 1
}

fn noise([a, b, c, d]: [i32; 4]) -> i32 {
    (a - b).abs() + (b - c).abs() + (c - d).abs()
}

fn sign(difference: i32) -> i64 {
    i64::from(difference.signum())
}

/// The part of the samples that carry a bit.
pub(super) fn rate(plane: &Plane) -> f64 {
    let mut surplus = Surplus::default();
    let mut add = |group: [u16; 4]| {
        if group.iter().all(|&sample| plane.tells(sample)) {
            surplus.add(group.map(i32::from));
        }
    };
    for row in plane.rows() {
        for group in row.chunks_exact(4) {
            add([group[0], group[1], group[2], group[3]]);
        }
    }
    for y in (0..plane.height / 4).map(|group| group * 4) {
        let rows = [plane.row(y), plane.row(y + 1), plane.row(y + 2), plane.row(y + 3)];
        for x in 0..plane.width {
            add(rows.map(|row| row[x]));
        }
    }
    surplus.rate()
}
