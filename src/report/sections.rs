//! The sections of the page under its first screen, each left out where there is nothing to show.

mod against;
mod cameras;
mod design;
mod opinions;

use maud::{Markup, html};

use super::assets::PUBLISHED;
use super::facts::Fact;
use super::page::{chart, prose};
use super::plots::{Figure, Place};
use super::shown;
use super::view::{ArmView, Report};

/// A section.
pub struct Section {
    /// Anchor.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Content.
    pub body: Markup,
}

/// Runs up to which their table is open from the start.
const RUNS_OPEN: usize = 30;

/// Every section that has something to say, in reading order.
pub fn all(report: &Report) -> Vec<Section> {
    these(report, |_| true)
}

/// Those that are wanted, by their anchors.
pub fn these(report: &Report, wanted: impl Fn(&str) -> bool) -> Vec<Section> {
    let some = |id, title, shown: bool, body: fn(&Report) -> Markup| {
        (shown && wanted(id)).then(|| Section { id, title, body: body(report) })
    };
    let has = |place| report.figures.iter().any(|f| f.place == place);
    [
        some("arms", "Arms", true, arms),
        some("differences", "Differences", has(Place::Differences), differences),
        some("design", "What was varied", design::PLACES.into_iter().any(has), design::section),
        some("against", "Beside another study", report.against.is_some(), against::section),
        some("front", "Several metrics", report.front.is_some(), opinions::front),
        some("opinions", "Second opinions", report.arms.len() > 1, opinions::section),
        some("ranks", "Ranks", has(Place::Cmc), ranks),
        some("curves", "Learning curves", has(Place::Primary) || has(Place::Loss), curves),
        some("notes", "Notes", !report.notes.is_empty(), notes),
        some("pictures", "Generated pictures", !report.pictures.is_empty(), shown::pictures),
        some("lists", "Ranked lists", !report.ranked.is_empty(), shown::ranked),
        some("queries", "Single queries", !report.changes.is_empty(), shown::changes),
        some("cameras", "Pairs of cameras", report.cameras.is_some(), cameras::section),
        some("failures", "Failed and diverged", !report.failures.is_empty(), failures),
        some("cost", "Cost", !report.costs.is_empty(), cost),
        some("reproduce", "Reproduce", !report.runs.is_empty(), reproduce),
        some("provenance", "Provenance", true, provenance),
        some("method", "Method", true, method),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn arms(report: &Report) -> Markup {
    let flips = report.arms.iter().any(|a| !a.flip_interval.is_empty());
    html! {
        table.arms.sortable {
            caption {
                "Means over seeds with 95 % intervals; differences are paired by seed."
                @if flips { " Under the t interval of a difference: the inverted sign-flip interval." }
            }
            thead {
                tr {
                    th scope="col" { "Arm" }
                    th.n scope="col" { "Seeds" }
                    th.n scope="col" { (report.primary) }
                    th.n scope="col" {
                        "Difference"
                        @if !report.difference_unit.is_empty() { " (" (report.difference_unit) ")" }
                    }
                    th.n scope="col" { "p" }
                    th scope="col" { "Verdict" }
                    @for heading in &report.secondary { th.n scope="col" { (unbroken(heading)) } }
                }
            }
            tbody { @for arm in &report.arms { (arm_row(report, arm)) } }
        }
        (references(report))
    }
}

/// A heading whose words stay whole: `rank-1` does not end a line at its hyphen.
fn unbroken(heading: &str) -> Markup {
    html! {
        @for word in heading.split_inclusive(' ') { span.whole { (word.trim_end()) } " " }
    }
}

fn arm_row(report: &Report, arm: &ArmView) -> Markup {
    let sort = |value: Option<f64>| value.map(|v| v.to_string());
    let p = arm.raw.p_holm.or(arm.raw.p);
    html! {
        tr.baseline[arm.is_baseline] {
            th scope="row" {
                code dir="auto" { (arm.name) }
                @if let Some(label) = &arm.label { span.label dir="auto" { (label) } }
                @for change in &arm.changes { span.change { (change) } }
            }
            td.n data-label="Seeds" { (arm.seeds) }
            td.n data-label=(report.primary) data-sort=[sort(arm.raw.mean)] {
                strong { (arm.mean) }
                @if !arm.interval.is_empty() { small { (arm.interval) } }
            }
            td.n data-label="Difference" data-sort=[sort(arm.raw.difference)] {
                @if arm.difference.is_empty() { (dash(arm)) } @else {
                    strong { (arm.difference) }
                    @if !arm.difference_interval.is_empty() { small { (arm.difference_interval) } }
                    @if !arm.flip_interval.is_empty() { small { (arm.flip_interval) } }
                }
            }
            td.n data-label="p" data-sort=[sort(p)] {
                @if arm.p.is_empty() { (dash(arm)) } @else { (arm.p) small { (arm.p_note) } }
            }
            td.decided data-label="Verdict" {
                span class={ "verdict " (arm.tone) } { (arm.verdict) }
                @if !arm.verdict_note.is_empty() { small { (arm.verdict_note) } }
            }
            @for (value, (heading, raw)) in
                arm.secondary.iter().zip(report.secondary.iter().zip(&arm.raw.secondary)) {
                td.n data-label=(heading) data-sort=[sort(*raw)] { (value) }
            }
        }
    }
}

fn dash(arm: &ArmView) -> Markup {
    html! { span.none title=[arm.is_baseline.then_some("baseline")] { "\u{2013}" } }
}

/// A forest chart and how it is read.
fn forest(report: &Report, place: Place) -> Markup {
    html! {
        @for figure in of(report, place) {
            figure.wide {
                (chart(figure))
                figcaption {
                    "Thin line: 95 % t interval; thick line: 90 %. Small ticks: single seeds. Shaded: differences "
                    "that do not matter. Filled: decided; hollow: inconclusive; arrow: beyond the axis."
                }
            }
        }
    }
}

fn differences(report: &Report) -> Markup {
    html! {
        (forest(report, Place::Differences))
        ul.verdicts {
            @for arm in report.arms.iter().filter(|a| !a.is_baseline) {
                li class=(arm.tone) { (prose(&arm.sentence)) }
            }
        }
    }
}

fn ranks(report: &Report) -> Markup {
    html! {
        @for figure in of(report, Place::Cmc) {
            figure.wide {
                (chart(figure))
                figcaption { "Share of queries whose first true match is within the rank. Lines: means over seeds; bands: smallest to largest seed." }
            }
        }
    }
}

fn notes(report: &Report) -> Markup {
    html! {
        dl.list { @for Fact { label, value } in &report.notes { dt dir="auto" { (label) } dd dir="auto" { (value) } } }
    }
}

fn references(report: &Report) -> Markup {
    html! {
        @if !report.references.is_empty() {
            table.plain {
                caption { "Published counterparts: rank-1 / mAP in per cent, Zheng et al. (CVPR 2019), one run each. The data set is known by its folder's name." }
                thead { tr { th { "Arm" } th { "Data" } th { "Features" } th.n { "Here" } th.n { "Published" } } }
                tbody {
                    @for row in &report.references {
                        tr {
                            th scope="row" { code { (row.arm) } }
                            td { (row.data) } td { (row.features) } td.n { (row.measured) } td.n { (row.published) }
                        }
                    }
                }
            }
        }
    }
}

fn of(report: &Report, place: Place) -> impl Iterator<Item = &Figure> {
    report.figures.iter().filter(move |f| f.place == place)
}

fn curves(report: &Report) -> Markup {
    let panels = |place| {
        html! {
            div.panels { @for figure in of(report, place) { figure { (chart(figure)) } } }
        }
    };
    html! {
        @for figure in of(report, Place::Primary) { figure.wide { (chart(figure)) } }
        (legend(report))
        p.note {
            "Lines: means over seeds. Bands, and upright lines at a few points: from the smallest to the largest seed. A line ends where its last run "
            "ended; a level line is an arm that was measured once, like a teacher."
            @if report.muted > 0 {
                " In grey: the " (report.muted) " arms with the smallest differences."
            }
        }
        (without_chart("Without any finite value", &report.never_finite))
        (without_chart("0 from beginning to end", &report.always_zero))
        @if of(report, Place::Loss).next().is_some() { h3 { "Losses" } (panels(Place::Loss)) }
        @if of(report, Place::Other).next().is_some() {
            h3 { "Other measurements" }
            (panels(Place::Other))
        }
    }
}

fn without_chart(why: &str, names: &[String]) -> Markup {
    html! {
        @if !names.is_empty() {
            p.note {
                (why) ", and so without a chart: "
                @for (place, name) in names.iter().enumerate() {
                    @if place > 0 { ", " }
                    code { (name) }
                }
                "."
            }
        }
    }
}

fn legend(report: &Report) -> Markup {
    html! {
        ul.legend aria-label="Legend of the curves" {
            @for item in &report.legend {
                li style={ "--light:" (item.light) ";--dark:" (item.dark) } {
                    svg width="30" height="12" aria-hidden="true" {
                        path.mark d=(item.marker) {}
                        line x1="1" y1="6" x2="29" y2="6" stroke-dasharray=(item.dash)
                            stroke-width=(if item.is_baseline { "2.6" } else { "2" }) {}
                    }
                    code { (item.arm) }
                }
            }
        }
    }
}

fn failures(report: &Report) -> Markup {
    html! {
        table.plain {
            thead { tr { th { "Arm" } th.n { "Seed" } th { "State" } th.n { "Step" } th { "Reason" } } }
            tbody {
                @for run in &report.failures {
                    tr {
                        th scope="row" { code { (run.arm) } }
                        td.n { (run.seed) }
                        td { (run.state) }
                        td.n { (run.at) }
                        td.reason { (prose(&run.reason)) }
                    }
                }
            }
        }
    }
}

fn cost(report: &Report) -> Markup {
    html! {
        table.plain.sortable {
            caption {
                "Medians over the runs of an arm; memory is the largest of any of them. Steps taken over from a beginning shared with other runs are not in a run's time: see the stages."
            }
            thead {
                tr {
                    th { "Arm" } th.n { "Runs" } th.n { "Wall time" } th.n { "CPU time" }
                    th.n { "Peak memory" } th.n { "All runs" }
                }
            }
            tbody {
                @for cost in &report.costs {
                    tr {
                        th scope="row" { code { (cost.arm) } }
                        td.n { (cost.runs) } td.n { (cost.wall) } td.n { (cost.cpu) }
                        td.n { (cost.memory) } td.n { (cost.total) }
                    }
                }
            }
        }
        @if !report.stages.is_empty() {
            h3 { "Shared stages" }
            table.plain {
                caption { "Work with equal inputs is done once." }
                thead {
                    tr { th { "Stage" } th.n { "Done" } th.n { "Used by runs" } th.n { "Took" } th.n { "Sharing saved" } }
                }
                tbody {
                    @for stage in &report.stages {
                        tr {
                            th scope="row" { (stage.kind) }
                            td.n { (stage.pieces) } td.n { (stage.uses) } td.n { (stage.wall) } td.n { (stage.saved) }
                        }
                    }
                }
            }
        }
    }
}

fn reproduce(report: &Report) -> Markup {
    let table = html! {
        table.plain.commands {
            thead { tr { th { "Command" } th { "State" } th { "Run" } th { "Folder" } } }
            tbody {
                @for run in &report.runs {
                    tr {
                        td { code { (run.command) } }
                        td { (run.state) }
                        td { code { (run.uid) } }
                        td { code { (run.folder) } }
                    }
                }
            }
        }
    };
    html! {
        p.note { "A command finds its run finished or trains it; on the same kind of processor with the same versions it ends with the same bits." }
        @if report.runs.len() <= RUNS_OPEN { (table) } @else {
            details { summary { (report.runs.len()) " runs" } (table) }
        }
    }
}

fn provenance(report: &Report) -> Markup {
    html! {
        dl.list { @for Fact { label, value } in &report.provenance { dt { (label) } dd { (value) } } }
        @if !report.source.is_empty() {
            details { summary { "The study file" } pre { code { (report.source) } } }
        }
    }
}

fn method(report: &Report) -> Markup {
    html! {
        p {
            "Arms are compared with the baseline in pairs of equal seeds. Means carry Student's t interval below 20 seeds and a "
            "BCa bootstrap interval from 20 on; p is that of the exact sign-flip test. An arm makes "
            em { "no difference that matters" } " when the 90 % interval of its difference lies inside the band; it is "
            em { "worse" } " or " em { "better" } " when, for comparisons declared in advance, the corrected p is at most 0.05, and "
            "for exploratory ones, when the 95 % t interval leaves zero out; else it is " em { "inconclusive" }
            ". The seeds then needed follow from the band and the spread of the pairs, not from the effect seen: with so many, "
            "arms that do not differ are found equal in 80 of 100 studies."
        }
        @if report.adaptive {
            p {
                "Of comparisons declared in advance, seeds were added only while they were open. Their p is that of the paired t test, "
                "divided by the share of the error rate that its look may spend, the smallest so far, and corrected by Holm; their intervals "
                "are repeated ones, wider than those of one look, and the band is compared with one of twice the spent rate. So all looks "
                "together err as rarely as one would (Lan and DeMets 1983; Jennison and Turnbull 1989)."
            }
        }
        p {
            "A metric counts with its value at the last step, never its best. Diverged runs stay in the pairs as the worst possible value; "
            "failed and unfinished runs leave their pair out. mAP is the trapezoidal one of the official Market-1501 protocol. "
            "Secondary columns are means over finished runs."
        }
        details {
            summary { "Published numbers on other data, for orientation" }
            table.plain {
                caption { "rank-1 / mAP in per cent, Zheng et al. (CVPR 2019), ResNet-50 at 256\u{d7}128, one run each. They were measured on these data sets and are not comparable with this study's." }
                thead { tr { th { "Features at test" } th.n { "Market-1501" } th.n { "DukeMTMC-reID" } th.n { "MSMT17" } } }
                tbody {
                    @for [features, market, duke, msmt] in PUBLISHED {
                        tr { th scope="row" { (features) } td.n { (market) } td.n { (duke) } td.n { (msmt) } }
                    }
                }
            }
        }
        @if report.arms.len() > 1 { p.note { "Study: " code dir="auto" { (report.study) } "." } }
    }
}
