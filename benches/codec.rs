//! What the codec costs on the photograph that ships with it, 512x512 RGB.
//!
//! `cargo bench --bench codec`. The `step` group times the two crates that do the
//! decoding and encoding, with the settings that the codec uses; `plain` is the same
//! embed as a few lines over `image` would do it.

use std::hint::black_box;
use std::io::Cursor;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use stegcluster::record::Method;
use stegcluster::stego::{Codec, EmbedParams, Passphrase, capacity, dataset, default_cover};

/// What the photograph holds by every method, and half of what most hold.
const SECRET_BYTES: usize = 40_000;

/// Bytes that do not compress: xorshift64 (Marsaglia 2003).
fn secret() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..SECRET_BYTES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn params<'a>(
    secret: &'a [u8],
    (method, bits): (Method, u8),
    passphrase: Option<&'a Passphrase>,
) -> EmbedParams<'a> {
    EmbedParams {
        cover: default_cover(),
        secret,
        passphrase,
        method: Some(method),
        bits: Some(bits),
        seed: b"bench",
    }
}

fn whole(c: &mut Criterion) {
    let secret = secret();
    let passphrase = Passphrase::new("correct horse".to_owned()).expect("13 bytes are allowed");
    let codec = Codec::default();
    let mut group = c.benchmark_group("astronaut 512x512, 40 kB");
    for (name, method, bits, passphrase) in [
        ("lsb, 1 bit", Method::Lsb, 1, None),
        ("lsb, 4 bits", Method::Lsb, 4, None),
        ("lsb sealed", Method::Lsb, 1, Some(&passphrase)),
        ("spread sealed", Method::Spread, 1, Some(&passphrase)),
        ("adaptive sealed", Method::Adaptive, 1, Some(&passphrase)),
    ] {
        let params = params(&secret, (method, bits), passphrase);
        let stego = codec.embed(&params).expect("40 kB fit in the photograph");
        group.bench_function(format!("embed {name}"), |b| {
            b.iter(|| codec.embed(black_box(&params)));
        });
        group.bench_function(format!("extract {name}"), |b| {
            b.iter(|| codec.extract(black_box(&stego.png), passphrase));
        });
    }
    group.bench_function("capacity", |b| {
        b.iter(|| capacity(black_box(default_cover()), None, None, false))
    });
    group.bench_function("embed plain", |b| b.iter(|| plain_embed(black_box(&secret))));
    group.finish();
}

/// Decode, one bit at a time, encode: what the codec is measured against.
fn plain_embed(secret: &[u8]) -> Vec<u8> {
    let mut picture =
        image::load_from_memory(default_cover()).expect("the photograph is a PNG").into_rgb8();
    for (at, sample) in picture.iter_mut().take(secret.len() * 8).enumerate() {
        *sample = *sample & !1 | secret[at / 8] >> (7 - at % 8) & 1;
    }
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Png).expect("memory takes every write");
    file.into_inner()
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    let cover = default_cover();
    group.bench_function("decode", |b| b.iter(|| decode(black_box(cover))));
    let raster = decode(cover);
    group.bench_function("encode", |b| {
        b.iter_batched_ref(
            Vec::new,
            |file| encode(black_box(&raster), file),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("make dataset picture 9, 1024x768", |b| b.iter(|| dataset(black_box(9))));
    group.finish();
}

fn decode(file: &[u8]) -> Vec<u8> {
    let mut reader =
        png::Decoder::new(Cursor::new(file)).read_info().expect("the photograph is a PNG");
    let size = reader.output_buffer_size().expect("it is small");
    let mut raster = vec![0; size];
    reader.next_frame(&mut raster).expect("it is whole");
    raster
}

fn encode(raster: &[u8], file: &mut Vec<u8>) {
    let mut encoder = png::Encoder::new(file, 512, 512);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().expect("memory takes every write");
    writer.write_image_data(raster).expect("the raster is 512x512 RGB");
}

criterion_group!(benches, whole, steps);
criterion_main!(benches);
