//! Pictures as SVG: lines over two axes.

use std::error::Error;
use std::io;

use plotters::prelude::*;

use super::short;

/// The picture, and what the names of the lines take of it, in pixels.
const WIDTH: i32 = 840;
const LEGEND: i32 = 290;

/// How an axis grows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

impl Scale {
    /// Where a value stands on an axis that is linear for the plotter.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    fn label(self, place: f64) -> String {
        match self {
            Self::Linear => {
                let text = short(place);
                match text.contains('.') {
                    true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    false => text,
                }
            }
            Self::Logarithmic => short(10_f64.powf(place)),
        }
    }

    /// From the least to the largest tick, and how many ticks there are.
    fn axis(self, values: impl Iterator<Item = f64>) -> (std::ops::Range<f64>, usize) {
        let places: Vec<f64> = values.map(|value| self.place(value)).collect();
        let most = places.iter().copied().fold(f64::MIN, f64::max);
        match self {
            Self::Linear => (0.0..most * 1.05, 6),
            Self::Logarithmic => {
                let least = places.iter().copied().fold(f64::MAX, f64::min).floor();
                let most = most.ceil().max(least + 1.0);
                (least..most, (most - least) as usize + 1)
            }
        }
    }
}

/// Lines over a common axis.
pub(crate) struct Lines {
    pub(super) title: String,
    x: (&'static str, Scale),
    y: (&'static str, Scale),
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Lines {
    /// A picture without lines, of these axes.
    pub(crate) fn new(
        title: impl Into<String>,
        x: (&'static str, Scale),
        y: (&'static str, Scale),
    ) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            lines: Vec::new(),
        }
    }

    /// Adds a point to the line of this name.
    pub(crate) fn point(&mut self, name: &str, x: f64, y: f64) {
        let line = self.lines.iter().position(|(line, _)| line == name);
        let line = line.unwrap_or_else(|| {
            self.lines.push((name.to_owned(), Vec::new()));
            self.lines.len() - 1
        });
        self.lines[line].1.push((x, y));
    }

    /// Adds a point to the line of each name.
    pub(crate) fn points(&mut self, x: f64, points: impl Iterator<Item = (&'static str, f64)>) {
        points.for_each(|(name, y)| self.point(name, x, y));
    }

    pub(super) fn svg(&self) -> io::Result<String> {
        let mut svg = String::new();
        let drawn = self.draw(&mut svg);
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
        svg.push('\n');
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn Error + '_>> {
        let ((x_name, x_scale), (y_name, y_scale)) = (self.x, self.y);
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let (x, x_ticks) = x_scale.axis(points().map(|point| point.0));
        let (y, y_ticks) = y_scale.axis(points().map(|point| point.1));
        let area = SVGBackend::with_string(svg, (WIDTH as u32, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 16))
            .margin(10)
            .margin_right(LEGEND)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(x_name)
            .y_desc(y_name)
            .x_labels(x_ticks)
            .y_labels(y_ticks)
            .x_label_formatter(&|place| x_scale.label(*place))
            .y_label_formatter(&|place| y_scale.label(*place))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (at, (name, points)) in self.lines.iter().enumerate() {
            let colour = Palette99::pick(at);
            let place = |point: &(f64, f64)| (x_scale.place(point.0), y_scale.place(point.1));
            let line = LineSeries::new(points.iter().map(place), colour.stroke_width(2));
            chart.draw_series(line.point_size(3))?;
            let (left, top) = (WIDTH - LEGEND + 10, 40 + 18 * at as i32);
            let mark = [(left, top + 4), (left + 18, top + 8)];
            area.draw(&Rectangle::new(mark, colour.filled()))?;
            let font = ("sans-serif", 13);
            area.draw(&Text::new(name.as_str(), (left + 24, top), font))?;
        }
        area.present()?;
        Ok(())
    }
}
