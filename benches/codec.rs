//! What the codec costs on the photograph that ships with it, 512x512 RGB.
//!
//! `cargo bench --bench codec`. The `step` group times the two crates that do the
//! decoding and encoding, with the settings that the codec uses; `plain` is the same
//! embed as a few lines over `image` would do it.

use std::hint::black_box;
use std::io::Cursor;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use stegcluster::record::Method;
use stegcluster::stego::{
    EmbedParams, Passphrase, capacity, dataset, default_cover, embed, extract,
};

/// Half of what the photograph holds at one bit per sample.
const SECRET_BYTES: usize = 50_000;

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

fn params<'a>(secret: &'a [u8], bits: u8, passphrase: Option<&'a Passphrase>) -> EmbedParams<'a> {
    EmbedParams {
        cover: default_cover(),
        secret,
        passphrase,
        method: Method::Lsb,
        bits,
        seed: b"bench",
    }
}

fn whole(c: &mut Criterion) {
    let secret = secret();
    let passphrase = Passphrase::new("correct horse".to_owned()).expect("13 bytes are allowed");
    let mut group = c.benchmark_group("astronaut 512x512, 50 kB");
    for (name, bits, passphrase) in
        [("1 bit", 1, None), ("4 bits", 4, None), ("1 bit sealed", 1, Some(&passphrase))]
    {
        let params = params(&secret, bits, passphrase);
        let stego = embed(&params).expect("50 kB fit in the photograph");
        group.bench_function(format!("embed {name}"), |b| b.iter(|| embed(black_box(&params))));
        group.bench_function(format!("extract {name}"), |b| {
            b.iter(|| extract(black_box(&stego.png), passphrase));
        });
    }
    group.bench_function("capacity", |b| b.iter(|| capacity(black_box(default_cover()), 1, false)));
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
