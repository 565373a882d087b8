//! Files made to break a decoder: each is refused with a sentence, soon, and before
//! memory is taken for what it only claims to hold.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::chunks::{SIGNATURE, write};
use super::cover::Source;
use super::rows::RowReader;
use super::*;

type Chunk<'a> = ([u8; 4], &'a [u8]);

fn png_of(chunks: &[Chunk<'_>]) -> Vec<u8> {
    let mut file = SIGNATURE.to_vec();
    for (kind, content) in chunks {
        write(*kind, &mut file, |out| out.extend_from_slice(content));
    }
    file
}

fn header(width: u32, height: u32, rest: [u8; 5]) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &rest].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 8-bit grey, rows in order.
const GREY: [u8; 5] = [8, 0, 0, 0, 0];

/// What every way into a file says of it.
pub(super) fn verdicts(file: &[u8]) -> [Result<(), StegoError>; 4] {
    let params = EmbedParams {
        cover: CoverFile::new(file),
        secret: b"",
        passphrase: None,
        method: Some(Method::Lsb),
        bits: Some(1),
        seed: b"seed",
        metadata: Metadata::Keep,
    };
    [
        Codec::new(Covers::new(0)).embed(&params).map(drop),
        Codec::new(Covers::new(0)).extract(file, None).map(drop),
        Source::open(file).and_then(Source::decode).map(drop),
        RowReader::open(file).and_then(|mut reader| reader.rows(u32::MAX).map(drop)),
    ]
}

