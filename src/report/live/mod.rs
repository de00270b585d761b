//! The pages of `dgnet serve`: all studies, one study while it runs, and what is said where there is
//! nothing to show. They show the report's view model in the report's own sections. What workers are at
//! comes in as plain data; who asks, who answers and every clock are elsewhere.

mod frame;
mod parts;

use maud::{Markup, html};

use self::frame::Frame;
pub use self::frame::address;
use super::Report;
use super::assets::{self, SCRIPT};

/// A study in the list of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyLine {
    /// Name.
    pub name: String,
    /// The question, free text.
    pub question: String,
    /// Where its cells stand.
    pub counts: Counts,
    /// When it last changed, in words.
    pub changed: String,
}

/// Cells of a study by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Over, with a result.
    pub done: usize,
    /// A worker is at them.
    pub running: usize,
    /// Failed.
    pub failed: usize,
    /// Diverged.
    pub diverged: usize,
    /// All of them.
    pub total: usize,
}

/// A run that a worker is at, or a stage that runs wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// `full seed 2`, `teacher of seed 1`.
    pub label: String,
    /// What the worker is at: teacher, training, evaluation, pictures.
    pub phase: String,
    /// Last step finished of the phase, and its steps.
    pub step: (u64, u64),
    /// `2.4 steps/s`, where it is known.
    pub speed: Option<String>,
    /// How long the phase still takes, where it is known.
    pub left: Option<String>,
}

/// Where a study stands at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Cells by state.
    pub counts: Counts,
    /// What workers are at.
    pub running: Vec<Running>,
    /// Which making of the report is shown with it; every one has a name of its own.
    pub version: String,
}

/// Sections of the report that the live page shows.
const SECTIONS: [&str; 4] = ["arms", "differences", "curves", "failures"];

/// The style sheet of all live pages: the report's, and a few lines of their own.
#[must_use]
pub fn style() -> String {
    assets::style() + include_str!("live.css")
}

/// Their script: looks for news, then what the report's does.
#[must_use]
pub fn script() -> String {
    format!("{}{SCRIPT}", include_str!("live.js"))
}

/// The list of all studies as a whole page; `archived` are left out and counted.
#[must_use]
pub fn index(lines: &[StudyLine], archived: usize) -> String {
    let head = html! {
        header {
            p.overline { "dgnet" }
            h1 { "Studies" }
        }
    };
    let frame = Frame { title: "Studies", looks_at: Some("/live".into()), head };
    frame::page(&frame, &index_parts(lines, archived)).into_string()
}

/// What changes of it.
#[must_use]
pub fn index_parts(lines: &[StudyLine], archived: usize) -> Markup {
    parts::studies(lines, archived)
}

/// A study's live page.
#[must_use]
pub fn study(report: &Report, standing: &Standing) -> String {
    let name = address(&report.study);
    let head = html! {
        nav aria-label="Pages" {
            a href="/" { "All studies" }
            a href={ "/report/" (name) "/" } { "Report" }
        }
        header {
            p.overline { "Study" }
            h1 dir="auto" { (report.study) }
            @if !report.question.is_empty() { p.question dir="auto" { (report.question) } }
        }
    };
    let looks_at = Some(format!("/study/{name}/live"));
    let frame = Frame { title: &parts::title(report, standing), looks_at, head };
    frame::page(&frame, &study_parts(report, standing, "")).into_string()
}

/// What changes of it; the parts of the report only for somebody who has not `seen` this version.
#[must_use]
pub fn study_parts(report: &Report, standing: &Standing, seen: &str) -> Markup {
    html! {
        (parts::standing(report, standing, seen == standing.version))
        @if seen != standing.version { (parts::report(report, standing, &SECTIONS)) }
    }
}

/// A page that says what is wrong: a title and a message, whose later lines may be hints.
#[must_use]
pub fn trouble(title: &str, message: &str) -> String {
    let (what, hint) = message.split_once("\n  hint: ").unwrap_or((message, ""));
    let head = html! {
        header {
            p.overline { "dgnet" }
            h1 { (title) }
            p.question dir="auto" { (super::page::prose(what)) }
            @if !hint.is_empty() { p { "Hint: " (super::page::prose(hint)) } }
            p { a href="/" { "All studies" } }
        }
    };
    frame::page(&Frame { title, looks_at: None, head }, &html! {}).into_string()
}

#[cfg(test)]
pub(crate) mod tests;
