//! Everything random in a run comes from here: SplitMix64 (Steele, Lea, Flood, "Fast
//! splittable pseudorandom number generators", 2014), seeded once.

use std::cell::Cell;
use std::ops::RangeInclusive;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any of the range, with equal chances.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let width = (range.end() - range.start()).saturating_add(1);
        range.start() + self.next_u64() % width
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next_u64() % 100 < percent
    }

    /// One of `items`.
    ///
    /// # Panics
    /// There are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[(self.next_u64() % items.len() as u64) as usize]
    }
}

thread_local! {
    static STREAM: Cell<u64> = const { Cell::new(0) };
}

/// Begins the thread's own stream.
pub fn seed(seed: u64) {
    STREAM.set(Random::new(seed).next_u64());
}

/// Draws from the thread's own stream.
pub fn draw<T>(draw: impl FnOnce(&mut Random) -> T) -> T {
    let mut stream = Random(STREAM.get());
    let drawn = draw(&mut stream);
    STREAM.set(stream.0);
    drawn
}
