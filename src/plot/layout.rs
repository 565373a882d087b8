//! Puts a figure's parts in their places: from [`Figure`] to a list of plain shapes, back to
//! front. Pure.

use super::axis::Ruler;
use super::font::{Font, Weight};
use super::{Colour, Figure, Mark, Panel, Scale, Series, Shape, colours};

/// Size of every figure, in its own units: 16 to 9.
pub(super) const WIDTH: f32 = 1600.0;
pub(super) const HEIGHT: f32 = 900.0;

const MARGIN: f32 = 44.0;
/// From the upper edge to the first panel's heading.
const HEAD: f32 = 118.0;
/// Below the last panel: tick labels, the x axis's label, the footer.
const FOOT: f32 = 100.0;
/// A panel's line of label and legend.
const HEADING: f32 = 44.0;
const BETWEEN: f32 = 8.0;
const TICK_SIZE: f32 = 17.0;
const LABEL_SIZE: f32 = 19.0;
const MARK_SIZE: f32 = 16.0;
/// The medium font's width, of the regular one's.
const MEDIUM_WIDER: f32 = 1.03;
/// Lines that words of marks may be put on, the last taken where all are full.
const MARK_LINES: usize = 4;
/// How much further an axis goes where words are written at its upper end.
const WORDS_AIR: f64 = 1.12;
const WORDS_AIR_LOG: f64 = 2.5;
const GRID: Colour = Colour(0xe3, 0xe6, 0xea);
const WHITE: Colour = Colour(0xff, 0xff, 0xff);

pub(super) type Point = (f32, f32);

