//! One colour channel by itself: all estimators work on such planes.

use super::super::cover::Picture;

/// The samples of one channel, row by row. 8-bit samples are 0 to 255, 16-bit ones 0 to
/// 65535; in both the lowest bit is the one in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    pub samples: Vec<u16>,
    /// The highest value that a sample can have.
    max: u16,
}

impl Plane {
    /// Channel `channel` of `picture`: 0 red (or grey), 1 green, 2 blue.
    pub fn of(picture: &Picture, channel: usize) -> Self {
        let shape = picture.shape;
        let pixels = picture.raster.chunks_exact(shape.pixel_bytes());
        let (samples, max) = if shape.sample_bytes == 2 {
            let at = channel * 2;
            let samples = pixels.map(|pixel| u16::from_be_bytes([pixel[at], pixel[at + 1]]));
            (samples.collect(), u16::MAX)
        } else {
            (pixels.map(|pixel| u16::from(pixel[channel])).collect(), u16::from(u8::MAX))
        };
        Self { width: shape.width as usize, height: shape.height as usize, samples, max }
    }

    /// The rows from the top.
    pub fn rows(&self) -> impl Iterator<Item = &[u16]> {
        self.samples.chunks_exact(self.width)
    }

    pub fn row(&self, y: usize) -> &[u16] {
        &self.samples[y * self.width..(y + 1) * self.width]
    }

    /// Whether a sample says anything. The two darkest and the two lightest values do not:
    /// there the camera, or the program that developed the picture, cut off what would have
    /// been darker or lighter, and all that the estimators assume of neighbours with it. In
    /// saturated colours, where a channel is at an end over large parts, that alone looked
    /// like a payload in a sixth of the samples. Flipping a lowest bit moves no sample into
    /// or out of the rest, so that leaving these out takes no side.
    pub fn tells(&self, sample: u16) -> bool {
        sample > 1 && sample < self.max - 1
    }
}
