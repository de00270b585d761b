//! Second opinions on the arms, and the arms in several metrics at once.

use maud::{Markup, html};

use super::super::opinions::Opinion;
use super::super::page::{chart, prose};
use super::super::plots::Place;
use super::super::view::Report;
use super::of;

/// Arms up to which the table is open from the start.
const OPEN: usize = 12;

/// The table of second opinions.
pub fn section(report: &Report) -> Markup {
    html! {
        p.note {
            "What other summaries and tests say of the same values and pairs. They are there to be looked at: no verdict rests on them."
        }
        @if report.opinions.len() <= OPEN { (table(report)) } @else {
            details {
                summary { "Median, IQM, spread, Wilcoxon, probability of improvement, effect size" }
                (table(report))
            }
        }
        details {
            summary { "What these numbers are" }
            (meanings())
        }
    }
}

fn table(report: &Report) -> Markup {
    let unit = &report.difference_unit;
    html! {
        div.scroll {
            table.plain.sortable.quality {
                caption {
                    (report.primary) " over seeds, and each arm against the baseline in pairs of equal seeds. "
                    "A diverged run counts as the worst possible value, as in the table of arms."
                }
                thead {
                    tr {
                        th scope="col" { "Arm" }
                        th.n scope="col" { "Median" }
                        th.n scope="col" { "IQM" }
                        th.n scope="col" { "Std" @if !unit.is_empty() { " (" (unit) ")" } }
                        th.n scope="col" { "Wilcoxon p" }
                        th.n scope="col" { "P(better)" }
                        th.n scope="col" { "Hedges\u{2019} g" sub { "z" } }
                    }
                }
                tbody { @for opinion in &report.opinions { (row(opinion)) } }
            }
        }
    }
}

fn row(opinion: &Opinion) -> Markup {
    let sort = |value: Option<f64>| value.map(|v| v.to_string());
    let raw = &opinion.raw;
    let cell = |text: &str, value: Option<f64>| {
        html! {
            td.n data-sort=[sort(value)] {
                @if text.is_empty() { span.none { "\u{2013}" } } @else { (text) }
            }
        }
    };
    html! {
        tr {
            th scope="row" {
                code dir="auto" { (opinion.arm) }
                @if opinion.is_baseline { span.label { "baseline" } }
            }
            (cell(&opinion.median, raw.median))
            (cell(&opinion.iqm, raw.iqm))
            (cell(&opinion.sd, raw.sd))
            td.n data-sort=[sort(raw.p_wilcoxon)] {
                @if opinion.wilcoxon.is_empty() { span.none { "\u{2013}" } } @else { (opinion.wilcoxon) }
                @if !opinion.wilcoxon_note.is_empty() { small { (opinion.wilcoxon_note) } }
            }
            (cell(&opinion.improvement, raw.probability_of_improvement))
            (cell(&opinion.effect, raw.g_z))
        }
    }
}

fn meanings() -> Markup {
    html! {
        dl.list {
            dt { "Median" } dd { "The middle seed; of an even number the mean of the middle two." }
            dt { "IQM" } dd { "Interquartile mean: without the lowest and the highest quarter of the seeds; below four seeds the mean." }
            dt { "Std" } dd { "Sample standard deviation over seeds." }
            dt { "Wilcoxon p" } dd { "Two-sided signed-rank test of the paired differences, uncorrected: no single large difference can carry it. With n pairs it cannot fall below 2/2\u{207f}." }
            dt { "P(better)" } dd { "Probability of improvement: how often a run of the arm beats a run of the baseline, over all couples of their paired seeds, ties half. 0.50 says nothing either way." }
            dt { "Hedges\u{2019} g" sub { "z" } } dd { "Mean paired difference in standard deviations of the differences, corrected for few pairs; from three pairs on. Positive: the arm\u{2019}s values are higher." }
        }
    }
}

/// The arms in several metrics.
pub fn front(report: &Report) -> Markup {
    let Some(front) = &report.front else { return html! {} };
    html! {
        p { (prose(&front.sentence)) }
        @for figure in of(report, Place::Front) {
            figure.wide { (chart(figure)) }
        }
        p.note {
            "Filled: no other arm is at least as good in both and better in one; hollow: another arm is. The line bounds what "
            "the filled ones beat. Diamond: the baseline. Crosses reach one standard error of the mean either way. A name that would cover another is left to the table of arms."
        }
        p.note {
            "Fronts are of means, so arms that lie close may change places with other seeds; which differences are real, the verdicts say."
            @if !front.left_out.is_empty() {
                " Without a value in some of these metrics: "
                @for (place, name) in front.left_out.iter().enumerate() {
                    @if place > 0 { ", " }
                    code dir="auto" { (name) }
                }
                "."
            }
        }
    }
}
