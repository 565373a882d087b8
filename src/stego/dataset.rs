//! Fifty pictures made from nothing but their number, for load tests.
//!
//! Integer arithmetic throughout: the libraries' sines and powers differ between
//! machines in the last bit, and the low bits are what this program is about.

use bytes::Bytes;

use super::cover::{Picture, Shape};
use super::png;

/// How many pictures there are.
const PICTURES: u8 = 50;

/// Width and height in pixels. Portrait, landscape, and some that no power of two or
/// word size divides.
const SIZES: [(u32, u32); 10] = [
    (320, 240),
    (512, 384),
    (640, 480),
    (333, 251),
    (480, 640),
    (800, 600),
    (500, 375),
    (641, 479),
    (768, 768),
    (1024, 768),
];

/// Picture `index` of 0 to 49 as a PNG: clouds, grained gradients, masonry, hills,
/// wood, in sizes from 320x240 to 1024x768. Every tenth is grey, the rest are RGB; each
/// is the same bytes on every call. `None` beyond 49. Takes some 10 to 100 ms:
/// callers keep what they use often.
pub fn dataset(index: u8) -> Option<Bytes> {
    if index >= PICTURES {
        return None;
    }
    let (width, height) = SIZES[usize::from(index) % SIZES.len()];
    // The tens digit moves on where the sizes begin anew, so that each kind meets
    // many sizes.
    let kind = (index + index / 10) % 5;
    let colours = if index % 10 == 5 { 1 } else { 3 };
    let scene = Scene { seed: u64::from(index) << 32, width, height };
    let mut raster = Vec::with_capacity(width as usize * height as usize * usize::from(colours));
    for y in 0..height {
        for x in 0..width {
            let [r, g, b] = scene.pixel(kind, x, y);
            if colours == 1 {
                raster.push(((u16::from(r) + 2 * u16::from(g) + u16::from(b)) / 4) as u8);
            } else {
                raster.extend_from_slice(&[r, g, b]);
            }
        }
    }
    let shape = Shape { width, height, colours, alpha: false, sample_bytes: 1 };
    Some(png::encode(Picture { shape, raster }).to_bytes())
}

struct Scene {
    seed: u64,
    width: u32,
    height: u32,
}

impl Scene {
    fn pixel(&self, kind: u8, x: u32, y: u32) -> [u8; 3] {
        let colour = match kind {
            0 => self.clouds(x, y),
            1 => self.gradient(x, y),
            2 => self.masonry(x, y),
            3 => self.hills(x, y),
            _ => self.wood(x, y),
        };
        // A sensor's noise: about normal, some 2.4 levels wide, apart in each channel.
        let noise = self.hash(x, y, 99);
        let mut pixel = [0; 3];
        for (channel, level) in colour.into_iter().enumerate() {
            let bits = noise >> (channel * 16);
            let grain = (0..4).map(|part| (bits >> (part * 4) & 15) as i32 % 5 - 2).sum::<i32>();
            pixel[channel] = (level + grain).clamp(0, 255) as u8;
        }
        pixel
    }

    fn clouds(&self, x: u32, y: u32) -> [i32; 3] {
        let cover = (self.fractal(x, y, 7, 1) - 96).clamp(0, 96) * 255 / 96;
        let sky = [70, 120, 200 - self.down(y) / 6];
        sky.map(|level| level + (245 - level) * cover / 255)
    }

    fn gradient(&self, x: u32, y: u32) -> [i32; 3] {
        let across = (u64::from(x) * 255 / u64::from(self.width)) as i32;
        let down = self.down(y);
        let glow = self.fractal(x, y, 8, 2) / 4;
        let tint = (self.hash(0, 0, 3) & 63) as i32;
        [across * 3 / 4 + glow, (across + down) / 3 + tint, down * 3 / 4 + 64 - tint]
    }

    fn masonry(&self, x: u32, y: u32) -> [i32; 3] {
        let row = y / 24;
        let shifted = x + (row % 2) * 32;
        let stone = (self.hash(shifted / 64, row, 4) & 63) as i32;
        let rough = self.fractal(x, y, 4, 5) / 3;
        if y % 24 < 3 || shifted % 64 < 3 {
            return [150, 146, 138].map(|level| level + rough - 42);
        }
        [120 + stone + rough / 2, 62 + stone / 2 + rough / 2, 44 + stone / 3 + rough / 2]
    }

