//! Learning curves: mean over seeds as a line, smallest to largest seed as a band, one chart a metric.

use plotters::style::{Color, RGBColor};

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, FigureError, Picture, Type, render};
use super::layout::apart;
use super::theme::{Stroke, Theme};

/// Axis of curves that begin at 1 and end near 100 %.
pub const RANK: &str = "rank";
/// Points up to which a curve shows each of them, with the range of the seeds as a line instead of a band.
const FEW: usize = 6;
/// Distance of such lines at the same step, CSS pixels.
const BESIDE: f64 = 5.0;

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

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Line and band.
    Curve,
    /// A few points joined by a line, so many pixels beside their steps.
    Points(f64),
    /// One value, of something trained elsewhere: level across the chart.
    Level,
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
    /// Where the points of a line are: across, mean, low, high.
    fn places(&self, line: &Line, form: Form) -> Vec<(f64, f64, f64, f64)> {
        let place = |p: &(f64, f64, f64, f64)| {
            let x = self.left + self.x.place(p.0) * (self.right - self.left);
            let shift = if let Form::Points(shift) = form { shift } else { 0.0 };
            (x + shift, self.y(p.1), self.y(p.2), self.y(p.3))
        };
        let mut places: Vec<_> = line.points.iter().map(place).collect();
        if let (Form::Level, [(_, mean, low, high)]) = (form, places.as_slice()) {
            places = [self.left, self.right].map(|x| (x, *mean, *low, *high)).to_vec();
        }
        places
    }

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
    render(chart.width, chart.height, theme.paper, |canvas| {
        let frame = frame(chart, canvas, theme);
        let forms = forms(chart);
        let lines = || chart.lines.iter().zip(forms.iter().copied());
        heading(chart, &frame, canvas, theme)?;
        axes(&frame, chart.axis, canvas, theme)?;
        for (line, form) in lines() {
            canvas.of_arm(&line.label, || spread(line, form, &frame, canvas, theme))?;
        }
        for (line, form) in lines() {
            canvas.of_arm(&line.label, || strokes(line, form, &frame, canvas, theme))?;
        }
        if chart.named { names(chart, &forms, &frame, canvas, theme) } else { Ok(()) }
    })
}

/// How each line is drawn. An arm of a single value (the teacher, which is trained elsewhere) has no place
/// on the axis of the others.
fn forms(chart: &Curves) -> Vec<Form> {
    let curves = chart.lines.iter().any(|line| line.points.len() > 1);
    let is_few = |line: &&Line| (2..=FEW).contains(&line.points.len());
    let few = chart.lines.iter().filter(is_few).count();
    let mut place = 0;
    let mut form = |line: &Line| match line.points.len() {
        0 | 1 if curves => Form::Level,
        2..=FEW => {
            place += 1;
            Form::Points(BESIDE * (f64::from(place) - 0.5 - few as f64 / 2.0))
        }
        _ => Form::Curve,
    };
    chart.lines.iter().map(&mut form).collect()
}

/// The steps between which the axis lies: those of the curves, if there are any; from 0, or from 1 for ranks,
/// and where there are only few points close around them.
fn span(chart: &Curves) -> (f64, f64) {
    let steps = |least: usize| {
        let lines = chart.lines.iter().filter(move |line| line.points.len() >= least);
        let ends = lines.flat_map(|line| &line.points).map(|p| p.0);
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
    };
    let (first, last) = if steps(2).1 > 0.0 { steps(2) } else { steps(1) };
    let last = if last > 0.0 { last } else { 1.0 };
    let forms = forms(chart);
    let points = forms.iter().any(|form| matches!(form, Form::Points(_)));
    match () {
        () if chart.axis == RANK => (1.0, last),
        () if points && !forms.contains(&Form::Curve) && first < last => {
            let air = 0.1 * (last - first);
            ((first - air).max(0.0), last + air)
        }
        () => (0.0, last),
    }
}

fn small(colour: RGBColor) -> Type {
    Type { size: 11.0, bold: false, colour }
}

fn frame(chart: &Curves, canvas: &Canvas<'_>, theme: &Theme) -> Frame {
    let points = || chart.lines.iter().flat_map(|l| &l.points);
    let low = points().map(|p| p.2).fold(f64::INFINITY, f64::min);
    let high = points().map(|p| p.3).fold(f64::NEG_INFINITY, f64::max);
    let (first, last) = span(chart);
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
        x: Scale::exact(first, last),
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

/// Smallest to largest seed.
fn spread(
    line: &Line,
    form: Form,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    if line.stroke == Stroke::Background {
        return Ok(());
    }
    let places = frame.places(line, form);
    let colour = line.stroke.colour(theme);
    if let Form::Points(_) = form {
        return places.iter().try_for_each(|(x, _, low, high)| {
            canvas.line(&[(*x, *low), (*x, *high)], 1.6, mixed(colour, theme.paper), &[])
        });
    }
    let spans: Vec<_> = places.iter().map(|(x, _, low, high)| (*x, *low, *high)).collect();
    canvas.band(&spans, colour.mix(0.13))
}

/// Half a colour, half paper.
fn mixed(one: RGBColor, other: RGBColor) -> RGBColor {
    RGBColor(
        u8::midpoint(one.0, other.0),
        u8::midpoint(one.1, other.1),
        u8::midpoint(one.2, other.2),
    )
}

fn strokes(
    line: &Line,
    form: Form,
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let points: Vec<_> = frame.places(line, form).iter().map(|(x, y, ..)| (*x, *y)).collect();
    let colour = line.stroke.colour(theme);
    canvas.line(&points, line.stroke.width(), colour, line.stroke.dash())?;
    if line.stroke == Stroke::Background {
        return Ok(());
    }
    let marked = if let Form::Points(_) = form { points.len() } else { 1 };
    for at in points.iter().rev().take(marked) {
        canvas.marker(*at, 3.2, colour, line.stroke.marker())?;
    }
    Ok(())
}

/// Names beside the ends, pushed apart until none overlap, each with a thin lead to its line. Curves by rank
/// all end near 100 %: their names stand in the order in which they begin.
fn names(
    chart: &Curves,
    forms: &[Form],
    frame: &Frame,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let mut ends: Vec<(f64, f64, &Line)> = chart
        .lines
        .iter()
        .zip(forms)
        .filter(|(line, _)| line.stroke != Stroke::Background)
        .filter_map(|(line, form)| {
            frame.places(line, *form).last().map(|(x, y, ..)| (*x, *y, line))
        })
        .collect();
    let by_rank = chart.axis == RANK;
    let begins = |line: &Line| line.points.first().map_or(f64::NAN, |p| frame.y(p.1));
    let order = |end: &(f64, f64, &Line)| if by_rank { begins(end.2) } else { end.1 };
    ends.sort_by(|a, b| order(a).total_cmp(&order(b)));
    let wanted: Vec<f64> = if by_rank {
        (0..ends.len()).map(|place| frame.top + 15.0 * place as f64).collect()
    } else {
        ends.iter().map(|e| e.1).collect()
    };
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
            if !by_rank {
                canvas.line(&lead, 0.8, theme.faint, &[])?;
            }
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
        assert_eq!(forms(&chart), [Form::Points(0.0), Form::Level]);
        assert_eq!(span(&chart), (180.0, 420.0));
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
