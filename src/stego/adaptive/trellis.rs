//! Syndrome-trellis codes (Filler, Judas, Fridrich 2011, "Minimizing additive distortion
//! in steganography using syndrome-trellis codes"): which low bits to flip so that the
//! syndrome of all of them is the message, at the least cost.
//!
//! The code has constraint height 8. Thirty-two independent trellises run side by side,
//! one in each lane, so that the inner loop is plain arithmetic on arrays of bytes, which
//! the compiler turns into vector instructions. Positions where the cover's own syndrome
//! is right already need no change: the trellis works on flips, not on bits. So the
//! cheap path is that nothing flips, and walking back through it skips eight columns at
//! a time.

use pulp::{Arch, Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use super::lanes::Avx2;
use super::lanes::{Engine, LANES, Lanes, Portable};

/// Bits of a state: each carrier takes part in up to as many message bits.
const HEIGHT: usize = 8;
const STATES: usize = 1 << HEIGHT;
const HALF: usize = STATES / 2;
/// Columns whose decisions share a byte.
const BLOCK: usize = 8;

/// Most columns of a message bit.
pub(crate) const WIDTH_MAX: usize = 64;

/// No path leads here. Costs are so small, and taken down so often, that what is
/// reachable stays below.
const UNREACHABLE: u8 = u8::MAX;

/// The highest cost of a column.
pub(crate) const COST_MAX: u8 = 60;

/// The submatrix: column `i` of each message bit, its first bit lowest. All 64 columns
/// with the first and the last bit set, in an order such that the first few of them make
/// a good code for every width.
const COLUMNS: [u8; WIDTH_MAX] = columns();

const fn columns() -> [u8; WIDTH_MAX] {
    let mut columns = [0; WIDTH_MAX];
    let mut at = 0;
    while at < WIDTH_MAX {
        // Multiplying by an odd number visits all 64 middles, far apart one after the other.
        let middle = (at * 27 + 50) % 64;
        columns[at] = 0x81 | (middle as u8) << 1;
        at += 1;
    }
    columns
}

/// The columns of one trellis, message bit by message bit.
pub(crate) struct Rows<'a> {
    /// Columns of each message bit, 1 to [`WIDTH_MAX`].
    pub widths: &'a [u8],
    /// One value for each column, all message bits after each other.
    pub columns: &'a [Lanes],
}

impl<'a> Rows<'a> {
    /// The columns of each message bit.
    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = &'a [Lanes]> + use<'a> {
        let mut rest = self.columns;
        self.widths.iter().map(move |&width| {
            let (row, others) = rest.split_at(usize::from(width));
            rest = others;
            row
        })
    }
}

/// The message bits that low bits spell: lane 0 is the highest bit of each word. `columns`
/// are bytes of which only the lowest bit counts.
pub(crate) fn syndrome(rows: &Rows<'_>) -> Vec<u32> {
    let mut words = Vec::with_capacity(rows.widths.len());
    Arch::new().dispatch(Spell { rows, words: &mut words });
    words
}

struct Spell<'a> {
    rows: &'a Rows<'a>,
    words: &'a mut Vec<u32>,
}

impl WithSimd for Spell<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut sums: Lanes = [0; LANES];
        for row in self.rows.iter() {
            for (lows, column) in row.iter().zip(COLUMNS) {
                for lane in 0..LANES {
                    sums[lane] ^= column & (lows[lane] & 1).wrapping_neg();
                }
            }
            self.words.push(sums.iter().fold(0, |word, sum| word << 1 | u32::from(sum & 1)));
            sums.iter_mut().for_each(|sum| *sum >>= 1);
        }
    }
}

/// What the search needs besides its input; kept from one trellis to the next.
pub(crate) struct Trellis {
    /// The least cost of each state.
    least: Box<[Lanes; STATES]>,
    /// For each block of columns and each state after it: which columns flipped last.
    flips: Vec<[Lanes; STATES]>,
}

impl Default for Trellis {
    fn default() -> Self {
        Self { least: Box::new([[0; LANES]; STATES]), flips: Vec::new() }
    }
}

impl Trellis {
    /// Finds the cheapest flips with the syndrome `wanted`, and calls `flip` with the
    /// column and the lane of each. The columns of `costs` are 1 to [`COST_MAX`].
    pub fn solve(&mut self, costs: &Rows<'_>, wanted: &[u32], flip: impl FnMut(usize, usize)) {
        let blocks = costs.widths.iter().map(|&width| usize::from(width).div_ceil(BLOCK)).sum();
        if self.flips.len() < blocks {
            self.flips.resize(blocks, [[0; LANES]; STATES]);
        }
        let (least, flips) = (&mut *self.least, &mut self.flips[..blocks]);
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = pulp::x86::V3::try_new() {
            token.vectorize(Search { engine: Avx2(token), costs, wanted, least, flips });
            return self.walk_back(costs, wanted, flip);
        }
        Search { engine: Portable, costs, wanted, least, flips }.run();
        self.walk_back(costs, wanted, flip);
    }