    fn hills(&self, x: u32, y: u32) -> [i32; 3] {
        let down = self.down(y);
        // Three ridges, the nearer the lower and the darker.
        for ridge in (0..3).rev() {
            let crest = 70 + ridge * 45 + self.fractal(x, ridge as u32 * 1000, 7, 6) / 4;
            if down > crest {
                let grass = self.fractal(x, y, 3, 7) / (4 - ridge);
                return [90 - 25 * ridge + grass / 2, 110 - 15 * ridge + grass, 100 - 32 * ridge];
            }
        }
        let haze = self.fractal(x, y, 8, 8) / 8;
        [110 + down / 2 + haze, 150 + down / 3 + haze, 225 - down / 8]
    }

    fn wood(&self, x: u32, y: u32) -> [i32; 3] {
        let bend = self.fractal(x / 4, y, 6, 9);
        let ring = (x as i32 + bend * 2) % 48;
        let dark = (ring - 24).abs() * 2 + self.fractal(x, y / 8, 3, 10) / 4;
        [190 - dark, 140 - dark, 90 - dark * 3 / 4]
    }

    /// 0 at the top to 254 at the bottom.
    fn down(&self, y: u32) -> i32 {
        (u64::from(y) * 255 / u64::from(self.height)) as i32
    }

    /// Value noise in octaves, 0 to 255; its largest features are `2^octaves` pixels.
    fn fractal(&self, x: u32, y: u32, octaves: u32, layer: u64) -> i32 {
        let sum: i64 =
            (1..=octaves).map(|power| i64::from(self.smooth(x, y, power, layer)) << power).sum();
        // The weights 2^1 to 2^octaves sum to this.
        (sum / ((2 << octaves) - 2)) as i32
    }

    /// Noise on a lattice of `2^power` pixels, 0 to 255, smooth in between.
    fn smooth(&self, x: u32, y: u32, power: u32, layer: u64) -> i32 {
        let (column, row) = (x >> power, y >> power);
        let corner =
            |dx, dy| (self.hash(column + dx, row + dy, layer << 8 | u64::from(power)) & 255) as i64;
        let (u, v) = (ease(x, power), ease(y, power));
        let top = corner(0, 0) * (1024 - u) + corner(1, 0) * u;
        let bottom = corner(0, 1) * (1024 - u) + corner(1, 1) * u;
        ((top * (1024 - v) + bottom * v) >> 20) as i32
    }

    /// SplitMix64's finalizer (Steele, Lea, Flood 2014) over a point and a layer.
    fn hash(&self, x: u32, y: u32, layer: u64) -> u64 {
        let mut z = (self.seed ^ layer.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(u64::from(x) << 32 | u64::from(y))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Where between two lattice points, 0 to 1024, along `3t^2 - 2t^3`.
fn ease(at: u32, power: u32) -> i64 {
    let t = i64::from(at & ((1 << power) - 1)) << 10 >> power;
    (3 * t * t - 2 * t * t * t / 1024) >> 10
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::record::Digest;
    use crate::record::Method;
    use crate::stego::capacity;

    #[test]
    fn ten_thousand_bytes_fit_in_any_of_fifty_different_pictures() {
        let mut digests = BTreeSet::new();
        for index in 0..PICTURES {
            let picture = dataset(index).unwrap();
            let info = capacity(&picture, Some(Method::Lsb), None, true).unwrap().cover;
            assert!(info.capacity_bytes >= 10_000, "picture {index}: {info:?}");
            digests.insert(Digest::of(&picture));
        }
        assert_eq!(digests.len(), usize::from(PICTURES));
        assert_eq!(dataset(PICTURES), None);
        assert_eq!(dataset(u8::MAX), None);
    }

    #[test]
    fn a_picture_is_the_same_each_time() {
        assert_eq!(dataset(3), dataset(3));
    }
}
