//! Sample pair analysis: S. Dumitrescu, X. Wu, Z. Wang, "Detection of LSB steganography
//! via sample pair analysis", IEEE Transactions on Signal Processing 51 (7), 2003.
//!
//! Of two neighbours `(u, v)` in a picture without a payload it is as likely that the even
//! one is the larger as that the odd one is. Overwriting low bits moves pairs between the
//! classes
//!
//! - `X`: `v` even and `u < v`, or `v` odd and `u > v`;
//! - `Y`: `v` even and `u > v`, or `v` odd and `u < v`; of these `W`: equal but for the
//!   lowest bit;
//! - `Z`: `u = v`
//!
//! in proportions that depend on the rate `p` alone, so that with `|X| = |Y|` before,
//! `½ (|W| + |Z|) p² + (2 |X| − |P|) p + |Y| − |X| = 0` after, where `P` is all pairs. The
//! lower root is the estimate. This is the paper's equation with all its trace multisets
//! summed. The pairs are all neighbours in rows and in columns that tell anything
//! ([`Plane::tells`]).

use super::plane::Plane;
use super::quadratic::lower_root;

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    pairs: u64,
    x: u64,
    y: u64,
    /// `|W| + |Z|`: alike but perhaps for the lowest bit.
    alike: u64,
}

impl Counts {
    fn add(&mut self, plane: &Plane, us: &[u16], vs: &[u16]) {
        // 32 bits make the loop faster; no row has more pairs.
        let (mut pairs, mut x, mut y, mut alike) = (0_u32, 0_u32, 0_u32, 0_u32);
        for (&u, &v) in us.iter().zip(vs) {
            let odd = v & 1 == 1;
            let tells = plane.tells(u) & plane.tells(v);
            pairs += u32::from(tells);
            x += u32::from(tells & ((u < v) & !odd | (u > v) & odd));
            y += u32::from(tells & ((u > v) & !odd | (u < v) & odd));
            alike += u32::from(tells & (u >> 1 == v >> 1));
        }
        self.pairs += u64::from(pairs);
        self.x += u64::from(x);
        self.y += u64::from(y);
        self.alike += u64::from(alike);
    }

    fn rate(&self) -> f64 {
        let [pairs, x, y, alike] =
            [self.pairs, self.x, self.y, self.alike].map(|count| count as f64);
        lower_root(alike / 2.0, 2.0 * x - pairs, y - x)
    }
}

/// The part of the samples that carry a bit.
pub(super) fn rate(plane: &Plane) -> f64 {
    let mut counts = Counts::default();
    for row in plane.rows() {
        counts.add(plane, &row[..row.len() - 1], &row[1..]);
    }
    for y in 1..plane.height {
        counts.add(plane, plane.row(y - 1), plane.row(y));
    }
    counts.rate()
}
