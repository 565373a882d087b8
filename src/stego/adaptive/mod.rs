//! Payload bits where the picture's own texture hides them: syndrome-trellis codes choose
//! the changes by the costs of HILL.
//!
//! A payload is a message for the trellis: four bytes are one bit for each of 32 lanes.
//! The head has cells of its own, in number known from the picture's size; the body is
//! spread over all others, as thinly as there are cells. What the reader needs is the
//! key and the low bits: costs and search are the writer's alone.

mod cells;
mod hill;
mod lanes;
mod trellis;

use std::borrow::Cow;

pub(crate) use self::hill::{CostMap, costs};

use self::cells::{Cell, Deck};
use self::lanes::{LANES, Lanes};
use self::trellis::{COST_MAX, Rows, Trellis, WIDTH_MAX};
use super::envelope::{HEAD_BYTES, Nonce};
use super::field::Field;
use super::keys::{Draws, Master};

/// Bytes of a row: one bit for each lane.
const ROW_BYTES: usize = LANES / 8;
const HEAD_ROWS: usize = HEAD_BYTES / ROW_BYTES;
/// At one column a bit there is no choice of what to change, only cost.
const WIDTH_MIN: usize = 2;
/// The head is as thin as this, in a picture where it takes an eighth or less.
const HEAD_WIDTH_MAX: usize = 32;
/// Rows of one trellis. What a search remembers of them fits the processor's cache; fewer
/// would cost more, as the last rows of each are coded worse.
const GROUP_ROWS_MAX: usize = 128;

/// How the cells of a picture are divided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    head_width: usize,
    body_cells: usize,
}

impl Layout {
    /// `None` where not even the head fits.
    pub fn new(carriers: u32) -> Option<Self> {
        let cells = carriers as usize / LANES;
        let head_width = (cells / (8 * HEAD_ROWS)).clamp(WIDTH_MIN, HEAD_WIDTH_MAX);
        let body_cells = cells.checked_sub(head_width * HEAD_ROWS)?;
        Some(Self { head_width, body_cells })
    }

    /// Largest body, in bytes.
    pub fn body_bytes_max(&self) -> u64 {
        (self.body_cells / WIDTH_MIN * ROW_BYTES) as u64
    }

    /// Cells of each row of the head.
    fn head_shares(&self) -> Vec<usize> {
        vec![self.head_width; HEAD_ROWS]
    }

    /// Cells of each row of a body: all that there are, as evenly as can be.
    fn body_shares(&self, bytes: usize) -> Vec<usize> {
        let rows = bytes.div_ceil(ROW_BYTES);
        let begin = |row: usize| (row as u64 * self.body_cells as u64 / rows as u64) as usize;
        (0..rows).map(|row| begin(row + 1) - begin(row)).collect()
    }
}

/// Columns of the code for each row: where there are more cells than columns, those that
/// are [`WIDTH_MAX`] apart share one.
fn widths_of(shares: &[usize]) -> Vec<u8> {
    shares.iter().map(|&share| share.min(WIDTH_MAX) as u8).collect()
}

fn columns_of(widths: &[u8]) -> usize {
    widths.iter().map(|&width| usize::from(width)).sum()
}

/// Cuts rows into groups as even as can be, each of which is one trellis.
fn groups(rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = rows.div_ceil(GROUP_ROWS_MAX);
    (0..count).map(move |group| group * rows / count..(group + 1) * rows / count)
}

/// The cells of head and body.
struct Dealt {
    deck: Deck,
    head: Vec<Cell>,
}

impl Dealt {
    fn new(layout: &Layout, field: &Field, master: &Master) -> Self {
        let mut deck = Deck::new(field.carriers);
        let key = master.expand(b"adaptive head", b"");
        let head = deck.deal(&key, layout.head_width * HEAD_ROWS);
        Self { deck, head }
    }

    fn body(&mut self, master: &Master, nonce: &Nonce) -> Vec<Cell> {
        let left = self.deck.left();
        self.deck.deal(&master.expand(b"adaptive body", nonce), left)
    }
}

/// A byte for each carrier of the field, whose lowest bit is the carrier's.
fn lows<'a>(raster: &'a [u8], field: &Field) -> Cow<'a, [u8]> {
    match field.dense() {
        Some(range) => Cow::Borrowed(&raster[range]),
        None => (0..field.carriers).map(|carrier| raster[field.offset(carrier)]).collect(),
    }
}

