//! What a method changes of a cover.

/// A block of whole rows that takes the place of a cover's own. Methods hand this out
/// and never write a PNG themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    /// The first row that is replaced; rows count from the top, from 0.
    pub first_row: u32,
    /// Whole rows in the form of `Picture::raster`. Empty: nothing is replaced.
    pub rows: Vec<u8>,
}
