//! The parts of the live pages that change: each has a name, by which the script replaces it alone.

use maud::{Markup, html};

use super::frame::address;
use super::{Counts, Running, Standing, StudyLine};
use crate::report::Report;
use crate::report::page::answer;
use crate::report::sections::these;

/// The table of all studies.
pub fn studies(lines: &[StudyLine], archived: usize) -> Markup {
    html! {
        section data-part="studies" data-title="Studies" {
            @if lines.is_empty() {
                p { "No study yet: " code { "dgnet sweep STUDY" } " trains one and brings it here." }
            } @else {
                table.plain.studies {
                    thead {
                        tr {
                            th scope="col" { "Study" } th.n scope="col" { "Done" } th.n scope="col" { "Running" }
                            th.n scope="col" { "Failed" } th scope="col" { "Last change" } th scope="col" { "Results" }
                        }
                    }
                    tbody { @for line in lines { (study_row(line)) } }
                }
            }
            @if archived > 0 { p.note { "Archived and left out: " (archived) "." } }
        }
    }
}

fn study_row(line: &StudyLine) -> Markup {
    let (name, counts) = (address(&line.name), line.counts);
    html! {
        tr {
            th scope="row" {
                a href={ "/study/" (name) } dir="auto" { (line.name) }
                @if !line.question.is_empty() { span.label dir="auto" { (line.question) } }
            }
            td.n data-label="Done" { (counts.done) " of " (counts.total) }
            td.n data-label="Running" { (counts.running) }
            td.n data-label="Failed" { (counts.failed + counts.diverged) }
            td data-label="Last change" { (line.changed) }
            td { a href={ "/report/" (name) "/" } aria-label={ "Report of " (line.name) } { "Report" } }
        }
    }
}

/// What a study's page is called: what one wants to see in a tab.
pub fn title(report: &Report, standing: &Standing) -> String {
    let Counts { done, total, .. } = standing.counts;
    format!("{done} of {total} \u{b7} {}", report.study)
}

/// Where a study stands; `alone`, if the parts of its report are those that were seen.
pub fn standing(report: &Report, standing: &Standing, alone: bool) -> Markup {
    html! {
        div data-part="standing" data-title=(title(report, standing)) data-version=(standing.version)
            data-alone[alone] { (stands(standing)) }
    }
}

/// The answer so far, and these sections of a study's report.
pub fn report(report: &Report, standing: &Standing, sections: &[&str]) -> Markup {
    let overline = if is_over(standing) { "Answer" } else { "Answer so far" };
    html! {
        div data-part="answer" { (answer(report, overline)) }
        @for section in these(report, |id| sections.contains(&id)) {
            section id=(section.id) data-part=(section.id) {
                h2 { (section.title) }
                (section.body)
            }
        }
    }
}

fn is_over(standing: &Standing) -> bool {
    let Counts { done, diverged, total, .. } = standing.counts;
    done + diverged == total
}

fn stands(standing: &Standing) -> Markup {
    let Counts { done, running, failed, diverged, total } = standing.counts;
    let open = total - done - diverged - failed - running;
    let told =
        [(running, "running"), (failed, "failed"), (diverged, "diverged"), (open, "to come")];
    html! {
        p.stands {
            strong { (done) " of " (total) } " runs done"
            @for (count, word) in told.into_iter().filter(|(count, _)| *count > 0) { ", " (count) " " (word) }
        }
        progress max=(total.max(1)) value=(done) aria-label="Runs done" {}
        @if standing.running.is_empty() {
            p.note { @if is_over(standing) { "Nothing is left to do." } @else { "No worker is at it right now." } }
        } @else {
            table.plain.running {
                caption { "What workers are at" }
                thead {
                    tr {
                        th scope="col" { "Run" } th scope="col" { "Phase" } th.n scope="col" { "Step" }
                        th.n scope="col" { "Speed" } th.n scope="col" { "Left" }
                    }
                }
                tbody { @for run in &standing.running { (running_row(run)) } }
            }
        }
    }
}

fn running_row(run: &Running) -> Markup {
    let (step, of) = run.step;
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "\u{2013}".to_owned());
    html! {
        tr {
            th scope="row" { code dir="auto" { (run.label) } }
            td data-label="Phase" { (run.phase) }
            td.n data-label="Step" {
                @if of > 0 {
                    (step) " of " (of)
                    progress max=(of) value=(step.min(of)) aria-label={ (run.label) ", " (run.phase) } {}
                } @else { "\u{2013}" }
            }
            td.n data-label="Speed" { (known(&run.speed)) }
            td.n data-label="Left" { (known(&run.left)) }
        }
    }
}
