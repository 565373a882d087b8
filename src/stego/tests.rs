//! What must hold of the codec as a whole.

use std::io::{Cursor, Write};

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};
use proptest::prelude::*;

use super::cover::{Picture, Source};
use super::header_v1::HEADER_CARRIERS;
use super::lsb::Bits;
use super::*;

/// One for all tests, so that each passphrase and salt is stretched once.
static CODEC: std::sync::LazyLock<Codec> = std::sync::LazyLock::new(|| Codec::new(Covers::new(0)));

/// A stego image in one piece, of a cover that was never seen before.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    png: Bytes,
    method: Method,
    cover_info: CoverInfo,
}

fn embed(params: &EmbedParams<'_>) -> Result<Made, StegoError> {
    let Stego { png, method, cover_info } = CODEC.embed(params)?;
    Ok(Made { png: png.to_bytes(), method, cover_info })
}

fn extract(picture: &[u8], passphrase: Option<&Passphrase>) -> Result<Vec<u8>, StegoError> {
    CODEC.extract(picture, passphrase)
}

/// By sequential LSB.
fn capacity(cover: &[u8], bits: u8, encrypted: bool) -> Result<CoverInfo, StegoError> {
    Ok(super::capacity(cover, Some(Method::Lsb), Some(bits), encrypted)?.cover)
}

/// What a cover that is too small is said to need and to have.
fn shortage(outcome: Result<Made, StegoError>) -> (u64, u64) {
    match outcome {
        Err(StegoError::CoverTooSmall { needed_bytes, available_bytes, .. }) => {
            (needed_bytes, available_bytes)
        }
        other => panic!("{other:?}"),
    }
}

/// Bytes that no coder makes smaller: SplitMix64 (Steele, Lea, Flood 2014).
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(z ^ z >> 31).to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// A picture of noise.
fn picture(width: u32, height: u32, colours: u8, alpha: bool, sample_bytes: u8) -> Picture {
    let shape = Shape { width, height, colours, alpha, sample_bytes };
    let count = width as usize * height as usize * shape.pixel_bytes();
    Picture { shape, raster: noise(u64::from(width) << 32 | u64::from(height), count) }
}

fn decoded(file: &[u8]) -> Picture {
    Source::open(file).unwrap().decode().unwrap()
}

fn params<'a>(cover: &'a [u8], secret: &'a [u8], bits: u8) -> EmbedParams<'a> {
    EmbedParams {
        cover: CoverFile::new(cover),
        secret,
        passphrase: None,
        method: Some(Method::Lsb),
        bits: Some(bits),
        seed: b"seed",
        metadata: Metadata::Drop,
    }
}

fn file(picture: &Picture) -> Bytes {
    png::encode(picture.clone()).to_bytes()
}

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

/// All shapes a PNG can be decoded to: grey or colour, alpha or not, 8 or 16 bits.
fn shapes() -> impl Iterator<Item = (u8, bool, u8)> {
    [1, 3].into_iter().flat_map(|colours| {
        [false, true].into_iter().flat_map(move |alpha| [1, 2].map(|depth| (colours, alpha, depth)))
    })
}

/// Colour samples differ in their low `bits` bits at most, alpha samples not at all.
fn assert_only_low_bits_changed(before: &Picture, after: &Picture, bits: u8) {
    assert_eq!(before.shape, after.shape);
    let sample = usize::from(before.shape.sample_bytes);
    let colour_bytes = usize::from(before.shape.colours) * sample;
    for (at, (old, new)) in before.raster.iter().zip(&after.raster).enumerate() {
        let in_pixel = at % before.shape.pixel_bytes();
        let carries = in_pixel < colour_bytes && in_pixel % sample == sample - 1;
        let may_change = if carries { (1 << bits) - 1 } else { 0 };
        assert_eq!((old ^ new) & !may_change, 0, "byte {at}");
    }
}

