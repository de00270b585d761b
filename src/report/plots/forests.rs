//! Forest charts: every arm beside the baseline, and every arm of one study beside the same arm of another.

use super::{Figure, PHONE, Place, WIDE, renderings};
use crate::report::ReportError;
use crate::report::against::Against;
use crate::report::compare::Compared;
use crate::report::figures::forest::{self, Forest, Row};
use crate::report::measure::Measure;
use crate::report::view::{ArmView, tone};
use crate::stats::Interval;
use crate::store::rows::StudyData;

/// Every arm beside the baseline.
pub fn differences(
    data: &StudyData,
    arms: &[Compared],
    views: &[ArmView],
    primary: &Measure,
) -> Result<Figure, ReportError> {
    let scaled = |v: f64| v * primary.scale;
    let span = |i: Option<Interval>| i.map(|i| (scaled(i.low), scaled(i.high)));
    let rows = arms
        .iter()
        .zip(views)
        .filter(|(arm, _)| !arm.is_baseline)
        .map(|(arm, view)| {
            let pairs = arm.pairs.as_ref();
            let note = &view.verdict_note;
            Row {
                label: view.name.clone(),
                centre: pairs.map(|p| scaled(p.mean)),
                wide: pairs.and_then(|p| span(p.t95)),
                narrow: pairs.and_then(|p| span(p.t90)),
                seeds: arm.differences.iter().copied().map(scaled).collect(),
                tone: tone(arm.verdict),
                diverged: arm.diverged() > 0,
                numbers: with_interval(&view.difference, &view.difference_interval),
                verdict: if note.is_empty() {
                    view.verdict.clone()
                } else {
                    format!("{}, {note}", view.verdict)
                },
            }
        })
        .collect();
    let base = &data.study.baseline;
    let images = images("differences", primary, base, data.study.equal_within, rows)?;
    let told: Vec<String> = views
        .iter()
        .filter(|v| !v.is_baseline)
        .map(|v| format!("{} {} {}", v.name, v.difference, v.verdict))
        .collect();
    let alt = format!("Differences in {} to {base}: {}.", primary.heading(), told.join("; "));
    Ok(Figure { place: Place::Differences, title: "Differences".to_owned(), alt, images })
}

/// Every arm of a study beside the arm of that name in another; `None` where no two have a pair.
pub fn beside(
    against: &Against,
    primary: &Measure,
    band: f64,
) -> Result<Option<Figure>, ReportError> {
    let scaled = |v: f64| v * primary.scale;
    let span = |bounds: Option<[f64; 2]>| bounds.map(|[low, high]| (scaled(low), scaled(high)));
    let met = || against.arms.iter().filter(|arm| arm.raw_difference.is_some());
    let rows: Vec<Row> = met()
        .map(|arm| Row {
            label: arm.arm.clone(),
            centre: arm.raw_difference.map(scaled),
            wide: span(arm.raw_interval95),
            narrow: span(arm.raw_interval90),
            seeds: arm.raw_pairs.iter().copied().map(scaled).collect(),
            tone: arm.mark,
            diverged: arm.diverged > 0,
            numbers: with_interval(&arm.difference, &arm.difference_interval),
            verdict: arm.verdict.clone(),
        })
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let images = images("against", primary, &against.other, band, rows)?;
    let told: Vec<String> =
        met().map(|arm| format!("{} {} {}", arm.arm, arm.difference, arm.verdict)).collect();
    let title = format!("{} beside {}", against.study, against.other);
    let alt = format!(
        "Differences in {} of {} to {}, arm by arm: {}.",
        primary.heading(),
        against.study,
        against.other,
        told.join("; ")
    );
    Ok(Some(Figure { place: Place::Against, title, alt, images }))
}

fn with_interval(difference: &str, interval: &str) -> String {
    if interval.is_empty() { difference.to_owned() } else { format!("{difference}  [{interval}]") }
}

fn images(
    stem: &str,
    primary: &Measure,
    base: &str,
    band: f64,
    rows: Vec<Row>,
) -> Result<Vec<super::Image>, ReportError> {
    let unit = match primary.difference_unit() {
        "" => String::new(),
        unit => format!(" ({unit})"),
    };
    let sides = if primary.higher == Some(false) {
        (format!("\u{2190} better than {base}"), format!("worse than {base} \u{2192}"))
    } else {
        (format!("\u{2190} worse than {base}"), format!("better than {base} \u{2192}"))
    };
    let chart = Forest {
        axis: format!("difference in {} to {base}{unit}", primary.title()),
        sides,
        band: band * primary.scale,
        rows,
    };
    renderings(stem, &[(WIDE, 0, false), (PHONE, 0, true)], |theme, width, _| {
        forest::draw(&chart, theme, width)
    })
}
