//! The two fonts in the binary: how wide a text is, and its outlines.

use ttf_parser::{Face, OutlineBuilder};
use zeno::{Command, PathBuilder};

const REGULAR: &[u8] = include_bytes!("../../assets/roboto-regular-subset.ttf");
const MEDIUM: &[u8] = include_bytes!("../../assets/roboto-medium-subset.ttf");

/// How heavy a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Medium,
}

/// A font, parsed. Characters that the subset lacks are drawn as question marks.
pub(super) struct Font {
    face: Face<'static>,
}

impl Font {
    pub fn of(weight: Weight) -> Self {
        let bytes = match weight {
            Weight::Regular => REGULAR,
            Weight::Medium => MEDIUM,
        };
        Self { face: Face::parse(bytes, 0).expect("the font in the binary is one, as tests show") }
    }

    fn glyphs(&self, text: &str) -> impl Iterator<Item = (ttf_parser::GlyphId, f32)> {
        text.chars().map(|wanted| {
            let known = self.face.glyph_index(wanted).or_else(|| self.face.glyph_index('?'));
            let glyph = known.unwrap_or_default();
            (glyph, f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)))
        })
    }

    fn unit(&self, size: f32) -> f32 {
        size / f32::from(self.face.units_per_em())
    }

    /// Width of `text` where `size` is the em's.
    pub fn width(&self, text: &str, size: f32) -> f32 {
        self.glyphs(text).map(|(_, advance)| advance).sum::<f32>() * self.unit(size)
    }

    /// The outlines of `text` that begins at `x` on the base line `y`, y downwards.
    pub fn outline(&self, text: &str, size: f32, (x, y): (f32, f32)) -> Vec<Command> {
        let mut pen = Pen { path: Vec::new(), unit: self.unit(size), x, y };
        for (glyph, advance) in self.glyphs(text) {
            // A space has no outline.
            let _ = self.face.outline_glyph(glyph, &mut pen);
            pen.x += advance * pen.unit;
        }
        pen.path
    }
}

struct Pen {
    path: Vec<Command>,
    unit: f32,
    x: f32,
    y: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> [f32; 2] {
        [self.x + x * self.unit, self.y - y * self.unit]
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let to = self.at(x, y);
        self.path.move_to(to);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.at(x, y);
        self.path.line_to(to);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (by, to) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(by, to);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, to) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.curve_to(first, second, to);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fonts_know_the_characters_of_reports() {
        for weight in [Weight::Regular, Weight::Medium] {
            let font = Font::of(weight);
            for wanted in (' '..='~').chain("äéßµ·×–—“”’…≤≥−±".chars()) {
                assert!(font.face.glyph_index(wanted).is_some(), "{weight:?} lacks {wanted:?}");
            }
        }
    }

    #[test]
    fn digits_are_equally_wide_and_the_unknown_is_a_question_mark() {
        let font = Font::of(Weight::Regular);
        assert_eq!(font.width("1111", 16.0), font.width("8888", 16.0));
        assert_eq!(font.outline("漢", 16.0, (0.0, 0.0)), font.outline("?", 16.0, (0.0, 0.0)));
        assert!(font.width("iiii", 16.0) < font.width("MMMM", 16.0));
    }
}