#[test]
fn exactly_the_capacity_fits_and_one_byte_more_does_not() {
    for (colours, alpha, depth) in shapes() {
        for bits in 1..=4 {
            for (width, height) in [(8, 16), (13, 11), (43, 1), (1, 129), (97, 3)] {
                let cover = file(&picture(width, height, colours, alpha, depth));
                let room = capacity(&cover, bits, false).unwrap();
                let available_bytes = room.capacity_bytes;
                let secret = noise(7, usize::try_from(available_bytes).unwrap() + 1);
                let whole = &secret[..secret.len() - 1];
                let samples = u64::from(width) * u64::from(height) * u64::from(colours);
                if samples >= HEADER_CARRIERS as u64 {
                    assert_eq!(available_bytes, (samples - 128) * u64::from(bits) / 8);
                    let stego = embed(&params(&cover, whole, bits)).unwrap();
                    assert_eq!(stego.cover_info, room);
                    assert_only_low_bits_changed(&decoded(&cover), &decoded(&stego.png), bits);
                    assert_eq!(extract(&stego.png, None), Ok(whole.to_vec()));
                    let refused = embed(&params(&cover, &secret, bits));
                    assert_eq!(shortage(refused), (available_bytes + 1, available_bytes));
                } else {
                    // Not even an empty secret: what misses is a part of the header.
                    let refused = embed(&params(&cover, b"", bits));
                    assert_eq!(shortage(refused), (16 - samples / 8, 0));
                }
            }
        }
    }
}

/// All ways to hide: method and bits.
const WAYS: [(Method, u8); 6] = [
    (Method::Adaptive, 1),
    (Method::Spread, 1),
    (Method::Lsb, 1),
    (Method::Lsb, 2),
    (Method::Lsb, 3),
    (Method::Lsb, 4),
];

#[test]
fn exactly_the_capacity_fits_by_every_method() {
    let passphrase = phrase("correct horse");
    for (method, bits) in WAYS {
        for passphrase in [None, Some(&passphrase)] {
            let cover = file(&picture(61, 43, 3, false, 1));
            let (method, bits) = (Some(method), Some(bits));
            let told = super::capacity(&cover, method, bits, passphrase.is_some()).unwrap();
            let available_bytes = told.cover.capacity_bytes;
            let by_method = told.methods.iter();
            let same =
                by_method.filter(|held| (Some(held.method), Some(held.bits)) == (method, bits));
            assert_eq!(same.map(|held| held.capacity_bytes).collect::<Vec<_>>(), [available_bytes]);
            let secret = noise(7, usize::try_from(available_bytes).unwrap() + 1);
            let asked =
                |secret| EmbedParams { passphrase, method, bits, ..params(&cover, secret, 1) };
            let whole = &secret[..secret.len() - 1];
            let stego = embed(&asked(whole)).unwrap();
            assert_eq!(stego.cover_info, told.cover);
            assert_eq!(extract(&stego.png, passphrase), Ok(whole.to_vec()), "{method:?} {bits:?}");
            let refused = embed(&asked(&secret));
            assert_eq!(shortage(refused), (available_bytes + 1, available_bytes));
        }
    }
}

#[test]
fn what_would_fit_is_true() {
    let passphrase = phrase("correct horse");
    let cover = file(&picture(60, 40, 3, false, 1));
    let secret = noise(3, 700);
    let asked = EmbedParams {
        passphrase: Some(&passphrase),
        method: None,
        bits: None,
        ..params(&cover, &secret, 1)
    };
    let Err(StegoError::CoverTooSmall { fits, larger, .. }) = embed(&asked) else { panic!() };
    assert_eq!(fits.len(), 5);
    for fit in fits {
        let (method, bits) = (Some(fit.method), Some(fit.bits));
        let stego = embed(&EmbedParams { method, bits, ..asked }).unwrap();
        assert_eq!(extract(&stego.png, Some(&passphrase)), Ok(secret.clone()));
    }
    let (width, height) = larger.unwrap();
    let cover = file(&picture(width, height, 3, false, 1));
    let stego = embed(&EmbedParams { cover: CoverFile::new(&cover), ..asked }).unwrap();
    assert_eq!(stego.method, Method::Adaptive);
    assert_eq!(extract(&stego.png, Some(&passphrase)), Ok(secret.clone()));
}

