//! A deflate coder (RFC 1951) that writes literals and runs of zeros only, with one code
//! table for all blocks of a picture.
//!
//! Photographs, once filtered, hold next to no other repetitions: searching for them takes
//! most of a general coder's time and saves a few per cent. Without the search a block's
//! size follows from its bytes alone, and blocks can be written apart from each other.

use pulp::{Arch, Simd, WithSimd};

/// Literals, the mark at the end of a block, and lengths of matches.
const SYMBOLS: usize = 286;
const END_OF_BLOCK: usize = 256;
/// Symbols of a table without matches.
const SYMBOLS_MIN: usize = 257;
/// Distance codes in a table, of one bit each. Of these only distance 1 is used, or none,
/// but some readers take a table with less than two for damaged.
const DISTANCES: usize = 2;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 258;
/// Longest code. Two bytes make at most 26 bits, so a pair's code and its length share
/// 32 bits, and two pairs fit in a 64-bit word beside 7 bits that were left over.
const CODE_BITS_MAX: u8 = 13;
/// Longest code of the table's own alphabet.
const META_BITS_MAX: u8 = 7;
/// The order in which the lengths of that alphabet are written.
const META_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Bytes as they are coded.
enum Piece<'a> {
    Literals(&'a [u8]),
    /// So many zeros, at least 8.
    Zeros(usize),
}

/// Cuts bytes into pieces. A run of zeros is found by whole groups of eight bytes since the
/// last one, which is quick and misses only short ones.
struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let (groups, _) = self.rest.as_chunks::<8>();
        let is_zero = |group: &[u8; 8]| u64::from_ne_bytes(*group) == 0;
        let zeros = 8 * groups.iter().take_while(|group| is_zero(group)).count();
        if zeros > 0 {
            let more = self.rest[zeros..].iter().take_while(|byte| **byte == 0).count();
            self.rest = &self.rest[zeros + more..];
            return Some(Piece::Zeros(zeros + more));
        }
        let next_run = groups.iter().position(is_zero);
        let (literals, rest) = self.rest.split_at(next_run.map_or(self.rest.len(), |at| at * 8));
        self.rest = rest;
        (!literals.is_empty()).then_some(Piece::Literals(literals))
    }
}

/// The matches that a run of `zeros` is written as, after its first zero; what is less
/// than [`MATCH_MIN`] is that many literals.
fn matches(zeros: usize) -> impl Iterator<Item = usize> {
    (0..zeros - 1).step_by(MATCH_MAX).map(move |at| (zeros - 1 - at).min(MATCH_MAX))
}

/// The symbol of a match's length, its extra bits and how many (RFC 1951, section 3.2.5).
fn length_symbol(length: usize) -> (usize, u32, u32) {
    if length == MATCH_MAX {
        return (SYMBOLS - 1, 0, 0);
    }
    let beyond = (length - MATCH_MIN) as u32;
    let extra_bits = beyond.max(4).ilog2() - 2;
    let symbol = SYMBOLS_MIN as u32 + 4 * extra_bits + (beyond >> extra_bits);
    (symbol as usize, beyond & ((1 << extra_bits) - 1), extra_bits)
}

/// How often each symbol occurs.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: [u32; SYMBOLS],
    /// Bits of matches beside their symbols.
    extra_bits: u64,
    runs: bool,
}

impl Histogram {
    /// Of bytes that are coded with runs of zeros, or all as literals.
    pub fn new(runs: bool) -> Self {
        Self { counts: [0; SYMBOLS], extra_bits: 0, runs }
    }

    pub fn has_runs(&self) -> bool {
        self.runs
    }

    /// Zeros that are literals.
    pub fn zeros(&self) -> u64 {
        u64::from(self.counts[0])
    }

