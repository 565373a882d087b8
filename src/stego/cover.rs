//! Decodes a picture into samples, within limits that are checked on its header.
//!
//! Samples are kept exactly as the file has them: depth and channels stay, only a
//! palette is resolved to the colours it stands for and depths under 8 are widened.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::chunks::Ancillary;
use super::error::StegoError;
use super::lsb::Lattice;
use super::scans;
use crate::limits;

/// What the samples of a picture look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pixels; never 0.
    pub width: u32,
    /// Pixels; never 0.
    pub height: u32,
    /// Colour channels: 1 (grey) or 3.
    pub colours: u8,
    pub alpha: bool,
    /// 1 or 2.
    pub sample_bytes: u8,
}

impl Shape {
    pub fn pixel_bytes(&self) -> usize {
        usize::from(self.colours + u8::from(self.alpha)) * usize::from(self.sample_bytes)
    }

    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Bytes of one row of the raster.
    pub fn row_bytes(&self) -> usize {
        self.width as usize * self.pixel_bytes()
    }

    /// Colour samples, each of which can carry payload bits.
    pub fn carriers(&self) -> u64 {
        self.pixels() * u64::from(self.colours)
    }

    /// Rows from the top that the first `count` carriers lie in.
    pub fn rows_of_carriers(&self, count: usize) -> u32 {
        let in_row = u64::from(self.width) * u64::from(self.colours);
        u32::try_from((count as u64).div_ceil(in_row)).unwrap_or(u32::MAX)
    }

    pub fn lattice(&self) -> Lattice {
        Lattice {
            pixel_bytes: self.pixel_bytes(),
            colours: usize::from(self.colours),
            sample_bytes: usize::from(self.sample_bytes),
        }
    }

    /// Bytes of the raster, where the picture is within the limits.
    fn raster_bytes(&self) -> Result<usize, StegoError> {
        let pixels = u64::from(self.width) * u64::from(self.height);
        if pixels == 0 {
            return Err(not_a_picture("it has no pixels"));
        }
        if pixels > limits::COVER_PIXELS_MAX {
            return Err(StegoError::TooManyPixels { pixels, max: limits::COVER_PIXELS_MAX });
        }
        usize::try_from(pixels)
            .ok()
            .and_then(|pixels| pixels.checked_mul(self.pixel_bytes()))
            .ok_or(too_large())
    }
}

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub shape: Shape,
    /// Rows from the top, pixels from the left, channels interleaved, 16-bit samples
    /// big-endian: the order in which PNG stores them.
    pub raster: Vec<u8>,
}

impl Picture {
    pub fn row(&self, index: usize) -> &[u8] {
        let row_bytes = self.shape.row_bytes();
        &self.raster[index * row_bytes..(index + 1) * row_bytes]
    }
}

/// A picture whose header was read and found within limits.
pub(crate) struct Source<'a> {
    file: &'a [u8],
    shape: Shape,
    orientation: Orientation,
    decoder: Decoder<'a>,
}

