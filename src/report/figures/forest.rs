//! The forest chart: each arm's difference to the baseline with its intervals, over the band of
//! differences that do not matter. A wide form, and a narrow one for phones.

use plotters::style::{Color, RGBColor};

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, FigureError, Marker, Picture, Type, render};
use super::theme::Theme;

/// What a row's colour and marker say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Worse than the baseline.
    Worse,
    /// Better.
    Better,
    /// No difference that matters.
    Same,
    /// Undecided.
    Open,
}

/// One arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name.
    pub label: String,
    /// Mean difference; `None` where there are no pairs.
    pub centre: Option<f64>,
    /// 95 % interval.
    pub wide: Option<(f64, f64)>,
    /// 90 % interval.
    pub narrow: Option<(f64, f64)>,
    /// The difference of each seed.
    pub seeds: Vec<f64>,
    /// Verdict.
    pub tone: Tone,
    /// Whether runs of it diverged; it then has no say in the axis.
    pub diverged: bool,
    /// Difference and interval as text.
    pub numbers: String,
    /// Verdict as text.
    pub verdict: String,
}

/// A forest chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// What the axis measures, with its unit.
    pub axis: String,
    /// Words under the left and the right half.
    pub sides: (String, String),
    /// Half width of the band, in shown units; 0 for none.
    pub band: f64,
    /// Rows from the top.
    pub rows: Vec<Row>,
}

struct Layout {
    width: f64,
    narrow: bool,
    left: f64,
    right: f64,
    top: f64,
    pitch: f64,
    scale: Scale,
    limits: (f64, f64),
}

impl Layout {
    fn x(&self, value: f64) -> f64 {
        self.left + self.scale.place(value) * (self.right - self.left)
    }

    fn middle(&self, row: usize) -> f64 {
        let inside = if self.narrow { 0.68 } else { 0.5 };
        self.top + self.pitch * (row as f64 + inside)
    }

    fn bottom(&self, rows: usize) -> f64 {
        self.top + self.pitch * rows as f64
    }
}

/// Draws it `width` CSS pixels wide.
///
/// # Errors
/// What the backend says.
pub fn draw(chart: &Forest, theme: &Theme, width: u32) -> Result<Picture, FigureError> {
    let narrow = width < 600;
    let pitch = if narrow { 46.0 } else { 40.0 };
    let height = 14.0 + pitch * chart.rows.len() as f64 + if narrow { 62.0 } else { 46.0 };
    render(width, height as u32, theme.paper, |canvas| {
        let layout = layout(chart, canvas, f64::from(width), pitch);
        ground(chart, &layout, canvas, theme)?;
        for (place, row) in chart.rows.iter().enumerate() {
            words(row, layout.middle(place), &layout, canvas, theme)?;
            marks(row, layout.middle(place), &layout, canvas, theme)?;
        }
        Ok(())
    })
}

fn type_(theme: &Theme) -> Type {
    Type { size: 13.0, bold: false, colour: theme.ink }
}

fn layout(chart: &Forest, canvas: &Canvas<'_>, width: f64, pitch: f64) -> Layout {
    let narrow = width < 600.0;
    let style = Type { size: 13.0, bold: true, colour: RGBColor(0, 0, 0) };
    let widest = |text: fn(&Row) -> &str| {
        chart.rows.iter().map(|r| canvas.width_of(text(r), style)).fold(0.0, f64::max)
    };
    let label = widest(|r| &r.label).min(width * 0.26);
    let told = widest(|r| &r.numbers).max(widest(|r| &r.verdict)).min(width * 0.3);
    let limits = limits(chart);
    Layout {
        width,
        narrow,
        left: if narrow { 16.0 } else { 12.0 + label + 20.0 },
        right: if narrow { width - 16.0 } else { width - told - 36.0 },
        top: 14.0,
        pitch,
        scale: Scale::exact(limits.0, limits.1),
        limits,
    }
}

