//! Charts for reports: panels with lines, areas, bars and dots over one x axis, marks with
//! words, a legend, a title; as PNG bytes or as an SVG string. Knows numbers and words, not what
//! they measure. Begin with [`Figure`]; `layout` puts everything in its place, `raster` and `svg`
//! draw what it gave.
//!
//! Drawn here and not by a charting library: those need fonts of the system for text, which a
//! static binary on a server does not find, and most draw lines without anti-aliasing. Two
//! subset fonts are in the binary (`assets/SOURCES.md`), 29 kB together.

mod axis;
mod font;
mod layout;
mod raster;
mod svg;

pub use axis::Scale;

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// Colours that people with any kind of colour blindness can tell apart (Okabe and Ito, "Color
/// Universal Design", 2008), darkest first.
pub mod colours {
    use super::Colour;

    pub const INK: Colour = Colour(0x22, 0x26, 0x2b);
    pub const GREY: Colour = Colour(0x6b, 0x72, 0x7b);
    pub const BLUE: Colour = Colour(0x00, 0x72, 0xb2);
    pub const RED: Colour = Colour(0xd5, 0x5e, 0x00);
    pub const GREEN: Colour = Colour(0x00, 0x9e, 0x73);
    pub const PURPLE: Colour = Colour(0xb5, 0x5c, 0x91);
    pub const SKY: Colour = Colour(0x56, 0xb4, 0xe9);
    pub const ORANGE: Colour = Colour(0xe6, 0x9f, 0x00);

    /// For series without a meaning of their own, round and round.
    pub const SERIES: [Colour; 6] = [BLUE, RED, GREEN, PURPLE, SKY, ORANGE];
}

/// A picture of one or more panels, one below the other, over the same x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub title: String,
    /// A line below the title: what was run, and the most important numbers.
    pub subtitle: String,
    /// A small line at the bottom: when, by which version.
    pub footer: String,
    pub x: Axis,
    pub panels: Vec<Panel>,
}

/// One coordinate system.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    pub y: Axis,
    /// Height in proportion to the other panels'.
    pub height: f32,
    /// Drawn in this order, and listed in the legend unless nameless.
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
}

/// What a direction means.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// With the unit.
    pub label: String,
    pub scale: Scale,
    /// Least and greatest value shown; `None`: as the series and marks need it. Points beyond
    /// are drawn at the edge.
    pub from: Option<f64>,
    pub to: Option<f64>,
}

/// Values that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// In the legend; empty: not there.
    pub name: String,
    pub colour: Colour,
    pub shape: Shape,
    /// x and y. A y that is not finite, or not positive on a logarithmic axis, is a hole.
    pub points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Line,
    /// A line, and its colour lightly down to the axis.
    Area,
    /// From the axis up, four fifths of one x unit wide around its x.
    Bars,
    Dots,
}

/// Something to point out.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// An event, as an upright dashed line. Words that would overlap others go a line lower.
    At { x: f64, label: String, colour: Colour },
    /// A limit, as a level dashed line.
    Level { y: f64, label: String, colour: Colour },
    /// A time, as a shaded band.
    Span { from: f64, to: f64, label: String, colour: Colour },
}

impl Panel {
    pub fn new(y: Axis) -> Self {
        Self { y, height: 1.0, series: Vec::new(), marks: Vec::new() }
    }
}

impl Axis {
    /// A linear axis from 0 up.
    pub fn from_zero(label: impl Into<String>) -> Self {
        Self { label: label.into(), from: Some(0.0), ..Self::default() }
    }

    pub fn logarithmic(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log, ..Self::default() }
    }

    /// A name for each of x = 0, 1, 2, ...
    pub fn of_names(label: impl Into<String>, names: Vec<String>) -> Self {
        Self { label: label.into(), scale: Scale::Names(names), ..Self::default() }
    }
}

impl Figure {
    /// 1920 by 1080 pixels: a slide's.
    pub fn png(&self) -> Vec<u8> {
        raster::png(&layout::lay_out(self))
    }

    /// An `<svg>` element, to be written to a file or put into a page. It scales to the width it
    /// is given, and names its fonts without bringing them.
    pub fn svg(&self) -> String {
        svg::svg(&self.title, &layout::lay_out(self))
    }
}

#[cfg(test)]
mod tests;
