//! `stegcluster analyze`: what it prints, and the code it ends with.

use std::path::{Path, PathBuf};
use std::process::Output;

use image::RgbImage;
use serde_json::Value;
use stegcluster::stego;
use tempfile::TempDir;

use crate::cli::{stderr, stdout, stegcluster};

/// A folder with pictures: the photograph that this program brings along, and what became of it.
struct Pictures {
    folder: TempDir,
}

impl Pictures {
    fn new() -> Self {
        let pictures = Self { folder: tempfile::tempdir().unwrap() };
        let clean = image::load_from_memory(stego::default_cover()).unwrap().into_rgb8();
        clean.save(pictures.path("clean.png")).unwrap();
        // Every second sample's lowest bit: half of the samples carry one.
        let mut noise = noise();
        let mut spread = clean.clone();
        for sample in spread.iter_mut().step_by(2) {
            *sample = *sample & !1 | noise() as u8;
        }
        spread.save(pictures.path("spread.png")).unwrap();
        // The upper quarter, two bits of each sample.
        let mut top = clean.clone();
        let end = top.len() / 4;
        for sample in top.iter_mut().take(end) {
            *sample = *sample & !3 | (noise() << 1 | noise()) as u8;
        }
        top.save(pictures.path("top.png")).unwrap();
        image::imageops::grayscale(&top).save(pictures.path("grey.png")).unwrap();
        RgbImage::new(8, 8).save(pictures.path("black.png")).unwrap();
        std::fs::write(pictures.path("letter.png"), "Dear").unwrap();
        pictures
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn analyze(&self, arguments: &[&str]) -> Output {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| match argument.starts_with('-') {
                true => (*argument).to_owned(),
                false => self.path(argument).to_str().unwrap().to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        stegcluster(&[&["analyze"], &arguments[..]].concat(), &[])
    }

    /// Without the folder's random name, which also decides how wide the first column is.
    fn table(&self, output: &Output) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let lines = stdout(output);
        let lines = lines.lines().map(|line| match line.strip_prefix(&folder) {
            Some(line) => line.to_owned(),
            None => line.replacen(&" ".repeat(folder.len()), "", 1),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// One random bit after the other (xorshift64, Marsaglia 2003).
fn noise() -> impl FnMut() -> u64 {
    let mut state = 88_172_645_463_325_252_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1
    }
}

#[test]
fn each_picture_has_a_line() {
    let pictures = Pictures::new();
    let output = pictures.analyze(&["clean.png", "spread.png", "top.png", "grey.png", "black.png"]);
    insta::assert_snapshot!(pictures.table(&output), @"
    FILE        SIZE     SAMPLES     PAIRS  RS     WS      FROM TOP  READING
    clean.png   512x512  RGB 8-bit   5.7 %  2.7 %  1.0 %   0.0 %     nothing found
    spread.png  512x512  RGB 8-bit   51 %   50 %   50 %    0.0 %     about 50 % of samples carry bits
    top.png     512x512  RGB 8-bit   32 %   31 %   32 %    25 %      about 25 % of samples carry bits, from the top on
    grey.png    512x512  grey 8-bit  0.9 %  0.2 %  -1.4 %  0.0 %     nothing found
    black.png   8x8      RGB 8-bit   0.0 %  0.0 %  0.0 %   0.0 %     too little to judge by
    ");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(3), ""));
}

#[test]
fn where_nothing_is_found_the_code_is_0() {
    let pictures = Pictures::new();
    let output = pictures.analyze(&["clean.png", "black.png"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_picture_that_cannot_be_read_is_named_and_the_others_are_analyzed() {
    let pictures = Pictures::new();
    let output = pictures.analyze(&["letter.png", "nowhere.png", "spread.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 2);
    let text = stderr(&output);
    let complaints: Vec<&str> = text.lines().collect();
    assert_eq!(complaints.len(), 2, "{text}");
    assert!(complaints[0].contains("letter.png: this is not a readable picture"), "{text}");
    assert!(complaints[1].contains("cannot read") && complaints[1].contains("nowhere.png"));
    assert!(!Path::new("nowhere.png").exists());
}

#[test]
fn json_has_every_estimate_of_every_channel() {
    let pictures = Pictures::new();
    let output = pictures.analyze(&["--json", "top.png", "grey.png"]);
    assert_eq!(output.status.code(), Some(3));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let [top, grey] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert!(top["file"].as_str().unwrap().ends_with("top.png"));
    assert_eq!((&top["width"], &top["channels"]), (&512.into(), &3.into()));
    assert_eq!((&grey["bits_per_sample"], &grey["channels"]), (&8.into(), &1.into()));
    for (picture, channels) in [(top, 3), (grey, 1)] {
        let estimates = &picture["estimates"];
        for name in ["sample_pairs", "rs", "ws"] {
            assert_eq!(estimates[name]["channels"].as_array().unwrap().len(), channels);
            assert!(estimates[name]["rate"].is_f64());
        }
    }
    assert_eq!(top["estimates"]["verdict"], "found");
    let likely = top["estimates"]["likely_rate"].as_f64().unwrap();
    assert!((likely - 0.25).abs() < 0.01, "{likely}");
}

#[test]
fn no_file_is_wrong_usage() {
    let output = stegcluster(&["analyze"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("<FILE>"), "{}", stderr(&output));
}
