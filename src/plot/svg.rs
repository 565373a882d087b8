//! Draws a laid-out figure as SVG 1.1.

use std::fmt::Write as _;

use super::Colour;
use super::font::Weight;
use super::layout::{Anchor, HEIGHT, Item, Paint, WIDTH};

/// What browsers have where Roboto is missing is about as wide.
const FAMILY: &str = "Roboto, 'Helvetica Neue', Arial, sans-serif";

pub(super) fn svg(title: &str, items: &[Item]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"{FAMILY}\">\n<title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
        escaped(title)
    );
    for item in items {
        // Writing to a string cannot fail.
        let _ = write_item(&mut text, item);
    }
    text + "</svg>\n"
}

fn write_item(text: &mut String, item: &Item) -> std::fmt::Result {
    match item {
        Item::Path { points, paint } => {
            let mut path = String::new();
            for (at, (x, y)) in points.iter().enumerate() {
                write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' })?;
            }
            match paint {
                Paint::Fill { colour, opacity } => writeln!(
                    text,
                    "<path d=\"{path}Z\" fill=\"{}\" fill-opacity=\"{opacity}\"/>",
                    hex(*colour)
                ),
                Paint::Stroke { colour, width, dash } => {
                    let dash = if *dash { " stroke-dasharray=\"6 5\"" } else { "" };
                    writeln!(
                        text,
                        "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" \
                         stroke-linejoin=\"round\"{dash}/>",
                        hex(*colour)
                    )
                }
            }
        }
        Item::Dot { at: (x, y), radius, colour } => {
            writeln!(
                text,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\"/>",
                hex(*colour)
            )
        }
        Item::Text { at: (x, y), anchor, size, weight, colour, words } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let weight = if *weight == Weight::Medium { " font-weight=\"500\"" } else { "" };
            writeln!(
                text,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
                 fill=\"{}\"{weight}>{}</text>",
                hex(*colour),
                escaped(words)
            )
        }
    }
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
