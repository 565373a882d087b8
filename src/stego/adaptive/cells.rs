//! In which order carriers take part: in cells of 32 carriers side by side, one for each
//! lane of the trellis, and the cells shuffled by key over the whole picture.
//!
//! A trellis whose neighbours in the picture stay neighbours would have to change even
//! areas where it meets nothing else. Cells rather than single carriers, because memory
//! is read 32 bytes at a time much faster than one.

use super::super::keys::{Draws, Key};
use super::lanes::LANES;

/// A cell, and by how much its carriers are turned: lane `l` has carrier `(l + turn) % 32`
/// of the cell. Without that, a lane would see some columns of a picture only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    index: u32,
    turn: u8,
}

impl Cell {
    /// The carrier of a lane.
    pub fn carrier(self, lane: usize) -> u32 {
        self.index * LANES as u32 + ((lane + usize::from(self.turn)) % LANES) as u32
    }

    /// The values of the cell's carriers by lane, out of those of all carriers.
    #[inline]
    pub fn gather<T: Copy + Default>(self, values: &[T]) -> [T; LANES] {
        let mut cell = [T::default(); LANES];
        cell.copy_from_slice(&values[self.index as usize * LANES..][..LANES]);
        let mut lanes = [T::default(); LANES];
        let (start, turned) = cell.split_at(usize::from(self.turn));
        lanes[..turned.len()].copy_from_slice(turned);
        lanes[turned.len()..].copy_from_slice(start);
        lanes
    }
}

/// The cells of a picture, of which more and more are dealt out.
pub(crate) struct Deck {
    cells: Vec<u32>,
    dealt: usize,
}

impl Deck {
    pub fn new(carriers: u32) -> Self {
        Self { cells: (0..carriers / LANES as u32).collect(), dealt: 0 }
    }

    /// Cells not dealt yet.
    pub fn left(&self) -> usize {
        self.cells.len() - self.dealt
    }

    /// The next `count` cells: a shuffle (Durstenfeld 1964) that stops there.
    ///
    /// # Panics
    /// Where fewer are left.
    pub fn deal(&mut self, key: &Key, count: usize) -> Vec<Cell> {
        let mut draws = Draws::new(key);
        let mut dealt = Vec::with_capacity(count);
        for _ in 0..count {
            let left = u32::try_from(self.left()).expect("cells are numbered in 32 bits");
            let chosen = self.dealt + draws.below(left) as usize;
            self.cells.swap(self.dealt, chosen);
            let turn = (draws.next() % LANES as u32) as u8;
            dealt.push(Cell { index: self.cells[self.dealt], turn });
            self.dealt += 1;
        }
        dealt
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn every_carrier_of_a_whole_cell_is_dealt_once() {
        let mut deck = Deck::new(32 * 50 + 31);
        let first = deck.deal(&Zeroizing::new([1; 32]), 20);
        let second = deck.deal(&Zeroizing::new([2; 32]), 30);
        assert_eq!(deck.left(), 0);
        let cells = || first.iter().chain(&second);
        let carriers: BTreeSet<u32> =
            cells().flat_map(|cell| (0..LANES).map(|lane| cell.carrier(lane))).collect();
        assert_eq!((carriers.len(), carriers.last()), (1600, Some(&1599)));
        let values: Vec<u16> = (0..1631).collect();
        for cell in cells() {
            let gathered = cell.gather(&values);
            assert!((0..LANES).all(|lane| u32::from(gathered[lane]) == cell.carrier(lane)));
        }
        let turns: BTreeSet<u8> = cells().map(|cell| cell.turn).collect();
        assert!(turns.len() > 15);
    }
}