    fn walk_back(&self, costs: &Rows<'_>, wanted: &[u32], mut flip: impl FnMut(usize, usize)) {
        let mut states: [usize; LANES] = std::array::from_fn(|lane| {
            // Bits of the state that no message bit is left for may be anything.
            (0..HALF).min_by_key(|&state| self.least[state][lane]).unwrap_or(0)
        });
        let mut first = costs.columns.len();
        let mut blocks =
            costs.widths.iter().map(|&w| usize::from(w).div_ceil(BLOCK)).sum::<usize>();
        for (&width, word) in costs.widths.iter().zip(wanted).rev() {
            for (lane, state) in states.iter_mut().enumerate() {
                let bit = word >> (LANES - 1 - lane) & 1;
                *state = (*state << 1 | bit as usize) % STATES;
            }
            let width = usize::from(width);
            first -= width;
            for begin in (0..width).step_by(BLOCK).rev() {
                blocks -= 1;
                let decisions = &self.flips[blocks];
                for (lane, state) in states.iter_mut().enumerate() {
                    let mut flipped = decisions[*state][lane];
                    while flipped != 0 {
                        let last = flipped.ilog2() as usize;
                        flip(first + begin + last, lane);
                        *state ^= usize::from(COLUMNS[begin + last]);
                        // What happened before that column is told by the state before it.
                        flipped = decisions[*state][lane] & ((1 << last) - 1);
                    }
                }
            }
        }
    }
}

/// The forward half of the search: the least cost of each state after each column, and
/// which columns flipped on the way.
struct Search<'a, E> {
    engine: E,
    costs: &'a Rows<'a>,
    wanted: &'a [u32],
    least: &'a mut [Lanes; STATES],
    flips: &'a mut [[Lanes; STATES]],
}

impl<E: Engine> Search<'_, E> {
    /// Inlined into each caller, which is compiled for its own instruction set.
    #[inline(always)]
    fn run(self) {
        let Self { engine, costs, wanted, least, flips } = self;
        *least = [[UNREACHABLE; LANES]; STATES];
        least[0] = [0; LANES];
        let mut blocks = flips.iter_mut();
        for (row, &word) in costs.iter().zip(wanted) {
            for ((block, columns), decisions) in
                row.chunks(BLOCK).zip(COLUMNS.chunks(BLOCK)).zip(&mut blocks)
            {
                pass(engine, least, decisions, block, columns);
            }
            choose(least, word);
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl pulp::NullaryFnOnce for Search<'_, Avx2> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.run();
    }
}

/// One block of columns.
#[inline(always)]
fn pass<E: Engine>(
    engine: E,
    least: &mut [Lanes; STATES],
    decisions: &mut [Lanes; STATES],
    costs: &[Lanes],
    columns: &[u8],
) {
    // Two columns at once, as the states wait in memory longer than they are worked on.
    let mut mark = 1;
    for (pair, columns) in costs.chunks_exact(2).zip(columns.chunks_exact(2)) {
        let columns = [columns[0], columns[1]];
        let costs = [engine.load(&pair[0]), engine.load(&pair[1])];
        let marks = [engine.splat(mark), engine.splat(mark << 1)];
        if mark == 1 {
            two_columns::<_, true>(engine, least, decisions, columns, costs, marks);
        } else {
            two_columns::<_, false>(engine, least, decisions, columns, costs, marks);
        }
        mark <<= 2;
    }
    if let (true, Some(cost)) = (costs.len() % 2 == 1, costs.last()) {
        if costs.len() == 1 {
            *decisions = [[0; LANES]; STATES];
        }
        let column = columns[costs.len() - 1];
        one_column(engine, least, decisions, column, engine.load(cost), engine.splat(mark));
    }
}

/// Each state is reached from itself without a flip, or from its partner with one.
#[inline(always)]
fn one_column<E: Engine>(
    engine: E,
    least: &mut [Lanes; STATES],
    decisions: &mut [Lanes; STATES],
    column: u8,
    cost: E::Vector,
    mark: E::Vector,
) {
    let (low, high) = halves(least);
    let (low_flips, high_flips) = halves(decisions);
    // All columns have the last bit, so a state of one half has its partner in the other.
    let partner = usize::from(column) % HALF;
    for state in 0..HALF {
        let other = (state ^ partner) % HALF;
        let (near, far) = (engine.load(&low[state]), engine.load(&high[other]));
        let (to_near, to_far) = step(engine, near, far, cost);
        engine.store(to_near, &mut low[state]);
        engine.store(to_far, &mut high[other]);
        add_mark::<_, false>(engine, &mut low_flips[state], engine.differ(to_near, near, mark));
        add_mark::<_, false>(engine, &mut high_flips[other], engine.differ(to_far, far, mark));
    }
}

