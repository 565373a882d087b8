//! What must hold of prepared covers: their strips, their chunks, and reading by rows.

use std::io::Read;

use image::metadata::Orientation;
use proptest::prelude::*;

use super::chunks::{Ancillary, SIGNATURE, write};
use super::cover::{Picture, Shape, Source};
use super::patch::Patch;
use super::png::{self, Png};
use super::prepared::{Metadata, Prepared};
use super::rows::RowReader;

/// Something between a photograph and noise: neighbours differ by little.
fn photograph(shape: Shape, seed: u64) -> Picture {
    let row_bytes = shape.row_bytes();
    let mut raster = vec![0_u8; row_bytes * shape.height as usize];
    let mut state = seed | 1;
    for at in 0..raster.len() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let left = if at % row_bytes >= shape.pixel_bytes() {
            raster[at - shape.pixel_bytes()]
        } else {
            90
        };
        let above = if at >= row_bytes { raster[at - row_bytes] } else { left };
        let step = (state >> 40 & 7) as u8;
        raster[at] = (left / 2 + above / 2).wrapping_add(step).wrapping_sub(3);
    }
    Picture { shape, raster }
}

/// Coloured rectangles.
fn flat(shape: Shape) -> Picture {
    let row_bytes = shape.row_bytes();
    let raster = (0..row_bytes * shape.height as usize)
        .map(|at| (((at % row_bytes) / 97 * 40) ^ (at / row_bytes / 31 * 77)) as u8)
        .collect();
    Picture { shape, raster }
}

fn rgb(width: u32, height: u32) -> Shape {
    Shape { width, height, colours: 3, alpha: false, sample_bytes: 1 }
}

fn prepared(picture: &Picture) -> Prepared {
    Prepared::new(picture.clone(), Ancillary::default())
}

fn decoded(file: &[u8]) -> Picture {
    Source::open(file).unwrap().decode().unwrap()
}

/// Kinds and contents of a file's chunks; each checksum is right.
fn chunks(file: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut rest = file.strip_prefix(&SIGNATURE).unwrap();
    let mut chunks = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk() {
        let size = u32::from_be_bytes(*size) as usize;
        let (checked, after) = after.split_at(size + 4);
        let (crc, after) = after.split_first_chunk().unwrap();
        assert_eq!(crc32fast::hash(checked), u32::from_be_bytes(*crc));
        chunks.push((checked[..4].try_into().unwrap(), checked[4..].to_vec()));
        rest = after;
    }
    assert_eq!(chunks.last().unwrap().0, *b"IEND");
    chunks
}

fn shapes() -> impl Strategy<Value = Shape> {
    (1..90_u32, 1..90_u32, prop_oneof![Just(1_u8), Just(3)], any::<bool>(), 1..=2_u8).prop_map(
        |(width, height, colours, alpha, sample_bytes)| Shape {
            width,
            height,
            colours,
            alpha,
            sample_bytes,
        },
    )
}

