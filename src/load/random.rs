//! Pseudo-random bytes that a seed repeats. For test data, never for keys.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent sequence for each `stream` of one seed.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut random = Self::new(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        random.next_u64();
        random
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 if that is 0. The bias is below 2^-32 for the small bounds
    /// that tests use.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_and_streams_differ() {
        // First output for seed 0, as published with the algorithm.
        assert_eq!(Random::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Random::stream(7, 1).bytes(13), Random::stream(7, 1).bytes(13));
        assert_ne!(Random::stream(7, 1).bytes(13), Random::stream(7, 2).bytes(13));
        assert_eq!(Random::new(1).bytes(0), Vec::<u8>::new());
        assert_eq!(Random::new(1).below(0), 0);
    }
}
