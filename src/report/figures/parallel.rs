//! Parallel coordinates: an axis for each setting and a last one for the metric, a line for each arm.
//! Axes stand upright on a page and lie across on a phone.

use plotters::style::{Color, RGBColor};

use super::canvas::{Anchor, Canvas, FigureError, Picture, Type, render};
use super::layout::apart;
use super::response::{heading, small};
use super::theme::{Theme, between};

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it is.
    pub title: String,
    /// Places from 0 to 1, ascending, and their labels.
    pub ticks: Vec<(f64, String)>,
}

/// An arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place on every axis, from 0 to 1.
    pub at: Vec<f64>,
    /// From 0, the worst, to 1, the best.
    pub shade: f64,
    /// Whether the others are compared with it.
    pub is_baseline: bool,
    /// Its name, where it is told at the line's end.
    pub name: Option<String>,
}

/// The chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Parallel {
    /// What is measured.
    pub title: String,
    /// Unit, direction and how many arms.
    pub subtitle: String,
    /// Settings, then the metric.
    pub axes: Vec<Axis>,
    /// Arms; later ones are drawn over earlier ones.
    pub lines: Vec<Line>,
}

/// Distance of axes that lie across, CSS pixels.
const ROW: f64 = 62.0;
/// Height of a name below axes that lie across.
const NAME: f64 = 18.0;
/// Least distance of labels along an upright axis.
const LABEL: f64 = 13.0;
/// Lines up to which they are drawn at full width.
const FEW: usize = 60;

/// Where axes and values are.
struct Frame {
    across: bool,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    width: f64,
    axes: usize,
}

impl Frame {
    fn new(
        chart: &Parallel,
        canvas: &Canvas<'_>,
        theme: &Theme,
        (width, height): (f64, f64),
    ) -> Self {
        let axes = chart.axes.len();
        if width < 600.0 {
            let (left, right) = (16.0, width - 16.0);
            let bottom = height - 26.0 - below(chart);
            return Self { across: true, left, right, top: 66.0, bottom, width, axes };
        }
        let names = chart.lines.iter().filter_map(|line| line.name.as_deref());
        let name = names
            .map(|name| canvas.width_of(name, bold(theme)))
            .fold(0.0, f64::max)
            .min(width * 0.2);
        let last = chart.axes.last().map_or(0.0, |axis| widest(&axis.ticks, canvas, theme));
        let right = width - 16.0 - last - if name > 0.0 { name + 30.0 } else { 8.0 };
        Self { across: false, left: 20.0, right, top: 88.0, bottom: height - 18.0, width, axes }
    }

    /// Distance of axes.
    fn pitch(&self) -> f64 {
        let span = if self.across { self.bottom - self.top } else { self.right - self.left };
        span / (self.axes.max(2) - 1) as f64
    }

    fn at(&self, axis: usize, share: f64) -> (f64, f64) {
        let along = self.pitch() * axis as f64;
        if self.across {
            (self.left + share * (self.right - self.left), self.top + along)
        } else {
            (self.left + along, self.bottom - share * (self.bottom - self.top))
        }
    }
}

fn bold(theme: &Theme) -> Type {
    Type { bold: true, ..small(theme.ink) }
}

fn widest(ticks: &[(f64, String)], canvas: &Canvas<'_>, theme: &Theme) -> f64 {
    ticks.iter().map(|(_, l)| canvas.width_of(l, small(theme.soft))).fold(0.0, f64::max)
}

/// Height at a width, CSS pixels.
#[must_use]
pub fn height(chart: &Parallel, width: u32) -> u32 {
    let rows = chart.axes.len().max(2) as f64 - 1.0;
    if width < 600 { (66.0 + 26.0 + ROW * rows + below(chart)) as u32 } else { 440 }
}

/// Room for names below axes that lie across.
fn below(chart: &Parallel) -> f64 {
    NAME * chart.lines.iter().filter(|line| line.name.is_some()).count() as f64
}

