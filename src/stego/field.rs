//! The carriers of a picture that a keyed method may use, and the smallest change of one.

use super::lsb::Lattice;

/// The carriers of a picture that a method may use: those of `lattice` from `first` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub lattice: Lattice,
    pub first: usize,
    pub carriers: u32,
}

impl Field {
    /// Where in the raster the low byte of a carrier is.
    #[inline]
    pub fn offset(&self, carrier: u32) -> usize {
        self.lattice.offset(self.first + carrier as usize)
    }

    /// The bytes of the raster that are the carriers, where they lie side by side.
    pub fn dense(&self) -> Option<std::ops::Range<usize>> {
        self.lattice.is_dense().then(|| self.first..self.first + self.carriers as usize)
    }

    /// Makes the low bit of a carrier another one by the smallest step. A sample at the end
    /// of its range has one way only.
    #[inline]
    pub fn step(&self, raster: &mut [u8], carrier: u32, up: bool) {
        let other = raster[self.offset(carrier)] & 1 ^ 1;
        self.set(raster, carrier, other, up);
    }

    /// Gives a carrier the low bit `bit`, 0 or 1, by the smallest step where it has another.
    #[inline]
    pub fn set(&self, raster: &mut [u8], carrier: u32, bit: u8, up: bool) {
        let at = self.offset(carrier);
        if self.lattice.sample_bytes == 1 {
            raster[at] = with_low_bit(raster[at], bit, up);
        } else {
            let value = u16::from_be_bytes([raster[at - 1], raster[at]]);
            let way = if (up | (value == 0)) & (value != u16::MAX) { 1 } else { u16::MAX };
            let stepped = value.wrapping_add(way.wrapping_mul((value ^ u16::from(bit)) & 1));
            raster[at - 1..=at].copy_from_slice(&stepped.to_be_bytes());
        }
    }
}

/// `value` with the low bit `bit`, 0 or 1, by the smallest step where it has another. Without a
/// branch on the bit: payloads are noise, which no processor foretells.
#[inline]
pub(crate) fn with_low_bit(value: u8, bit: u8, up: bool) -> u8 {
    let way = if (up | (value == 0)) & (value != u8::MAX) { 1 } else { u8::MAX };
    value.wrapping_add(way.wrapping_mul((value ^ bit) & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(sample_bytes: usize) -> Field {
        let lattice = Lattice { pixel_bytes: sample_bytes, colours: 1, sample_bytes };
        Field { lattice, first: 0, carriers: 4 }
    }

    #[test]
    fn a_step_is_one_and_stays_in_range() {
        let mut raster = [0, 255, 7, 7];
        for (carrier, up) in [(0, false), (1, true), (2, true), (3, false)] {
            field(1).step(&mut raster, carrier, up);
        }
        assert_eq!(raster, [1, 254, 8, 6]);
        let mut raster = [0, 0, 255, 255, 0, 255, 1, 0];
        for (carrier, up) in [(0, false), (1, true), (2, true), (3, false)] {
            field(2).step(&mut raster, carrier, up);
        }
        assert_eq!(raster, [0, 1, 255, 254, 1, 0, 0, 255]);
    }
}
