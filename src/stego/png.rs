//! A finished PNG, in pieces that it may share with others.

use bytes::Bytes;

use super::chunks::Ancillary;
use super::cover::Picture;
use super::prepared::{Metadata, Prepared};

/// A PNG as pieces to be written one after the other. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Png {
    pieces: Vec<Bytes>,
}

impl Png {
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        Self { pieces }
    }

    /// Size of the file in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no PNG is empty")]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// The file's bytes, in order. Large ones are shared with the cover's other stego
    /// images: nothing was copied.
    pub fn slices(&self) -> impl ExactSizeIterator<Item = &Bytes> + Clone {
        self.pieces.iter()
    }

    pub fn into_slices(self) -> Vec<Bytes> {
        self.pieces
    }

    /// The file as one piece, which copies it.
    pub fn to_bytes(&self) -> Bytes {
        self.pieces.concat().into()
    }
}

/// Two files are equal whatever pieces they are in.
impl PartialEq for Png {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.bytes().eq(other.bytes())
    }
}

impl Eq for Png {}

impl Png {
    fn bytes(&self) -> impl Iterator<Item = &u8> {
        self.pieces.iter().flatten()
    }
}

/// A PNG of the picture's own depth and channels, without any other chunk. The same
/// samples always give the same bytes.
pub(crate) fn encode(picture: Picture) -> Png {
    let prepared = Prepared::new(picture, Ancillary::default());
    prepared.whole(Metadata::Drop)
}