/// Draws it.
///
/// # Errors
/// What the backend says.
pub fn draw(chart: &Parallel, theme: &Theme, width: u32) -> Result<Picture, FigureError> {
    let height = height(chart, width);
    render(width, height, theme.paper, |canvas| {
        heading(&chart.title, &chart.subtitle, f64::from(width), canvas, theme)?;
        let frame = Frame::new(chart, canvas, theme, (f64::from(width), f64::from(height)));
        for axis in 0..chart.axes.len() {
            canvas.line(&[frame.at(axis, 0.0), frame.at(axis, 1.0)], 1.2, theme.faint, &[])?;
        }
        let width = if chart.lines.len() > FEW { 0.9 } else { 1.4 };
        for line in &chart.lines {
            let points: Vec<_> = line.at.iter().enumerate().map(|(k, v)| frame.at(k, *v)).collect();
            let (colour, width) = if line.is_baseline {
                (theme.ink, 2.2)
            } else {
                (shaded(theme, line.shade), width)
            };
            canvas.line(&points, width, colour, &[])?;
        }
        if frame.across {
            names_below(chart, &frame, canvas, theme)?;
        } else {
            names(chart, &frame, canvas, theme)?;
        }
        titles(chart, &frame, canvas, theme)?;
        (0..chart.axes.len()).try_for_each(|axis| labels(chart, axis, &frame, canvas, theme))
    })
}

/// From the faintest ink to that of what is better.
fn shaded(theme: &Theme, shade: f64) -> RGBColor {
    between(theme.faint, theme.better, shade.clamp(0.0, 1.0))
}

/// Titles of the axes; where neighbours would touch, every other one stands higher and has twice the
/// room.
fn titles(
    chart: &Parallel,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let room = frame.pitch() - 10.0;
    let wide = |axis: &Axis| canvas.width_of(&axis.title, bold(theme)) > room;
    let staggered = !frame.across && chart.axes.iter().rev().skip(1).any(wide);
    let end = frame.right + if frame.across { 0.0 } else { frame.pitch() };
    for (k, axis) in chart.axes.iter().enumerate() {
        let (x, y) = frame.at(k, if frame.across { 0.0 } else { 1.0 });
        let raised = staggered && k % 2 == 1;
        let room = match (frame.across, staggered) {
            (true, _) => frame.right - frame.left,
            (_, true) => 2.0 * frame.pitch() - 10.0,
            _ => room,
        };
        let text = canvas.fitted(&axis.title, room.min(end - x), bold(theme));
        let y = y - if frame.across { 7.0 } else { 12.0 } - if raised { 16.0 } else { 0.0 };
        plate((x - 4.0, y), &text, bold(theme), canvas, theme)?;
    }
    Ok(())
}

/// Text on a plate of paper, so that lines behind it do not cross it; `at` is the left end of its
/// baseline.
fn plate(
    (x, y): (f64, f64),
    text: &str,
    style: Type,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let right = x + canvas.width_of(text, style) + 2.0;
    canvas.rect((x - 2.0, y - 9.5), (right, y + 3.5), theme.paper.mix(0.82))?;
    canvas.text(text, (x, y), Anchor::Left, style)
}

/// As many labels of an axis as stay apart, its ends first.
fn labels(
    chart: &Parallel,
    place: usize,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let axis = &chart.axes[place];
    let soft = small(theme.soft);
    let last = place + 1 == chart.axes.len();
    let room = if frame.across { 120.0 } else { frame.pitch() - 16.0 };
    let room = if last && !frame.across { f64::INFINITY } else { room };
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let ends = axis.ticks.iter().take(1).chain(axis.ticks.iter().skip(1).rev().take(1));
    let inner = axis.ticks.get(1..axis.ticks.len().saturating_sub(1)).unwrap_or_default();
    for (share, label) in ends.chain(inner) {
        let text = canvas.fitted(label, room, soft);
        let (x, y) = frame.at(place, *share);
        let width = canvas.width_of(&text, soft);
        let left = (x - width / 2.0).min(frame.right + 12.0 - width).max(4.0);
        let span = if frame.across { (left, left + width + 6.0) } else { (y, y + LABEL) };
        if taken.iter().any(|other| span.0 < other.1 && other.0 < span.1) {
            continue;
        }
        taken.push(span);
        let (tick, at) = if frame.across {
            ([(x, y - 3.0), (x, y + 3.0)], (left, y + 15.0))
        } else {
            ([(x - 3.0, y), (x + 3.0, y)], (x + 7.0, y + 3.8))
        };
        canvas.line(&tick, 1.2, theme.soft, &[])?;
        plate(at, &text, soft, canvas, theme)?;
    }
    Ok(())
}