#[test]
fn a_single_pixel_says_what_it_lacks() {
    let cover = file(&picture(1, 1, 3, false, 1));
    assert_eq!(capacity(&cover, 4, false).unwrap().capacity_bytes, 0);
    assert_eq!(shortage(embed(&params(&cover, b"", 1))), (16, 0));
    let passphrase = phrase("p");
    for method in [Method::Lsb, Method::Spread, Method::Adaptive] {
        let (method, passphrase) = (Some(method), Some(&passphrase));
        let asked = EmbedParams { method, passphrase, ..params(&cover, b"", 1) };
        assert_eq!(shortage(embed(&asked)), (64, 0));
    }
    assert_eq!(extract(&cover, Some(&passphrase)), Err(StegoError::NoPayload));
    assert_eq!(extract(&cover, None), Err(StegoError::NoPayload));
}

#[test]
fn more_than_the_capacity_fits_where_it_compresses() {
    let cover = file(&picture(30, 30, 3, false, 1));
    let secret = vec![b'a'; 50_000];
    let stego = embed(&params(&cover, &secret, 1)).unwrap();
    assert!(stego.cover_info.capacity_bytes < 400);
    assert_eq!(extract(&stego.png, None), Ok(secret));
}

/// Sizes with something to hide in, of all shapes: also a single row or column.
fn sides() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![
        (1..50_u32, 1..50_u32),
        (50..160_u32, 50..120_u32),
        (1..=2_u32, 300..3000_u32),
        (300..3000_u32, 1..=2_u32),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn what_goes_in_comes_out(
        (width, height) in sides(),
        colours in prop_oneof![Just(1_u8), Just(3)],
        alpha: bool,
        depth in 1..=2_u8,
        (method, bits) in prop::sample::select(&WAYS),
        fill in 0.0..=1.0_f64,
        text: bool,
        even: bool,
    ) {
        let mut cover = picture(width, height, colours, alpha, depth);
        if even {
            // Without any texture, and with no way up.
            cover.raster.fill(255);
        }
        let whole = file(&cover);
        let (method, bits) = (Some(method), Some(bits));
        let room = super::capacity(&whole, method, bits, false).unwrap().cover.capacity_bytes;
        prop_assume!(room > 0);
        let size = (room as f64 * fill) as usize;
        let secret = if text {
            b"all work ".iter().copied().cycle().take(size).collect()
        } else {
            noise(1, size)
        };
        let stego = embed(&EmbedParams { method, bits, ..params(&whole, &secret, 1) }).unwrap();
        prop_assert_eq!(extract(&stego.png, None), Ok(secret));
        let changed = decoded(&stego.png);
        if method == Some(Method::Lsb) {
            assert_only_low_bits_changed(&cover, &changed, bits.unwrap());
        } else {
            assert_changed_by_one_at_most(&cover, &changed);
        }
    }
}

/// Colour samples differ by one at most, alpha samples not at all.
fn assert_changed_by_one_at_most(before: &Picture, after: &Picture) {
    assert_eq!(before.shape, after.shape);
    let sample = usize::from(before.shape.sample_bytes);
    let value = |sample: &[u8]| sample.iter().fold(0, |value, &byte| value << 8 | i32::from(byte));
    let channels = before.shape.pixel_bytes() / sample;
    let pairs = before.raster.chunks_exact(sample).zip(after.raster.chunks_exact(sample));
    for (at, (old, new)) in pairs.enumerate() {
        let may_change = i32::from(at % channels < usize::from(before.shape.colours));
        assert!((value(old) - value(new)).abs() <= may_change, "sample {at}");
    }
}

