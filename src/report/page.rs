//! The page: one HTML file that carries its style, script and pictures and asks nothing of a network.
//! The frame and the first screen are here, the sections below in `sections`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets::{SCRIPT, policy, style};
use super::plots::{Figure, Image, Place};
use super::sections;
use super::view::Report;

/// The whole page.
#[must_use]
pub fn render(report: &Report) -> String {
    let sections = sections::all(report);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="color-scheme" content="light dark";
                meta name="generator" content="dgnet";
                title { (report.study) " · ablation study" }
                style { (PreEscaped(style())) }
            }
            body {
                a.skip href="#arms" { "Skip to the table of arms" }
                main {
                    (masthead(report))
                    nav aria-label="Sections" {
                        @for section in &sections { a href={ "#" (section.id) } { (section.title) } }
                    }
                    @for section in &sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    p {
                        "Rebuilt from the results database alone: the same database gives the same file. "
                        "Beside it: " code { "table.csv" } ", " code { "table.md" } ", " code { "table.tex" }
                        ", " code { "report.json" } " and every chart in " code { "figures/" } ", as PNG and as SVG."
                    }
                }
                (enlarged())
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// Where the script shows a picture large.
pub(super) fn enlarged() -> Markup {
    html! {
        dialog id="enlarged" aria-label="Enlarged picture" {
            form method="dialog" { button { "Close" } }
            img alt="";
            p {}
        }
    }
}

/// The answer and what it depends on.
pub(super) fn answer(report: &Report, overline: &str) -> Markup {
    html! {
        div.answer {
            p.overline { (overline) }
            @for sentence in &report.answer { p { (prose(sentence)) } }
            ul.conditions { @for condition in &report.conditions { li { (prose(condition)) } } }
        }
    }
}

fn masthead(report: &Report) -> Markup {
    html! {
        header {
            p.overline { "Ablation study" }
            h1 dir="auto" { (report.study) }
            @if !report.question.is_empty() { p.question dir="auto" { (report.question) } }
            (answer(report, "Answer"))
            dl.facts {
                @for fact in &report.facts { div { dt { (fact.label) } dd { (fact.value) } } }
            }
        }
    }
}

/// A sentence, with what stands in backticks set as code.
#[must_use]
pub fn prose(text: &str) -> Markup {
    let text = text.replace(" %", "\u{a0}%"); // a number and its unit stay on one line
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A data URI.
#[must_use]
pub fn embedded(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

/// Whether the arms of a chart can be hidden: then its drawings stand beside the pictures, for the script.
fn has_arms(figure: &Figure) -> bool {
    matches!(figure.place, Place::Primary | Place::Loss | Place::Other | Place::Cmc)
}

/// The drawing as a part of the page, which has no use for a name space.
fn drawing(image: &Image) -> String {
    image.svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
}

/// A chart with the rendering that suits the screen; print and old readers get the light, wide one.
#[must_use]
pub fn chart(figure: &Figure) -> Markup {
    let Some(first) = figure.images.first() else { return html! {} };
    let condition = |image: &Image| {
        let narrow = if image.narrow { " and (max-width: 640px)" } else { "" };
        let dark = if image.dark { " and (prefers-color-scheme: dark)" } else { "" };
        format!("screen{narrow}{dark}")
    };
    // the first source that matches wins: the most particular ones come first
    let mut others: Vec<&Image> = figure.images.iter().skip(1).collect();
    others.sort_by_key(|i| (!i.narrow, !i.dark));
    html! {
        picture {
            @for image in others {
                source media=(condition(image)) srcset=(embedded("image/png", &image.png))
                    width=(image.width) height=(image.height);
            }
            img src=(embedded("image/png", &first.png)) alt=(figure.alt)
                width=(first.width) height=(first.height);
        }
        @for image in figure.images.iter().filter(|i| has_arms(figure) && !i.dark) {
            template data-narrow[image.narrow] { (PreEscaped(drawing(image))) }
        }
    }
}
