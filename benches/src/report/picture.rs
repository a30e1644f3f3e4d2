//! Pictures as SVG: lines over two axes.

use std::fmt;

use super::short;

/// How an axis grows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

/// Lines over a common axis.
pub(crate) struct Lines<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: (&'a str, Scale),
    pub(crate) y: (&'a str, Scale),
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 10] = [
    "#0b6e4f", "#d1495b", "#30638e", "#edae49", "#6b4c9a", "#00798c", "#8d6a9f", "#c1666b",
    "#4a4e69", "#7f7f7f",
];

/// One axis: from its values to its place.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let high = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        let low = match scale {
            Scale::Linear => 0.0,
            Scale::Logarithmic => {
                let low = values.filter(|value| *value > 0.0).fold(high, f64::min);
                10_f64.powf(low.log10().floor())
            }
        };
        let high = match scale {
            Scale::Linear => high * 1.05,
            Scale::Logarithmic => 10_f64.powf((high.log10() + 0.05).ceil()),
        };
        Self {
            scale,
            low,
            high,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => {
                let value = value.max(self.low);
                (value / self.low).ln() / (self.high / self.low).ln()
            }
        };
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => (0..=5)
                .map(|tick| self.high * f64::from(tick) / 5.0)
                .collect(),
            Scale::Logarithmic => {
                let (low, high) = (self.low.log10().round(), self.high.log10().round());
                (low as i32..=high as i32)
                    .map(|power| 10_f64.powi(power))
                    .collect()
            }
        }
    }
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let x = Axis::new(self.x.1, points().map(|point| point.0), LEFT, right);
        let y = Axis::new(self.y.1, points().map(|point| point.1), bottom, TOP);
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
        )?;
        writeln!(
            f,
            r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><text x="{LEFT}" y="24" font-size="15">{}</text>"#,
            self.title
        )?;
        for tick in y.ticks() {
            let at = y.place(tick);
            writeln!(
                f,
                r##"<line x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"##,
                LEFT - 6.0,
                at + 4.0,
                short(tick)
            )?;
        }
        for tick in x.ticks() {
            let at = x.place(tick);
            writeln!(
                f,
                r##"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}" stroke="#eee"/><text x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"##,
                bottom + 16.0,
                short(tick)
            )?;
        }
        writeln!(
            f,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            (LEFT + right) / 2.0,
            HEIGHT - 12.0,
            self.x.0
        )?;
        writeln!(
            f,
            r#"<text transform="translate(16 {:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            (TOP + bottom) / 2.0,
            self.y.0
        )?;
        for (at, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let path: Vec<String> = points
                .iter()
                .map(|point| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1)))
                .collect();
            writeln!(
                f,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                path.join(" ")
            )?;
            for point in points {
                let (x, y) = (x.place(point.0), y.place(point.1));
                writeln!(
                    f,
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
                )?;
            }
            let legend = TOP + 14.0 + at as f64 * 18.0;
            writeln!(
                f,
                r#"<line x1="{0:.1}" x2="{1:.1}" y1="{2:.1}" y2="{2:.1}" stroke="{colour}" stroke-width="3"/><text x="{3:.1}" y="{4:.1}">{name}</text>"#,
                right + 14.0,
                right + 34.0,
                legend - 4.0,
                right + 40.0,
                legend
            )?;
        }
        writeln!(f, "</svg>")
    }
}