/// Writes head and body. `costs` has one value for each carrier of the field.
///
/// # Panics
/// Where the field has too few carriers: callers check capacity first.
pub(crate) fn write(
    raster: &mut [u8],
    field: &Field,
    costs: &[u16],
    master: &Master,
    nonce: &Nonce,
    head: &[u8; HEAD_BYTES],
    body: &[u8],
) {
    let layout = Layout::new(field.carriers).expect("callers check capacity first");
    let mut dealt = Dealt::new(&layout, field, master);
    let cells = dealt.body(master, nonce);
    let shares = layout.body_shares(body.len());
    let flips = {
        let lows = lows(raster, field);
        // How many carriers there are for each bit, in the body, which is the most of it.
        let thinness = (cells.len() / shares.len()).max(WIDTH_MIN);
        let mut writer = Writer::new(&lows, costs, Scale::new(costs, thinness));
        writer.write(&layout.head_shares(), &dealt.head, head);
        writer.write(&shares, &cells, body);
        writer.flips
    };
    let mut signs = Draws::new(&master.expand(b"adaptive signs", nonce));
    for carrier in flips {
        field.step(raster, carrier, signs.next() & 1 == 1);
    }
}

/// From costs to the few steps that the trellis counts in.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Steps per cost, times 2^16.
    factor: u32,
}

impl Scale {
    /// Carriers of which one will be changed for certain have this many steps.
    const CHEAP: u32 = 8;
    /// Costs looked at to find those.
    const SAMPLES: usize = 4096;

    /// `thinness` is how many carriers there are for each bit. The finest steps are for
    /// the cheapest carriers; what costs more than [`COST_MAX`] steps is all the same,
    /// since it is changed only where there is nothing else.
    fn new(costs: &[u16], thinness: usize) -> Self {
        let mut sample: Vec<u16> =
            costs.iter().step_by((costs.len() / Self::SAMPLES).max(1)).copied().collect();
        let rank = sample.len() / (2 * thinness);
        let cheap = match rank < sample.len() {
            true => *sample.select_nth_unstable(rank).1,
            false => 1,
        };
        Self { factor: (Self::CHEAP << 16) / u32::from(cheap.max(1)) }
    }

    #[inline(always)]
    fn steps(self, cost: u16) -> u8 {
        let steps = (u64::from(cost) * u64::from(self.factor)) >> 16;
        steps.clamp(1, u64::from(COST_MAX)) as u8
    }
}

struct Writer<'a> {
    lows: &'a [u8],
    costs: &'a [u16],
    scale: Scale,
    trellis: Trellis,
    /// Carriers to be changed.
    flips: Vec<u32>,
}

/// One column of the code: of the cells that share it, in each lane the cheapest carrier
/// stands for all, since flipping one or another is the same to the code.
#[derive(Clone, Copy)]
struct Column {
    lows: Lanes,
    costs: [u16; LANES],
    /// Which of the cells of its row, divided by [`WIDTH_MAX`].
    cheapest: [u16; LANES],
}

impl<'a> Writer<'a> {
    fn new(lows: &'a [u8], costs: &'a [u16], scale: Scale) -> Self {
        Self { lows, costs, scale, trellis: Trellis::default(), flips: Vec::new() }
    }

    /// Finds the flips after which the rows of `cells` spell `payload`. `shares` has the
    /// cells of each row.
    fn write(&mut self, shares: &[usize], cells: &[Cell], payload: &[u8]) {
        let mut cells = cells;
        for rows in groups(shares.len()) {
            let shares = &shares[rows.clone()];
            let (group, rest) = cells.split_at(shares.iter().sum());
            cells = rest;
            let bytes = &payload[rows.start * ROW_BYTES..];
            let bytes = &bytes[..bytes.len().min(rows.len() * ROW_BYTES)];
            let message: Vec<u32> = bytes.chunks(ROW_BYTES).map(word).collect();
            self.write_group(shares, group, &message);
        }
    }

    fn write_group(&mut self, shares: &[usize], cells: &[Cell], message: &[u32]) {
        let widths = widths_of(shares);
        let columns = self.columns(shares, cells);
        let mut lows: Vec<Lanes> = columns.iter().map(|column| column.lows).collect();
        let steps = |column: &Column| column.costs.map(|cost| self.scale.steps(cost));
        let mut costs: Vec<Lanes> = columns.iter().map(steps).collect();
        let present = trellis::syndrome(&Rows { widths: &widths, columns: &lows });
        let wanted: Vec<u32> = present.iter().zip(message).map(|(a, b)| a ^ b).collect();
        let mut flips = Vec::new();
        // With costs so far apart that a byte cannot count them, a search can go astray,
        // and is repeated with all alike.
        for _ in 0..2 {
            flips.clear();
            let rows = Rows { widths: &widths, columns: &costs };
            self.trellis.solve(&rows, &wanted, |column, lane| flips.push((column, lane)));
            flips.iter().for_each(|&(column, lane)| lows[column][lane] ^= 1);
            if trellis::syndrome(&Rows { widths: &widths, columns: &lows }) == message {
                self.record(shares, cells, &columns, &flips);
                return;
            }
            flips.iter().for_each(|&(column, lane)| lows[column][lane] ^= 1);
            costs.fill([1; LANES]);
        }
        unreachable!("with two columns or more a bit, and equal costs, every message is found");
    }

