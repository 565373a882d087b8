//! What a change of each sample costs: HILL (Li, Wang, Huang, Li 2014, "A new cost
//! function for spatial image steganography").
//!
//! A high-pass filter finds where a sample cannot be told from its neighbours; the
//! average of its magnitude over 3x3 samples, inverted and averaged again over 15x15, is
//! small in texture and large where the picture is smooth. Each colour by itself. In
//! integers but for one division, so that every machine finds the same costs.

use pulp::{Arch, Simd, WithSimd};

use super::super::cover::Picture;

/// Costs in units that only matter against each other; 65535 is as high as it gets.
pub(crate) type CostMap = Vec<u16>;

/// Half the side of the second average, less the middle.
const REACH: usize = 7;
const WINDOW: usize = 2 * REACH + 1;
/// Inverse of a residual of 1 (summed over 3x3).
const ONE: f32 = (1 << 20) as f32;
/// Inverse of no residual at all: an even area, in which every change shows. The window
/// may be full of it and still fit 32 bits.
const EVEN: u32 = 1 << 23;
/// From the sum of inverses to costs.
const SHIFT: u32 = 12;

/// One cost for each carrier of `picture`.
pub(crate) fn costs(picture: &Picture) -> CostMap {
    let shape = picture.shape;
    let row = shape.width as usize * usize::from(shape.colours);
    let plane;
    let samples = if shape.pixel_bytes() == usize::from(shape.colours) {
        picture.raster.as_slice()
    } else {
        // The highest byte of each colour sample: finer steps are noise in any picture.
        let sample = usize::from(shape.sample_bytes);
        let pixels = picture.raster.chunks_exact(shape.pixel_bytes());
        let colours = usize::from(shape.colours) * sample;
        plane = pixels
            .flat_map(|pixel| pixel[..colours].iter().step_by(sample).copied())
            .collect::<Vec<u8>>();
        plane.as_slice()
    };
    let mut costs = vec![0; samples.len()];
    let pass = Pass { samples, row, colours: usize::from(shape.colours), costs: &mut costs };
    Arch::new().dispatch(pass);
    costs
}

/// One pass over the picture, row by row, with as many rows of each stage as the next one
/// needs.
struct Pass<'a> {
    samples: &'a [u8],
    /// Samples of a row.
    row: usize,
    colours: usize,
    costs: &'a mut [u16],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    /// Compiled for each instruction set by `pulp`, which chooses one when the program
    /// runs; so all that it calls must be inlined.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { samples, row, colours, costs } = self;
        let height = samples.len() / row;
        let mut stages = Stages::new(row, colours);
        // Rows beyond an edge are those inside it, mirrored. The window of row `y` spans
        // rows `y - REACH` to `y + REACH` of the inverses.
        for y in 0..WINDOW {
            stages.enter(samples, mirrored(y as isize - REACH as isize, height), y);
        }
        for (y, out) in costs.chunks_exact_mut(row).enumerate() {
            stages.average(out);
            if y + 1 < height {
                let slot = y % WINDOW;
                stages.leave(slot);
                let entering = (y + 1 + REACH) as isize;
                stages.enter(samples, mirrored(entering, height), slot);
            }
        }
    }
}

/// The row inside a picture that row `y` is a mirror image of.
fn mirrored(y: isize, height: usize) -> usize {
    let period = 2 * height as isize;
    let y = y.rem_euclid(period);
    (if y < height as isize { y } else { period - 1 - y }) as usize
}

struct Stages {
    row: usize,
    colours: usize,
    /// Sums of residuals of three rows, with one pixel more on each side.
    sums: Vec<u16>,
    second: Vec<i16>,
    /// Inverses of the rows in the window.
    inverses: Vec<Vec<u32>>,
    /// Their sums down the window, with `REACH` pixels more on each side.
    columns: Vec<u32>,
    pairs: Vec<u32>,
    fours: Vec<u32>,
    eights: Vec<u32>,
}

