//! Reads a picture as far as somebody asks.

use super::cover::{Picture, Shape, Source};
use super::error::StegoError;

/// The rows of a picture from the top.
pub(crate) struct RowReader<'a> {
    file: &'a [u8],
    shape: Shape,
    picture: Option<Picture>,
}

impl<'a> RowReader<'a> {
    /// # Errors
    /// What is wrong with the picture's header.
    pub fn open(file: &'a [u8]) -> Result<Self, StegoError> {
        let picture = Source::open(file)?.decode()?;
        Ok(Self { file, shape: picture.shape, picture: Some(picture) })
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The raster's first `count` rows.
    ///
    /// # Errors
    /// The picture is damaged.
    pub fn rows(&mut self, count: u32) -> Result<&[u8], StegoError> {
        if self.picture.is_none() {
            self.picture = Some(Source::open(self.file)?.decode()?);
        }
        let raster = self.picture.as_ref().map_or(&[][..], |picture| &picture.raster);
        Ok(&raster[..count as usize * self.shape.row_bytes()])
    }
}
