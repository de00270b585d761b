//! Response charts: the metric at each level of one setting, with intervals, over the region of levels
//! that may be best; and the same over two settings as a heat map. Levels stand at equal distances: they
//! may hold zero or span orders of magnitude.

use plotters::style::{Color, RGBColor};

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, FigureError, Marker, Picture, Type, render};
use super::theme::Theme;

/// A level.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Value of the setting as text.
    pub label: String,
    /// Mean.
    pub mean: f64,
    /// 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// Every seed.
    pub seeds: Vec<f64>,
    /// Whether it may be the best.
    pub may_be_best: bool,
}

/// A response chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// What is measured.
    pub title: String,
    /// Unit and direction.
    pub subtitle: String,
    /// The setting.
    pub axis: String,
    /// Levels from the left.
    pub levels: Vec<Level>,
    /// Place of the best mean.
    pub best: usize,
}

/// A heat map: `cells[y][x]`, the first row at the bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// What is measured.
    pub title: String,
    /// Unit and direction.
    pub subtitle: String,
    /// Settings across and upwards.
    pub axes: [String; 2],
    /// Labels across.
    pub xs: Vec<String>,
    /// Labels upwards.
    pub ys: Vec<String>,
    /// Mean and its text.
    pub cells: Vec<Vec<Option<(f64, String)>>>,
    /// Whether more is better.
    pub higher: bool,
}

/// The type of ticks and notes.
pub fn small(colour: RGBColor) -> Type {
    Type { size: 11.0, bold: false, colour }
}

/// Title and subtitle in one line at the top.
///
/// # Errors
/// What the backend says.
pub fn heading(
    title: &str,
    subtitle: &str,
    width: f64,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let style = Type { size: 14.0, bold: true, colour: theme.ink };
    let shown = canvas.fitted(title, width - 24.0, style);
    let end = 12.0 + canvas.width_of(&shown, style) + 8.0;
    canvas.text(&shown, (12.0, 24.0), Anchor::Left, style)?;
    let soft = Type { size: 12.0, ..small(theme.soft) };
    let rest = canvas.fitted(subtitle, width - 12.0 - end, soft);
    canvas.text(&rest, (end, 24.0), Anchor::Left, soft)
}

/// Labels under the middles of equal columns; where they are too wide, as many as fit.
fn labels(
    texts: &[String],
    middles: &dyn Fn(usize) -> f64,
    y: f64,
    pitch: f64,
    canvas: &Canvas<'_>,
    style: Type,
) -> Result<(), FigureError> {
    let widest = texts.iter().map(|t| canvas.width_of(t, style)).fold(1.0, f64::max);
    let every = ((widest + 6.0) / pitch.max(1.0)).ceil().max(1.0) as usize;
    for (place, text) in texts.iter().enumerate().filter(|(place, _)| place % every == 0) {
        canvas.text(text, (middles(place), y), Anchor::Middle, style)?;
    }
    Ok(())
}

/// Draws a response chart.
///
/// # Errors
/// What the backend says.
pub fn draw(
    chart: &Response,
    theme: &Theme,
    width: u32,
    height: u32,
) -> Result<Picture, FigureError> {
    render(width, height, theme.paper, |canvas| {
        heading(&chart.title, &chart.subtitle, f64::from(width), canvas, theme)?;
        let ends = chart.levels.iter().flat_map(|l| {
            let spread = l.interval.map(|(a, b)| [a, b]);
            spread.into_iter().flatten().chain([l.mean]).chain(l.seeds.iter().copied())
        });
        let (low, high) = ends
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let y = Scale::linear(low, high);
        let soft = small(theme.soft);
        let ticks = y.ticks(5);
        let widest = ticks.iter().map(|(_, l)| canvas.width_of(l, soft)).fold(0.0, f64::max);
        let (left, right) = (20.0 + widest, f64::from(width) - 16.0);
        let (top, floor) = (42.0, f64::from(height) - 42.0);
        let at = |v: f64| floor - y.place(v) * (floor - top);
        let pitch = (right - left) / chart.levels.len().max(1) as f64;
        let middle = |place: usize| left + pitch * (place as f64 + 0.5);
        for (place, _) in chart.levels.iter().enumerate().filter(|(_, l)| l.may_be_best) {
            let side = pitch * place as f64;
            let corners = ((left + side, top), (left + side + pitch, floor));
            canvas.rect(corners.0, corners.1, theme.band.to_rgba())?;
        }
        for (value, label) in &ticks {
            canvas.line(&[(left, at(*value)), (right, at(*value))], 1.0, theme.grid, &[])?;
            canvas.text(label, (left - 8.0, at(*value) + 3.8), Anchor::Right, soft)?;
        }
        canvas.line(&[(left, floor), (right, floor)], 1.0, theme.faint, &[])?;
        let means: Vec<(f64, f64)> =
            chart.levels.iter().enumerate().map(|(k, l)| (middle(k), at(l.mean))).collect();
        canvas.line(&means, 1.2, theme.faint, &[])?;
        for (place, level) in chart.levels.iter().enumerate() {
            let x = middle(place);
            let colour = if place == chart.best { theme.better } else { theme.ink };
            for seed in level.seeds.iter().filter(|v| v.is_finite()) {
                canvas.line(
                    &[(x + 7.0, at(*seed)), (x + 13.0, at(*seed))],
                    1.0,
                    theme.soft,
                    &[],
                )?;
            }
            if let Some((a, b)) = level.interval {
                canvas.line(&[(x, at(a)), (x, at(b))], 1.8, colour, &[])?;
            }
            canvas.marker((x, at(level.mean)), 4.0, colour, Marker::Circle)?;
        }
        let texts: Vec<String> = chart.levels.iter().map(|l| l.label.clone()).collect();
        labels(&texts, &middle, floor + 17.0, pitch, canvas, soft)?;
        let axis = canvas.fitted(&chart.axis, f64::from(width) - 24.0, soft);
        let half = canvas.width_of(&axis, soft) / 2.0;
        let centre =
            f64::midpoint(left, right).min(f64::from(width) - 12.0 - half).max(12.0 + half);
        canvas.text(&axis, (centre, floor + 34.0), Anchor::Middle, soft)
    })
}