    pub fn add(&mut self, bytes: &[u8]) {
        if !self.runs {
            return self.add_literals(bytes);
        }
        for piece in (Pieces { rest: bytes }) {
            match piece {
                Piece::Literals(literals) => self.add_literals(literals),
                Piece::Zeros(zeros) => {
                    self.counts[0] += 1;
                    for length in matches(zeros) {
                        if length < MATCH_MIN {
                            self.counts[0] += length as u32;
                        } else {
                            let (symbol, _, extra_bits) = length_symbol(length);
                            self.counts[symbol] += 1;
                            self.extra_bits += u64::from(extra_bits) + 1;
                        }
                    }
                }
            }
        }
    }

    fn add_literals(&mut self, bytes: &[u8]) {
        // Four tables: equal bytes in a row would wait for each other's sums. Between runs
        // of zeros there are too few bytes for that to matter.
        let (groups, rest) = if self.runs { (&[][..], bytes) } else { bytes.as_chunks::<4>() };
        if !groups.is_empty() {
            let mut counts = [[0_u32; 256]; 4];
            for group in groups {
                for (counts, byte) in counts.iter_mut().zip(group) {
                    counts[usize::from(*byte)] += 1;
                }
            }
            for (at, count) in self.counts.iter_mut().take(256).enumerate() {
                *count += counts.iter().map(|counts| counts[at]).sum::<u32>();
            }
        }
        for byte in rest {
            self.counts[usize::from(*byte)] += 1;
        }
    }

    /// `weight` times this and `other_weight` times `other`: for a mixture of two kinds of rows.
    pub fn mixed(&self, weight: u32, other: &Self, other_weight: u32) -> Self {
        let sum = |own: u32, other: u32| {
            own.saturating_mul(weight).saturating_add(other.saturating_mul(other_weight))
        };
        Self {
            counts: std::array::from_fn(|symbol| sum(self.counts[symbol], other.counts[symbol])),
            extra_bits: self.extra_bits * u64::from(weight)
                + other.extra_bits * u64::from(other_weight),
            runs: self.runs,
        }
    }

    /// Bits that the best code for these symbols takes for them, without its table.
    pub fn coded_bits(&self) -> u64 {
        let lengths = self.code_lengths();
        let symbols = self.counts.iter().zip(lengths);
        let bits: u64 = symbols.map(|(count, bits)| u64::from(*count) * u64::from(bits)).sum();
        bits + self.extra_bits
    }

    fn code_lengths(&self) -> [u8; SYMBOLS] {
        let mut weights = [0; SYMBOLS];
        let used = if self.runs { SYMBOLS } else { SYMBOLS_MIN };
        for (weight, count) in weights.iter_mut().zip(self.counts).take(used) {
            // A table is made from some rows, and from a cover without its payload: what
            // did not occur there must still have a code.
            *weight = u64::from(count) * 16 + 1;
        }
        let mut lengths = [0; SYMBOLS];
        limited_lengths(&weights, CODE_BITS_MAX, &mut lengths);
        lengths
    }
}

/// Code lengths of least total cost with none over `limit`: package-merge (Larmore,
/// Hirschberg 1990). Zero weights get no code.
fn limited_lengths(weights: &[u64], limit: u8, lengths: &mut [u8]) {
    let mut leaves: Vec<(u64, usize)> =
        weights.iter().enumerate().filter(|(_, w)| **w > 0).map(|(at, w)| (*w, at)).collect();
    leaves.sort_unstable();
    // A deflate table may not consist of one code that is shorter than a bit.
    if let [(_, only)] = leaves[..] {
        lengths[only] = 1;
        return;
    }
    // Of each level only which of its nodes are leaves, in the order of weight.
    let mut levels: Vec<Vec<bool>> = Vec::with_capacity(usize::from(limit));
    let mut packages: Vec<u64> = Vec::new();
    for _ in 0..limit {
        let mut nodes = Vec::with_capacity(leaves.len() + packages.len());
        let mut marks = Vec::with_capacity(leaves.len() + packages.len());
        let (mut leaf, mut package) = (0, 0);
        while leaf < leaves.len() || package < packages.len() {
            let is_leaf = match (leaves.get(leaf), packages.get(package)) {
                (Some((weight, _)), Some(package)) => weight <= package,
                (leaf, _) => leaf.is_some(),
            };
            if is_leaf {
                nodes.push(leaves[leaf].0);
                leaf += 1;
            } else {
                nodes.push(packages[package]);
                package += 1;
            }
            marks.push(is_leaf);
        }
        packages = nodes.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
        levels.push(marks);
    }
    let mut take = 2 * leaves.len().saturating_sub(1);
    for marks in levels.iter().rev() {
        let taken = marks[..take].iter().filter(|is_leaf| **is_leaf).count();
        for (_, symbol) in &leaves[..taken] {
            lengths[*symbol] += 1;
        }
        take = 2 * (take - taken);
    }
}