proptest! {
    // Each case runs Argon2 twice.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_sealed_opens_with_its_passphrase_only(
        words in "\\PC{1,40}",
        other in "\\PC{1,40}",
        secret in prop::collection::vec(any::<u8>(), 0..300),
        (method, bits) in prop::sample::select(&WAYS),
        alpha: bool,
        depth in 1..=2_u8,
    ) {
        prop_assume!(words != other);
        let cover = file(&picture(67, 61, 3, alpha, depth));
        let passphrase = phrase(&words);
        let sealed = EmbedParams {
            passphrase: Some(&passphrase),
            method: Some(method),
            ..params(&cover, &secret, bits)
        };
        let stego = embed(&sealed).unwrap();
        prop_assert_eq!(stego.method, method);
        prop_assert_eq!(extract(&stego.png, Some(&passphrase)), Ok(secret));
        prop_assert_eq!(extract(&stego.png, Some(&phrase(&other))), Err(StegoError::NoPayload));
        prop_assert_eq!(extract(&stego.png, None), Err(StegoError::NoPayload));
    }
}

#[test]
fn with_a_passphrase_the_same_place_never_says_the_same() {
    // Nothing common to pictures with a passphrase: neither a magic nor a size nor a salt.
    let passphrase = phrase("correct horse");
    let cover = file(&picture(64, 64, 3, false, 1));
    let begin = 256 * 3;
    let heads: Vec<_> = [b"one".as_slice(), b"two", b"three"]
        .into_iter()
        .enumerate()
        .map(|(index, seed)| {
            let sealed =
                EmbedParams { passphrase: Some(&passphrase), seed, ..params(&cover, b"x", 1) };
            let stego = decoded(&embed(&sealed).unwrap().png);
            (index, stego.shape.lattice().read(&stego.raster, begin, Bits::ONE, 48))
        })
        .collect();
    for (index, head) in &heads {
        for (_, other) in heads.iter().filter(|(other, _)| other > index) {
            let differing: u32 = head.iter().zip(other).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!((140..245).contains(&differing), "{differing} of 384 bits differ");
        }
    }
}

#[test]
fn the_pixels_that_the_salt_is_made_of_stay() {
    let passphrase = phrase("correct horse");
    let cover = picture(80, 64, 3, true, 1);
    let whole = file(&cover);
    for (method, bits) in WAYS {
        let secret = noise(9, 300);
        let (method, bits) = (Some(method), Some(bits));
        let sealed = EmbedParams {
            passphrase: Some(&passphrase),
            method,
            bits,
            ..params(&whole, &secret, 1)
        };
        let stego = decoded(&embed(&sealed).unwrap().png);
        assert_eq!(stego.raster[..256 * 4], cover.raster[..256 * 4]);
        // So it can still be read when it got or lost its alpha channel.
        let shape = Shape { alpha: false, ..stego.shape };
        let raster = stego.raster.chunks_exact(4).flat_map(|pixel| pixel[..3].to_vec()).collect();
        let opaque = file(&Picture { shape, raster });
        assert_eq!(extract(&opaque, Some(&passphrase)), Ok(secret));
    }
}

#[test]
fn no_payload_and_a_wrong_passphrase_are_one_answer() {
    let clean = file(&picture(40, 40, 3, false, 1));
    let plain = embed(&params(&clean, b"secret", 1)).unwrap().png;
    let passphrase = phrase("p");
    assert_eq!(extract(&clean, None), Err(StegoError::NoPayload));
    assert_eq!(extract(&clean, Some(&passphrase)), Err(StegoError::NoPayload));
    assert_eq!(extract(&plain, Some(&passphrase)), Err(StegoError::NoPayload));
}

#[test]
fn the_same_request_gives_the_same_picture() {
    let cover = default_cover();
    let (one, two) = (phrase("one"), phrase("two"));
    let sealed = EmbedParams { passphrase: Some(&one), ..params(cover, b"secret", 2) };
    let first = embed(&sealed).unwrap();
    assert_eq!(embed(&sealed).unwrap(), first);
    assert_ne!(embed(&EmbedParams { seed: b"other", ..sealed }).unwrap().png, first.png);
    assert_ne!(embed(&EmbedParams { secret: b"Secret", ..sealed }).unwrap().png, first.png);
    assert_ne!(embed(&EmbedParams { passphrase: Some(&two), ..sealed }).unwrap().png, first.png);
    // Without a passphrase there is nothing that the seed could vary.
    let plain = params(cover, b"secret", 2);
    assert_eq!(embed(&plain).unwrap(), embed(&EmbedParams { seed: b"other", ..plain }).unwrap());
}