#[test]
fn broken_pngs_are_refused() {
    let good = header(16, 16, GREY);
    let rows = zlib(&[0; 16 * 17]);
    let end: Chunk<'_> = (*b"IEND", b"");
    let broken_header = |rest| header(16, 16, rest);
    let headers = [
        ("width 0", header(0, 16, GREY)),
        ("height 0", header(16, 0, GREY)),
        ("width over 2^31", header(1 << 31, 1, GREY)),
        ("3 bits", broken_header([3, 0, 0, 0, 0])),
        ("colour type 1", broken_header([8, 1, 0, 0, 0])),
        ("colour type 7", broken_header([8, 7, 0, 0, 0])),
        ("4 bits of RGB", broken_header([4, 2, 0, 0, 0])),
        ("16 bits of palette", broken_header([16, 3, 0, 0, 0])),
        ("compression 1", broken_header([8, 0, 1, 0, 0])),
        ("filter set 1", broken_header([8, 0, 0, 1, 0])),
        ("interlace 2", broken_header([8, 0, 0, 0, 2])),
        ("a palette that is missing", broken_header([8, 3, 0, 0, 0])),
        ("too short a header", good[..12].to_vec()),
    ];
    for (name, header) in &headers {
        let file = png_of(&[(*b"IHDR", header), (*b"IDAT", &rows), end]);
        for verdict in verdicts(&file) {
            let refused = matches!(
                verdict,
                Err(StegoError::NotAPicture { .. } | StegoError::TooManyPixels { .. })
            );
            assert!(refused, "{name}: {verdict:?}");
        }
    }
    let mut other_filter = [0; 16 * 17];
    other_filter[17] = 5;
    let other_filter = zlib(&other_filter);
    let mut not_zlib = rows.clone();
    not_zlib[0] = 0x79;
    let head: Chunk<'_> = (*b"IHDR", &good);
    let bodies: [(&str, &[Chunk<'_>]); 8] = [
        ("nothing", &[]),
        ("no header", &[(*b"IDAT", &rows), end]),
        ("no samples", &[head, end]),
        ("an unknown filter", &[head, (*b"IDAT", &other_filter), end]),
        ("too few rows", &[head, (*b"IDAT", &rows[..6]), end]),
        ("no zlib stream", &[head, (*b"IDAT", &not_zlib), end]),
        ("an unknown critical chunk", &[head, (*b"WHAT", b""), end]),
        ("a header that comes twice", &[head, head, end]),
    ];
    for (name, chunks) in bodies {
        for verdict in verdicts(&png_of(chunks)) {
            assert!(matches!(verdict, Err(StegoError::NotAPicture { .. })), "{name}: {verdict:?}");
        }
    }
}

#[test]
fn a_wrong_checksum_of_the_samples_is_refused_where_all_are_read() {
    let rows = zlib(&[0; 16 * 17]);
    let mut file = png_of(&[(*b"IHDR", &header(16, 16, GREY)), (*b"IDAT", &rows), (*b"IEND", b"")]);
    assert!(Source::open(&file).unwrap().decode().is_ok());
    let last_of_samples = file.len() - 12 - 1;
    file[last_of_samples] ^= 1;
    assert!(matches!(verdicts(&file)[0], Err(StegoError::NotAPicture { .. })));
}

/// Rows that inflate to a thousand times the file, behind a header that promises few.
#[test]
fn a_bomb_in_the_samples_is_not_inflated() {
    let bomb = zlib(&vec![0; 64 << 20]);
    let file = png_of(&[(*b"IHDR", &header(16, 16, GREY)), (*b"IDAT", &bomb), (*b"IEND", b"")]);
    // Whether what follows the last row is an error is the decoder's choice.
    let mut reader = RowReader::open(&file).unwrap();
    assert_eq!(reader.rows(16).map(<[u8]>::len), Ok(256));
    for verdict in verdicts(&file) {
        let small =
            matches!(verdict, Ok(()) | Err(StegoError::NotAPicture { .. } | StegoError::NoPayload));
        assert!(small, "{verdict:?}");
    }
}

/// A header that promises much and a file that holds next to nothing.
#[test]
fn a_header_alone_takes_no_memory() {
    for rest in [[16, 6, 0, 0, 0], [1, 0, 0, 0, 0], [8, 3, 0, 0, 1]] {
        let side = 8192;
        let file = png_of(&[(*b"IHDR", &header(side, side, rest)), (*b"IDAT", &zlib(b"\0"))]);
        for verdict in verdicts(&file) {
            assert!(matches!(verdict, Err(StegoError::NotAPicture { .. })), "{verdict:?}");
        }
    }
    let file = png_of(&[(*b"IHDR", &header(1 << 20, 1 << 20, GREY)), (*b"IEND", b"")]);
    for verdict in verdicts(&file) {
        assert!(matches!(verdict, Err(StegoError::TooManyPixels { .. })), "{verdict:?}");
    }
}

/// Texts and profiles are copied, never inflated, however often they come.
#[test]
fn bombs_beside_the_samples_stay_packed() {
    let rows = zlib(&[0; 20 * 21]);
    let bomb = zlib(&vec![0; 64 << 20]);
    let text = [b"Comment\0\0".as_slice(), &bomb].concat();
    let profile = [b"profile\0\0".as_slice(), &bomb].concat();
    let good = header(20, 20, GREY);
    let mut chunks: Vec<Chunk<'_>> = vec![(*b"IHDR", &good), (*b"iCCP", &profile)];
    chunks.extend([(*b"zTXt", text.as_slice()); 20]);
    chunks.extend(std::iter::repeat_n((*b"quit", b"".as_slice()), 100_000));
    chunks.extend([(*b"IDAT", rows.as_slice()), (*b"IEND", b"")]);
    let file = png_of(&chunks);
    let [embedded, ..] = verdicts(&file);
    assert_eq!(embedded, Ok(()));
    let cover = super::prepared::Prepared::open(&file).unwrap();
    assert!(cover.bytes() < 22 * text.len() + (1 << 20));
    // The profile is a colour chunk; the texts are gone.
    let kept = cover.whole(Metadata::Drop).len();
    assert!(kept < profile.len() + 2048, "{kept}");
}

#[test]
fn a_chunk_longer_than_its_file_is_refused() {
    let mut file = png_of(&[(*b"IHDR", &header(16, 16, GREY))]);
    file.extend_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    file.extend_from_slice(b"IDAT");
    for kind in [b"IDAT", b"tEXt", b"eXIf", b"iCCP"] {
        let at = file.len() - 4;
        file[at..].copy_from_slice(kind);
        for verdict in verdicts(&file) {
            assert!(matches!(verdict, Err(StegoError::NotAPicture { .. })), "{verdict:?}");
        }
    }
}

/// No panic, no hang, and what is extracted is right, whatever bit of whatever file is
/// turned, its checksums made right again.
#[test]
fn turned_bits_below_the_checksums_do_no_harm() {
    let rows: Vec<u8> =
        (0..40 * 41_u32).map(|at| if at % 41 == 0 { 4 } else { at as u8 }).collect();
    let packed = zlib(&rows);
    let palette: Vec<u8> = (0..=255).cycle().take(768).collect();
    for rest in [[8, 0, 0, 0, 0], [8, 3, 0, 0, 0], [8, 0, 0, 0, 1]] {
        let good = header(40, 40, rest);
        for bit in (0..packed.len() * 8).step_by(3) {
            let mut damaged = packed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let chunks: [Chunk<'_>; 4] =
                [(*b"IHDR", &good), (*b"PLTE", &palette), (*b"IDAT", &damaged), (*b"IEND", b"")];
            for verdict in verdicts(&png_of(&chunks)) {
                let fair = matches!(
                    verdict,
                    Ok(()) | Err(StegoError::NotAPicture { .. } | StegoError::NoPayload)
                );
                assert!(fair, "{verdict:?}");
            }
        }
    }
}

/// The first bytes of each format, and then nothing or noise.
#[test]
fn other_formats_that_are_only_begun_are_refused() {
    let beginnings: [&[u8]; 6] = [
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"\xff\xd8\xff\xda",
        b"RIFF\xff\xff\xff\x7fWEBPVP8 \xff\xff\xff\x7f",
        b"RIFF\x20\0\0\0WEBPVP8L\x08\0\0\0\x2f\xff\xff\xff\xff",
        b"BM\xff\xff\xff\x7f\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\0\0\xff\xff\0\0\x01\0\x18\0",
        b"BM",
    ];
    for beginning in beginnings {
        for filler in [&[][..], &[0; 4096], &[0xff; 4096]] {
            for verdict in verdicts(&[beginning, filler].concat()) {
                assert!(verdict.is_err(), "{beginning:?}");
            }
        }
    }
}