/// Covers with several strips: wide or high.
fn large_shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        (1000..3000_u32, 17..60_u32).prop_map(|(width, height)| rgb(width, height)),
        (100..300_u32, 400..900_u32).prop_map(|(width, height)| rgb(width, height)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_picture_is_written_whole(shape in shapes(), seed: u64, is_flat: bool) {
        let picture = if is_flat { flat(shape) } else { photograph(shape, seed) };
        let file = png::encode(picture.clone()).to_bytes();
        prop_assert_eq!(&decoded(&file), &picture);
        let theirs = image::load_from_memory(&file).unwrap();
        prop_assert_eq!((theirs.width(), theirs.height()), (shape.width, shape.height));
        if shape.sample_bytes == 1 {
            prop_assert_eq!(theirs.as_bytes(), picture.raster);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_patch_replaces_its_rows_and_nothing_else(
        shape in large_shapes(),
        seed: u64,
        from in 0.0..1.0_f64,
        part in 0.0..1.0_f64,
        is_flat: bool,
    ) {
        let cover = if is_flat { flat(shape) } else { photograph(shape, seed) };
        let ready = prepared(&cover);
        let before = ready.whole(Metadata::Drop);
        let height = f64::from(shape.height);
        let first_row = (from * height) as u32;
        let count = (part * (height - f64::from(first_row))) as usize;
        let start = first_row as usize * shape.row_bytes();
        let mut changed = cover.clone();
        let block = &mut changed.raster[start..start + count * shape.row_bytes()];
        block.iter_mut().enumerate().for_each(|(at, sample)| *sample ^= (at * at) as u8 & 1);
        let patch = Patch { first_row, rows: block.to_vec() };
        let file = ready.encode(&patch, Metadata::Drop);
        prop_assert_eq!(&decoded(&file.to_bytes()), &changed);
        // Whatever was asked of it before, and of a cover prepared anew.
        prop_assert_eq!(&ready.encode(&patch, Metadata::Drop), &file);
        prop_assert_eq!(&prepared(&cover).encode(&patch, Metadata::Drop), &file);
        prop_assert_eq!(ready.whole(Metadata::Drop), before);
    }
}

#[test]
fn a_photograph_with_noise_in_every_row_is_coded_as_a_picture_of_its_own() {
    let cover = photograph(rgb(1500, 400), 5);
    let mut other = cover.clone();
    other.raster.iter_mut().step_by(7).for_each(|sample| *sample ^= 1);
    let patch = Patch { first_row: 0, rows: other.raster.clone() };
    let file = prepared(&cover).encode(&patch, Metadata::Drop);
    assert_eq!(file, png::encode(other));
}

#[test]
fn strips_that_are_not_touched_are_shared() {
    let ready = prepared(&photograph(rgb(1200, 300), 1));
    let row_bytes = 3600;
    let largest = |file: &Png| file.slices().max_by_key(|slice| slice.len()).unwrap().clone();
    let whole = largest(&ready.whole(Metadata::Drop)).as_ptr_range();
    let rows = ready.picture().raster[row_bytes * 20..row_bytes * 25].to_vec();
    let file = ready.encode(&Patch { first_row: 20, rows }, Metadata::Drop);
    let shared: usize = file
        .slices()
        .filter(|slice| whole.contains(&slice.as_ptr()))
        .map(|slice| slice.len())
        .sum();
    assert!(shared * 10 > file.len() * 9, "{shared} of {}", file.len());
    // What was coded anew is the same as before: nothing was changed in these rows.
    assert_eq!(file, ready.whole(Metadata::Drop));
}

#[test]
fn every_strip_inflates_by_itself() {
    for picture in [photograph(rgb(1500, 70), 3), flat(rgb(1500, 70))] {
        let file = png::encode(picture).to_bytes();
        let strips: Vec<_> =
            chunks(&file).into_iter().filter(|(kind, _)| kind == b"IDAT").collect();
        // Strips of 16 rows, the rest, and the end of the stream.
        assert_eq!(strips.len(), 70_usize.div_ceil(16) + 1);
        for (at, (_, strip)) in strips.iter().enumerate().take(strips.len() - 1) {
            let strip = if at == 0 { &strip[2..] } else { strip };
            let stream = [strip, &[3, 0]].concat();
            let mut rows = Vec::new();
            flate2::read::DeflateDecoder::new(stream.as_slice()).read_to_end(&mut rows).unwrap();
            assert_eq!(rows.len(), (70 - at * 16).min(16) * 4501);
            assert!([0, 1].contains(&rows[0]), "the first row looks at none above");
        }
        // zlib agrees with the sum over all of it.
        let whole: Vec<u8> = strips.into_iter().flat_map(|(_, strip)| strip).collect();
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(whole.as_slice()).read_to_end(&mut rows).unwrap();
        assert_eq!(rows.len(), 70 * 4501);
    }
}

#[test]
fn flat_graphics_are_searched_for_repetitions() {
    let graphics = flat(rgb(1200, 200));
    let samples = graphics.raster.len();
    let size = png::encode(graphics).len();
    assert!(size * 50 < samples, "{size} bytes for {samples}");
}

/// Chunks as they come before the samples of a file.
fn with_chunks(file: &[u8], before: &[([u8; 4], &[u8])], after: &[([u8; 4], &[u8])]) -> Vec<u8> {
    let (start, rest) = file.split_at(33);
    let (samples, end) = rest.split_at(rest.len() - 12);
    let mut all = start.to_vec();
    before
        .iter()
        .for_each(|(kind, content)| write(*kind, &mut all, |out| out.extend_from_slice(content)));
    all.extend_from_slice(samples);
    after
        .iter()
        .for_each(|(kind, content)| write(*kind, &mut all, |out| out.extend_from_slice(content)));
    all.extend_from_slice(end);
    all
}

/// A TIFF header and one entry: orientation 6, turn by 90 degrees.
const SIDEWAYS: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

#[test]
fn colours_are_kept_and_what_identifies_is_dropped_unless_asked_for() {
    let plain = png::encode(photograph(rgb(20, 30), 1)).to_bytes();
    let profile = b"monitor\0\0\x78\x9c\x03\0\0\0\0\x01";
    let before: [([u8; 4], &[u8]); 9] = [
        (*b"cICP", &[9, 16, 0, 1]),
        (*b"iCCP", profile),
        (*b"gAMA", &[0, 0, 0xb1, 0x8f]),
        (*b"gAMA", &[0, 0, 0, 1]),
        (*b"sRGB", &[1, 2]),
        (*b"pHYs", &[0, 0, 0, 1, 0, 0, 0, 2, 1]),
        (*b"eXIf", SIDEWAYS),
        (*b"tEXt", b"Author\0somebody"),
        (*b"zzZz", b"private"),
    ];
    let after: [([u8; 4], &[u8]); 3] =
        [(*b"tEXt", b"Comment\0here"), (*b"tIME", &[7, 232, 1, 1, 1, 1, 1]), (*b"cHRM", &[0; 32])];
    let cover = Prepared::open(&with_chunks(&plain, &before, &after)).unwrap();
    assert_eq!(cover.picture().shape.width, 30, "turned upright");
    let beside = |metadata| {
        let mut chunks = chunks(&cover.whole(metadata).to_bytes());
        chunks.retain(|(kind, _)| ![b"IHDR", b"IDAT", b"IEND"].contains(&kind));
        chunks
    };
    let colour: Vec<([u8; 4], Vec<u8>)> = vec![
        (*b"cICP", vec![9, 16, 0, 1]),
        (*b"iCCP", profile.to_vec()),
        (*b"gAMA", vec![0, 0, 0xb1, 0x8f]),
        // The sides are swapped.
        (*b"pHYs", vec![0, 0, 0, 2, 0, 0, 0, 1, 1]),
    ];
    assert_eq!(beside(Metadata::Drop), colour);
    let kept = beside(Metadata::Keep);
    assert_eq!(kept[..4], colour);
    let kinds: Vec<&[u8; 4]> = kept[4..].iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [b"eXIf", b"tEXt", b"tEXt", b"tIME"]);
    let orientation = Orientation::from_exif_chunk(&kept[4].1);
    assert!(matches!(orientation, None | Some(Orientation::NoTransforms)), "{orientation:?}");
    // Turned once and not again.
    let again = Prepared::open(&cover.whole(Metadata::Keep).to_bytes()).unwrap();
    assert_eq!(again.picture(), cover.picture());
}

#[test]
fn a_jpegs_profile_and_notes_become_chunks() {
    use image::ImageEncoder;
    let mut profile = vec![0; 200];
    profile[16..20].copy_from_slice(b"RGB ");
    let mut file = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut file);
    encoder.set_exif_metadata(SIDEWAYS.to_vec()).unwrap();
    encoder.set_icc_profile(profile.clone()).unwrap();
    let raster = photograph(rgb(40, 24), 1).raster;
    encoder.write_image(&raster, 40, 24, image::ExtendedColorType::Rgb8).unwrap();
    let cover = Prepared::open(&file).unwrap();
    let kinds = |metadata| -> Vec<[u8; 4]> {
        chunks(&cover.whole(metadata).to_bytes()).into_iter().map(|(kind, _)| kind).collect()
    };
    assert_eq!(kinds(Metadata::Drop)[..3], [*b"IHDR", *b"iCCP", *b"IDAT"]);
    assert_eq!(kinds(Metadata::Keep)[..4], [*b"IHDR", *b"iCCP", *b"eXIf", *b"IDAT"]);
    let mut reader = image::ImageReader::with_format(
        std::io::Cursor::new(cover.whole(Metadata::Keep).to_bytes()),
        image::ImageFormat::Png,
    )
    .into_decoder()
    .unwrap();
    use image::ImageDecoder;
    assert_eq!(reader.icc_profile().unwrap(), Some(profile.clone()));
    assert_eq!(reader.orientation().unwrap(), Orientation::NoTransforms);
    // One for CMYK says nothing of RGB samples.
    profile[16..20].copy_from_slice(b"CMYK");
    let none = Ancillary::of_other(&rgb(1, 1), Some(profile), None, None);
    assert_eq!(none, Ancillary::default());
}