/// Names at the ends of the lines that are told by name.
fn names(
    chart: &Parallel,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let axis = chart.axes.len().saturating_sub(1);
    let end = |line: &Line| frame.at(axis, line.at.last().copied().unwrap_or(0.5)).1;
    let mut told: Vec<&Line> = chart.lines.iter().filter(|line| line.name.is_some()).collect();
    told.sort_by(|a, b| end(a).total_cmp(&end(b)));
    let wanted: Vec<f64> = told.iter().map(|line| end(line)).collect();
    let ticks = chart.axes.last().map_or(0.0, |axis| widest(&axis.ticks, canvas, theme));
    let start = frame.right + ticks + 14.0;
    let room = frame.width - start - 25.0;
    for (line, place) in told.iter().zip(apart(&wanted, 15.0, frame.top, frame.bottom)) {
        let colour = if line.is_baseline { theme.ink } else { shaded(theme, line.shade) };
        canvas.line(&[(start, end(line)), (start + 12.0, place)], 1.0, colour, &[])?;
        let style = Type { bold: line.is_baseline, ..small(theme.ink) };
        let text = canvas.fitted(line.name.as_deref().unwrap_or_default(), room, style);
        canvas.text(&text, (start + 17.0, place + 3.8), Anchor::Left, style)?;
    }
    Ok(())
}

/// As [`names`] where axes lie across: a row each below the last axis. A line that goes down to a lower row
/// crosses no name above it where there is a way.
fn names_below(
    chart: &Parallel,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let axis = chart.axes.len().saturating_sub(1);
    let end = |line: &Line| frame.at(axis, line.at.last().copied().unwrap_or(0.5)).0;
    let style = |line: &Line| Type { bold: line.is_baseline, ..small(theme.ink) };
    // a name fits on one side of the end of its line at least
    let text = |line: &Line| {
        let (before, after) = (end(line) - 18.0, frame.width - end(line) - 18.0);
        let room = before.max(after).min(frame.right * 0.6);
        canvas.fitted(line.name.as_deref().unwrap_or_default(), room, style(line))
    };
    // where a name stands beside the end of its line: after it, before it
    let sides = |line: &Line| {
        let (x, width) = (end(line), canvas.width_of(&text(line), style(line)));
        let within = |left: &f64| *left >= 4.0 && left + width <= frame.width - 4.0;
        let spans = [x + 14.0, x - 14.0 - width].into_iter().filter(within);
        spans.map(move |left| (left, left + width)).collect::<Vec<_>>()
    };
    let mut waiting: Vec<&Line> = chart.lines.iter().filter(|line| line.name.is_some()).collect();
    let mut row = 0.0;
    while !waiting.is_empty() {
        let clear = |at: usize, span: (f64, f64)| {
            let crosses = |x: f64| x > span.0 - 3.0 && x < span.1 + 3.0;
            !waiting.iter().enumerate().any(|(k, other)| k != at && crosses(end(other)))
        };
        let all = || {
            waiting.iter().enumerate().flat_map(|(k, l)| sides(l).into_iter().map(move |s| (k, s)))
        };
        let chosen = all().find(|(k, span)| clear(*k, *span)).or_else(|| all().next());
        let Some((at, (left, _))) = chosen else { break };
        let line = waiting.remove(at);
        let colour = if line.is_baseline { theme.ink } else { shaded(theme, line.shade) };
        let (x, y) = (end(line), frame.bottom + 26.0 + NAME * (row + 0.6));
        let turn = if left > x { x + 10.0 } else { x - 10.0 };
        canvas.line(&[(x, frame.bottom + 4.0), (x, y), (turn, y)], 1.0, colour, &[])?;
        plate((left, y + 3.8), &text(line), style(line), canvas, theme)?;
        row += 1.0;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    #[test]
    fn demanding_studies_draw() {
        for (axes, lines) in [(0, 0), (1, 1), (4, 3), (11, 200)] {
            let axis = |k: usize| Axis {
                title: format!("{k} {}", "long_title_".repeat(5)),
                ticks: (0..40).map(|t| (f64::from(t) / 39.0, "0.000001".repeat(3))).collect(),
            };
            let line = |k: usize| Line {
                at: (0..axes).map(|a| ((a * 7 + k * 3) % 10) as f64 / 9.0).collect(),
                shade: if k == 1 { f64::NAN } else { 0.5 },
                is_baseline: k == 0,
                name: (k < 3).then(|| "name_".repeat(12)),
            };
            let chart = Parallel {
                title: "mAP".into(),
                subtitle: "%, higher is better".into(),
                axes: (0..axes).map(axis).collect(),
                lines: (0..lines).map(line).collect(),
            };
            for width in [360, 1040] {
                let picture = draw(&chart, &LIGHT, width).unwrap();
                assert_eq!(picture.height, height(&chart, width));
            }
        }
    }
}
