//! A cover decoded and compressed, from which stego images are made quickly.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::adaptive::CostMap;
use super::chunks::{self, Ancillary};
use super::cover::{Picture, Source};
use super::error::StegoError;
use super::patch::Patch;
use super::png::Png;
use super::strips::{Adler, Coding, Layout, StripWriter, write_end};

/// What of a cover's texts, camera notes and dates goes into a stego image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Metadata {
    /// Nothing that could tell where the picture is from.
    #[default]
    Drop,
    Keep,
}

/// A cover with all its strips. What it gives depends on the cover and the patch alone,
/// not on what was asked of it before.
#[derive(Debug)]
pub(crate) struct Prepared {
    picture: Picture,
    ancillary: Ancillary,
    layout: Layout,
    coding: Coding,
    strips: Strips,
    costs: OnceLock<Arc<CostMap>>,
}

/// All strips of a picture, one after the other.
#[derive(Debug)]
struct Strips {
    chunks: Bytes,
    /// Where each ends in `chunks`.
    ends: Vec<usize>,
    sums: Vec<Adler>,
}

impl Strips {
    fn write<'r>(
        layout: Layout,
        coding: &Coding,
        strips: Range<usize>,
        row: impl Fn(usize) -> &'r [u8],
        expected_bytes: usize,
    ) -> Self {
        let mut chunks = Vec::with_capacity(expected_bytes);
        let mut ends = Vec::with_capacity(strips.len());
        let mut sums = Vec::with_capacity(strips.len());
        let mut writer = StripWriter::new(layout, coding);
        for strip in strips {
            sums.push(writer.write(strip, &row, &mut chunks));
            ends.push(chunks.len());
        }
        if chunks.capacity() / 5 * 4 > chunks.len() {
            chunks.shrink_to_fit();
        }
        Self { chunks: chunks.into(), ends, sums }
    }

    fn start_of(&self, strip: usize) -> usize {
        strip.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

impl Prepared {
    /// Decodes a cover, turned upright, and compresses all of it.
    ///
    /// # Errors
    /// What is wrong with the picture.
    pub fn open(file: &[u8]) -> Result<Self, StegoError> {
        let mut source = Source::open(file)?;
        let ancillary = source.ancillary();
        Ok(Self::new(source.decode_upright()?, ancillary))
    }

    pub fn new(picture: Picture, ancillary: Ancillary) -> Self {
        let layout = Layout::new(&picture.shape);
        let row = |index| picture.row(index);
        let coding = Coding::of(&picture.shape, row);
        // Few photographs take more. What is too much is given back.
        let expected_bytes = picture.raster.len() * 5 / 8 + 1024;
        let strips = Strips::write(layout, &coding, 0..layout.count(), row, expected_bytes);
        Self { picture, ancillary, layout, coding, strips, costs: OnceLock::new() }
    }

    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// A place for the cost map, which is made when first wanted.
    #[allow(dead_code, reason = "for methods that weigh samples")]
    pub fn costs(&self) -> &OnceLock<Arc<CostMap>> {
        &self.costs
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let costs = self.costs.get().map_or(0, |costs| costs.len() * size_of::<u16>());
        self.picture.raster.capacity()
            + self.ancillary.bytes()
            + self.coding.bytes()
            + self.strips.chunks.len()
            + self.strips.ends.len() * (size_of::<usize>() + size_of::<Adler>())
            + costs
            + size_of::<Self>()
    }

    /// The cover itself as a PNG.
    pub fn whole(&self, metadata: Metadata) -> Png {
        self.encode(&Patch { first_row: 0, rows: Vec::new() }, metadata)
    }

    /// The cover with `patch` in it. The strips that it lies in are coded anew, with the
    /// cover's table; the others are shared. Where it is every row, nothing of the cover
    /// is left, and the table is made for the result: exactly what [`super::png::encode`]
    /// makes of it, unless the payload makes another filter the best.
    ///
    /// # Panics
    /// Where the patch is not whole rows, or reaches beyond the last.
    pub fn encode(&self, patch: &Patch, metadata: Metadata) -> Png {
        let row_bytes = self.picture.shape.row_bytes();
        let (count, rest) = (patch.rows.len() / row_bytes, patch.rows.len() % row_bytes);
        let first = patch.first_row as usize;
        let height = self.picture.shape.height as usize;
        assert!(rest == 0 && first + count <= height, "a patch is whole rows of its cover");

        let rows = first..first + count;
        let row = |index: usize| {
            if rows.contains(&index) {
                let at = (index - first) * row_bytes;
                &patch.rows[at..at + row_bytes]
            } else {
                self.picture.row(index)
            }
        };
        let own_coding;
        let coding = if count == height {
            own_coding = self.coding.of_noisier(&self.picture.shape, row);
            &own_coding
        } else {
            &self.coding
        };
        let touched = self.layout.strips_of(rows.clone());
        let (start, end) = (self.strips.start_of(touched.start), self.strips.start_of(touched.end));
        // Payload makes samples a little less regular.
        let expected_bytes = (end - start) * 17 / 16 + 1024;
        let changed = Strips::write(self.layout, coding, touched.clone(), row, expected_bytes);
        let sums = &self.strips.sums;
        let sums = sums[..touched.start].iter().chain(&changed.sums).chain(&sums[touched.end..]);

        let mut ends = Vec::new();
        write_end(&self.layout, sums.copied(), &mut ends);
        chunks::write(*b"IEND", &mut ends, |_| {});
        let pieces = [
            self.start(metadata).into(),
            self.strips.chunks.slice(..start),
            changed.chunks,
            self.strips.chunks.slice(end..),
            ends.into(),
        ];
        Png::new(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
    }

    fn start(&self, metadata: Metadata) -> Vec<u8> {
        let mut start = Vec::new();
        chunks::write_start(&self.picture.shape, &mut start);
        start.extend_from_slice(&self.ancillary.colour);
        if metadata == Metadata::Keep {
            start.extend_from_slice(&self.ancillary.identifying);
        }
        start
    }
}
