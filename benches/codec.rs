//! What the codec costs on a photograph of 1920x1080, 8-bit RGB, as a PNG.
//!
//! `make bench-codec`. `plain` is what a few lines over the crate `image` do: decode,
//! change bits, encode. `new` is a cover that was never seen before, `cached` one that was.
//! `growth` is time over the size of the secret and of the cover. `steps` times the parts
//! that others wrote. What was measured is in docs/PERFORMANCE.md.

use std::hint::black_box;
use std::io::Cursor;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use image::{ImageFormat, RgbImage, imageops};
use stegcluster::clock;
use stegcluster::record::Method;
use stegcluster::stego::{
    Codec, CoverFile, Covers, EmbedParams, Metadata, Passphrase, capacity, dataset,
};

/// The product's, whose buffers are other memory than the system's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SECRET_BYTES: usize = 50_000;
/// Room for every cover here.
const CACHE_BYTES: u64 = 4 << 30;

/// Bytes that do not compress: xorshift64 (Marsaglia 2003).
fn secret(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// A JPEG in the repository, as a PNG: its origin is in assets/SOURCES.md.
static PHOTOGRAPH: LazyLock<RgbImage> = LazyLock::new(|| {
    let jpeg = include_bytes!("../assets/dandelions.jpg");
    image::load_from_memory(jpeg).expect("it is a JPEG").into_rgb8()
});
static COVER: LazyLock<Vec<u8>> = LazyLock::new(|| png_of(&PHOTOGRAPH));

fn png_of(picture: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).expect("memory takes every write");
    file.into_inner()
}

/// By sequential LSB, without a passphrase.
fn params<'a>(cover: CoverFile<'a>, secret: &'a [u8]) -> EmbedParams<'a> {
    EmbedParams {
        cover,
        secret,
        passphrase: None,
        method: Some(Method::Lsb),
        bits: None,
        seed: b"bench",
        metadata: Metadata::Drop,
    }
}

/// Decode, change bits, encode: what the codec is measured against.
fn plain_embed(cover: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut picture = image::load_from_memory(cover).expect("the cover is a PNG").into_rgb8();
    for (at, sample) in picture.iter_mut().take(secret.len() * 8).enumerate() {
        *sample = *sample & !1 | secret[at / 8] >> (7 - at % 8) & 1;
    }
    png_of(&picture)
}

fn plain_extract(file: &[u8], bytes: usize) -> Vec<u8> {
    let picture = image::load_from_memory(file).expect("it is a PNG").into_rgb8();
    let bits = |samples: &[u8]| samples.iter().fold(0, |byte, sample| byte << 1 | sample & 1);
    picture.as_raw().chunks_exact(8).take(bytes).map(bits).collect()
}

fn whole(c: &mut Criterion) {
    let secret = secret(SECRET_BYTES);
    let cover = CoverFile::new(&COVER);
    let given = params(cover, &secret);
    let (none, codec) = (Codec::new(Covers::new(0)), Codec::new(Covers::new(CACHE_BYTES)));
    let stego = codec.embed(&given).expect("50 kB fit in the photograph").png.to_bytes();
    let mut group = c.benchmark_group("1080p, 50 kB");
    group.bench_function("embed plain", |b| b.iter(|| plain_embed(black_box(&COVER), &secret)));
    group.bench_function("embed new", |b| b.iter(|| none.embed(black_box(&given))));
    group.bench_function("embed cached", |b| b.iter(|| codec.embed(black_box(&given))));
    group.throughput(Throughput::Elements(1));
    group.bench_function("embed cached, 2 threads", |b| {
        b.iter_custom(|rounds| {
            let begun = clock::now();
            thread::scope(|scope| {
                for share in [rounds / 2, rounds - rounds / 2] {
                    let (given, codec) = (&given, &codec);
                    scope.spawn(move || {
                        for _ in 0..share {
                            black_box(codec.embed(black_box(given))).expect("it fits");
                        }
                    });
                }
            });
            clock::now() - begun
        });
    });
    group.bench_function("extract plain", |b| {
        b.iter(|| plain_extract(black_box(&stego), SECRET_BYTES));
    });
    group.bench_function("extract", |b| b.iter(|| codec.extract(black_box(&stego), None)));
    group.bench_function("capacity", |b| {
        b.iter(|| capacity(black_box(&COVER), None, None, false));
    });
    group.finish();
}