/// Two columns for four states that they lead to each other. `FIRST` where the decisions of
/// the block begin with them.
#[inline(always)]
fn two_columns<E: Engine, const FIRST: bool>(
    engine: E,
    least: &mut [Lanes; STATES],
    decisions: &mut [Lanes; STATES],
    columns: [u8; 2],
    costs: [E::Vector; 2],
    marks: [E::Vector; 2],
) {
    let (low, high) = halves(least);
    let (low_flips, high_flips) = halves(decisions);
    let partner = usize::from(columns[0]) % HALF;
    // Not 0, since the columns differ. Of the states that differ by it, those without its
    // lowest bit come once each: `below` keeps the bits under that one where they are.
    let apart = usize::from(columns[0] ^ columns[1]) % HALF;
    let below = (apart & apart.wrapping_neg()).wrapping_sub(1);
    for index in 0..HALF / 2 {
        let a = ((index & below) | (index & !below) << 1) % HALF;
        let (b, c, d) = ((a ^ apart) % HALF, (a ^ partner) % HALF, (a ^ apart ^ partner) % HALF);
        let (at_a, at_b) = (engine.load(&low[a]), engine.load(&low[b]));
        let (at_c, at_d) = (engine.load(&high[c]), engine.load(&high[d]));
        let (a1, c1) = step(engine, at_a, at_c, costs[0]);
        let (b1, d1) = step(engine, at_b, at_d, costs[0]);
        let (a2, d2) = step(engine, a1, d1, costs[1]);
        let (b2, c2) = step(engine, b1, c1, costs[1]);
        engine.store(a2, &mut low[a]);
        engine.store(b2, &mut low[b]);
        engine.store(c2, &mut high[c]);
        engine.store(d2, &mut high[d]);
        let marked = |before, between, after| {
            let first = engine.differ(between, before, marks[0]);
            engine.or(first, engine.differ(after, between, marks[1]))
        };
        add_mark::<_, FIRST>(engine, &mut low_flips[a], marked(at_a, a1, a2));
        add_mark::<_, FIRST>(engine, &mut low_flips[b], marked(at_b, b1, b2));
        add_mark::<_, FIRST>(engine, &mut high_flips[c], marked(at_c, c1, c2));
        add_mark::<_, FIRST>(engine, &mut high_flips[d], marked(at_d, d1, d2));
    }
}

#[inline(always)]
fn step<E: Engine>(
    engine: E,
    near: E::Vector,
    far: E::Vector,
    cost: E::Vector,
) -> (E::Vector, E::Vector) {
    (engine.min(near, engine.add(far, cost)), engine.min(far, engine.add(near, cost)))
}

#[inline(always)]
fn add_mark<E: Engine, const FIRST: bool>(engine: E, marks: &mut Lanes, mark: E::Vector) {
    let mark = if FIRST { mark } else { engine.or(engine.load(marks), mark) };
    engine.store(mark, marks);
}

#[inline(always)]
fn halves(states: &mut [Lanes; STATES]) -> (&mut [Lanes; HALF], &mut [Lanes; HALF]) {
    let (low, high) = states.split_at_mut(HALF);
    (
        low.try_into().expect("the first half has half the states"),
        high.try_into().expect("and so has the second"),
    )
}