/// The canonical code of `lengths` (RFC 1951, section 3.2.2), each code with its bits
/// reversed, as they go into the stream.
fn canonical(lengths: &[u8], codes: &mut [u16]) {
    let mut counts = [0_u16; 16];
    for bits in lengths {
        counts[usize::from(*bits)] += 1;
    }
    counts[0] = 0;
    let mut next = [0_u16; 16];
    for bits in 1..16 {
        next[bits] = (next[bits - 1] + counts[bits - 1]) << 1;
    }
    for (code, bits) in codes.iter_mut().zip(lengths) {
        if *bits > 0 {
            let value = &mut next[usize::from(*bits)];
            *code = value.reverse_bits() >> (16 - bits);
            *value += 1;
        }
    }
}

/// What of a stream of bits does not fill a byte yet. The lowest bit goes first.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    word: u64,
    /// Bits in `word`; fewer than 8 between calls.
    count: u32,
}

impl Stream {
    /// Appends the code of an [`entry`].
    fn put(&mut self, entry: u32, out: &mut Vec<u8>) {
        self.word |= code(entry) << self.count;
        self.count += bits(entry);
        while self.count >= 8 {
            out.push(self.word as u8);
            self.word >>= 8;
            self.count -= 8;
        }
    }
}

/// What a block begins with: whole bytes, and the bits after them.
#[derive(Debug, Clone, Default)]
struct Head {
    bytes: Vec<u8>,
    word: u64,
    count: u32,
}

/// A code table, ready to write blocks with.
#[derive(Clone)]
pub(crate) struct Coder {
    head: Head,
    /// The [`entry`] of each two bytes, the first in the low half of the index.
    pairs: Vec<u32>,
    /// The [`entry`] of each symbol.
    singles: [u32; SYMBOLS],
    /// The [`entry`] of each length of a match with its distance; `None` where there are
    /// literals only.
    lengths: Option<Box<[u32; MATCH_MAX + 1]>>,
}

/// Groups of eight bytes that are coded before the result is copied on.
const GROUPS_AT_ONCE: usize = 512;
/// Room for their code, with what was left over before it, and for the last word.
const CODED_BYTES: usize = GROUPS_AT_ONCE * (8 * CODE_BITS_MAX as usize).div_ceil(8) + 8;

/// A code of at most 26 bits above its length. The length is in the six bits that a shift
/// of 64 bits looks at, so that an entry can be shifted by as it is; and so can a sum of
/// entries whose lengths make less than 64.
fn entry(code: u32, bits: u32) -> u32 {
    code << 6 | bits
}

#[inline(always)]
fn code(entry: u32) -> u64 {
    u64::from(entry >> 6)
}

#[inline(always)]
fn bits(entry: u32) -> u32 {
    entry & 63
}

/// A block to be coded.
struct Block<'a> {
    coder: &'a Coder,
    bytes: &'a [u8],
    out: &'a mut Vec<u8>,
}

impl WithSimd for Block<'_> {
    type Output = ();

    /// Compiled for each instruction set by `pulp`: newer machines shift by a variable in
    /// fewer steps.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.coder.encode_inlined(self.bytes, self.out);
    }
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").finish_non_exhaustive()
    }
}

impl Coder {
    /// Memory that one takes, in bytes, without its header.
    pub const BYTES: usize = 4 << 16;

