//! The section that puts a second study beside the report's.

use maud::{Markup, html};

use super::super::against::{Against, ArmAgainst, Mean};
use super::super::page::prose;
use super::super::plots::Place;
use super::super::view::Report;
use super::forest;

/// The arms of both studies, what is decided, and which settings differ.
pub fn section(report: &Report) -> Markup {
    let Some(against) = &report.against else { return html! {} };
    html! {
        p.note {
            "Arms of the same name in " code dir="auto" { (against.study) } " and " code dir="auto" { (against.other) }
            ", paired by seed where data and recipe agree. Every verdict here is exploratory: one comparison by itself, not corrected for the others."
            @if let Some(primary) = &against.other_primary {
                " The other study is decided by " code { (primary) } ", not by this metric."
            }
        }
        @if against.arms.is_empty() { p { "No arm of the one has the name of an arm of the other." } } @else { (table(against)) }
        (forest(report, Place::Against))
        ul.verdicts {
            @for arm in &against.arms {
                li class=(arm.tone) {
                    @for sentence in &arm.sentences { (prose(sentence)) " " }
                    @if !arm.differ.is_empty() {
                        details {
                            summary { "Settings of " code dir="auto" { (arm.arm) } " that differ: " (arm.differ.len()) }
                            ul { @for setting in &arm.differ { li { (prose(setting)) } } }
                        }
                    }
                }
            }
        }
        (alone("Only in", &against.study, &against.only_here))
        (alone("Only in", &against.other, &against.only_there))
    }
}

fn table(against: &Against) -> Markup {
    html! {
        div.scroll {
            table.plain.sortable.quality {
                caption { (against.metric) ": means over seeds with 95 % intervals; differences are " (against.study) " minus " (against.other) "." }
                thead {
                    tr {
                        th scope="col" { "Arm" }
                        th.n scope="col" { (against.study) }
                        th.n scope="col" { (against.other) }
                        th.n scope="col" {
                            "Difference"
                            @if !against.difference_unit.is_empty() { " (" (against.difference_unit) ")" }
                        }
                        th.n scope="col" { "Pairs" }
                        th.n scope="col" { "p" }
                        th scope="col" { "Verdict" }
                    }
                }
                tbody { @for arm in &against.arms { (row(arm)) } }
            }
        }
    }
}

fn row(arm: &ArmAgainst) -> Markup {
    let sort = |value: Option<f64>| value.map(|v| v.to_string());
    let mean = |mean: &Mean| {
        html! {
            td.n data-sort=[sort(mean.raw)] {
                strong { (mean.mean) }
                @if !mean.interval.is_empty() { small { (mean.interval) } }
            }
        }
    };
    html! {
        tr {
            th scope="row" { code dir="auto" { (arm.arm) } }
            (mean(&arm.here))
            (mean(&arm.there))
            td.n data-sort=[sort(arm.raw_difference)] {
                @if arm.difference.is_empty() { span.none { "\u{2013}" } } @else { strong { (arm.difference) } }
                @if !arm.difference_interval.is_empty() { small { (arm.difference_interval) } }
            }
            td.n { (arm.pairs) }
            td.n { @if arm.p.is_empty() { span.none { "\u{2013}" } } @else { (arm.p) } }
            td {
                span class={ "verdict " (arm.tone) } { (arm.verdict) }
                @if arm.tone != "none" { small { "exploratory" } }
            }
        }
    }
}

fn alone(lead: &str, study: &str, arms: &[String]) -> Markup {
    html! {
        @if !arms.is_empty() {
            p.note {
                (lead) " " code dir="auto" { (study) } ": "
                @for (place, arm) in arms.iter().enumerate() {
                    @if place > 0 { ", " }
                    code dir="auto" { (arm) }
                }
                "."
            }
        }
    }
}
