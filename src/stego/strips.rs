//! A picture's rows as strips, each an `IDAT` chunk that depends on no other.
//!
//! The first row of a strip is filtered without the row above, and its deflate stream
//! refers to nothing before it and ends at a whole byte. A strip that changes is coded
//! again; the others stay as they are. All strips of a picture are coded in one way and
//! with one table, so that the changed ones look like the others.

use std::ops::Range;

use flate2::{Compress, Compression, FlushCompress};

use super::chunks;
use super::cover::Shape;
use super::filter::Filter;
use super::huffman::{Coder, Histogram};

/// Rows of a strip at least. Fewer would compress worse: each strip's first row is
/// filtered without the one above.
const ROWS_MIN: usize = 16;
/// Narrow pictures have strips of about so many bytes: each carries a code table of some
/// 90 bytes.
const BYTES_MIN: usize = 48 * 1024;
/// What of a picture is looked at to choose how it is coded, in bytes.
const SAMPLE_BYTES: usize = 256 * 1024;
/// Of that, where strips' first rows are concerned, one row in so many.
const FIRST_ROWS_ONE_IN: usize = 4;
/// Runs of zeros are looked for where at least one byte in so many is a zero, and where
/// that saves at least half a per cent.
const ZEROS_ONE_IN: u64 = 4;
const RUNS_PERMILLE: u64 = 1005;
/// Blocks of rows that are compressed on trial.
const TRIAL_BLOCKS: usize = 3;
/// Rows of each, in a picture like a photograph: enough to see a pattern.
const TRIAL_ROWS: usize = 4;
/// Below so many bits for a byte, strips of full height are tried: there it is likely that
/// the search pays, and it is quick.
const SPARSE_BITS: u64 = 2;
/// Searching for repetitions is worth its time where the result is below this part of
/// what plain Huffman codes give.
const SEARCH_PERCENT: u64 = 80;
/// Of flate2: its fastest level.
const SEARCH_LEVEL: u32 = 1;
/// The zlib header: deflate, 32 KiB window, no dictionary (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// An empty last block, with fixed codes.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Where the strips of a picture are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    row_bytes: usize,
    pixel_bytes: usize,
    height: usize,
    strip_rows: usize,
}

impl Layout {
    pub fn new(shape: &Shape) -> Self {
        let row_bytes = shape.row_bytes();
        Self {
            row_bytes,
            pixel_bytes: shape.pixel_bytes(),
            height: shape.height as usize,
            strip_rows: BYTES_MIN.div_ceil(row_bytes).max(ROWS_MIN),
        }
    }

    pub fn count(&self) -> usize {
        self.height.div_ceil(self.strip_rows)
    }

    /// The strips that any of `rows` is in.
    pub fn strips_of(&self, rows: Range<usize>) -> Range<usize> {
        if rows.is_empty() {
            return 0..0;
        }
        rows.start / self.strip_rows..rows.end.div_ceil(self.strip_rows)
    }

    fn rows_of(&self, strip: usize) -> Range<usize> {
        let start = strip * self.strip_rows;
        start..(start + self.strip_rows).min(self.height)
    }

    /// Size of a strip once filtered, in bytes.
    fn filtered_bytes(&self, strip: usize) -> usize {
        self.rows_of(strip).len() * (1 + self.row_bytes)
    }
}

/// How all strips of a picture are coded: a function of the picture alone.
#[derive(Debug, Clone)]
pub(crate) struct Coding {
    filter: Filter,
    coder: Option<Box<Coder>>,
}

impl Coding {
    /// Chooses by some rows of a picture that `row` gives.
    pub fn of<'r>(shape: &Shape, row: impl Fn(usize) -> &'r [u8]) -> Self {
        let layout = Layout::new(shape);
        let sample = Sample::of(&layout, &row);
        let (bits, filter, best) = Filter::CANDIDATES
            .into_iter()
            .map(|filter| sample.tried(filter))
            .min_by_key(|(bits, ..)| *bits)
            .expect("there are candidates");
        let coder = Box::new(sample.coder(filter, &best));
        let is_sparse = bits < SPARSE_BITS * sample.bytes();
        match search_pays(&layout, filter, &coder, is_sparse, &row) {
            Some(filter) => Self { filter, coder: None },
            None => Self { filter, coder: Some(coder) },
        }
    }

    /// For this one's picture with some noise in it: the filter stays and the table is made anew,
    /// which takes a fifth of the time. Where repetitions were searched for, noise may have put
    /// an end to them, and all is chosen again.
    pub fn of_noisier<'r>(&self, shape: &Shape, row: impl Fn(usize) -> &'r [u8]) -> Self {
        if self.coder.is_none() {
            return Self::of(shape, row);
        }
        let layout = Layout::new(shape);
        let sample = Sample::of(&layout, &row);
        let (_, filter, rows) = sample.tried(self.filter);
        Self { filter, coder: Some(Box::new(sample.coder(filter, &rows))) }
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        if self.coder.is_some() { Coder::BYTES } else { 0 }
    }
}