    /// The best code for bytes as frequent as these.
    pub fn new(histogram: &Histogram) -> Self {
        let lengths = histogram.code_lengths();
        let mut codes = [0; SYMBOLS];
        canonical(&lengths, &mut codes);
        let mut singles = [0; SYMBOLS];
        for (single, (code, bits)) in singles.iter_mut().zip(codes.iter().zip(lengths)) {
            *single = entry(u32::from(*code), u32::from(bits));
        }
        let mut pairs = Vec::with_capacity(1 << 16);
        for second in &singles[..256] {
            pairs.extend(singles[..256].iter().map(|first| {
                let both = code(*first) | code(*second) << bits(*first);
                entry(both as u32, bits(*first) + bits(*second))
            }));
        }
        let matches = histogram.runs.then(|| {
            Box::new(std::array::from_fn(|length| {
                if length < MATCH_MIN {
                    return 0;
                }
                let (symbol, extra, extra_bits) = length_symbol(length);
                let (own, own_bits) = (code(singles[symbol]), bits(singles[symbol]));
                // Distance 1 is one bit, a zero.
                entry(own as u32 | extra << own_bits, own_bits + extra_bits + 1)
            }))
        });
        let used = if histogram.runs { SYMBOLS } else { SYMBOLS_MIN };
        Self { head: block_head(&lengths[..used]), pairs, singles, lengths: matches }
    }

    /// Appends to `out` one block of `bytes` that is not the last of its stream, and an
    /// empty stored block, after which the stream is at a whole byte.
    pub fn encode(&self, bytes: &[u8], out: &mut Vec<u8>) {
        Arch::new().dispatch(Block { coder: self, bytes, out });
    }

    #[inline(always)]
    fn encode_inlined(&self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head.bytes);
        let mut stream = Stream { word: self.head.word, count: self.head.count };
        let mut coded = [0; CODED_BYTES];
        match &self.lengths {
            None => self.put_literals(bytes, &mut stream, &mut coded, out),
            Some(lengths) => {
                for piece in (Pieces { rest: bytes }) {
                    match piece {
                        Piece::Literals(literals) => {
                            self.put_literals(literals, &mut stream, &mut coded, out);
                        }
                        Piece::Zeros(zeros) => self.put_zeros(zeros, lengths, &mut stream, out),
                    }
                }
            }
        }
        stream.put(self.singles[END_OF_BLOCK], out);
        // A stored block: not the last, of type 0, padding, its size and the complement.
        stream.put(entry(0, 3), out);
        stream.put(entry(0, (8 - stream.count) % 8), out);
        out.extend_from_slice(&[0, 0, 0xff, 0xff]);
    }

    /// Through `coded`, a small buffer: to reserve and clear the most that literals may
    /// take would touch three times the memory that they do take.
    #[inline(always)]
    fn put_literals(
        &self,
        bytes: &[u8],
        stream: &mut Stream,
        coded: &mut [u8; CODED_BYTES],
        out: &mut Vec<u8>,
    ) {
        let pairs: &[u32; 1 << 16] =
            self.pairs.as_slice().try_into().expect("the table was made with this size");
        let (groups, rest) = bytes.as_chunks::<8>();
        let Stream { mut word, mut count } = *stream;
        for groups in groups.chunks(GROUPS_AT_ONCE) {
            let mut at = 0;
            for &group in groups {
                let group = u64::from_le_bytes(group);
                let pair = |index: u32| pairs[usize::from((group >> (16 * index)) as u16)];
                let [a, b, c, d] = [pair(0), pair(1), pair(2), pair(3)];
                let (ab_bits, cd_bits) = (a.wrapping_add(b), c.wrapping_add(d));
                // 52 bits at most, beside 7.
                let ab = code(a) | code(b).wrapping_shl(a);
                let cd = code(c) | code(d).wrapping_shl(c);
                let mut put = |code: u64, bits: u32| {
                    word |= code << count;
                    coded[at..at + 8].copy_from_slice(&word.to_le_bytes());
                    // With codes still above, which the masks take away.
                    count = count.wrapping_add(bits);
                    let whole = count & (63 & !7);
                    at += (whole / 8) as usize;
                    word >>= whole;
                    count &= 7;
                };
                // Eight bytes seldom make more; 63 are what the count can hold.
                if bits(ab_bits) + bits(cd_bits) <= 56 {
                    put(ab | cd.wrapping_shl(ab_bits), ab_bits.wrapping_add(cd_bits));
                } else {
                    put(ab, ab_bits);
                    put(cd, cd_bits);
                }
            }
            out.extend_from_slice(&coded[..at]);
        }
        *stream = Stream { word, count };
        for byte in rest {
            stream.put(self.singles[usize::from(*byte)], out);
        }
    }

    fn put_zeros(
        &self,
        zeros: usize,
        lengths: &[u32; MATCH_MAX + 1],
        stream: &mut Stream,
        out: &mut Vec<u8>,
    ) {
        stream.put(self.singles[0], out);
        for length in matches(zeros) {
            if length < MATCH_MIN {
                (0..length).for_each(|_| stream.put(self.singles[0], out));
            } else {
                stream.put(lengths[length], out);
            }
        }
    }
}