#[test]
fn a_new_payload_replaces_an_old_one() {
    let first = embed(&params(default_cover(), &noise(1, 5000), 4)).unwrap();
    let second = embed(&params(&first.png, b"second", 1)).unwrap();
    assert_eq!(extract(&second.png, None), Ok(b"second".to_vec()));
}

#[test]
fn a_new_payload_replaces_one_by_any_other_method() {
    let passphrase = phrase("p");
    let cover = file(&picture(90, 80, 3, false, 1));
    for passphrase in [None, Some(&passphrase)] {
        for (first, _) in WAYS {
            for (second, _) in WAYS {
                let by = |cover, secret, method, seed| {
                    let method = Some(method);
                    let asked =
                        EmbedParams { passphrase, method, seed, ..params(cover, secret, 1) };
                    embed(&asked).unwrap().png
                };
                let once = by(&cover, b"first", first, b"1");
                let twice = by(&once, b"second", second, b"2");
                assert_eq!(extract(&twice, passphrase), Ok(b"second".to_vec()));
            }
        }
    }
}

/// Writes a PNG of any kind, unlike `file`, which writes what `cover` makes.
fn foreign_png(
    (width, height): (u32, u32),
    color: ::png::ColorType,
    depth: ::png::BitDepth,
    transparency: Option<&[u8]>,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ::png::ColorType::Indexed {
        encoder.set_palette(noise(5, 3 << depth as u8));
    }
    if let Some(transparency) = transparency {
        encoder.set_trns(transparency.to_vec());
    }
    let row = (width as usize * color.samples() * depth as usize).div_ceil(8);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&noise(6, row * height as usize)).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn every_kind_of_png_keeps_its_colours() {
    use ::png::{BitDepth, ColorType};
    let cases = [
        (ColorType::Grayscale, BitDepth::One, None, (1, false, 1)),
        (ColorType::Grayscale, BitDepth::Two, None, (1, false, 1)),
        (ColorType::Grayscale, BitDepth::Four, None, (1, false, 1)),
        (ColorType::Grayscale, BitDepth::Eight, Some([0, 9].as_slice()), (1, true, 1)),
        (ColorType::Grayscale, BitDepth::Sixteen, None, (1, false, 2)),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, None, (1, true, 1)),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen, None, (1, true, 2)),
        (ColorType::Indexed, BitDepth::One, None, (3, false, 1)),
        (ColorType::Indexed, BitDepth::Two, None, (3, false, 1)),
        (ColorType::Indexed, BitDepth::Four, Some(&[0, 128, 255]), (3, true, 1)),
        (ColorType::Indexed, BitDepth::Eight, None, (3, false, 1)),
        (ColorType::Rgb, BitDepth::Eight, Some(&[0, 1, 0, 2, 0, 3]), (3, true, 1)),
        (ColorType::Rgb, BitDepth::Sixteen, None, (3, false, 2)),
        (ColorType::Rgba, BitDepth::Sixteen, None, (3, true, 2)),
    ];
    for (color, depth, transparency, (colours, alpha, sample_bytes)) in cases {
        let cover = foreign_png((37, 23), color, depth, transparency);
        let stego = embed(&params(&cover, b"secret", 1)).unwrap();
        assert_eq!(extract(&stego.png, None), Ok(b"secret".to_vec()), "{color:?} {depth:?}");
        let shape = Shape { width: 37, height: 23, colours, alpha, sample_bytes };
        let before = decoded(&cover);
        assert_eq!(before.shape, shape, "{color:?} {depth:?}");
        assert_only_low_bits_changed(&before, &decoded(&stego.png), 1);
        // `image` sees in the result what it sees in the cover, but for one bit.
        let (theirs, ours) = (
            image::load_from_memory(&cover).unwrap().into_rgba16(),
            image::load_from_memory(&stego.png).unwrap().into_rgba16(),
        );
        let step = if sample_bytes == 2 { 1 } else { 257 };
        for (a, b) in theirs.iter().zip(ours.iter()) {
            assert!(a.abs_diff(*b) <= step, "{color:?} {depth:?}: {a} {b}");
        }
    }
}

