//! Learning curves: mean over seeds as a line, smallest to largest seed as a band, one chart a metric.

use plotters::style::{Color, RGBColor};

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, FigureError, Picture, Type, render};
use super::layout::apart;
use super::theme::{Stroke, Theme};

/// One arm's curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Name at its end, where lines are labelled directly.
    pub label: String,
    /// How it is drawn.
    pub stroke: Stroke,
    /// (step, mean, low, high) in shown units, by step.
    pub points: Vec<(f64, f64, f64, f64)>,
}

/// A chart of curves.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// What is measured.
    pub title: String,
    /// Its unit and direction.
    pub subtitle: String,
    /// What is along the bottom.
    pub axis: &'static str,
    /// Whether values that span orders of magnitude get a logarithmic axis.
    pub may_be_log: bool,
    /// Curves; later ones are drawn over earlier ones.
    pub lines: Vec<Line>,
    /// Names at the right ends of the lines that are not background.
    pub named: bool,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
}

/// The plotting rectangle and its scales.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn x(&self, step: f64) -> f64 {
        self.left + self.x.place(step) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }
}

/// Draws it on a paper.
///
/// # Errors
/// What the backend says.
pub fn draw(chart: &Curves, theme: &Theme) -> Result<Picture, FigureError> {
    let chart = &levelled(chart);
    render(chart.width, chart.height, theme.paper, |canvas| {
        let frame = frame(chart, canvas, theme);
        heading(chart, &frame, canvas, theme)?;
        axes(&frame, chart.axis, canvas, theme)?;
        for line in &chart.lines {
            canvas.of_arm(&line.label, || bands(line, &frame, canvas, theme))?;
        }
        for line in &chart.lines {
            canvas.of_arm(&line.label, || strokes(line, &frame, canvas, theme))?;
        }
        if chart.named { names(chart, &frame, canvas, theme) } else { Ok(()) }
    })
}

/// The step at which the axis ends: of the curves, if there are any. An arm of a single value (the
/// teacher, which is trained elsewhere) has no place on their axis.
fn last_step(chart: &Curves) -> f64 {
    let steps = |least: usize| {
        let lines = chart.lines.iter().filter(move |line| line.points.len() >= least);
        lines.flat_map(|line| &line.points).map(|p| p.0).fold(0.0, f64::max)
    };
    if steps(2) > 0.0 { steps(2) } else { steps(1) }
}

/// The chart with single values as level lines across it.
fn levelled(chart: &Curves) -> Curves {
    let last = last_step(chart);
    let mut chart = chart.clone();
    let curves = chart.lines.iter().any(|line| line.points.len() > 1);
    for line in &mut chart.lines {
        if let ([(_, mean, low, high)], true) = (line.points.as_slice(), curves) {
            line.points = vec![(0.0, *mean, *low, *high), (last, *mean, *low, *high)];
        }
    }
    chart
}

fn small(colour: RGBColor) -> Type {
    Type { size: 11.0, bold: false, colour }
}

fn frame(chart: &Curves, canvas: &Canvas<'_>, theme: &Theme) -> Frame {
    let points = || chart.lines.iter().flat_map(|l| &l.points);
    let low = points().map(|p| p.2).fold(f64::INFINITY, f64::min);
    let high = points().map(|p| p.3).fold(f64::NEG_INFINITY, f64::max);
    let last = last_step(chart);
    let y = Scale::fitting(low, high, chart.may_be_log);
    let widest = y
        .ticks(5)
        .iter()
        .map(|(_, label)| canvas.width_of(label, small(theme.soft)))
        .fold(0.0, f64::max);
    let names = chart.lines.iter().filter(|l| chart.named && l.stroke != Stroke::Background);
    let label = names
        .map(|l| canvas.width_of(&l.label, small(theme.ink)))
        .fold(0.0, f64::max)
        .min(f64::from(chart.width) * 0.24);
    Frame {
        left: 12.0 + widest + 8.0,
        right: f64::from(chart.width) - 16.0 - if label > 0.0 { label + 26.0 } else { 0.0 },
        top: 48.0,
        bottom: f64::from(chart.height) - 40.0,
        // ranks begin at 1, steps at 0
        x: Scale::exact(
            if chart.axis == "rank" { 1.0 } else { 0.0 },
            if last > 0.0 { last } else { 1.0 },
        ),
        y,
    }
}

fn heading(
    chart: &Curves,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let room = f64::from(chart.width) - 24.0;
    let title = Type { size: 14.0, bold: true, colour: theme.ink };
    let shown = canvas.fitted(&chart.title, room, title);
    let end = 12.0 + canvas.width_of(&shown, title) + 8.0;
    canvas.text(&shown, (12.0, 24.0), Anchor::Left, title)?;
    let soft = Type { size: 12.0, ..small(theme.soft) };
    let log = frame.y.is_log().then_some("logarithmic");
    let subtitle: Vec<&str> =
        log.into_iter().chain([chart.subtitle.as_str()]).filter(|s| !s.is_empty()).collect();
    let rest = canvas.fitted(&subtitle.join(", "), room - end, soft);
    canvas.text(&rest, (end, 24.0), Anchor::Left, soft)
}