/// The beginning of a block with dynamic codes (RFC 1951, section 3.2.7).
fn block_head(lengths: &[u8]) -> Head {
    let mut all = lengths.to_vec();
    all.extend([1; DISTANCES]);
    let symbols = run_lengths(&all);
    let mut weights = [0_u64; 19];
    for (symbol, _, _) in &symbols {
        weights[usize::from(*symbol)] += 1;
    }
    let mut meta_lengths = [0; 19];
    limited_lengths(&weights, META_BITS_MAX, &mut meta_lengths);
    let mut meta_codes = [0; 19];
    canonical(&meta_lengths, &mut meta_codes);
    let written =
        META_ORDER.iter().rposition(|symbol| meta_lengths[*symbol] > 0).map_or(0, |at| at + 1);
    let written = written.max(4);

    let mut stream = Stream::default();
    let mut bytes = Vec::new();
    let mut put = |value: usize, count: u8| {
        stream.put(entry(value as u32, u32::from(count)), &mut bytes);
    };
    // Not the last block; dynamic codes.
    put(0, 1);
    put(2, 2);
    put(lengths.len() - SYMBOLS_MIN, 5);
    put(DISTANCES - 1, 5);
    put(written - 4, 4);
    for symbol in &META_ORDER[..written] {
        put(usize::from(meta_lengths[*symbol]), 3);
    }
    for (symbol, extra, extra_bits) in symbols {
        let symbol = usize::from(symbol);
        put(usize::from(meta_codes[symbol]), meta_lengths[symbol]);
        put(usize::from(extra), extra_bits);
    }
    Head { bytes, word: stream.word, count: stream.count }
}