#[test]
fn an_interlaced_cover_is_put_in_order() {
    // Adam7 (PNG specification, section 8.2), 16x16 grey, no filters.
    let (side, level) = (16, |x: usize, y: usize| (x * 13 + y * 7) as u8);
    let passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ];
    let mut rows = Vec::new();
    for (left, top, across, down) in passes {
        for y in (top..side).step_by(down) {
            rows.push(0);
            rows.extend((left..side).step_by(across).map(|x| level(x, y)));
        }
    }
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&rows).unwrap();
    let mut cover = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = *b"\0\0\0\x10\0\0\0\x10\x08\0\0\0\x01";
    for (kind, content) in
        [(b"IHDR", header.to_vec()), (b"IDAT", zlib.finish().unwrap()), (b"IEND", Vec::new())]
    {
        cover.extend_from_slice(&u32::try_from(content.len()).unwrap().to_be_bytes());
        let chunk = [kind.as_slice(), &content].concat();
        cover.extend_from_slice(&chunk);
        cover.extend_from_slice(&crc32fast::hash(&chunk).to_be_bytes());
    }
    let expected: Vec<u8> = (0..side).flat_map(|y| (0..side).map(move |x| level(x, y))).collect();
    assert_eq!(decoded(&cover).raster, expected);
    let stego = embed(&params(&cover, b"sixteen bytes ok", 1)).unwrap();
    assert_eq!(extract(&stego.png, None), Ok(b"sixteen bytes ok".to_vec()));
}

