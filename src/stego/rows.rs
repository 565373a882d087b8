//! Reads a picture only as far as it is needed.

use std::io::Cursor;

use super::cover::{Shape, Source, from_png, not_a_picture};
use super::error::StegoError;

/// Gives a picture's rows from the top on demand, in the order of the file. A PNG is
/// decoded as far as the rows asked for, so damage further on is not found; any other
/// picture, and an interlaced one, is decoded whole at the first demand.
pub(crate) struct RowReader<'a> {
    shape: Shape,
    state: State<'a>,
    /// The rows read so far.
    raster: Vec<u8>,
}

enum State<'a> {
    InOrder(Box<png::Reader<Cursor<&'a [u8]>>>),
    AtOnce(Option<Box<Source<'a>>>),
}

impl<'a> RowReader<'a> {
    /// Reads the header. Allocates nothing that grows with the picture's size.
    ///
    /// # Errors
    /// What is wrong with the picture.
    pub fn open(file: &'a [u8]) -> Result<Self, StegoError> {
        let source = Source::open(file)?;
        let shape = source.shape();
        let state = match source.into_rows() {
            Ok(reader) => State::InOrder(Box::new(reader)),
            Err(source) => State::AtOnce(Some(Box::new(source))),
        };
        Ok(Self { shape, state, raster: Vec::new() })
    }

    /// Of the rows as this reader gives them: not turned upright.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The first `count` rows, or all where there are fewer, one after the other in the
    /// form of `Picture::raster`.
    ///
    /// # Errors
    /// What is wrong with the picture, as far as it was read.
    pub fn rows(&mut self, count: u32) -> Result<&[u8], StegoError> {
        let row_bytes = self.shape.row_bytes();
        let wanted = count.min(self.shape.height) as usize * row_bytes;
        match &mut self.state {
            State::InOrder(reader) => {
                self.raster.reserve(wanted.saturating_sub(self.raster.len()));
                while self.raster.len() < wanted {
                    let start = self.raster.len();
                    self.raster.resize(start + row_bytes, 0);
                    let row = reader.read_row(&mut self.raster[start..]).map_err(from_png);
                    if !matches!(row, Ok(Some(_))) {
                        self.raster.truncate(start);
                        return Err(row.err().unwrap_or_else(|| not_a_picture("rows are missing")));
                    }
                }
            }
            State::AtOnce(source) => {
                if let Some(source) = source.take() {
                    self.raster = source.decode()?.raster;
                }
                if self.raster.len() < wanted {
                    return Err(not_a_picture("it was damaged when it was first read"));
                }
            }
        }
        Ok(&self.raster[..wanted])
    }
}