/// Some rows of a picture, spread over all of it.
struct Sample<'a, R> {
    layout: &'a Layout,
    row: &'a R,
    /// Their numbers.
    rows: Vec<usize>,
}

impl<'a, 'r, R: Fn(usize) -> &'r [u8]> Sample<'a, R> {
    fn of(layout: &'a Layout, row: &'a R) -> Self {
        let count = (SAMPLE_BYTES / layout.row_bytes).clamp(1, layout.height);
        let start = |index: usize| index * layout.height / count;
        // Not at even distances: rows of a picture that was a JPEG differ in blocks of 8.
        let within = |index: usize| index * 7919 % (start(index + 1) - start(index));
        let rows = (0..count).map(|index| start(index) + within(index)).collect();
        Self { layout, row, rows }
    }

    fn bytes(&self) -> u64 {
        (self.rows.len() * self.layout.row_bytes) as u64
    }

    fn histogram(&self, filter: Filter, runs: bool) -> Histogram {
        let nothing = vec![0; self.layout.row_bytes];
        let mut filtered = vec![0; self.layout.row_bytes];
        let mut histogram = Histogram::new(runs);
        for &index in &self.rows {
            let above = if index == 0 { &nothing } else { (self.row)(index - 1) };
            let row = (self.row)(index);
            filter.apply(row, above, self.layout.pixel_bytes, &mut filtered);
            histogram.add(&filtered);
        }
        histogram
    }

    /// The table for a picture whose rows are filtered with `filter`, which makes `rows` of
    /// these. One row of each strip is filtered without the row above; of such rows fewer
    /// will do.
    fn coder(&self, filter: Filter, rows: &Histogram) -> Coder {
        let fewer = self.rows.iter().copied().step_by(FIRST_ROWS_ONE_IN).collect();
        let sample = Self { rows: fewer, ..*self };
        let first_rows = sample.histogram(filter.without_above(), rows.has_runs());
        let others = (self.layout.strip_rows - 1) as u32;
        Coder::new(&rows.mixed(others, &first_rows, FIRST_ROWS_ONE_IN as u32))
    }

    /// The bits that all of it takes with a filter, and the symbols, with runs of zeros
    /// where these pay.
    fn tried(&self, filter: Filter) -> (u64, Filter, Histogram) {
        let plain = self.histogram(filter, false);
        let plain_bits = plain.coded_bits();
        if plain.zeros() * ZEROS_ONE_IN > self.bytes() {
            let runs = self.histogram(filter, true);
            let bits = runs.coded_bits();
            if bits * RUNS_PERMILLE < plain_bits * 1000 {
                return (bits, filter, runs);
            }
        }
        (plain_bits, filter, plain)
    }
}

/// The filter to compress with where a search for repetitions pays: in flat graphics, and
/// in dithered pictures.
fn search_pays<'r>(
    layout: &Layout,
    filter: Filter,
    coder: &Coder,
    is_sparse: bool,
    row: &impl Fn(usize) -> &'r [u8],
) -> Option<Filter> {
    let rows = if is_sparse { layout.strip_rows } else { TRIAL_ROWS }.min(layout.height);
    let last = layout.height - rows;
    let both = [filter, Filter::None];
    // Filtered noise holds no repetitions.
    let tried = if is_sparse { &both[..] } else { &both[1..] };
    let mut plain = 0;
    let mut sizes = vec![0_u64; tried.len()];
    let (mut filtered, mut coded) = (Vec::new(), Vec::new());
    let mut searcher = Searcher::default();
    for block in 0..TRIAL_BLOCKS {
        let start = last * block / (TRIAL_BLOCKS - 1);
        let rows = || (start..start + rows).map(row);
        filter_strip(layout, filter, rows(), &mut filtered);
        coder.encode(&filtered, &mut coded);
        plain += coded.len() as u64;
        for (size, filter) in sizes.iter_mut().zip(tried) {
            filter_strip(layout, *filter, rows(), &mut filtered);
            coded.clear();
            searcher.encode(&filtered, &mut coded);
            *size += coded.len() as u64;
        }
        coded.clear();
    }
    let (size, filter) = sizes.iter().zip(tried).min()?;
    (size * 100 < plain * SEARCH_PERCENT).then_some(*filter)
}

/// Filters the rows of one strip into `filtered`, of which everything is overwritten.
fn filter_strip<'a>(
    layout: &Layout,
    filter: Filter,
    rows: impl ExactSizeIterator<Item = &'a [u8]>,
    filtered: &mut Vec<u8>,
) {
    let filtered_row = 1 + layout.row_bytes;
    filtered.resize(rows.len() * filtered_row, 0);
    let mut above: Option<&[u8]> = None;
    for (row, out) in rows.zip(filtered.chunks_exact_mut(filtered_row)) {
        let filter = if above.is_some() { filter } else { filter.without_above() };
        out[0] = filter.tag();
        // The first row's filter does not look at what is given as the row above.
        filter.apply(row, above.unwrap_or(row), layout.pixel_bytes, &mut out[1..]);
        above = Some(row);
    }
}

