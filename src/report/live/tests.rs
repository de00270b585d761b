//! The live pages: hostile names are text, what has nothing to show says so.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::report::demo::{ARMS, eventful, study as invented};
use crate::report::{build, frames};
use crate::store::rows::StudyData;

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{1f600}/../..";

/// A study of two arms.
pub(crate) fn small() -> StudyData {
    invented(&ARMS[..2], 2)
}

fn standing() -> Standing {
    let run = Running {
        label: HOSTILE.into(),
        phase: "training".into(),
        step: (12, 40),
        speed: Some("2.0 steps/s".into()),
        left: None,
    };
    let counts = Counts { done: 3, running: 1, failed: 1, diverged: 1, total: 9 };
    Standing { counts, running: vec![run], version: "v1".into() }
}

#[test]
fn hostile_names_are_text_and_one_segment_of_an_address() {
    let mut data = eventful();
    data.study.name = HOSTILE.into();
    data.study.question = HOSTILE.into();
    data.arms[1].label = HOSTILE.into();
    let report = build(&data).unwrap();
    let line = StudyLine {
        name: HOSTILE.into(),
        question: HOSTILE.into(),
        counts: standing().counts,
        changed: "now".into(),
    };
    for page in [
        study(&report, &standing()),
        study_parts(&report, &standing(), "").into_string(),
        index(&[line], 2),
        trouble(HOSTILE, HOSTILE),
    ] {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), "{page}");
        assert!(!page.contains("href=\"/study/<"), "{page}");
    }
    assert_eq!(frame::address("a b/../\u{e4}%"), "a%20b%2F..%2F%C3%A4%25");
}

#[test]
fn a_study_shows_where_it_stands_its_arms_and_its_curves() {
    let report = build(&invented(&ARMS, 3)).unwrap();
    let page = study(&report, &standing());
    for part in [
        "<title>3 of 9 \u{b7} ablations</title>",
        "3 of 9</strong> runs done, 1 running, 1 failed, 1 diverged, 3 to come",
        "12 of 40",
        "2.0 steps/s",
        "data-looks-at=\"/study/ablations/live\"",
        "data-part=\"arms\"",
        "data-part=\"curves\"",
        "href=\"/report/ablations/\"",
        "http-equiv=\"refresh\"",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
    assert!(!page.contains("data-part=\"pictures\""), "pictures are the report's");
    // what the script fetches is what the page was made with
    assert!(page.contains(&study_parts(&report, &standing(), "v0").into_string()));
    let alone = study_parts(&report, &standing(), "v1").into_string();
    assert!(alone.contains("12 of 40") && !alone.contains("data-part=\"arms\""), "{alone}");
}

#[test]
fn a_study_without_any_result_has_a_page() {
    let mut data = small();
    data.metrics.clear();
    data.finals.clear();
    data.hits.clear();
    data.artifacts.clear();
    data.changes.clear();
    for cell in &mut data.cells {
        cell.state = "planned".into();
    }
    assert!(frames::frames(&data).unwrap().curves.is_empty());
    let report = build(&data).unwrap();
    let counts = Counts { total: 4, ..Counts::default() };
    let page = study(&report, &Standing { counts, ..Standing::default() });
    assert!(page.contains("0 of 4</strong> runs done, 4 to come"), "{page}");
    assert!(page.contains("No worker is at it right now."));
    assert!(!page.contains("data-part=\"curves\""));
}

#[test]
fn trouble_shows_the_hint_of_an_error() {
    let page = trouble("Not found", "unknown study `x`\n  hint: the database holds `a`");
    assert!(page.contains("unknown study <code>x</code>"), "{page}");
    assert!(page.contains("Hint: the database holds <code>a</code>"), "{page}");
    assert!(!page.contains("data-looks-at"));
}