impl Stages {
    fn new(row: usize, colours: usize) -> Self {
        let wide = row + 2 * REACH * colours;
        Self {
            row,
            colours,
            sums: vec![0; row + 2 * colours],
            second: vec![0; row + 2 * colours],
            inverses: vec![vec![0; row]; WINDOW],
            columns: vec![0; wide],
            pairs: vec![0; wide],
            fours: vec![0; wide],
            eights: vec![0; wide],
        }
    }

    /// Takes row `y` into the window, at `slot`.
    #[inline(always)]
    fn enter(&mut self, samples: &[u8], y: usize, slot: usize) {
        let (row, colours) = (self.row, self.colours);
        let height = samples.len() / row;
        self.sums.fill(0);
        for around in -1..=1 {
            self.add_residual(samples, mirrored(y as isize + around, height));
        }
        mirror_sides(&mut self.sums, row, colours, 1);
        let (left, middle, right) =
            (&self.sums[..row], &self.sums[colours..][..row], &self.sums[2 * colours..][..row]);
        let inverse = &mut self.inverses[slot][..row];
        let columns = &mut self.columns[REACH * colours..][..row];
        for at in 0..row {
            let sum = left[at] + middle[at] + right[at];
            // Adding 2^23 leaves the whole part in the low bits of the number's pattern,
            // which costs less than a conversion that minds its range.
            let quotient = (ONE / f32::from(sum.max(1)) + 8_388_608.0).to_bits() & 0x7f_ffff;
            inverse[at] = if sum == 0 { EVEN } else { quotient };
            columns[at] += inverse[at];
        }
    }

    /// Adds the magnitude of row `y`'s residual: the second difference down, then across,
    /// which is HILL's 3x3 filter.
    #[inline(always)]
    fn add_residual(&mut self, samples: &[u8], y: usize) {
        let (row, colours) = (self.row, self.colours);
        let height = samples.len() / row;
        let line = |y: usize| &samples[y * row..][..row];
        let above = line(mirrored(y as isize - 1, height));
        let (here, below) = (line(y), line(mirrored(y as isize + 1, height)));
        let second = &mut self.second[colours..][..row];
        for at in 0..row {
            second[at] = i16::from(above[at]) - 2 * i16::from(here[at]) + i16::from(below[at]);
        }
        mirror_sides(&mut self.second, row, colours, 1);
        let (left, middle, right) = (
            &self.second[..row],
            &self.second[colours..][..row],
            &self.second[2 * colours..][..row],
        );
        let sums = &mut self.sums[colours..][..row];
        for at in 0..row {
            sums[at] += (left[at] - 2 * middle[at] + right[at]).unsigned_abs();
        }
    }

    /// Takes the row at `slot` out of the window.
    #[inline(always)]
    fn leave(&mut self, slot: usize) {
        let inverse = &self.inverses[slot][..self.row];
        let columns = &mut self.columns[REACH * self.colours..][..self.row];
        for (column, inverse) in columns.iter_mut().zip(inverse) {
            *column -= inverse;
        }
    }

    /// The window's average, as costs of the row in its middle. Fifteen sums in six
    /// additions: of pairs, of those four, of those eight.
    #[inline(always)]
    fn average(&mut self, out: &mut [u16]) {
        let (row, colours) = (self.row, self.colours);
        mirror_sides(&mut self.columns, row, colours, REACH);
        sum_apart(&self.columns, &mut self.pairs, colours);
        sum_apart(&self.pairs, &mut self.fours, 2 * colours);
        sum_apart(&self.fours, &mut self.eights, 4 * colours);
        let eights = &self.eights[..row];
        let fours = &self.fours[8 * colours..][..row];
        let pairs = &self.pairs[12 * colours..][..row];
        let single = &self.columns[14 * colours..][..row];
        for at in 0..row {
            let sum = eights[at] + fours[at] + pairs[at] + single[at];
            out[at] = (sum >> SHIFT).clamp(1, u32::from(u16::MAX)) as u16;
        }
    }
}

/// `to[i] = from[i] + from[i + apart]`, as far as there are both.
#[inline(always)]
fn sum_apart(from: &[u32], to: &mut [u32], apart: usize) {
    let count = from.len().saturating_sub(apart);
    let (near, far, to) = (&from[..count], &from[from.len() - count..], &mut to[..count]);
    for at in 0..count {
        to[at] = near[at].wrapping_add(far[at]);
    }
}