/// The range of the axis: every mean and its interval, except where one arm would flatten all others,
/// by having diverged or by an interval far wider than any difference; what lies outside is drawn as
/// an arrow at the edge.
fn limits(chart: &Forest) -> (f64, f64) {
    let kept: Vec<&Row> = {
        let whole: Vec<&Row> = chart.rows.iter().filter(|r| !r.diverged).collect();
        if whole.iter().any(|r| r.centre.is_some()) { whole } else { chart.rows.iter().collect() }
    };
    let mut sizes: Vec<f64> = kept.iter().filter_map(|r| r.centre).map(f64::abs).collect();
    sizes.sort_by(f64::total_cmp);
    let typical = sizes.get(sizes.len() / 2).copied().unwrap_or(0.0).max(chart.band);
    let near = sizes.iter().copied().filter(|size| *size <= typical * 8.0);
    let largest = near.fold(0.0, f64::max);
    let cap = if largest > 0.0 { largest.max(chart.band) * 2.5 } else { f64::INFINITY };
    let (mut low, mut high) = (-chart.band * 1.6, chart.band * 1.6);
    for row in kept {
        let spread = row.wide.map(|(a, b)| [a, b]);
        let ends = spread.into_iter().flatten().chain(row.centre).chain(row.seeds.iter().copied());
        for end in ends.filter(|v| v.is_finite()) {
            low = low.min(end.max(-cap));
            high = high.max(end.min(cap));
        }
    }
    if high - low <= 0.0 {
        return (-1.0, 1.0);
    }
    let air = (high - low) * 0.04;
    (low - air, high + air)
}

fn ground(
    chart: &Forest,
    layout: &Layout,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let (top, floor) = (layout.top, layout.bottom(chart.rows.len()));
    let soft = Type { size: 11.0, bold: false, colour: theme.soft };
    if chart.band > 0.0 {
        let corners = ((layout.x(-chart.band), top), (layout.x(chart.band), floor));
        canvas.rect(corners.0, corners.1, theme.band.to_rgba())?;
    }
    let wanted = ((layout.right - layout.left) / 75.0).max(2.0) as usize;
    let mut free = f64::NEG_INFINITY;
    for (value, label) in layout.scale.ticks(wanted) {
        let x = layout.x(value);
        canvas.line(&[(x, top), (x, floor)], 1.0, theme.grid, &[])?;
        let half = canvas.width_of(&label, soft) / 2.0;
        if x - half > free {
            canvas.text(&label, (x, floor + 17.0), Anchor::Middle, soft)?;
            free = x + half + 6.0;
        }
    }
    canvas.line(&[(layout.left, floor), (layout.right, floor)], 1.0, theme.faint, &[])?;
    let zero = layout.x(0.0);
    canvas.line(&[(zero, top), (zero, floor + 4.0)], 1.4, theme.soft, &[])?;
    let middle = f64::midpoint(layout.left, layout.right);
    let room = layout.right - layout.left;
    let share = room * if layout.narrow { 0.48 } else { 0.28 };
    let axis = canvas.fitted(
        &chart.axis,
        if layout.narrow { layout.width - 24.0 } else { room * 0.4 },
        soft,
    );
    let half = canvas.width_of(&axis, soft) / 2.0;
    let middle = middle.clamp(12.0 + half, (layout.width - 12.0 - half).max(12.0 + half));
    canvas.text(&axis, (middle, floor + 35.0), Anchor::Middle, soft)?;
    let left = canvas.fitted(&chart.sides.0, share, soft);
    let right = canvas.fitted(&chart.sides.1, share, soft);
    let side = floor + if layout.narrow { 52.0 } else { 35.0 };
    canvas.text(&left, (layout.left, side), Anchor::Left, soft)?;
    canvas.text(&right, (layout.right, side), Anchor::Right, soft)
}

fn words(
    row: &Row,
    y: f64,
    layout: &Layout,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let plain = type_(theme);
    let name = Type { bold: true, ..plain };
    let soft = Type { size: 11.5, colour: tone(row.tone, theme), ..plain };
    if layout.narrow {
        let room = layout.width - 32.0;
        let numbers = Type { size: 11.5, ..plain };
        let told = canvas.width_of(&row.numbers, numbers);
        let label = canvas.fitted(&row.label, room - told - 12.0, name);
        // words stand on the plot here: keep its lines out of them
        let (start, end) =
            (layout.right - told - 4.0, layout.left + canvas.width_of(&label, name) + 4.0);
        let (above, below) = (y - 26.0, y - 9.0);
        canvas.rect((start, above), (layout.right + 4.0, below), theme.paper.to_rgba())?;
        canvas.rect((layout.left - 4.0, above), (end, below), theme.paper.to_rgba())?;
        canvas.text(&label, (layout.left, y - 14.0), Anchor::Left, name)?;
        return canvas.text(&row.numbers, (layout.right, y - 14.0), Anchor::Right, numbers);
    }
    let label = canvas.fitted(&row.label, layout.left - 32.0, name);
    canvas.text(&label, (12.0, y + 4.4), Anchor::Left, name)?;
    let (x, room) = (layout.right + 20.0, layout.width - layout.right - 28.0);
    canvas.text(&canvas.fitted(&row.numbers, room, plain), (x, y - 2.5), Anchor::Left, plain)?;
    canvas.text(&canvas.fitted(&row.verdict, room, soft), (x, y + 12.0), Anchor::Left, soft)
}