enum Decoder<'a> {
    /// Not through `image`: this way 16-bit samples need no byte swapping, text and
    /// colour profiles are not even inflated, and the end of the file is checked.
    Png(Box<png::Reader<Cursor<&'a [u8]>>>),
    Other(Box<dyn ImageDecoder + 'a>),
}

impl<'a> Source<'a> {
    /// Reads the header. Allocates nothing that grows with the picture's size.
    pub fn open(bytes: &'a [u8]) -> Result<Self, StegoError> {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => Self::open_png(bytes),
            Ok(format @ (ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Bmp)) => {
                Self::open_other(bytes, format)
            }
            Ok(format) => Err(not_a_picture(&format!("{format:?} is not supported"))),
            Err(_) => Err(not_a_picture("its first bytes are no known picture's")),
        }
    }

    fn open_png(bytes: &'a [u8]) -> Result<Self, StegoError> {
        let budget = usize::try_from(limits::DECODE_BYTES_MAX).unwrap_or(usize::MAX);
        let limits = png::Limits { bytes: budget };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(png::Transformations::EXPAND);
        let info = decoder.read_header_info().map_err(from_png)?;
        let widest = Shape {
            width: info.width,
            height: info.height,
            colours: 3,
            alpha: true,
            sample_bytes: 2,
        };
        widest.raster_bytes()?;
        let reader = decoder.read_info().map_err(from_png)?;
        let (color, depth) = reader.output_color_type();
        let (colours, alpha) = match color {
            png::ColorType::Grayscale => (1, false),
            png::ColorType::GrayscaleAlpha => (1, true),
            png::ColorType::Rgb => (3, false),
            png::ColorType::Rgba => (3, true),
            png::ColorType::Indexed => return Err(not_a_picture("its palette is missing")),
        };
        let sample_bytes = if depth == png::BitDepth::Sixteen { 2 } else { 1 };
        let exif = reader.info().exif_metadata.as_deref();
        let orientation = exif.and_then(Orientation::from_exif_chunk);
        Ok(Self {
            file: bytes,
            shape: Shape { colours, alpha, sample_bytes, ..widest },
            orientation: orientation.unwrap_or(Orientation::NoTransforms),
            decoder: Decoder::Png(Box::new(reader)),
        })
    }

    fn open_other(bytes: &'a [u8], format: ImageFormat) -> Result<Self, StegoError> {
        if format == ImageFormat::Jpeg && !scans::are_few(bytes) {
            return Err(not_a_picture(&format!("more than {} scans", limits::JPEG_SCANS_MAX)));
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut budget = image::Limits::no_limits();
        budget.max_alloc = Some(limits::DECODE_BYTES_MAX);
        reader.limits(budget);
        let mut decoder = reader.into_decoder().map_err(from_image)?;
        let (width, height) = decoder.dimensions();
        let (colours, alpha, sample_bytes) = match decoder.color_type() {
            ColorType::L8 => (1, false, 1),
            ColorType::La8 => (1, true, 1),
            ColorType::Rgb8 => (3, false, 1),
            ColorType::Rgba8 => (3, true, 1),
            ColorType::L16 => (1, false, 2),
            ColorType::La16 => (1, true, 2),
            ColorType::Rgb16 => (3, false, 2),
            ColorType::Rgba16 => (3, true, 2),
            other => return Err(not_a_picture(&format!("{other:?} samples are not supported"))),
        };
        let shape = Shape { width, height, colours, alpha, sample_bytes };
        shape.raster_bytes()?;
        // A file may lack the note, or garble it: then its rows are taken as they are.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let decoder = Decoder::Other(Box::new(decoder));
        Ok(Self { file: bytes, shape, orientation, decoder })
    }

    /// The shape of what [`Self::decode_upright`] gives.
    pub fn upright_shape(&self) -> Shape {
        if swaps_sides(self.orientation) {
            Shape { width: self.shape.height, height: self.shape.width, ..self.shape }
        } else {
            self.shape
        }
    }

    /// What [`Self::decode`] gives.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// True where [`Self::decode`] needs no more memory than its result.
    pub fn is_by_rows(&self) -> bool {
        matches!(self.decoder, Decoder::Png(_)) && self.orientation == Orientation::NoTransforms
    }

    /// The file's chunks, or what another format has in their place, as they are right
    /// for what [`Self::decode_upright`] gives.
    pub fn ancillary(&mut self) -> Ancillary {
        match &mut self.decoder {
            Decoder::Png(_) => Ancillary::of_png(self.file, swaps_sides(self.orientation)),
            // What cannot be read is as good as missing: the samples do not depend on it.
            Decoder::Other(decoder) => Ancillary::of_other(
                &self.shape,
                decoder.icc_profile().ok().flatten(),
                decoder.exif_metadata().ok().flatten(),
                decoder.xmp_metadata().ok().flatten(),
            ),
        }
    }

    /// A reader that gives the rows of the file one after the other, where it is a PNG
    /// that has them in order; otherwise the source again.
    pub fn into_rows(self) -> Result<png::Reader<Cursor<&'a [u8]>>, Self> {
        match self.decoder {
            // The first picture of an animation need not fill the canvas.
            Decoder::Png(reader)
                if !reader.info().interlaced && reader.info().frame_control().is_none() =>
            {
                Ok(*reader)
            }
            decoder => Err(Self { decoder, ..self }),
        }
    }

    /// The samples in the order of the file, whatever its orientation note says: a
    /// payload stays where it is when someone adds such a note to the picture.
    pub fn decode(self) -> Result<Picture, StegoError> {
        let shape = self.shape;
        let raster = match self.decoder {
            Decoder::Png(reader) => decode_png(*reader, shape)?,
            Decoder::Other(decoder) => decode_other(decoder, shape)?,
        };
        Ok(Picture { shape, raster })
    }

    /// The samples turned as the file's orientation note asks. The result has no such
    /// note, so a photograph taken sideways would otherwise come out sideways.
    pub fn decode_upright(self) -> Result<Picture, StegoError> {
        let orientation = self.orientation;
        Ok(turned(self.decode()?, orientation))
    }
}

