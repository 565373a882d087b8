//! Thirty-two bytes at once: the few operations that the search of the trellis is made of.
//!
//! Written twice, because the compiler makes of plain loops over bytes a program five times
//! as slow as the machine can be: once for AVX2, which every x86-64 machine since 2013 has,
//! through `pulp` (which checks when the program runs), and once for all others.

/// Trellises side by side.
pub(crate) const LANES: usize = 32;

/// One byte for each lane.
pub(crate) type Lanes = [u8; LANES];

/// What can be done with [`Lanes`].
pub(super) trait Engine: Copy {
    type Vector: Copy;

    fn load(self, lanes: &Lanes) -> Self::Vector;
    fn store(self, vector: Self::Vector, lanes: &mut Lanes);
    fn splat(self, byte: u8) -> Self::Vector;
    /// The sum, or 255 where it is more.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `mark` where the two differ, 0 where they are the same.
    fn differ(self, a: Self::Vector, b: Self::Vector, mark: Self::Vector) -> Self::Vector;
    fn or(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// For any machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

impl Engine for Portable {
    type Vector = Lanes;

    #[inline(always)]
    fn load(self, lanes: &Lanes) -> Lanes {
        *lanes
    }

    #[inline(always)]
    fn store(self, vector: Lanes, lanes: &mut Lanes) {
        *lanes = vector;
    }

    #[inline(always)]
    fn splat(self, byte: u8) -> Lanes {
        [byte; LANES]
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|lane| a[lane].saturating_add(b[lane]))
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|lane| a[lane].min(b[lane]))
    }

    #[inline(always)]
    fn differ(self, a: Lanes, b: Lanes, mark: Lanes) -> Lanes {
        std::array::from_fn(|lane| if a[lane] == b[lane] { 0 } else { mark[lane] })
    }

    #[inline(always)]
    fn or(self, a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|lane| a[lane] | b[lane])
    }
}

/// For machines with AVX2: the token proves that this one has it.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(pub pulp::x86::V3);

#[cfg(target_arch = "x86_64")]
impl Engine for Avx2 {
    type Vector = std::arch::x86_64::__m256i;

    #[inline(always)]
    fn load(self, lanes: &Lanes) -> Self::Vector {
        pulp::cast(*lanes)
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, lanes: &mut Lanes) {
        *lanes = pulp::cast(vector);
    }

    #[inline(always)]
    fn splat(self, byte: u8) -> Self::Vector {
        self.0.avx._mm256_set1_epi8(byte.cast_signed())
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        self.0.avx2._mm256_adds_epu8(a, b)
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        self.0.avx2._mm256_min_epu8(a, b)
    }

    #[inline(always)]
    fn differ(self, a: Self::Vector, b: Self::Vector, mark: Self::Vector) -> Self::Vector {
        self.0.avx2._mm256_andnot_si256(self.0.avx2._mm256_cmpeq_epi8(a, b), mark)
    }

    #[inline(always)]
    fn or(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        self.0.avx2._mm256_or_si256(a, b)
    }
}
