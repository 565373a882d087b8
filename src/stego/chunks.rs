//! PNG chunks: writing them, and what of a cover's other chunks its stego image keeps.
//!
//! Nothing is inflated or interpreted here: chunks are copied as they are.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::metadata::Orientation;

use super::cover::Shape;

/// What a PNG begins with.
pub(crate) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Chunks that say how samples become colours, and how large a pixel is; with the size
/// of their content where it is fixed. A picture without them would look different.
const COLOUR: [(&[u8; 4], Option<usize>); 8] = [
    (b"cICP", Some(4)),
    (b"mDCV", Some(24)),
    (b"cLLI", Some(8)),
    (b"iCCP", None),
    (b"sRGB", Some(1)),
    (b"gAMA", Some(4)),
    (b"cHRM", Some(32)),
    (b"pHYs", Some(9)),
];
/// Chunks that can tell where a picture is from: text, camera, place and time.
const IDENTIFYING: [&[u8; 4]; 5] = [b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"];

/// A cover's chunks beside its samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ancillary {
    /// Whole chunks that every stego image has.
    pub colour: Vec<u8>,
    /// Whole chunks that only one has whose maker asked to keep them.
    pub identifying: Vec<u8>,
}

impl Ancillary {
    /// Those of a PNG. Damaged and misplaced chunks are left out: whether they make the
    /// file unreadable is for its decoder to say. `sides_swapped` where the samples are
    /// turned by 90 degrees.
    pub fn of_png(file: &[u8], sides_swapped: bool) -> Self {
        let mut own = Self::default();
        let mut seen: Vec<[u8; 4]> = Vec::new();
        for chunk in Chunks::of(file) {
            let colour = COLOUR.iter().find(|(kind, _)| **kind == chunk.kind);
            let kept = match colour {
                Some(_) if chunk.after_samples => None,
                Some((_, size)) => {
                    let fits = size.is_none_or(|size| size == chunk.content.len());
                    fits.then_some(&mut own.colour)
                }
                None if IDENTIFYING.contains(&&chunk.kind) => Some(&mut own.identifying),
                None => None,
            };
            let Some(kept) = kept else { continue };
            // There may be many texts. Of the others one each, or readers complain.
            if !matches!(&chunk.kind, b"tEXt" | b"zTXt" | b"iTXt") {
                if seen.contains(&chunk.kind) {
                    continue;
                }
                seen.push(chunk.kind);
            }
            write(chunk.kind, kept, |out| push_turned(&chunk, sides_swapped, out));
        }
        own
    }

    /// Those that a picture of another format has as chunks.
    pub fn of_other(
        shape: &Shape,
        icc_profile: Option<Vec<u8>>,
        exif: Option<Vec<u8>>,
        xmp: Option<Vec<u8>>,
    ) -> Self {
        let mut own = Self::default();
        if let Some(profile) = icc_profile.filter(|profile| describes(profile, shape)) {
            write(*b"iCCP", &mut own.colour, |out| {
                // A name, the end of the name, and the method of compression.
                out.extend_from_slice(b"ICC profile\0\0");
                let mut encoder = ZlibEncoder::new(out, Compression::default());
                encoder
                    .write_all(&profile)
                    .and_then(|()| encoder.finish())
                    .expect("memory takes every write");
            });
        }
        if let Some(exif) = exif {
            write(*b"eXIf", &mut own.identifying, |out| push_upright(&exif, out));
        }
        if let Some(xmp) = xmp.filter(|xmp| std::str::from_utf8(xmp).is_ok()) {
            write(*b"iTXt", &mut own.identifying, |out| {
                // A keyword; not compressed; neither a language nor a translation.
                out.extend_from_slice(b"XML:com.adobe.xmp\0\0\0\0\0");
                out.extend_from_slice(&xmp);
            });
        }
        own
    }

    /// Memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.colour.len() + self.identifying.len()
    }
}

/// True where an ICC profile (ICC.1, section 7.2.6) is for samples such as these. That
/// of a CMYK picture, decoded to RGB, is not.
fn describes(profile: &[u8], shape: &Shape) -> bool {
    let space = if shape.colours == 1 { b"GRAY" } else { b"RGB " };
    profile.get(16..20) == Some(space)
}

/// The content of a chunk as it is right for samples that were turned upright.
fn push_turned(chunk: &Chunk<'_>, sides_swapped: bool, out: &mut Vec<u8>) {
    match (&chunk.kind, chunk.content) {
        (b"pHYs", [x0, x1, x2, x3, y0, y1, y2, y3, unit]) if sides_swapped => {
            out.extend_from_slice(&[*y0, *y1, *y2, *y3, *x0, *x1, *x2, *x3, *unit]);
        }
        (b"eXIf", content) => push_upright(content, out),
        (_, content) => out.extend_from_slice(content),
    }
}

/// Appends camera notes without the one on orientation.
fn push_upright(exif: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(exif);
    // Where there is no such note, or no sense in the notes, they stay as they are.
    let _removed = Orientation::remove_from_exif_chunk(&mut out[start..]);
}

/// Appends a chunk whose content `write_content` appends.
///
/// # Panics
/// Where the content has 4 GiB or more: a strip has its rows, and the rest is smaller
/// than the request that brought it.
pub(crate) fn write(kind: [u8; 4], out: &mut Vec<u8>, write_content: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[0; 4]);
    let start = out.len();
    out.extend_from_slice(&kind);
    write_content(out);
    let size = u32::try_from(out.len() - start - 4).expect("chunks are smaller than requests");
    out[start - 4..start].copy_from_slice(&size.to_be_bytes());
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// Appends what a PNG of this shape begins with, up to its header's end.
pub(crate) fn write_start(shape: &Shape, out: &mut Vec<u8>) {
    out.extend_from_slice(&SIGNATURE);
    write(*b"IHDR", out, |out| {
        out.extend_from_slice(&shape.width.to_be_bytes());
        out.extend_from_slice(&shape.height.to_be_bytes());
        let colour_type = match (shape.colours, shape.alpha) {
            (1, false) => 0,
            (1, true) => 4,
            (_, false) => 2,
            (_, true) => 6,
        };
        // Deflate, the one set of filters, rows in order.
        out.extend_from_slice(&[shape.sample_bytes * 8, colour_type, 0, 0, 0]);
    });
}

struct Chunk<'a> {
    kind: [u8; 4],
    content: &'a [u8],
    after_samples: bool,
}

/// The chunks of a file whose checksum is right, as far as it can be read.
struct Chunks<'a> {
    rest: &'a [u8],
    after_samples: bool,
}

impl<'a> Chunks<'a> {
    fn of(file: &'a [u8]) -> Self {
        Self { rest: file.strip_prefix(&SIGNATURE).unwrap_or_default(), after_samples: false }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        loop {
            let (size, rest) = self.rest.split_first_chunk()?;
            let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
            let (checked, rest) = rest.split_at_checked(size.checked_add(4)?)?;
            let (crc, rest) = rest.split_first_chunk()?;
            let (kind, content) = checked.split_first_chunk()?;
            self.rest = rest;
            if kind == b"IDAT" {
                self.after_samples = true;
                continue;
            }
            if crc32fast::hash(checked) == u32::from_be_bytes(*crc) {
                return Some(Chunk { kind: *kind, content, after_samples: self.after_samples });
            }
        }
    }
}