fn foreign_file(format: ImageFormat) -> Vec<u8> {
    let raster = noise(3, 61 * 47 * 3);
    let picture = DynamicImage::ImageRgb8(image::RgbImage::from_raw(61, 47, raster).unwrap());
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

#[test]
fn other_formats_serve_as_covers() {
    for format in [ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp] {
        let cover = foreign_file(format);
        let stego = embed(&params(&cover, b"secret", 2)).unwrap();
        assert_eq!(sniff_mime(&stego.png), "image/png");
        assert_eq!(extract(&stego.png, None), Ok(b"secret".to_vec()), "{format:?}");
        assert_only_low_bits_changed(&decoded(&cover), &decoded(&stego.png), 2);
    }
    for foreign in [b"GIF89a".as_slice(), b"", b"hello", b"\x89PNG\r\n\x1a\n"] {
        let refused = embed(&params(foreign, b"", 1));
        assert!(matches!(refused, Err(StegoError::NotAPicture { .. })), "{refused:?}");
    }
}

#[test]
fn a_photograph_taken_sideways_comes_out_upright() {
    use image::ImageEncoder;
    // TIFF header and one entry: orientation 6, turn by 90 degrees.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut cover = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut cover);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&noise(3, 40 * 20 * 3), 40, 20, image::ExtendedColorType::Rgb8).unwrap();
    let stego = embed(&params(&cover, b"secret", 1)).unwrap();
    assert_eq!((stego.cover_info.width, stego.cover_info.height), (20, 40));
    assert_eq!(stego.cover_info, capacity(&cover, 1, false).unwrap());
    assert_eq!(decoded(&stego.png).shape.width, 20);
    assert_eq!(extract(&stego.png, None), Ok(b"secret".to_vec()));
}

#[test]
fn a_picture_cut_short_at_any_byte_is_refused() {
    let cover = file(&picture(31, 17, 3, false, 1));
    let secret = noise(2, 120);
    let stego = embed(&params(&cover, &secret, 1)).unwrap().png;
    for end in 0..stego.len() {
        // Extraction looks no further than the payload goes.
        match extract(&stego[..end], None) {
            Ok(found) => assert_eq!(found, secret, "{end}"),
            Err(refused) => {
                assert!(matches!(refused, StegoError::NotAPicture { .. }), "{end}: {refused:?}");
            }
        }
        let refused = embed(&params(&stego[..end], b"x", 1));
        assert!(matches!(refused, Err(StegoError::NotAPicture { .. })), "{end}: {refused:?}");
    }
}

#[test]
fn other_formats_cut_short_never_panic() {
    for format in [ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp] {
        let cover = foreign_file(format);
        for end in (0..cover.len()).step_by(7) {
            // Their decoders may make do with what is there; then so may the embed.
            if let Ok(stego) = embed(&params(&cover[..end], b"x", 1)) {
                assert_eq!(extract(&stego.png, None), Ok(b"x".to_vec()), "{format:?} {end}");
            }
        }
    }
}

#[test]
fn a_damaged_picture_never_gives_a_wrong_secret() {
    let cover = file(&picture(31, 17, 3, false, 1));
    let secret = noise(2, 120);
    let stego = embed(&params(&cover, &secret, 1)).unwrap().png;
    for bit in (0..stego.len() * 8).step_by(5) {
        let mut damaged = stego.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = extract(&damaged, None) {
            assert_eq!(found, secret, "bit {bit}");
        }
    }
    // The same below PNG's own checksums: samples changed, the file whole.
    let whole = decoded(&stego);
    for at in 0..whole.raster.len() {
        let mut damaged = whole.clone();
        damaged.raster[at] ^= 1;
        if let Ok(found) = extract(&file(&damaged), None) {
            assert_eq!(found, secret, "sample {at}");
        }
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    for bits in [0, 5, 255] {
        let refused = StegoError::UnsupportedBits { bits };
        assert_eq!(embed(&params(default_cover(), b"", bits)), Err(refused.clone()));
        assert_eq!(capacity(default_cover(), bits, false), Err(refused));
    }
    let bytes = limits::SECRET_BYTES_MAX + 1;
    let secret = vec![0; usize::try_from(bytes).unwrap()];
    assert_eq!(
        embed(&params(default_cover(), &secret, 1)),
        Err(StegoError::SecretTooLarge { bytes, max_bytes: limits::SECRET_BYTES_MAX })
    );
}

#[test]
fn the_photograph_holds_what_it_should() {
    let info = capacity(default_cover(), 1, false).unwrap();
    let expected = CoverInfo {
        width: 512,
        height: 512,
        channels: 3,
        lsb_per_channel: 1,
        capacity_bytes: 98_288,
    };
    assert_eq!(info, expected);
}

/// The vectors in docs/FORMAT.md: `name: value` lines in blocks that begin with `vector`.
fn documented_vectors() -> Vec<std::collections::BTreeMap<&'static str, &'static str>> {
    include_str!("../../docs/FORMAT.md")
        .split("```text\nvector: ")
        .skip(1)
        .map(|block| {
            let block = block.split("```").next().unwrap();
            block.lines().skip(1).filter_map(|line| line.split_once(": ")).collect()
        })
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_documented_vectors_of_version_1_hold() {
    let raster: Vec<u8> = (0..960_u32).map(|at| (at * 37 + 11) as u8).collect();
    let shape = Shape { width: 16, height: 20, colours: 3, alpha: false, sample_bytes: 1 };
    let cover = file(&Picture { shape, raster: raster.clone() });
    let vectors = documented_vectors();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let bits = vector["bits"].parse().unwrap();
        let secret = unhex(vector["secret"]);
        let passphrase = vector.get("passphrase").map(|text| phrase(text));
        let frame = [unhex(vector["header"]), unhex(vector["body"])].concat();

        let mut written = raster.clone();
        let lattice = shape.lattice();
        lattice.write(&mut written, 0, Bits::ONE, &frame[..16]);
        lattice.write(&mut written, 128, Bits::new(bits).unwrap(), &frame[16..]);
        let by_hand = file(&Picture { shape, raster: written });
        assert_eq!(extract(&by_hand, passphrase.as_ref()), Ok(secret.clone()));

        // How deflate's coder chooses is not part of the format, and nothing is sealed
        // in this version any more.
        let compressed = frame[5] & 1 != 0;
        if !compressed && passphrase.is_none() {
            let stego = embed(&params(&cover, &secret, bits)).unwrap().png;
            // Coded with the cover's table, not with its own.
            assert_eq!(decoded(&stego), decoded(&by_hand));
        }
    }
}

/// The cover of the vectors of version 2: a smooth half and a rough one.
fn vector_cover() -> Picture {
    let shape = Shape { width: 96, height: 48, colours: 3, alpha: false, sample_bytes: 1 };
    let mut raster = Vec::new();
    for y in 0..shape.height {
        for x in 0..shape.width {
            let rough = if x < 48 { 0 } else { (x * 57 + y * 91 + x * y) % 64 };
            raster.extend((0..3).map(|channel| (x + 2 * y + 20 * channel + rough) as u8));
        }
    }
    Picture { shape, raster }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `docs/vectors/` has a picture for each, and docs/FORMAT.md says what comes up on the way
/// to its secret. `STEGCLUSTER_REGENERATE=1` writes the pictures anew; what the document
/// should say is in the failure.
#[test]
fn the_documented_vectors_of_version_2_hold() {
    let cover = vector_cover();
    let whole = file(&cover);
    let correct = phrase("correct horse");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors");
    let document = include_str!("../../docs/FORMAT.md");
    let secret = b"Meet at the old mill.";
    let mut missing = String::new();
    for (name, seed, method, bits, passphrase) in [
        ("lsb-sealed", "n1-0001", Method::Lsb, 2, Some(&correct)),
        ("spread-sealed", "n1-0002", Method::Spread, 1, Some(&correct)),
        ("spread-open", "n1-0003", Method::Spread, 1, None),
        ("adaptive-sealed", "n1-0004", Method::Adaptive, 1, Some(&correct)),
        ("adaptive-open", "n1-0005", Method::Adaptive, 1, None),
    ] {
        let asked = EmbedParams {
            passphrase,
            method: Some(method),
            seed: seed.as_bytes(),
            ..params(&whole, secret, bits)
        };
        let made = embed(&asked).unwrap().png;
        let path = folder.join(format!("{name}.png"));
        if std::env::var_os("STEGCLUSTER_REGENERATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read(&path).unwrap();
        assert_eq!(extract(&kept, passphrase), Ok(secret.to_vec()), "{name}");
        assert_eq!(decoded(&kept), decoded(&made), "{name}");

        let salt = hide::salt(&cover.shape, &cover.raster);
        let master = CODEC.master(&cover.shape, &cover.raster, passphrase);
        let facts = envelope::Facts {
            compressed: false,
            method,
            bits: Bits::new(bits).unwrap(),
            body_bytes: 37,
        };
        let sealed = envelope::seal(&master, seed.as_bytes(), &facts, secret);
        let mut block = format!("picture: vectors/{name}.png\nseed: {seed}\n");
        if passphrase.is_some() {
            block += "passphrase: correct horse\n";
            block += &format!("salt: {}\n", hex(&salt));
        }
        block += &format!("master key: {}\n", hex(master.as_bytes()));
        block += &format!("key(\"head\", nonce): {}\n", {
            hex(master.expand(b"head", &sealed.nonce()).as_slice())
        });
        block += &format!("head: {}\nbody: {}\n", hex(&sealed.head), hex(&sealed.body));
        if !document.contains(&block) {
            missing += &format!("```text\n{block}```\n\n");
        }
    }
    assert!(missing.is_empty(), "docs/FORMAT.md should say:\n\n{missing}");
}