/// flate2's coder, started anew for each strip.
struct Searcher {
    compress: Compress,
}

impl Default for Searcher {
    fn default() -> Self {
        Self { compress: Compress::new(Compression::new(SEARCH_LEVEL), false) }
    }
}

impl Searcher {
    /// Appends a deflate stream of `bytes` that goes on after it, at a whole byte.
    fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.compress.reset();
        // What does not compress is stored, with 5 bytes for each block of some 30 kB. With
        // room for all of it there is one flush, and the result does not depend on how much
        // memory happened to be there.
        out.reserve(bytes.len() + bytes.len() / 64 + 1024);
        self.compress
            .compress_vec(bytes, out, FlushCompress::Full)
            .expect("memory takes every write, and no dictionary is set");
        let all = self.compress.total_in() == bytes.len() as u64;
        assert!(all && out.len() < out.capacity(), "there was room for the worst case");
    }
}

/// An Adler-32 sum (RFC 1950, section 8.2) of a strip once filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Adler(u32);

impl Adler {
    const MODULUS: u64 = 65521;
    const EMPTY: Self = Self(1);

    fn of(bytes: &[u8]) -> Self {
        Self(simd_adler32::adler32(&bytes))
    }

    /// The sum of what this is of, followed by `next_bytes` bytes whose sum is `next`.
    fn followed_by(self, next: Self, next_bytes: usize) -> Self {
        let halves = |sum: Self| (u64::from(sum.0 & 0xffff), u64::from(sum.0 >> 16));
        let ((a1, b1), (a2, b2)) = (halves(self), halves(next));
        // a counts from 1, and b adds up every a: the first part's a, without the 1 that
        // the second part began with, is in it once for each byte.
        let a1_less_one = a1 + Self::MODULUS - 1;
        let a = (a1_less_one + a2) % Self::MODULUS;
        let b = (b1 + b2 + a1_less_one * (next_bytes as u64 % Self::MODULUS)) % Self::MODULUS;
        Self((b << 16 | a) as u32)
    }
}

/// Writes strips of one picture. Holds what is used again from strip to strip.
pub(crate) struct StripWriter<'a> {
    layout: Layout,
    coding: &'a Coding,
    filtered: Vec<u8>,
    searcher: Option<Searcher>,
}

impl<'a> StripWriter<'a> {
    pub fn new(layout: Layout, coding: &'a Coding) -> Self {
        let searcher = coding.coder.is_none().then(Searcher::default);
        Self { layout, coding, filtered: Vec::new(), searcher }
    }

    /// Appends strip `strip` to `out`, a whole chunk. `row` gives the picture's rows.
    pub fn write<'r>(
        &mut self,
        strip: usize,
        row: impl Fn(usize) -> &'r [u8],
        out: &mut Vec<u8>,
    ) -> Adler {
        let rows = self.layout.rows_of(strip).map(row);
        filter_strip(&self.layout, self.coding.filter, rows, &mut self.filtered);
        chunks::write(*b"IDAT", out, |out| {
            if strip == 0 {
                out.extend_from_slice(&ZLIB_HEADER);
            }
            match (&self.coding.coder, &mut self.searcher) {
                (Some(coder), _) => coder.encode(&self.filtered, out),
                (None, searcher) => {
                    searcher.get_or_insert_default().encode(&self.filtered, out);
                }
            }
        });
        Adler::of(&self.filtered)
    }
}

/// Appends the chunk that ends the strips' stream. `sums` are theirs, in order.
pub(crate) fn write_end(layout: &Layout, sums: impl Iterator<Item = Adler>, out: &mut Vec<u8>) {
    let sum = sums.enumerate().fold(Adler::EMPTY, |sum, (strip, next)| {
        sum.followed_by(next, layout.filtered_bytes(strip))
    });
    chunks::write(*b"IDAT", out, |out| {
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&sum.0.to_be_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_parts_make_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..200_000_u64).map(|at| ((at * at) >> 7) as u8 | 0xe0).collect();
        let (first, second) = bytes.split_at(70_001);
        let whole = Adler::of(first).followed_by(Adler::of(second), second.len());
        assert_eq!(whole, Adler::of(&bytes));
        assert_eq!(whole.followed_by(Adler::EMPTY, 0), whole);
        assert_eq!(Adler::EMPTY.followed_by(whole, bytes.len()), whole);
    }

    #[test]
    fn every_row_is_in_one_strip() {
        for (width, height) in [(1, 1), (1920, 1080), (3, 40_000), (9000, 17), (700, 47)] {
            let shape = Shape { width, height, colours: 3, alpha: false, sample_bytes: 1 };
            let layout = Layout::new(&shape);
            let mut next = 0;
            for strip in 0..layout.count() {
                let rows = layout.rows_of(strip);
                assert_eq!(rows.start, next);
                assert!(!rows.is_empty());
                assert_eq!(layout.strips_of(rows.clone()), strip..strip + 1);
                next = rows.end;
            }
            assert_eq!(next, height as usize);
            assert_eq!(layout.strips_of(0..next), 0..layout.count());
        }
    }
}