    /// The columns of all rows, one after the other.
    fn columns(&self, shares: &[usize], cells: &[Cell]) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        let mut cells = cells.iter();
        for &share in shares {
            let first = columns.len();
            for (at, cell) in cells.by_ref().take(share).enumerate() {
                let (lows, costs) = (cell.gather(self.lows), cell.gather(self.costs));
                if at < WIDTH_MAX {
                    columns.push(Column { lows, costs, cheapest: [0; LANES] });
                    continue;
                }
                let column = &mut columns[first + at % WIDTH_MAX];
                let round = (at / WIDTH_MAX) as u16;
                for lane in 0..LANES {
                    column.lows[lane] ^= lows[lane];
                    let cheaper = costs[lane] < column.costs[lane];
                    column.costs[lane] = column.costs[lane].min(costs[lane]);
                    column.cheapest[lane] = if cheaper { round } else { column.cheapest[lane] };
                }
            }
        }
        columns
    }

    /// Remembers the carriers that flips of columns stand for.
    fn record(
        &mut self,
        shares: &[usize],
        cells: &[Cell],
        columns: &[Column],
        flips: &[(usize, usize)],
    ) {
        // For each column the first of its cells.
        let mut firsts = Vec::with_capacity(columns.len());
        let mut first = 0;
        for &share in shares {
            firsts.extend(first..first + share.min(WIDTH_MAX));
            first += share;
        }
        self.flips.extend(flips.iter().map(|&(column, lane)| {
            let round = usize::from(columns[column].cheapest[lane]);
            cells[firsts[column] + round * WIDTH_MAX].carrier(lane)
        }));
    }
}

/// Four bytes, or what there is of them and zeros.
fn word(bytes: &[u8]) -> u32 {
    let mut word = [0; ROW_BYTES];
    word[..bytes.len()].copy_from_slice(bytes);
    u32::from_be_bytes(word)
}

/// What is read of a picture once: its low bits, and how its cells were dealt.
pub(crate) struct Reader<'a> {
    lows: Cow<'a, [u8]>,
    layout: Layout,
    dealt: Dealt,
}

impl<'a> Reader<'a> {
    /// `None` where the field has too few carriers.
    pub fn new(raster: &'a [u8], field: &Field, master: &Master) -> Option<Self> {
        let layout = Layout::new(field.carriers)?;
        let dealt = Dealt::new(&layout, field, master);
        Some(Self { lows: lows(raster, field), layout, dealt })
    }

    /// The bytes where a head would be.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(&self.read(&self.layout.head_shares(), &self.dealt.head));
        head
    }

    /// The body that belongs to a head.
    ///
    /// # Panics
    /// Where the field has too few carriers: callers check capacity first.
    pub fn body(mut self, master: &Master, nonce: &Nonce, bytes: usize) -> Vec<u8> {
        let cells = self.dealt.body(master, nonce);
        let mut body = self.read(&self.layout.body_shares(bytes), &cells);
        body.truncate(bytes);
        body
    }

    fn read(&self, shares: &[usize], cells: &[Cell]) -> Vec<u8> {
        let mut cells = cells.iter();
        let mut bytes = Vec::with_capacity(shares.len() * ROW_BYTES);
        for rows in groups(shares.len()) {
            let shares = &shares[rows];
            let widths = widths_of(shares);
            let mut columns: Vec<Lanes> = Vec::with_capacity(columns_of(&widths));
            for &share in shares {
                let first = columns.len();
                for (at, cell) in cells.by_ref().take(share).enumerate() {
                    let lows = cell.gather(&self.lows);
                    match columns.get_mut(first + at % WIDTH_MAX).filter(|_| at >= WIDTH_MAX) {
                        Some(column) => {
                            column.iter_mut().zip(lows).for_each(|(column, low)| *column ^= low);
                        }
                        None => columns.push(lows),
                    }
                }
            }
            let words = trellis::syndrome(&Rows { widths: &widths, columns: &columns });
            bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        bytes
    }
}