/// One shape. Places are in units of [`WIDTH`] and [`HEIGHT`], y downwards.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Path {
        points: Vec<Point>,
        paint: Paint,
    },
    Dot {
        at: Point,
        radius: f32,
        colour: Colour,
    },
    /// `at` is on the base line.
    Text {
        at: Point,
        anchor: Anchor,
        size: f32,
        weight: Weight,
        colour: Colour,
        words: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Paint {
    Fill { colour: Colour, opacity: f32 },
    Stroke { colour: Colour, width: f32, dash: bool },
}

/// Which part of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where a panel's values go.
struct Area {
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
    x: Ruler,
    y: Ruler,
}

impl Area {
    fn x(&self, value: f64) -> Option<f32> {
        Some(self.left + self.x.place(value)? * (self.right - self.left))
    }

    fn y(&self, value: f64) -> Option<f32> {
        Some(self.bottom - self.y.place(value)? * (self.bottom - self.top))
    }
}

struct Drawing {
    items: Vec<Item>,
    regular: Font,
}

pub(super) fn lay_out(figure: &Figure) -> Vec<Item> {
    let mut drawing = Drawing { items: Vec::new(), regular: Font::of(Weight::Regular) };
    drawing.text((MARGIN, 58.0), Anchor::Start, 34.0, Weight::Medium, colours::INK, &figure.title);
    let grey = colours::GREY;
    drawing.text((MARGIN, 95.0), Anchor::Start, 20.0, Weight::Regular, grey, &figure.subtitle);
    let footer = (WIDTH - MARGIN, HEIGHT - 18.0);
    drawing.text(footer, Anchor::End, 15.0, Weight::Regular, grey, &figure.footer);

    let areas = areas(figure, &drawing.regular);
    for (panel, area) in figure.panels.iter().zip(&areas) {
        drawing.panel(panel, area);
    }
    if let Some(area) = areas.last() {
        drawing.x_labels(area, &figure.x.label);
    }
    drawing.items
}

/// Panels share the x axis, so their edges are in line: as far in as the widest tick label needs.
fn areas(figure: &Figure, font: &Font) -> Vec<Area> {
    let points = || figure.panels.iter().flat_map(|panel| &panel.series).flat_map(|s| &s.points);
    let marked = || figure.panels.iter().flat_map(|panel| &panel.marks).flat_map(mark_xs);
    let xs = points().map(|(x, _)| *x).chain(marked());
    let x = Ruler::around(&figure.x.scale, (figure.x.from, figure.x.to), xs, false);
    let rulers: Vec<Ruler> = figure.panels.iter().map(y_ruler).collect();
    let widths =
        rulers.iter().flat_map(Ruler::ticks).map(|tick| font.width(&tick.label, TICK_SIZE));
    let left = MARGIN + widths.fold(0.0, f32::max) + 12.0;

    let shares: f32 = figure.panels.iter().map(|panel| panel.height).sum();
    let count = figure.panels.len() as f32;
    let room = HEIGHT - HEAD - FOOT - count * HEADING - (count - 1.0).max(0.0) * BETWEEN;
    let mut top = HEAD;
    let place = |(panel, y): (&Panel, Ruler)| {
        let height = room * panel.height / shares;
        let area = Area {
            left,
            right: WIDTH - MARGIN,
            top: top + HEADING,
            bottom: top + HEADING + height,
            x: x.clone(),
            y,
        };
        top = area.bottom + BETWEEN;
        area
    };
    figure.panels.iter().zip(rulers).map(place).collect()
}

fn mark_xs(mark: &Mark) -> Vec<f64> {
    match mark {
        Mark::At { x, .. } => vec![*x],
        Mark::Level { .. } => Vec::new(),
        Mark::Span { from, to, .. } => vec![*from, *to],
    }
}

fn y_ruler(panel: &Panel) -> Ruler {
    let level = |mark: &Mark| match mark {
        Mark::Level { y, .. } => Some(*y),
        Mark::At { .. } | Mark::Span { .. } => None,
    };
    let worded = |mark: &Mark| match mark {
        Mark::At { label, .. } | Mark::Span { label, .. } => !label.is_empty(),
        Mark::Level { .. } => false,
    };
    // Room above the values for words.
    let air = match (panel.marks.iter().any(worded), &panel.y.scale) {
        (false, _) => 1.0,
        (true, Scale::Log) => WORDS_AIR_LOG,
        (true, Scale::Linear | Scale::Names(_)) => WORDS_AIR,
    };
    let points = panel.series.iter().flat_map(|series| &series.points).map(|(_, y)| y * air);
    let values = points.chain(panel.marks.iter().filter_map(level));
    Ruler::around(&panel.y.scale, (panel.y.from, panel.y.to), values, true)
}

impl Drawing {
    fn text(
        &mut self,
        at: Point,
        anchor: Anchor,
        size: f32,
        weight: Weight,
        colour: Colour,
        words: &str,
    ) {
        if !words.is_empty() {
            let words = words.to_owned();
            self.items.push(Item::Text { at, anchor, size, weight, colour, words });
        }
    }

    fn line(&mut self, points: Vec<Point>, colour: Colour, width: f32, dash: bool) {
        self.items.push(Item::Path { points, paint: Paint::Stroke { colour, width, dash } });
    }

    fn fill(&mut self, points: Vec<Point>, colour: Colour, opacity: f32) {
        self.items.push(Item::Path { points, paint: Paint::Fill { colour, opacity } });
    }

    fn panel(&mut self, panel: &Panel, area: &Area) {
        let base = area.top - 16.0;
        let label = &panel.y.label;
        self.text((MARGIN, base), Anchor::Start, LABEL_SIZE, Weight::Medium, colours::INK, label);
        self.legend(panel, area.right, base);
        for mark in &panel.marks {
            if let Mark::Span { from, to, colour, .. } = mark
                && let (Some(from), Some(to)) = (area.x(*from), area.x(*to))
            {
                self.fill(rectangle((from, area.top), (to, area.bottom)), *colour, 0.13);
            }
        }
        for tick in area.y.ticks() {
            let Some(y) = area.y(tick.value) else { continue };
            self.line(vec![(area.left, y), (area.right, y)], GRID, 1.0, false);
            let at = (area.left - 10.0, y + TICK_SIZE * 0.35);
            self.text(at, Anchor::End, TICK_SIZE, Weight::Regular, colours::GREY, &tick.label);
        }
        for series in &panel.series {
            self.series(series, area);
        }
        let axis = vec![(area.left, area.bottom), (area.right, area.bottom)];
        self.line(axis, colours::GREY, 1.5, false);
        self.marks(&panel.marks, area);
    }

    fn legend(&mut self, panel: &Panel, right: f32, base: f32) {
        let mut x = right;
        for series in panel.series.iter().rev().filter(|series| !series.name.is_empty()) {
            x -= self.regular.width(&series.name, TICK_SIZE);
            let ink = colours::INK;
            self.text((x, base), Anchor::Start, TICK_SIZE, Weight::Regular, ink, &series.name);
            let middle = base - TICK_SIZE * 0.35;
            match series.shape {
                Shape::Line | Shape::Area => {
                    let line = vec![(x - 36.0, middle), (x - 9.0, middle)];
                    self.line(line, series.colour, 4.0, false);
                }
                Shape::Bars => {
                    let (from, to) = ((x - 25.0, middle - 8.0), (x - 9.0, middle + 8.0));
                    self.fill(rectangle(from, to), series.colour, 1.0);
                }
                Shape::Dots => {
                    let (at, colour) = ((x - 17.0, middle), series.colour);
                    self.items.push(Item::Dot { at, radius: 6.0, colour });
                }
            }
            x -= 62.0;
        }
    }

    fn series(&mut self, series: &Series, area: &Area) {
        let colour = series.colour;
        match series.shape {
            Shape::Line | Shape::Area => {
                for run in runs(series, area) {
                    if let [only] = run[..] {
                        self.items.push(Item::Dot { at: only, radius: 3.0, colour });
                        continue;
                    }
                    if series.shape == Shape::Area {
                        let mut outline = run.clone();
                        outline.extend([run[run.len() - 1], run[0]].map(|(x, _)| (x, area.bottom)));
                        self.fill(outline, colour, 0.16);
                    }
                    self.line(run, colour, 2.6, false);
                }
            }
            Shape::Bars => {
                for (x, y) in &series.points {
                    let (from, to) = (area.x(x - 0.4), area.x(x + 0.4));
                    if let (Some(from), Some(to), Some(y)) = (from, to, area.y(*y)) {
                        let bar = rectangle((from, y), (to.max(from + 1.0), area.bottom));
                        self.fill(bar, colour, 0.9);
                    }
                }
            }
            Shape::Dots => {
                for (x, y) in &series.points {
                    if let (Some(x), Some(y)) = (area.x(*x), area.y(*y)) {
                        self.items.push(Item::Dot { at: (x, y), radius: 5.0, colour });
                    }
                }
            }
        }
    }

    fn marks(&mut self, marks: &[Mark], area: &Area) {
        let mut written = Written { ends: [f32::NEG_INFINITY; MARK_LINES] };
        for mark in in_order(marks) {
            match mark {
                Mark::At { x, label, colour } => {
                    let Some(x) = area.x(*x) else { continue };
                    self.line(vec![(x, area.top), (x, area.bottom)], *colour, 1.8, true);
                    self.mark_words(&mut written, area, x + 7.0, label, *colour);
                }
                Mark::Span { from, label, colour, .. } => {
                    let Some(x) = area.x(*from) else { continue };
                    self.mark_words(&mut written, area, x + 7.0, label, *colour);
                }
                Mark::Level { y, label, colour } => {
                    let Some(y) = area.y(*y) else { continue };
                    self.line(vec![(area.left, y), (area.right, y)], *colour, 1.8, true);
                    let width = self.regular.width(label, MARK_SIZE) * MEDIUM_WIDER;
                    self.words((area.right - 4.0 - width, y - 8.0), width, label, *colour);
                }
            }
        }
    }

    /// Words that begin at `x`, or end before it where the panel is too narrow, on the first line
    /// that is free there.
    fn mark_words(
        &mut self,
        written: &mut Written,
        area: &Area,
        x: f32,
        label: &str,
        colour: Colour,
    ) {
        let width = self.regular.width(label, MARK_SIZE) * MEDIUM_WIDER;
        let x = if x + width > area.right { (x - 14.0 - width).max(area.left) } else { x };
        let line = written.line_for(x, x + width + 10.0);
        let base = area.top + 17.0 + line as f32 * (MARK_SIZE + 5.0);
        self.words((x, base), width, label, colour);
    }

    /// Words of a mark, readable on whatever is there.
    fn words(&mut self, (x, base): Point, width: f32, label: &str, colour: Colour) {
        if label.is_empty() {
            return;
        }
        let behind = rectangle((x - 3.0, base - 15.0), (x + width + 3.0, base + 5.0));
        self.fill(behind, WHITE, 0.85);
        self.text((x, base), Anchor::Start, MARK_SIZE, Weight::Medium, colour, label);
    }

    fn x_labels(&mut self, area: &Area, label: &str) {
        for tick in area.x.ticks() {
            let Some(x) = area.x(tick.value) else { continue };
            self.line(vec![(x, area.bottom), (x, area.bottom + 6.0)], colours::GREY, 1.5, false);
            let at = (x, area.bottom + 26.0);
            self.text(at, Anchor::Middle, TICK_SIZE, Weight::Regular, colours::GREY, &tick.label);
        }
        let at = ((area.left + area.right) / 2.0, area.bottom + 54.0);
        self.text(at, Anchor::Middle, LABEL_SIZE, Weight::Regular, colours::INK, label);
    }
}

/// Marks from left to right, so that words find their line in order.
fn in_order(marks: &[Mark]) -> Vec<&Mark> {
    let mut sorted: Vec<&Mark> = marks.iter().collect();
    let x = |mark: &Mark| mark_xs(mark).first().copied().unwrap_or(f64::NEG_INFINITY);
    sorted.sort_by(|a, b| x(a).total_cmp(&x(b)));
    sorted
}

/// Where the words on each line end so far.
struct Written {
    ends: [f32; MARK_LINES],
}

impl Written {
    fn line_for(&mut self, from: f32, to: f32) -> usize {
        let free = self.ends.iter().position(|end| *end <= from);
        let line = free.unwrap_or(MARK_LINES - 1);
        self.ends[line] = to;
        line
    }
}

/// The connected parts of a line.
fn runs(series: &Series, area: &Area) -> Vec<Vec<Point>> {
    let mut runs = vec![Vec::new()];
    for (x, y) in &series.points {
        let place = area.x(*x).zip(area.y(*y));
        match (place, runs.last_mut()) {
            (Some(place), Some(run)) => run.push(place),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

fn rectangle((left, top): Point, (right, bottom): Point) -> Vec<Point> {
    vec![(left, top), (right, top), (right, bottom), (left, bottom)]
}
