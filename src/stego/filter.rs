//! PNG's row filters (PNG specification, section 9), the writing direction only.
//!
//! Each is a plain loop over slices of one length, which the compiler can turn into
//! vector instructions.

use pulp::{Arch, Simd, WithSimd};

/// A row filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter {
    None,
    Sub,
    Up,
    Average,
    Paeth,
}

impl Filter {
    /// Those that a picture's rows are tried with. `None` is not among them: it wins in
    /// flat pictures only, which are compressed in another way.
    pub const CANDIDATES: [Self; 4] = [Self::Sub, Self::Up, Self::Average, Self::Paeth];

    /// The byte before each filtered row.
    pub fn tag(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Sub => 1,
            Self::Up => 2,
            Self::Average => 3,
            Self::Paeth => 4,
        }
    }

    /// The filter for a row that may not look at the one above: what is left of this one.
    pub fn without_above(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Sub | Self::Up | Self::Average | Self::Paeth => Self::Sub,
        }
    }

    /// Writes the filtered `row` to `out`. All three slices have one length.
    /// `pixel` is the size of a pixel in bytes, which a row is a multiple of.
    pub fn apply(self, row: &[u8], above: &[u8], pixel: usize, out: &mut [u8]) {
        Arch::new().dispatch(Row { filter: self, row, above, pixel, out });
    }
}

/// One row to be filtered.
struct Row<'a> {
    filter: Filter,
    row: &'a [u8],
    above: &'a [u8],
    pixel: usize,
    out: &'a mut [u8],
}

impl WithSimd for Row<'_> {
    type Output = ();

    /// Compiled for each instruction set by `pulp`, which chooses one when the program
    /// runs; so all that it calls must be inlined.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { filter, row, above, pixel, out } = self;
        let (row_start, row_rest) = row.split_at(pixel);
        let (above_start, above_rest) = above.split_at(pixel);
        let (out_start, out_rest) = out.split_at_mut(pixel);
        let left = &row[..row.len() - pixel];
        let above_left = &above[..above.len() - pixel];
        match filter {
            Filter::None => out.copy_from_slice(row),
            Filter::Sub => {
                out_start.copy_from_slice(row_start);
                combine(out_rest, row_rest, left, |x, left| x.wrapping_sub(left));
            }
            Filter::Up => combine(out, row, above, |x, above| x.wrapping_sub(above)),
            Filter::Average => {
                combine(out_start, row_start, above_start, |x, above| x.wrapping_sub(above / 2));
                for (((out, x), left), above) in
                    out_rest.iter_mut().zip(row_rest).zip(left).zip(above_rest)
                {
                    // The mean of two bytes, rounded down, without a ninth bit.
                    let mean = (left & above) + ((left ^ above) >> 1);
                    *out = x.wrapping_sub(mean);
                }
            }
            Filter::Paeth => {
                combine(out_start, row_start, above_start, |x, above| x.wrapping_sub(above));
                for ((((out, x), left), above), corner) in
                    out_rest.iter_mut().zip(row_rest).zip(left).zip(above_rest).zip(above_left)
                {
                    *out = x.wrapping_sub(paeth(*left, *above, *corner));
                }
            }
        }
    }
}

#[inline(always)]
fn combine(out: &mut [u8], row: &[u8], other: &[u8], with: impl Fn(u8, u8) -> u8) {
    for ((out, x), other) in out.iter_mut().zip(row).zip(other) {
        *out = with(*x, *other);
    }
}

/// The neighbour nearest to `left + above - corner`, in bytes alone, so that a vector
/// holds sixteen of them: the distances to it are `|above - corner|`, `|left - corner|`,
/// and of these the sum, where both point the same way, or else the difference. A sum
/// beyond 255 may count as 255, for neither of its terms is larger.
#[inline(always)]
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let to_left = above.abs_diff(corner);
    let to_above = left.abs_diff(corner);
    let same_way = (left >= corner) == (above >= corner);
    let sum = to_left.saturating_add(to_above);
    let to_corner = if same_way { sum } else { to_left.abs_diff(to_above) };
    let nearer = if to_above <= to_corner { above } else { corner };
    if to_left <= to_above && to_left <= to_corner { left } else { nearer }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the specification words it.
    fn paeth_in_integers(a: u8, b: u8, c: u8) -> u8 {
        let (ia, ib, ic) = (i32::from(a), i32::from(b), i32::from(c));
        let p = ia + ib - ic;
        let (pa, pb, pc) = ((p - ia).abs(), (p - ib).abs(), (p - ic).abs());
        if pa <= pb && pa <= pc {
            a
        } else if pb <= pc {
            b
        } else {
            c
        }
    }

    #[test]
    fn paeth_in_bytes_is_paeth() {
        for a in 0..=255 {
            for b in 0..=255 {
                for c in 0..=255 {
                    assert_eq!(paeth(a, b, c), paeth_in_integers(a, b, c), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn rows_are_filtered_as_the_specification_says() {
        for pixel in [1, 2, 3, 4, 6, 8] {
            for pixels in [1, 2, 7, 40] {
                let row: Vec<u8> = (0..pixel * pixels).map(|at| (at * at * 31) as u8).collect();
                let above: Vec<u8> =
                    (0..pixel * pixels).map(|at| (at * 57 + at * at) as u8).collect();
                let before = |row: &[u8], at: usize| if at < pixel { 0 } else { row[at - pixel] };
                for filter in
                    [Filter::None, Filter::Sub, Filter::Up, Filter::Average, Filter::Paeth]
                {
                    let mut out = vec![0xaa; row.len()];
                    filter.apply(&row, &above, pixel, &mut out);
                    for at in 0..row.len() {
                        let (a, b, c) = (before(&row, at), above[at], before(&above, at));
                        let guess = match filter {
                            Filter::None => 0,
                            Filter::Sub => a,
                            Filter::Up => b,
                            Filter::Average => ((u16::from(a) + u16::from(b)) / 2) as u8,
                            Filter::Paeth => paeth_in_integers(a, b, c),
                        };
                        assert_eq!(out[at], row[at].wrapping_sub(guess), "{filter:?} at {at}");
                    }
                }
            }
        }
    }
}