/// Height of a heat map that is `width` wide, CSS pixels.
#[must_use]
pub fn heat_height(chart: &Heat) -> u32 {
    (42.0 + 34.0 * chart.ys.len() as f64 + 42.0).min(1200.0) as u32
}

/// Draws a heat map. Cells without a value stay empty with a thin frame.
///
/// # Errors
/// What the backend says.
pub fn draw_heat(chart: &Heat, theme: &Theme, width: u32) -> Result<Picture, FigureError> {
    let height = heat_height(chart);
    render(width, height, theme.paper, |canvas| {
        heading(&chart.title, &chart.subtitle, f64::from(width), canvas, theme)?;
        let soft = small(theme.soft);
        let widest = chart.ys.iter().map(|l| canvas.width_of(l, soft)).fold(0.0, f64::max);
        let (left, right) = (20.0 + widest, f64::from(width) - 16.0);
        let (top, floor) = (42.0, f64::from(height) - 42.0);
        let (across, up) = (chart.xs.len().max(1) as f64, chart.ys.len().max(1) as f64);
        let (pitch, rise) = ((right - left) / across, (floor - top) / up);
        let values: Vec<f64> = chart
            .cells
            .iter()
            .flatten()
            .flatten()
            .map(|(v, _)| *v)
            .filter(|v| v.is_finite())
            .collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (row, cells) in chart.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let (x, y) = (left + pitch * column as f64, floor - rise * (row + 1) as f64);
                let (right, bottom) = (x + pitch - 2.0, y + rise - 2.0);
                let Some((value, text)) = cell.as_ref().filter(|(v, _)| v.is_finite()) else {
                    let frame = [(x, y), (right, y), (right, bottom), (x, bottom), (x, y)];
                    canvas.line(&frame, 1.0, theme.grid, &[])?;
                    continue;
                };
                let span = high - low;
                let share = if span > 0.0 { (value - low) / span } else { 0.5 };
                let share = if chart.higher { share } else { 1.0 - share };
                // pale enough for ink to be legible on it, on both papers
                let colour = theme.better.mix(0.08 + 0.47 * share);
                canvas.rect((x, y), (right, bottom), colour)?;
                let style = Type { size: 12.0, bold: false, colour: theme.ink };
                if canvas.width_of(text, style) <= pitch - 6.0 && rise >= 16.0 {
                    let middle = (f64::midpoint(x, right), f64::midpoint(y, bottom) + 4.2);
                    canvas.text(text, middle, Anchor::Middle, style)?;
                }
            }
            let y = floor - rise * (row as f64 + 0.5) + 3.8;
            canvas.text(&chart.ys[row], (left - 8.0, y), Anchor::Right, soft)?;
        }
        let middle = |place: usize| left + pitch * (place as f64 + 0.5) - 1.0;
        labels(&chart.xs, &middle, floor + 15.0, pitch, canvas, soft)?;
        let axis = format!("across: {}; upwards: {}", chart.axes[0], chart.axes[1]);
        let axis = canvas.fitted(&axis, f64::from(width) - 24.0, soft);
        canvas.text(&axis, (f64::from(width) - 12.0, floor + 32.0), Anchor::Right, soft)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    #[test]
    fn demanding_values_draw() {
        let level = |mean: f64, interval| Level {
            label: format!("{mean:e}"),
            mean,
            interval,
            seeds: vec![mean, f64::NAN],
            may_be_best: true,
        };
        for levels in [
            vec![],
            vec![level(0.5, None)],
            vec![level(1e-6, Some((0.0, 1e-5))), level(1e6, None), level(1e6, None)],
            (0..40).map(|k| level(f64::from(k % 2), None)).collect(),
        ] {
            let chart = Response {
                title: "mAP".into(),
                subtitle: "%".into(),
                axis: "loss.lambda_prim ".repeat(9),
                levels,
                best: 0,
            };
            draw(&chart, &LIGHT, 360, 240).unwrap();
        }
        for cells in [vec![vec![None]], vec![vec![Some((f64::NAN, String::new()))]]] {
            let chart = Heat {
                title: "mAP".into(),
                subtitle: String::new(),
                axes: ["a".into(), "b".into()],
                xs: vec!["1".into()],
                ys: vec!["2".into()],
                cells,
                higher: true,
            };
            draw_heat(&chart, &LIGHT, 340).unwrap();
        }
    }
}