/// Code lengths as symbols of the table's own alphabet, with extra bits and how many.
fn run_lengths(lengths: &[u8]) -> Vec<(u8, u8, u8)> {
    let mut symbols = Vec::new();
    for run in lengths.chunk_by(|a, b| a == b) {
        let value = run[0];
        let mut left = run.len();
        if value > 0 {
            symbols.push((value, 0, 0));
            left -= 1;
        }
        while left > 0 {
            let (symbol, low, high, extra_bits) = match (value, left) {
                (0, 11..) => (18, 11, 138, 7),
                (0, 3..) => (17, 3, 10, 3),
                (1.., 3..) => (16, 3, 6, 2),
                (_, _) => (value, 1, 1, 0),
            };
            let count = left.min(high);
            symbols.push((symbol, (count - low) as u8, extra_bits));
            left -= count;
        }
    }
    symbols
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn inflated(block: &[u8]) -> Vec<u8> {
        // An empty last block with fixed codes.
        let stream = [block, &[3, 0]].concat();
        let mut bytes = Vec::new();
        flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Bytes with runs of zeros in them.
    fn with_runs() -> impl Strategy<Value = Vec<u8>> {
        let noise = prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::vec((noise, 0..900_usize), 0..20).prop_map(|pieces| {
            pieces.into_iter().flat_map(|(noise, zeros)| [noise, vec![0; zeros]].concat()).collect()
        })
    }

    #[test]
    fn lengths_have_the_symbols_of_the_rfc() {
        for (length, expected) in [
            (3, (257, 0, 0)),
            (10, (264, 0, 0)),
            (11, (265, 0, 1)),
            (12, (265, 1, 1)),
            (19, (269, 0, 2)),
            (130, (280, 15, 4)),
            (131, (281, 0, 5)),
            (257, (284, 30, 5)),
            (258, (285, 0, 0)),
        ] {
            assert_eq!(length_symbol(length), expected, "{length}");
        }
    }

    #[test]
    fn what_is_counted_is_what_is_coded() {
        for (runs, zeros) in
            [(false, 40), (true, 15), (true, 40), (true, 259), (true, 260), (true, 5000)]
        {
            let bytes = [vec![3; 64], vec![0; zeros], vec![5; 64]].concat();
            let mut histogram = Histogram::new(runs);
            histogram.add(&bytes);
            let coder = Coder::new(&histogram);
            let mut out = Vec::new();
            coder.encode(&bytes, &mut out);
            let bits = coder.head.bytes.len() as u64 * 8
                + u64::from(coder.head.count)
                + histogram.coded_bits()
                + u64::from(bits(coder.singles[END_OF_BLOCK]))
                + 3;
            assert_eq!(out.len() as u64, bits.div_ceil(8) + 4, "{runs} {zeros}");
            assert_eq!(inflated(&out), bytes);
        }
    }

    fn kraft(lengths: &[u8]) -> u64 {
        lengths.iter().filter(|bits| **bits > 0).map(|bits| 1 << (15 - bits)).sum()
    }

    #[test]
    fn skewed_counts_keep_to_the_limit() {
        // Fibonacci numbers make the deepest tree there is.
        let mut weights = vec![1_u64, 1];
        while weights.len() < 60 {
            weights.push(weights[weights.len() - 1] + weights[weights.len() - 2]);
        }
        for limit in [6, 7, 13] {
            let mut lengths = vec![0; weights.len()];
            limited_lengths(&weights, limit, &mut lengths);
            assert_eq!(lengths.iter().max(), Some(&limit));
            assert_eq!(kraft(&lengths), 1 << 15, "the code is complete");
            assert!(lengths.is_sorted_by(|a, b| a >= b), "the rarer, the longer");
        }
    }

    #[test]
    fn known_frequencies_give_huffmans_cost() {
        // The classic example: total cost 224.
        let weights = [5_u64, 9, 12, 13, 16, 45];
        let mut lengths = [0; 6];
        limited_lengths(&weights, 15, &mut lengths);
        let cost: u64 = weights.iter().zip(lengths).map(|(w, bits)| w * u64::from(bits)).sum();
        assert_eq!(cost, 224);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_with_any_table_inflate_again(
            taught in prop::collection::vec(any::<u8>(), 0..3000),
            spread in 1..=255_u8,
            bytes in with_runs(),
            before in 0..5_usize,
            runs: bool,
        ) {
            let mut histogram = Histogram::new(runs);
            histogram.add(&taught.iter().map(|byte| byte % spread).collect::<Vec<_>>());
            let coder = Coder::new(&histogram);
            let mut out = vec![7; before];
            coder.encode(&bytes, &mut out);
            coder.encode(&bytes, &mut out);
            prop_assert_eq!(inflated(&out[before..]), [bytes.as_slice(), &bytes].concat());
        }
    }

    #[test]
    fn the_pair_table_has_its_size() {
        let coder = Coder::new(&Histogram::new(true));
        assert_eq!(coder.pairs.len() * 4, Coder::BYTES);
    }
}