/// Fills `reach` pixels on both sides of a row with its mirror image.
#[inline(always)]
fn mirror_sides<T: Copy>(line: &mut [T], row: usize, colours: usize, reach: usize) {
    let width = row / colours;
    for step in 0..reach {
        let inside = mirrored(-1 - step as isize, width);
        for channel in 0..colours {
            line[(reach - 1 - step) * colours + channel] =
                line[(reach + inside) * colours + channel];
        }
        let inside = mirrored((width + step) as isize, width);
        for channel in 0..colours {
            line[(reach + width + step) * colours + channel] =
                line[(reach + inside) * colours + channel];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cover::Shape;
    use super::*;

    /// The definition, one sample at a time.
    fn slowly(samples: &[u8], width: usize, height: usize, colours: usize) -> Vec<u16> {
        let at = |x: isize, y: isize, c: usize| {
            (mirrored(y, height) * width + mirrored(x, width)) * colours + c
        };
        let around = |reach: isize| {
            (-reach..=reach).flat_map(move |dy| (-reach..=reach).map(move |dx| (dx, dy)))
        };
        let each = |work: &dyn Fn(isize, isize, usize) -> u32| -> Vec<u32> {
            let mut out = Vec::new();
            for y in 0..height as isize {
                for x in 0..width as isize {
                    out.extend((0..colours).map(|c| work(x, y, c)));
                }
            }
            out
        };
        let residual = each(&|x, y, c| {
            let filter = [[-1, 2, -1], [2, -4, 2], [-1, 2, -1]];
            let sum: i32 = around(1)
                .map(|(dx, dy)| {
                    filter[(dy + 1) as usize][(dx + 1) as usize]
                        * i32::from(samples[at(x + dx, y + dy, c)])
                })
                .sum();
            sum.unsigned_abs()
        });
        let inverse = each(&|x, y, c| {
            let sum: u32 = around(1).map(|(dx, dy)| residual[at(x + dx, y + dy, c)]).sum();
            if sum == 0 { EVEN } else { (f64::from(ONE) / f64::from(sum)).round_ties_even() as u32 }
        });
        each(&|x, y, c| {
            let sum: u32 = around(7).map(|(dx, dy)| inverse[at(x + dx, y + dy, c)]).sum();
            (sum >> SHIFT).clamp(1, 65535)
        })
        .iter()
        .map(|&cost| cost as u16)
        .collect()
    }

    #[test]
    fn rows_at_once_give_what_single_samples_would() {
        let mut state = 1_u32;
        for (width, height, colours) in
            [(1, 1, 1), (1, 9, 3), (2, 2, 1), (5, 3, 3), (16, 1, 1), (40, 33, 1), (23, 40, 3)]
        {
            let samples: Vec<u8> = (0..width * height * colours)
                .map(|at| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // An even part, a smooth one and a rough one.
                    match at * 3 / (width * height * colours) {
                        0 => 255,
                        1 => (at * 200 / (width * height * colours)) as u8,
                        _ => (state >> 24) as u8,
                    }
                })
                .collect();
            let shape = Shape {
                width: width as u32,
                height: height as u32,
                colours: colours as u8,
                alpha: false,
                sample_bytes: 1,
            };
            let fast = costs(&Picture { shape, raster: samples.clone() });
            assert_eq!(fast, slowly(&samples, width, height, colours), "{width}x{height}");
        }
    }

    #[test]
    fn texture_is_cheap_and_even_areas_are_dear() {
        let shape = Shape { width: 64, height: 64, colours: 1, alpha: true, sample_bytes: 2 };
        let mut raster = Vec::new();
        for y in 0..64_u32 {
            for x in 0..64_u32 {
                let rough = if x < 32 { 90 } else { (x * 7919 + y * 104_729) % 97 };
                raster.extend_from_slice(&[rough as u8, (x * y) as u8, 255, 255]);
            }
        }
        let costs = costs(&Picture { shape, raster });
        assert_eq!(costs.len(), 64 * 64);
        assert!(costs[20 * 64 + 8] == u16::MAX && costs[20 * 64 + 55] < 100);
    }
}