fn axes(frame: &Frame, name: &str, canvas: &Canvas<'_>, theme: &Theme) -> Result<(), FigureError> {
    let type_ = small(theme.soft);
    for (value, label) in frame.y.ticks(5) {
        let y = frame.y(value);
        canvas.line(&[(frame.left, y), (frame.right, y)], 1.0, theme.grid, &[])?;
        canvas.text(&label, (frame.left - 8.0, y + 3.8), Anchor::Right, type_)?;
    }
    let floor = frame.bottom;
    canvas.line(&[(frame.left, floor), (frame.right, floor)], 1.0, theme.faint, &[])?;
    let mut free = f64::NEG_INFINITY;
    let wanted = ((frame.right - frame.left) / 80.0).max(2.0) as usize;
    for (value, label) in frame.x.ticks(wanted) {
        let (x, width) = (frame.x(value), canvas.width_of(&label, type_));
        let left = (x - width / 2.0).min(frame.right + 12.0 - width);
        canvas.line(&[(x, floor), (x, floor + 4.0)], 1.0, theme.faint, &[])?;
        if left > free {
            canvas.text(&label, (left, floor + 17.0), Anchor::Left, type_)?;
            free = left + width + 8.0;
        }
    }
    let middle = f64::midpoint(frame.left, frame.right);
    canvas.text(name, (middle, floor + 33.0), Anchor::Middle, type_)
}

fn bands(
    line: &Line,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    if line.stroke == Stroke::Background {
        return Ok(());
    }
    let spans: Vec<_> =
        line.points.iter().map(|p| (frame.x(p.0), frame.y(p.2), frame.y(p.3))).collect();
    canvas.band(&spans, line.stroke.colour(theme).mix(0.13))
}

fn strokes(
    line: &Line,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let points: Vec<_> = line.points.iter().map(|p| (frame.x(p.0), frame.y(p.1))).collect();
    let colour = line.stroke.colour(theme);
    canvas.line(&points, line.stroke.width(), colour, line.stroke.dash())?;
    match points.last() {
        Some(end) if line.stroke != Stroke::Background => {
            canvas.marker(*end, 3.2, colour, line.stroke.marker())
        }
        _ => Ok(()),
    }
}

/// Names beside the ends, pushed apart until none overlap, each with a thin lead to its line.
fn names(
    chart: &Curves,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let mut ends: Vec<(f64, f64, &Line)> = chart
        .lines
        .iter()
        .filter(|l| l.stroke != Stroke::Background)
        .filter_map(|l| l.points.last().map(|p| (frame.x(p.0), frame.y(p.1), l)))
        .collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let wanted: Vec<f64> = ends.iter().map(|e| e.1).collect();
    let places = apart(&wanted, 15.0, frame.top - 6.0, frame.bottom + 6.0);
    let room = f64::from(chart.width) - frame.right - 34.0;
    for ((x, y, line), place) in ends.into_iter().zip(places) {
        let colour = line.stroke.colour(theme);
        let start = frame.right + 8.0;
        let lead = [(x + 5.0, y), (start.max(x + 5.0), y), (start + 12.0, place)];
        let bold = line.stroke == Stroke::Baseline;
        let style = Type { bold, ..small(theme.ink) };
        let text = canvas.fitted(&line.label, room, style);
        canvas.of_arm(&line.label, || {
            canvas.line(&lead, 0.8, theme.faint, &[])?;
            canvas.marker((start + 16.0, place), 3.0, colour, line.stroke.marker())?;
            canvas.text(&text, (start + 23.0, place + 3.8), Anchor::Left, style)
        })?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    #[test]
    fn a_single_value_is_a_level_and_leaves_the_axis_to_the_curves() {
        let line = |points| Line { label: "a".into(), stroke: Stroke::Baseline, points };
        let chart = Curves {
            title: "mAP".into(),
            subtitle: String::new(),
            axis: "training step",
            may_be_log: false,
            lines: vec![
                line(vec![(200.0, 1.0, 1.0, 1.0), (400.0, 2.0, 2.0, 2.0)]),
                line(vec![(1360.0, 3.0, 2.5, 3.5)]),
            ],
            named: true,
            width: 320,
            height: 200,
        };
        let shown = levelled(&chart);
        assert_eq!(last_step(&shown), 400.0);
        assert_eq!(shown.lines[1].points, [(0.0, 3.0, 2.5, 3.5), (400.0, 3.0, 2.5, 3.5)]);
    }

    #[test]
    fn empty_constant_and_single_point_charts_draw() {
        for points in
            [vec![], vec![(0.0, 1.0, 1.0, 1.0)], vec![(0.0, 2.0, 2.0, 2.0), (9.0, 2.0, 2.0, 2.0)]]
        {
            let line = Line { label: "full".into(), stroke: Stroke::Baseline, points };
            let chart = Curves {
                title: "loss".into(),
                subtitle: String::new(),
                axis: "training step",
                may_be_log: true,
                lines: vec![line],
                named: true,
                width: 320,
                height: 200,
            };
            assert_eq!(draw(&chart, &LIGHT).unwrap(), draw(&chart, &LIGHT).unwrap());
        }
    }
}