fn decode_png(mut reader: png::Reader<Cursor<&[u8]>>, shape: Shape) -> Result<Vec<u8>, StegoError> {
    let mut raster = vec![0; shape.raster_bytes()?];
    let frame = reader.next_frame(&mut raster).map_err(from_png)?;
    if (frame.width, frame.height) != (shape.width, shape.height) {
        return Err(not_a_picture("its first frame does not fill the canvas"));
    }
    // Reads to the end mark, so that a picture cut short is never taken for a whole one.
    reader.finish().map_err(from_png)?;
    Ok(raster)
}

fn decode_other(decoder: Box<dyn ImageDecoder + '_>, shape: Shape) -> Result<Vec<u8>, StegoError> {
    let picture = DynamicImage::from_decoder(decoder).map_err(from_image)?;
    let mut raster = picture.into_bytes();
    if raster.len() != shape.raster_bytes()? {
        return Err(not_a_picture("its samples do not match its header"));
    }
    if shape.sample_bytes == 2 {
        for sample in raster.chunks_exact_mut(2) {
            let value = u16::from_ne_bytes([sample[0], sample[1]]);
            sample.copy_from_slice(&value.to_be_bytes());
        }
    }
    Ok(raster)
}

fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn turned(picture: Picture, orientation: Orientation) -> Picture {
    if orientation == Orientation::NoTransforms {
        return picture;
    }
    let from = picture.shape;
    let to = if swaps_sides(orientation) {
        Shape { width: from.height, height: from.width, ..from }
    } else {
        from
    };
    let (from_width, from_height) = (from.width as usize, from.height as usize);
    let (right, bottom) = (from_width - 1, from_height - 1);
    let size = from.pixel_bytes();
    let mut raster = Vec::with_capacity(picture.raster.len());
    for y in 0..to.height as usize {
        for x in 0..to.width as usize {
            // Where the pixel that lands on (x, y) comes from.
            let (from_x, from_y) = match orientation {
                Orientation::NoTransforms => (x, y),
                Orientation::FlipHorizontal => (right - x, y),
                Orientation::FlipVertical => (x, bottom - y),
                Orientation::Rotate180 => (right - x, bottom - y),
                Orientation::Rotate90 => (y, bottom - x),
                Orientation::Rotate270 => (right - y, x),
                Orientation::Rotate90FlipH => (y, x),
                Orientation::Rotate270FlipH => (right - y, bottom - x),
            };
            let at = (from_y * from_width + from_x) * size;
            raster.extend_from_slice(&picture.raster[at..at + size]);
        }
    }
    Picture { shape: to, raster }
}

pub(crate) fn not_a_picture(cause: &str) -> StegoError {
    StegoError::NotAPicture { cause: cause.to_owned() }
}

fn too_large() -> StegoError {
    StegoError::TooLarge { max_bytes: limits::DECODE_BYTES_MAX }
}

pub(crate) fn from_png(error: png::DecodingError) -> StegoError {
    match error {
        png::DecodingError::LimitsExceeded => too_large(),
        png::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            not_a_picture("it ends too early")
        }
        other => StegoError::NotAPicture { cause: other.to_string() },
    }
}

fn from_image(error: ImageError) -> StegoError {
    match error {
        ImageError::Limits(_) => too_large(),
        other => StegoError::NotAPicture { cause: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `image` has its own implementation of the eight turns: ours must agree.
    #[test]
    fn turns_agree_with_the_image_crate() {
        let (width, height) = (5, 3);
        let raster: Vec<u8> = (0..45).collect();
        for note in 1..=8 {
            let orientation = Orientation::from_exif(note).unwrap();
            let mut theirs = DynamicImage::ImageRgb8(
                image::RgbImage::from_raw(width, height, raster.clone()).unwrap(),
            );
            theirs.apply_orientation(orientation);
            let shape = Shape { width, height, colours: 3, alpha: false, sample_bytes: 1 };
            let ours = turned(Picture { shape, raster: raster.clone() }, orientation);
            assert_eq!((ours.shape.width, ours.shape.height), (theirs.width(), theirs.height()));
            assert_eq!(ours.raster, theirs.into_bytes(), "orientation {note}");
        }
    }

    #[test]
    fn huge_dimensions_are_refused_by_the_header() {
        // A PNG header that claims 65535 x 65535, and nothing after it.
        let mut bomb =
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0".to_vec();
        let crc = crc32fast::hash(&bomb[12..]);
        bomb.extend_from_slice(&crc.to_be_bytes());
        let pixels = 65535 * 65535;
        assert_eq!(
            Source::open(&bomb).err(),
            Some(StegoError::TooManyPixels { pixels, max: limits::COVER_PIXELS_MAX })
        );
    }
}
