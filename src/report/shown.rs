//! The sections of the page that show pictures and single queries.

use maud::{Markup, html};

use super::page::embedded;
use super::pictures::{ChangedQuery, PictureView, Quality};
use super::view::Report;

/// A caption as a sentence.
fn sentence(caption: &str) -> String {
    let mut letters = caption.trim_end_matches('.').chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}

/// Swap grids, and their quality in numbers.
pub fn pictures(report: &Report) -> Markup {
    let first = report.pictures.first().map(|p| p.caption.as_str()).unwrap_or_default();
    let same = report.pictures.iter().all(|p| p.caption == first);
    html! {
        p.note {
            "Each picture combines the structure of its row (pose, position, scene) with the appearance of its column "
            "(clothes, colours, bags); the truth, where it can be rendered, stands beside. First seed of each arm."
            @if same && !first.is_empty() { " " span dir="auto" { (sentence(first)) } }
        }
        div.pictures {
            @for picture in &report.pictures {
                figure {
                    (image(picture, "Generated pictures of "))
                    figcaption {
                        code { (picture.arm) } " " span.origin { (picture.origin) }
                        @if !same { br; (picture.caption) }
                    }
                }
            }
        }
        @if let Some(quality) = &report.quality { (numbers(quality)) }
    }
}

fn image(picture: &PictureView, what: &str) -> Markup {
    html! {
        img src=(embedded(&picture.media_type, &picture.bytes)) loading="lazy"
            alt={ (what) (picture.arm) ", " (picture.origin) ". " (picture.caption) };
    }
}

fn numbers(quality: &Quality) -> Markup {
    html! {
        h3 { "Quality of generated pictures" }
        div.scroll {
            table.plain.sortable.quality {
                caption { "Means over finished runs." }
                thead {
                    tr {
                        th scope="col" { "Arm" }
                        @for heading in &quality.headings { th.n scope="col" { (heading) } }
                    }
                }
                tbody {
                    @for (arm, values) in &quality.rows {
                        tr {
                            th scope="row" { code { (arm) } }
                            @for value in values { td.n { (value) } }
                        }
                    }
                }
            }
        }
        details {
            summary { "What these numbers are" }
            dl.list {
                @for (heading, about) in quality.headings.iter().zip(&quality.about) {
                    dt { (heading) } dd { (about) }
                }
            }
        }
    }
}

/// Ranked lists, arm by arm; those of the baseline are open.
pub fn ranked(report: &Report) -> Markup {
    let baseline = report.arms.iter().find(|arm| arm.is_baseline).map(|arm| arm.name.as_str());
    let open = |arm: &str| Some(arm) == baseline.or(report.ranked.first().map(|r| r.arm.as_str()));
    html! {
        p.note {
            "Left the query, then the gallery photos ranked first for it; photos of its person under its own camera are "
            "left out, as in the protocol. Solid green frame and tick: the same person. Dashed red frame and cross: "
            "somebody else, or nobody. Queries from the best ranked to the worst, at equal steps. First seed of each arm."
        }
        @for view in &report.ranked {
            details open[open(&view.arm)] {
                summary { code { (view.arm) } " " span.origin { (view.origin) } }
                div.lists {
                    @for list in &view.lists {
                        figure {
                            (image(list, "Ranked list of "))
                            figcaption { (list.caption) }
                        }
                    }
                }
            }
        }
    }
}

/// Queries that each arm improves and hurts most.
pub fn changes(report: &Report) -> Markup {
    html! {
        p.note {
            "Average precision of single queries against the baseline, in per cent: means over the seeds that both "
            "finished. The extremes of many queries are large by chance alone; they show where to look, and decide nothing. "
            code { "dgnet query --name changed_queries" } " lists more."
        }
        @for change in &report.changes {
            details {
                summary { code { (change.arm) } " " span.origin { (change.seeds) } }
                div.changes {
                    (queries("Most improved", &change.improved))
                    (queries("Most hurt", &change.hurt))
                }
            }
        }
    }
}

fn queries(title: &str, queries: &[ChangedQuery]) -> Markup {
    html! {
        table.plain {
            caption { (title) @if queries.is_empty() { ": none" } }
            @if !queries.is_empty() {
                thead { tr { th { "Query" } th.n { "Baseline" } th.n { "Arm" } th.n { "Difference" } } }
                tbody {
                    @for query in queries {
                        tr {
                            th scope="row" { code { (query.query) } }
                            td.n { (query.baseline) } td.n { (query.value) } td.n { (query.difference) }
                        }
                    }
                }
            }
        }
    }
}
