//! Pictures of every kind that a PNG may be (as in Willem van Schaik's PngSuite: all colour types
//! and depths, both orders of rows), and of other formats; whole, and damaged in every place:
//! read, or refused as what they are, by every way into a file.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::StegoError;
use super::chunks::{SIGNATURE, write};
use super::hostile_tests::verdicts;

const SIDE: u32 = 13;
/// First column and row, and steps between, of each pass (PNG, section 8.2).
const ADAM7: [(u32, u32, u32, u32); 7] = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
];

/// What a picture is made of: its chunks, in order.
type Chunks = Vec<([u8; 4], Vec<u8>)>;

/// Colour type, depth and samples of a pixel.
const KINDS: [(u8, u8, u32); 15] = [
    (0, 1, 1),
    (0, 2, 1),
    (0, 4, 1),
    (0, 8, 1),
    (0, 16, 1),
    (2, 8, 3),
    (2, 16, 3),
    (3, 1, 1),
    (3, 2, 1),
    (3, 4, 1),
    (3, 8, 1),
    (4, 8, 2),
    (4, 16, 2),
    (6, 8, 4),
    (6, 16, 4),
];

fn chunks((colour, depth, samples): (u8, u8, u32), interlaced: bool) -> Chunks {
    let header = [
        &SIDE.to_be_bytes()[..],
        &SIDE.to_be_bytes(),
        &[depth, colour, 0, 0, u8::from(interlaced)],
    ];
    let mut chunks: Chunks =
        vec![(*b"IHDR", header.concat()), (*b"gAMA", 45455_u32.to_be_bytes().to_vec())];
    if colour == 3 {
        let entries = 1_usize << depth;
        chunks.push((*b"PLTE", (0..entries * 3).map(|at| at as u8).collect()));
        chunks.push((*b"tRNS", vec![7; entries / 2]));
    }
    chunks.push((*b"tEXt", b"Comment\0of no use".to_vec()));
    let passes: &[_] = if interlaced { &ADAM7 } else { &[(0, 0, 1, 1)] };
    let mut rows = Vec::new();
    for (x, y, step_x, step_y) in passes {
        let (columns, lines) = ((SIDE - x).div_ceil(*step_x), (SIDE - y).div_ceil(*step_y));
        let bytes = (columns * samples * u32::from(depth)).div_ceil(8);
        for line in 0..lines {
            rows.push((line % 5) as u8);
            rows.extend((0..bytes).map(|at| (at * 37 + line * 11) as u8));
        }
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&rows).unwrap();
    let packed = encoder.finish().unwrap();
    // In several pieces, one of them empty, as they may be.
    let (first, second) = packed.split_at(packed.len() / 2);
    chunks.extend([first, &[], second].map(|piece| (*b"IDAT", piece.to_vec())));
    chunks.push((*b"tIME", vec![7, 234, 1, 1, 0, 0, 0]));
    chunks.push((*b"IEND", Vec::new()));
    chunks
}

/// The file, and where each of its chunks begins.
fn file_of(chunks: &Chunks) -> (Vec<u8>, Vec<usize>) {
    let (mut file, mut starts) = (SIGNATURE.to_vec(), Vec::new());
    for (kind, content) in chunks {
        starts.push(file.len());
        write(*kind, &mut file, |out| out.extend_from_slice(content));
    }
    (file, starts)
}

fn all_kinds() -> impl Iterator<Item = (String, Chunks)> {
    [false, true].into_iter().flat_map(|interlaced| {
        KINDS.map(|kind| {
            let (colour, depth, _) = kind;
            (
                format!("colour {colour}, {depth} bits, interlaced: {interlaced}"),
                chunks(kind, interlaced),
            )
        })
    })
}

/// What of each way into a file the client hears of as its own mistake: 413, 415, 422.
#[track_caller]
fn fair(name: &str, file: &[u8]) {
    for verdict in verdicts(file) {
        let fair = matches!(
            verdict,
            Ok(())
                | Err(StegoError::NotAPicture { .. }
                    | StegoError::TooManyPixels { .. }
                    | StegoError::TooLarge { .. }
                    | StegoError::CoverTooSmall { .. }
                    | StegoError::NoPayload)
        );
        assert!(fair, "{name}: {verdict:?}");
    }
}

#[test]
fn every_kind_of_png_is_read() {
    for (name, chunks) in all_kinds() {
        let (file, _) = file_of(&chunks);
        let [embedded, extracted, decoded, by_rows] = verdicts(&file);
        assert_eq!((embedded, decoded, by_rows), (Ok(()), Ok(()), Ok(())), "{name}");
        assert_eq!(extracted, Err(StegoError::NoPayload), "{name}");
    }
}

#[test]
fn a_png_cut_off_anywhere_is_no_picture() {
    for (name, chunks) in all_kinds() {
        let (file, starts) = file_of(&chunks);
        let boundaries = starts.iter().flat_map(|start| [*start, start + 4, start + 8]);
        let places = boundaries.chain((0..file.len()).step_by(5)).chain([file.len() - 1]);
        for end in places.filter(|end| *end < file.len()) {
            let [embedded, _, decoded, _] = verdicts(&file[..end]);
            for verdict in [embedded, decoded] {
                let refused = matches!(verdict, Err(StegoError::NotAPicture { .. }));
                assert!(refused, "{name}, cut at {end}: {verdict:?}");
            }
            fair(&name, &file[..end]);
        }
    }
}

