//! The picture of a rolling restart.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use plotters::prelude::*;

use super::judgement::Report;

/// The width of a column.
const COLUMN: Duration = Duration::from_millis(100);

impl Report {
    /// Draws how many clients came back in each tenth of a second, a panel for each server.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let root = SVGBackend::new(path, (960, 320 * self.restarts.len() as u32));
        let root = root.into_drawing_area();
        root.fill(&WHITE)?;
        let columns: Vec<Vec<usize>> = self
            .restarts
            .iter()
            .map(|one| columns(&one.returns))
            .collect();
        let most = columns.iter().flatten().max().copied().unwrap_or(1);
        let longest = columns.iter().map(Vec::len).max().unwrap_or(1);
        let column = COLUMN.as_secs_f64();
        let panels = root.split_evenly((self.restarts.len(), 1));
        for ((restart, columns), panel) in self.restarts.iter().zip(&columns).zip(&panels) {
            let mut chart = ChartBuilder::on(panel)
                .caption(restart.to_string(), ("sans-serif", 16))
                .margin(12)
                .x_label_area_size(36)
                .y_label_area_size(52)
                .build_cartesian_2d(0.0..longest as f64 * column, 0.0..most as f64 * 1.1)?;
            chart
                .configure_mesh()
                .x_desc("seconds after the first client was back")
                .y_desc("clients back in 0.1 s")
                .draw()?;
            chart.draw_series(columns.iter().enumerate().map(|(index, count)| {
                let left = index as f64 * column;
                Rectangle::new([(left, 0.0), (left + column, *count as f64)], BLUE.filled())
            }))?;
            let mean = restart.mean() * column;
            chart.draw_series(LineSeries::new(
                [(0.0, mean), (longest as f64 * column, mean)],
                RED.stroke_width(2),
            ))?;
        }
        Ok(root.present()?)
    }
}

/// How many returns are in each column.
fn columns(returns: &[Duration]) -> Vec<usize> {
    let mut columns = Vec::new();
    for at in returns {
        let column = at.div_duration_f64(COLUMN) as usize;
        columns.resize(columns.len().max(column + 1), 0);
        columns[column] += 1;
    }
    columns
}
