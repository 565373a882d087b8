//! The independent reader in `docs/` gets out what the codec hides: format, document and code
//! are one.
//!
//! It needs Python and four packages. Where they are missing they are installed into a folder
//! below the target folder; where that is not possible, the test says so and checks nothing,
//! unless `STEGCLUSTER_READER=required`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use stegcluster::record::Method;
use stegcluster::stego::{Codec, CoverFile, Covers, EmbedParams, Metadata, Passphrase, dataset};

const PACKAGES: [&str; 4] = ["numpy", "pypng", "pycryptodome", "argon2-cffi"];
const PROBE: &str = "import numpy, png, Crypto.Cipher.ChaCha20_Poly1305, argon2";

#[test]
fn the_independent_reader_finds_what_was_hidden() {
    let Some(python) = python_with_packages() else {
        let skipped = "docs/read_stego.py was NOT checked: Python, or its packages, are missing";
        assert!(env::var("STEGCLUSTER_READER").as_deref() != Ok("required"), "{skipped}");
        // Past the capture of what tests print, which nobody sees where they pass.
        writeln!(std::io::stderr().lock(), "\n{skipped}").unwrap();
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let phrase_file = folder.path().join("passphrase");
    fs::write(&phrase_file, "correct horse \u{fc}\n").unwrap();
    let passphrase = Passphrase::new("correct horse \u{fc}".to_owned()).unwrap();
    let read = |picture: &Path, with_passphrase: bool| {
        let mut reader = Command::new(&python);
        reader.arg(root.join("docs/read_stego.py")).arg(picture);
        if with_passphrase {
            reader.arg(&phrase_file);
        }
        reader.output().unwrap()
    };

    let codec = Codec::new(Covers::new(0));
    let text = b"all work and no play ".repeat(60);
    let noise: Vec<u8> =
        (0..6000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let picture = folder.path().join("stego.png");
    for (cover, secret) in covers().iter().zip([&text, &noise, &noise]) {
        for (method, bits) in
            [(Method::Lsb, 1), (Method::Lsb, 3), (Method::Spread, 1), (Method::Adaptive, 1)]
        {
            for passphrase in [None, Some(&passphrase)] {
                let stego = codec.embed(&EmbedParams {
                    cover: CoverFile::new(cover),
                    secret,
                    passphrase,
                    method: Some(method),
                    bits: Some(bits),
                    seed: b"reader",
                    metadata: Metadata::Drop,
                });
                fs::write(&picture, stego.unwrap().png.to_bytes()).unwrap();
                let found = read(&picture, passphrase.is_some());
                let said = String::from_utf8_lossy(&found.stderr);
                let case = format!("{method} {bits} sealed {}: {said}", passphrase.is_some());
                assert!(found.status.success(), "{case}");
                assert!(found.stdout == *secret, "{case}");
                // One way round and the other; each takes a second.
                if bits == 1 && secret == &text {
                    let refused = read(&picture, passphrase.is_none());
                    assert_eq!(refused.status.code(), Some(1), "{case}");
                }
            }
        }
    }
    fs::write(&picture, &covers()[0]).unwrap();
    assert_eq!(read(&picture, true).status.code(), Some(1), "nothing is hidden there");
}

/// Pictures of different shapes: colour, grey with alpha, and 16 bits.
fn covers() -> [Vec<u8>; 3] {
    let encode = |color, depth, bytes: usize| {
        let mut file = Vec::new();
        let (width, height) = (211, 157);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().unwrap();
        let count = width * height * bytes as u32;
        let samples: Vec<u8> =
            (0..count).map(|at| (at / 9 + at.wrapping_mul(40_503) % 23) as u8).collect();
        writer.write_image_data(&samples).unwrap();
        writer.finish().unwrap();
        file
    };
    [
        dataset(3).unwrap().to_vec(),
        encode(png::ColorType::GrayscaleAlpha, png::BitDepth::Eight, 2),
        encode(png::ColorType::Rgb, png::BitDepth::Sixteen, 6),
    ]
}

/// A Python that has what the reader needs.
fn python_with_packages() -> Option<PathBuf> {
    let works = |python: &Path| {
        let probed = Command::new(python).args(["-c", PROBE]).output();
        probed.is_ok_and(|output| output.status.success())
    };
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reader");
    let in_own = own.join("bin/python3");
    for python in [Path::new("python3"), &in_own] {
        if works(python) {
            return Some(python.to_owned());
        }
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&own).output().ok()?;
    if !made.status.success() {
        return None;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let installed = Command::new(&in_own).args(pip).args(PACKAGES).output().ok()?;
    (installed.status.success() && works(&in_own)).then_some(in_own)
}