/// Ends a message bit: states with the wrong first bit are dropped, the others move down by
/// one bit. The least cost becomes 0, so that costs do not grow with the message.
#[inline(always)]
fn choose(least: &mut [Lanes; STATES], word: u32) {
    let bits: Lanes = std::array::from_fn(|lane| (word >> (LANES - 1 - lane) & 1) as u8);
    let mut lowest = [UNREACHABLE; LANES];
    for state in 0..HALF {
        let (even, odd) = (least[2 * state], least[2 * state + 1]);
        for lane in 0..LANES {
            let kept = if bits[lane] == 0 { even[lane] } else { odd[lane] };
            least[state][lane] = kept;
            lowest[lane] = lowest[lane].min(kept);
        }
    }
    let (low, high) = halves(least);
    for costs in low {
        for lane in 0..LANES {
            costs[lane] -= lowest[lane];
        }
    }
    high.fill([UNREACHABLE; LANES]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least cost of any flips with the syndrome `wanted` in one lane, by the definition:
    /// column `i` of message bit `k` adds to message bits `k` to `k + 7`.
    fn least_cost(rows: &Rows<'_>, wanted: &[u32], lane: usize) -> u32 {
        let mut least = vec![u32::MAX; STATES];
        least[0] = 0;
        for (row, word) in rows.iter().zip(wanted) {
            for (cost, column) in row.iter().zip(COLUMNS) {
                let before = least.clone();
                for (state, least) in least.iter_mut().enumerate() {
                    let flipped = before[state ^ usize::from(column)];
                    *least = (*least).min(flipped.saturating_add(u32::from(cost[lane])));
                }
            }
            let bit = (word >> (31 - lane) & 1) as usize;
            for state in 0..STATES {
                least[state] = if state < HALF { least[2 * state + bit] } else { u32::MAX };
            }
        }
        least.into_iter().min().unwrap()
    }

    fn random(state: &mut u64) -> u32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 33) as u32
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_flips_spell_the_message_at_the_least_cost(
            widths in prop::collection::vec(2..=20_u8, 1..24),
            dearest in 1..=8_u8,
            seed: u64,
        ) {
            let mut seed = seed;
            let count = widths.iter().map(|&width| usize::from(width)).sum();
            let mut lanes = |max: u8| -> Vec<Lanes> {
                let mut lane = || (random(&mut seed) % u32::from(max)) as u8;
                (0..count).map(|_| std::array::from_fn(|_| lane())).collect()
            };
            let mut costs = lanes(dearest);
            costs.iter_mut().flatten().for_each(|cost| *cost += 1);
            let mut lows = lanes(2);
            let message: Vec<u32> = widths.iter().map(|_| random(&mut seed) << 1).collect();
            let present = syndrome(&Rows { widths: &widths, columns: &lows });
            let wanted: Vec<u32> = present.iter().zip(&message).map(|(a, b)| a ^ b).collect();
            let rows = Rows { widths: &widths, columns: &costs };
            let mut paid = [0_u32; LANES];
            Trellis::default().solve(&rows, &wanted, |column, lane| {
                lows[column][lane] ^= 1;
                paid[lane] += u32::from(costs[column][lane]);
            });
            prop_assert_eq!(syndrome(&Rows { widths: &widths, columns: &lows }), message);
            for lane in [0, 7, 31] {
                prop_assert_eq!(paid[lane], least_cost(&rows, &wanted, lane));
            }
        }
    }

    #[test]
    fn all_machines_find_the_same_flips() {
        let mut seed = 5;
        let widths = [3, 64, 1, 2, 30, 9, 8, 17];
        let count = widths.iter().map(|&width| usize::from(width)).sum();
        let costs: Vec<Lanes> =
            (0..count).map(|_| [0; LANES].map(|_| (random(&mut seed) % 120 + 1) as u8)).collect();
        let wanted: Vec<u32> = widths.iter().map(|_| random(&mut seed) << 1).collect();
        let rows = Rows { widths: &widths, columns: &costs };
        let blocks = widths.iter().map(|&width| usize::from(width).div_ceil(BLOCK)).sum();
        let mut least = Box::new([[0; LANES]; STATES]);
        let mut flips = vec![[[0; LANES]; STATES]; blocks];
        Search {
            engine: Portable,
            costs: &rows,
            wanted: &wanted,
            least: &mut least,
            flips: &mut flips,
        }
        .run();
        let mut fastest = Trellis::default();
        fastest.solve(&rows, &wanted, |_, _| {});
        assert!(least == fastest.least && flips == fastest.flips);
    }

    /// So equal costs find a way to every message, however long: there is no state from
    /// which it takes more than a few flips to any other.
    #[test]
    fn two_columns_soon_lead_from_each_state_to_all_others() {
        for message in [0_u32, u32::MAX, 0x5a5a_3c96] {
            let mut reached = [false; STATES];
            reached[0] = true;
            for row in 0..HEIGHT {
                for column in &COLUMNS[..2] {
                    let before = reached;
                    for (state, reached) in reached.iter_mut().enumerate() {
                        *reached |= before[state ^ usize::from(*column)];
                    }
                }
                let bit = (message >> row & 1) as usize;
                reached = std::array::from_fn(|state| state < HALF && reached[2 * state + bit]);
            }
            assert_eq!(reached.iter().filter(|reached| **reached).count(), HALF);
        }
    }

    #[test]
    fn columns_are_all_different_and_have_both_ends() {
        let distinct: std::collections::BTreeSet<u8> = COLUMNS.into();
        assert_eq!(distinct.len(), WIDTH_MAX);
        assert!(COLUMNS.iter().all(|column| column & 0x81 == 0x81));
    }
}
