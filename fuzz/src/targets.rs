//! The bodies of the targets.

use crate::record::Method;
use crate::stego::chunks::Ancillary;
use crate::stego::cover::{Picture, Shape, Source};
use crate::stego::patch::Patch;
use crate::stego::prepared::Prepared;
use crate::stego::rows::RowReader;
use crate::stego::{Codec, CoverFile, Covers, EmbedParams, Metadata};

/// Larger pictures are opened, but not decoded: they take time and find nothing more.
const PIXELS_MAX: u32 = 1 << 18;

/// Any bytes as a picture: whichever way they are read they give the same samples, and
/// what can be embedded into can be extracted from.
pub fn decode(file: &[u8]) {
    let Ok(source) = Source::open(file) else { return };
    let (shape, upright) = (source.shape(), source.upright_shape());
    if shape.width.saturating_mul(shape.height) > PIXELS_MAX {
        return;
    }
    let whole = source.decode();
    let mut reader = RowReader::open(file).expect("it was opened before");
    let half = reader.rows(shape.height / 2).map(<[u8]>::to_vec);
    let all = reader.rows(shape.height).map(<[u8]>::to_vec);
    if let Ok(whole) = &whole {
        assert_eq!(all.as_ref(), Ok(&whole.raster));
        let end = (shape.height / 2) as usize * shape.row_bytes();
        assert_eq!(half.as_deref(), Ok(&whole.raster[..end]));
    }
    // It may hold a payload by now.
    drop(Codec::new(Covers::new(0)).extract(file, None));

    let secret = b"something";
    let params = EmbedParams {
        cover: CoverFile::new(file),
        secret,
        passphrase: None,
        method: Some(Method::Lsb),
        bits: Some(1),
        seed: b"seed",
        metadata: Metadata::Keep,
    };
    let Ok(stego) = Codec::new(Covers::new(0)).embed(&params) else { return };
    assert!(whole.is_ok());
    let stego = stego.png.to_bytes();
    assert_eq!(Codec::new(Covers::new(0)).extract(&stego, None).as_deref(), Ok(secret.as_slice()));
    // Notes that were kept do not turn it once more.
    let again = Source::open(&stego).expect("we wrote it");
    assert_eq!((again.shape(), again.upright_shape()), (upright, upright));
}

/// Any samples and any patch: what is written is what a reader finds, and the same
/// whether the strips were there before or not.
pub fn strips(input: &[u8]) {
    let Some((&[width, height, kind, first, count], samples)) = input.split_first_chunk() else {
        return;
    };
    let wide = kind & 8 != 0;
    let shape = Shape {
        width: (u32::from(width) + 1) * if wide { 16 } else { 1 },
        height: u32::from(height) + 1,
        colours: if kind & 1 == 0 { 3 } else { 1 },
        alpha: kind & 2 != 0,
        sample_bytes: if kind & 4 == 0 { 1 } else { 2 },
    };
    let row_bytes = shape.row_bytes();
    // The second half of the samples is the patch's; each is repeated as needed.
    let (own, other) = samples.split_at(samples.len() / 2);
    let filled = |from: &[u8], bytes: usize| -> Vec<u8> {
        let from = if from.is_empty() { &[0] } else { from };
        from.iter().copied().cycle().take(bytes).collect()
    };
    let raster = filled(own, row_bytes * shape.height as usize);
    let first_row = u32::from(first) % shape.height;
    let rows = u32::from(count) % (shape.height - first_row + 1);
    let patch = Patch { first_row, rows: filled(other, rows as usize * row_bytes) };

    let mut expected = raster.clone();
    let start = first_row as usize * row_bytes;
    expected[start..start + patch.rows.len()].copy_from_slice(&patch.rows);

    let prepared = Prepared::new(Picture { shape, raster }, Ancillary::default());
    let file = prepared.encode(&patch, Metadata::Drop);
    let decoded = Source::open(&file.to_bytes()).and_then(Source::decode);
    assert_eq!(decoded, Ok(Picture { shape, raster: expected }));
    assert_eq!(prepared.encode(&patch, Metadata::Drop), file);
}