/// All methods with a passphrase. 0.1 bit per pixel are 25,920 bytes.
fn methods(c: &mut Criterion) {
    let passphrase = Passphrase::new("correct horse".to_owned()).expect("13 bytes are allowed");
    let codec = Codec::new(Covers::new(CACHE_BYTES));
    let cover = CoverFile::new(&COVER);
    let mut group = c.benchmark_group("1080p, sealed");
    for (method, bytes) in [
        (Method::Lsb, SECRET_BYTES),
        (Method::Spread, SECRET_BYTES),
        (Method::Spread, 25_920),
        (Method::Adaptive, 1_000),
        (Method::Adaptive, 25_920),
        (Method::Adaptive, 100_000),
    ] {
        let secret = secret(bytes);
        let passphrase = Some(&passphrase);
        let given = EmbedParams { passphrase, method: Some(method), ..params(cover, &secret) };
        let stego = codec.embed(&given).expect("it fits").png.to_bytes();
        group.bench_function(format!("embed {method}, {bytes} B, cached"), |b| {
            b.iter(|| codec.embed(black_box(&given)));
        });
        group.bench_function(format!("extract {method}, {bytes} B"), |b| {
            b.iter(|| codec.extract(black_box(&stego), passphrase));
        });
    }
    let secret = secret(25_920);
    let given = EmbedParams { method: Some(Method::Adaptive), ..params(cover, &secret) };
    let none = Codec::new(Covers::new(0));
    group.bench_function("embed adaptive, 25920 B, new, open", |b| {
        b.iter(|| none.embed(black_box(&given)));
    });
    group.finish();
}

fn growth(c: &mut Criterion) {
    let codec = Codec::new(Covers::new(CACHE_BYTES));
    let mut group = c.benchmark_group("growth, secret in bytes, 1080p");
    for bytes in [100, 1_000, 10_000, 50_000, 100_000, 200_000, 400_000, 700_000] {
        let secret = secret(bytes);
        let given = params(CoverFile::new(&COVER), &secret);
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| codec.embed(black_box(&given)));
        });
    }
    group.finish();

    let secret = secret(SECRET_BYTES);
    let mut group = c.benchmark_group("growth, cover, 50 kB");
    for (width, height) in [(640, 360), (1280, 720), (1920, 1080), (3840, 2160), (7680, 4320)] {
        let filter = imageops::FilterType::CatmullRom;
        let cover = png_of(&imageops::resize(&*PHOTOGRAPH, width, height, filter));
        let given = params(CoverFile::new(&cover), &secret);
        group.bench_function(BenchmarkId::new("cached", format!("{width}x{height}")), |b| {
            b.iter(|| codec.embed(black_box(&given)));
        });
        let none = Codec::new(Covers::new(0));
        group.bench_function(BenchmarkId::new("new", format!("{width}x{height}")), |b| {
            b.iter(|| none.embed(black_box(&given)));
        });
        let stego = codec.embed(&given).expect("50 kB fit").png.to_bytes();
        group.bench_function(BenchmarkId::new("extract", format!("{width}x{height}")), |b| {
            b.iter(|| codec.extract(black_box(&stego), None));
        });
    }
    group.finish();
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("steps");
    let raster = PHOTOGRAPH.as_raw();
    group.bench_function("decode 1080p, png", |b| b.iter(|| decode(black_box(&COVER))));
    group.bench_function("encode 1080p, png Fast", |b| b.iter(|| encode_fast(black_box(raster))));
    group.bench_function("make dataset picture 9, 1024x768", |b| b.iter(|| dataset(black_box(9))));
    group.finish();
}

fn decode(file: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("it is a PNG");
    let size = reader.output_buffer_size().expect("it is small");
    let mut raster = vec![0; size];
    reader.next_frame(&mut raster).expect("it is whole");
    raster
}

fn encode_fast(raster: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1920, 1080);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().expect("memory takes every write");
    writer.write_image_data(raster).expect("the raster is 1920x1080 RGB");
    writer.finish().expect("memory takes every write");
    file
}

/// What no timing shows: the size of a stego image beside `png` on the same samples.
#[expect(clippy::print_stdout, reason = "this is the bench's answer")]
fn sizes() {
    let secret = secret(SECRET_BYTES);
    let given = params(CoverFile::new(&COVER), &secret);
    let stego = Codec::new(Covers::new(0)).embed(&given).expect("50 kB fit").png.to_bytes();
    let fast = encode_fast(&decode(&stego)).len();
    let ratio = stego.len() as f64 / fast as f64;
    println!("size: {} bytes; png Fast of the same samples: {fast}; ratio {ratio:.3}", stego.len());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = whole, methods, growth, steps
}

fn main() {
    benches();
    sizes();
    Criterion::default().configure_from_args().final_summary();
}