#[test]
fn rows_are_read_on_demand_and_no_further() {
    let picture = photograph(rgb(300, 200), 9);
    let file = png::encode(picture.clone()).to_bytes();
    let mut reader = RowReader::open(&file).unwrap();
    for count in [0, 1, 7, 3, 64, 65, 200, 900] {
        let rows = reader.rows(count).unwrap();
        let end = count.min(200) as usize * 900;
        assert_eq!(rows, &picture.raster[..end], "{count} rows");
    }
    // Cut off in the middle: the rows before are read all the same.
    let mut reader = RowReader::open(&file[..file.len() / 2]).unwrap();
    assert_eq!(reader.rows(20).unwrap(), &picture.raster[..20 * 900]);
    assert!(reader.rows(200).is_err());
    assert!(reader.rows(200).is_err(), "and again");
    assert_eq!(reader.rows(20).unwrap(), &picture.raster[..20 * 900]);
}

#[test]
fn other_formats_are_read_at_once() {
    let picture = photograph(rgb(33, 21), 9);
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_raw(33, 21, picture.raster.clone())
        .unwrap()
        .write_to(&mut file, image::ImageFormat::Bmp)
        .unwrap();
    let file = file.into_inner();
    let mut reader = RowReader::open(&file).unwrap();
    assert_eq!(reader.shape(), picture.shape);
    assert_eq!(reader.rows(2).unwrap(), &picture.raster[..2 * 99]);
    assert_eq!(reader.rows(99).unwrap(), picture.raster);
}
