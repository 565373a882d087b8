//! Figures as a whole. Set `STEGCLUSTER_PLOT_DIR` to have them written there, to be looked at.

use super::*;

fn run_figure() -> Figure {
    let seconds = || (0..30).map(f64::from);
    let series = |name: &str, colour, shape, value: fn(f64) -> f64| Series {
        name: name.into(),
        colour,
        shape,
        points: seconds().map(|t| (t, value(t))).collect(),
    };
    let mark = |x, label: &str| Mark::At { x, label: label.into(), colour: colours::PURPLE };
    let mut throughput = Panel::new(Axis::from_zero("Throughput, requests a second"));
    throughput.series = vec![
        series("succeeded", colours::BLUE, Shape::Area, |t| {
            if (12.0..14.0).contains(&t) { 20.0 } else { 1100.0 + 90.0 * (t * 1.7).sin() }
        }),
        series("failed", colours::RED, Shape::Line, |t| if t == 13.0 { 40.0 } else { 0.0 }),
    ];
    throughput.marks = vec![mark(12.4, "n2 leads"), mark(13.1, "n3 leads"), mark(29.0, "n1 leads")];
    let mut latency = Panel::new(Axis::logarithmic("Latency, ms"));
    latency.series = vec![
        series("p50", colours::GREEN, Shape::Line, |t| 3.0 + t.sin()),
        series("p99", colours::BLUE, Shape::Line, |t| {
            if t == 12.0 {
                f64::NAN
            } else if t == 13.0 {
                1400.0
            } else {
                9.0 + t.cos()
            }
        }),
    ];
    latency.marks = vec![
        Mark::Span { from: 12.0, to: 13.5, label: "frozen".into(), colour: colours::GREY },
        Mark::Level { y: 250.0, label: "target 250 ms".into(), colour: colours::RED },
    ];
    Figure {
        title: "Mostly embeds by 20 clients, closed loop".into(),
        subtitle: "33,421 requests in 30.0 s · p50 3.1 ms · p99 9.8 ms · longest gap 18 ms".into(),
        footer: "stegcluster <test> & co".into(),
        x: Axis { label: "Seconds since the load began".into(), ..Axis::default() },
        panels: vec![throughput, latency],
    }
}

fn gap_figure() -> Figure {
    let names = (1..=12).map(|number| number.to_string()).collect();
    let mut panel = Panel::new(Axis::from_zero("Longest time without a success, ms"));
    for (fault, colour) in ["crash", "freeze"].into_iter().zip(colours::SERIES) {
        let of_fault = |n: &u32| n.is_multiple_of(2) == (fault == "crash");
        let points = (0..12).filter(of_fault).map(|n| (f64::from(n), f64::from(20 + n * 11)));
        let points = points.collect();
        panel.series.push(Series { name: fault.into(), colour, shape: Shape::Bars, points });
    }
    let colour = colours::RED;
    panel.marks = vec![Mark::Level { y: 130.0, label: "slo 130 ms".into(), colour }];
    Figure {
        title: "Twelve failovers".into(),
        subtitle: String::new(),
        footer: String::new(),
        x: Axis::of_names("Iteration", names),
        panels: vec![panel],
    }
}

/// Pixels of a PNG, and its size.
fn pixels(png: &[u8]) -> (Vec<u8>, u32, u32) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (pixels, info.width, info.height)
}

fn count(pixels: &[u8], Colour(red, green, blue): Colour) -> usize {
    pixels.chunks_exact(3).filter(|pixel| **pixel == [red, green, blue]).count()
}

#[test]
fn a_figure_is_a_slide_with_its_colours_and_words() {
    for (name, figure) in [("run", run_figure()), ("gaps", gap_figure())] {
        let (png, svg) = (figure.png(), figure.svg());
        if let Some(folder) = std::env::var_os("STEGCLUSTER_PLOT_DIR") {
            let folder = std::path::PathBuf::from(folder);
            std::fs::write(folder.join(format!("{name}.png")), &png).unwrap();
            std::fs::write(folder.join(format!("{name}.svg")), &svg).unwrap();
        }
        let (pixels, width, height) = pixels(&png);
        assert_eq!((width, height), (1920, 1080), "{name}");
        // Lines, and the title's letters, have pixels of their full colour.
        assert!(count(&pixels, colours::RED) > 300, "{name}");
        assert!(count(&pixels, colours::INK) > 1000, "{name}");
        assert!(count(&pixels, Colour(255, 255, 255)) > pixels.len() / 3 / 2, "{name}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{name}");
        assert!(svg.contains(&format!(">{}</text>", figure.title)), "{name}");
    }
    assert!(run_figure().svg().contains("stegcluster &lt;test&gt; &amp; co"));
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    assert_eq!(run_figure().png(), run_figure().png());
}

#[test]
fn a_figure_without_values_is_drawn_all_the_same() {
    let mut figure = run_figure();
    for panel in &mut figure.panels {
        panel.series.iter_mut().for_each(|series| series.points.clear());
        panel.marks.clear();
    }
    let (drawn, _, _) = pixels(&figure.png());
    assert!(count(&drawn, colours::INK) > 1000);
    figure.panels.clear();
    assert!(figure.svg().contains(&figure.title));
}

#[test]
fn words_of_marks_do_not_cover_each_other() {
    let svg = run_figure().svg();
    let height = |words: &str| {
        let line = svg.lines().find(|line| line.contains(words)).unwrap().to_owned();
        let y = line.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        y.parse::<f64>().unwrap()
    };
    assert!(height(">n3 leads<") > height(">n2 leads<") + 15.0);
    assert_eq!(height(">n1 leads<"), height(">n2 leads<"));
}