fn marks(
    row: &Row,
    y: f64,
    layout: &Layout,
    canvas: &Canvas<'_>,
    theme: &Theme,
) -> Result<(), FigureError> {
    let colour = tone(row.tone, theme);
    let (low, high) = layout.limits;
    for (span, thickness) in [(row.wide, 1.6), (row.narrow, 4.0)] {
        if let Some((a, b)) = span.filter(|(a, b)| a <= b && *b >= low && *a <= high) {
            let (start, end) = (layout.x(a), layout.x(b));
            let start = if a < low { start + 5.0 } else { start }; // room for the arrow
            let end = if b > high { end - 5.0 } else { end };
            canvas.line(&[(start, y), (end, y)], thickness, colour, &[])?;
        }
    }
    let Some(centre) = row.centre else {
        let soft = Type { size: 11.0, bold: false, colour: theme.soft };
        return canvas.text("no pairs yet", (layout.x(0.0) + 8.0, y + 4.0), Anchor::Left, soft);
    };
    for seed in row.seeds.iter().filter(|v| (low..=high).contains(*v)) {
        let x = layout.x(*seed);
        canvas.line(&[(x, y + 6.5), (x, y + 10.5)], 1.2, theme.soft, &[])?;
    }
    for (outside, x, ahead) in [
        (row.wide.map_or(centre, |w| w.0) < low, layout.left, -1.0),
        (row.wide.map_or(centre, |w| w.1) > high, layout.right, 1.0),
    ] {
        if outside {
            let back = x - ahead * 7.0;
            canvas.polygon(&[(x + ahead, y), (back, y - 5.0), (back, y + 5.0)], colour)?;
        }
    }
    if !(low..=high).contains(&centre) {
        return Ok(());
    }
    let at = (layout.x(centre), y);
    canvas.marker(at, 6.6, theme.paper, shape(row.tone))?;
    canvas.marker(at, 5.0, colour, shape(row.tone))?;
    if row.tone == Tone::Open {
        canvas.marker(at, 3.2, theme.paper, shape(row.tone))
    } else {
        Ok(())
    }
}

fn tone(tone: Tone, theme: &Theme) -> RGBColor {
    match tone {
        Tone::Worse => theme.worse,
        Tone::Better => theme.better,
        Tone::Same => theme.same,
        Tone::Open => theme.open,
    }
}

fn shape(tone: Tone) -> Marker {
    match tone {
        Tone::Worse | Tone::Open => Marker::Circle,
        Tone::Better => Marker::Diamond,
        Tone::Same => Marker::Square,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;

    fn row(centre: Option<f64>) -> Row {
        Row {
            label: "no_prim".into(),
            centre,
            wide: centre.map(|c| (c - 2.0, c + 2.0)),
            narrow: centre.map(|c| (c - 1.0, c + 1.0)),
            seeds: centre.into_iter().collect(),
            tone: Tone::Open,
            diverged: false,
            numbers: "1.0 (\u{2212}1.0 to 3.0)".into(),
            verdict: "inconclusive".into(),
        }
    }

    fn chart(rows: Vec<Row>) -> Forest {
        Forest {
            axis: "points mAP".into(),
            sides: ("worse".into(), "better".into()),
            band: 0.5,
            rows,
        }
    }

    #[test]
    fn one_collapsed_arm_does_not_flatten_the_others() {
        let (low, _) = limits(&chart(vec![row(Some(-1.0)), row(Some(-2.0)), row(Some(-60.0))]));
        assert!(low > -30.0, "{low}");
    }

    #[test]
    fn no_rows_and_no_pairs_draw() {
        for rows in [vec![], vec![row(None)], vec![row(Some(0.0))]] {
            let chart = chart(rows);
            assert_eq!(draw(&chart, &LIGHT, 360).unwrap().width, 360);
            draw(&chart, &LIGHT, 960).unwrap();
        }
    }
}
