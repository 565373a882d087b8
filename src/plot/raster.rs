//! Draws a laid-out figure as pixels, and those as PNG.

use zeno::{Command, Join, Mask, PathBuilder as _, Stroke, Style, Transform};

use super::Colour;
use super::font::{Font, Weight};
use super::layout::{Anchor, HEIGHT, Item, Paint, WIDTH};

/// Pixels for each unit of the layout.
const SCALE: f32 = 1.2;

struct Canvas {
    width: usize,
    height: usize,
    /// RGB, eight bits each, row by row.
    pixels: Vec<u8>,
}

pub(super) fn png(items: &[Item]) -> Vec<u8> {
    let (width, height) = ((WIDTH * SCALE) as usize, (HEIGHT * SCALE) as usize);
    let mut canvas = Canvas { width, height, pixels: vec![255; width * height * 3] };
    let fonts = [Font::of(Weight::Regular), Font::of(Weight::Medium)];
    for item in items {
        canvas.draw(item, &fonts);
    }
    encode(&canvas)
}

impl Canvas {
    fn draw(&mut self, item: &Item, [regular, medium]: &[Font; 2]) {
        let mut path: Vec<Command> = Vec::new();
        match item {
            Item::Path { points, paint } => {
                for (number, (x, y)) in points.iter().enumerate() {
                    if number == 0 {
                        path.move_to([*x, *y]);
                    } else {
                        path.line_to([*x, *y]);
                    }
                }
                match paint {
                    Paint::Fill { colour, opacity } => {
                        path.close();
                        self.blend(&path, Style::default(), *colour, *opacity);
                    }
                    Paint::Stroke { colour, width, dash } => {
                        let mut stroke = Stroke::new(*width);
                        stroke.join(Join::Round);
                        if *dash {
                            stroke.dash(&[6.0, 5.0], 0.0);
                        }
                        self.blend(&path, stroke.into(), *colour, 1.0);
                    }
                }
            }
            Item::Dot { at: (x, y), radius, colour } => {
                path.add_circle([*x, *y], *radius);
                self.blend(&path, Style::default(), *colour, 1.0);
            }
            Item::Text { at: (x, y), anchor, size, weight, colour, words } => {
                let font = if *weight == Weight::Medium { medium } else { regular };
                let back = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => font.width(words, *size) / 2.0,
                    Anchor::End => font.width(words, *size),
                };
                let outline = font.outline(words, *size, (x - back, *y));
                self.blend(&outline, Style::default(), *colour, 1.0);
            }
        }
    }

    /// Lays a colour over what is there, as far as the path covers each pixel.
    fn blend(&mut self, path: &[Command], style: Style<'_>, colour: Colour, opacity: f32) {
        if path.is_empty() {
            return;
        }
        let scale = Some(Transform::scale(SCALE, SCALE));
        let (mask, placed) = Mask::new(path).style(style).transform(scale).render();
        if placed.width == 0 {
            return;
        }
        let rows = mask.chunks_exact(placed.width as usize).zip(i64::from(placed.top)..);
        for (row, y) in rows.filter(|(_, y)| (0..self.height as i64).contains(y)) {
            let cells = row.iter().zip(i64::from(placed.left)..);
            for (cover, x) in cells.filter(|(_, x)| (0..self.width as i64).contains(x)) {
                let share = f32::from(*cover) / 255.0 * opacity;
                let first = (y as usize * self.width + x as usize) * 3;
                let under = &mut self.pixels[first..first + 3];
                for (under, over) in under.iter_mut().zip([colour.0, colour.1, colour.2]) {
                    let mixed = f32::from(*under) * (1.0 - share) + f32::from(over) * share;
                    *under = mixed.round() as u8;
                }
            }
        }
    }
}

fn encode(canvas: &Canvas) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, canvas.width as u32, canvas.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&canvas.pixels)?;
        writer.finish()
    });
    written.expect("pixels of a whole picture can be written to memory");
    bytes
}
