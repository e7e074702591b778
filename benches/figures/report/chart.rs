//! Curves as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

use super::Curve;

const SIZE: (u32, u32) = (760, 440);
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(23, 190, 207),
];

/// Draws a curve into a file.
pub fn draw(curve: &Curve, file: &Path) -> Result<()> {
    let points = || curve.lines.iter().flat_map(|(_, points)| points);
    let across = points().map(|point| point.0);
    let (least, most) = across.fold((f64::INFINITY, 0.0_f64), |(least, most), x| {
        (least.min(x), most.max(x))
    });
    anyhow::ensure!(least.is_finite(), "{} has no points", curve.name);
    if curve.by_factors {
        let least = least.max(1e-3);
        draw_over(curve, file, (least..most.max(least * 2.0)).log_scale())
    } else {
        draw_over(curve, file, least.min(0.0)..most.max(least + 1.0))
    }
}

fn draw_over<X>(curve: &Curve, file: &Path, across: X) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let top = curve
        .lines
        .iter()
        .flat_map(|(_, points)| points)
        .map(|point| point.1);
    let top = top.fold(0.0_f64, f64::max).max(f64::MIN_POSITIVE) * 1.08;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("{}: {error}", file.display());
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&curve.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(across, 0.0..top)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(&curve.axes[0])
        .y_desc(&curve.axes[1])
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()
        .map_err(|error| failed(&error))?;
    for ((name, points), colour) in curve.lines.iter().zip(COLOURS.iter().cycle()) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        let marks = points.len() <= 24;
        chart
            .draw_series(line)
            .map_err(|error| failed(&error))?
            .label(name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        if marks {
            let marks = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
            chart.draw_series(marks).map_err(|error| failed(&error))?;
        }
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()
        .map_err(|error| failed(&error))?;
    area.present().map_err(|error| failed(&error))
}

/// 1.5 k, 10 M.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, " M"),
        large if large >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}