#[test]
fn a_png_with_a_wrong_checksum_or_a_turned_byte_does_no_harm() {
    for (name, chunks) in all_kinds() {
        let (file, starts) = file_of(&chunks);
        let mut ends = starts[1..].to_vec();
        ends.push(file.len());
        for (end, (kind, _)) in ends.iter().zip(&chunks) {
            let mut damaged = file.clone();
            damaged[end - 1] ^= 1;
            fair(&name, &damaged);
            if matches!(kind, b"IHDR" | b"PLTE") {
                let [_, _, decoded, _] = verdicts(&damaged);
                assert!(matches!(decoded, Err(StegoError::NotAPicture { .. })), "{name}: {kind:?}");
            }
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            fair(&name, &damaged);
        }
    }
}

/// Headers that promise other sizes than there are, with checksums that are right.
#[test]
fn a_png_of_another_size_than_it_says_does_no_harm() {
    for (name, chunks) in all_kinds() {
        for (width, height) in [
            (SIDE + 1, SIDE),
            (SIDE, SIDE + 1),
            (SIDE - 1, SIDE),
            (SIDE, 1),
            (1, SIDE),
            (1, 1),
            (0, 0),
            (u32::MAX, 1),
            (1, i32::MAX as u32),
            (8191, 8191),
            (1 << 26, 1),
        ] {
            let mut chunks = chunks.clone();
            chunks[0].1[..4].copy_from_slice(&width.to_be_bytes());
            chunks[0].1[4..8].copy_from_slice(&height.to_be_bytes());
            fair(&format!("{name}, {width}x{height}"), &file_of(&chunks).0);
        }
    }
}

/// Chunks that are missing, twice, out of order, too long or too short.
#[test]
fn a_png_of_disordered_chunks_does_no_harm() {
    for (name, chunks) in all_kinds() {
        for at in 0..chunks.len() {
            let mut missing = chunks.clone();
            missing.remove(at);
            fair(&name, &file_of(&missing).0);
            let mut twice = chunks.clone();
            twice.insert(at, chunks[at].clone());
            fair(&name, &file_of(&twice).0);
            let mut swapped = chunks.clone();
            swapped.swap(at, (at + 1) % chunks.len());
            fair(&name, &file_of(&swapped).0);
            for bytes in [0, 1, 100_000] {
                let mut resized = chunks.clone();
                resized[at].1.resize(bytes, 0xa5);
                fair(&name, &file_of(&resized).0);
            }
        }
    }
}

/// An animation whose first picture is smaller than the canvas, or elsewhere, or said to be.
#[test]
fn an_animated_png_does_no_harm() {
    let still = chunks((6, 8, 4), false);
    for frame in
        [(SIDE, SIDE, 0, 0), (1, 1, 5, 5), (SIDE, SIDE, 1, 1), (u32::MAX, 1, 0, 0), (0, 0, 0, 0)]
    {
        for plays in [0_u32, 1, u32::MAX] {
            let (width, height, x, y) = frame;
            let control = [0, width, height, x, y].map(u32::to_be_bytes).concat();
            let control = [&control[..], &[0, 1, 0, 100, 0, 0]].concat();
            let mut chunks = still.clone();
            chunks
                .insert(1, (*b"acTL", [plays.max(1).to_be_bytes(), plays.to_be_bytes()].concat()));
            let samples = chunks.iter().position(|(kind, _)| kind == b"IDAT").unwrap();
            chunks.insert(samples, (*b"fcTL", control));
            fair(&format!("{frame:?}"), &file_of(&chunks).0);
        }
    }
}

/// Seeds of the fuzz targets: small files of every format.
fn others() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/decode");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "png"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 6);
    files
}

#[test]
fn other_formats_cut_off_or_damaged_do_no_harm() {
    for (name, file) in others() {
        fair(&name, &file);
        for at in (0..file.len()).step_by(3) {
            fair(&name, &file[..at]);
            let mut damaged = file.clone();
            damaged[at] ^= 0xff;
            fair(&name, &damaged);
            damaged[at] = 0xff;
            fair(&name, &damaged);
        }
    }
}

/// Sampling factors of each component, from none to the most that four bits say.
#[test]
fn a_jpeg_of_absurd_sampling_does_no_harm() {
    for (name, file) in others().into_iter().filter(|(name, _)| name.ends_with("jpg")) {
        let frame = file.windows(2).position(|pair| matches!(pair, [0xff, 0xc0..=0xc2])).unwrap();
        let components = usize::from(file[frame + 9]);
        for factors in [0x00, 0x01, 0x10, 0x14, 0x33, 0x41, 0x44, 0x4f, 0xff] {
            for component in 0..components {
                let mut odd = file.clone();
                odd[frame + 11 + component * 3] = factors;
                fair(&name, &odd);
            }
        }
        for (width, height) in [(0_u16, 1_u16), (1, 0), (65535, 65535), (65535, 1), (2500, 2500)] {
            let mut odd = file.clone();
            odd[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
            odd[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
            fair(&name, &odd);
        }
    }
}
