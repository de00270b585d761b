//! Refusals, exit codes and what `--help` says.

use crate::support::{Place, TINY};

/// A study that must be refused: (what, the text, where, words of the message).
fn refused(what: &str, text: &[u8], position: &str, words: &[&str]) {
    let place = Place::new();
    std::fs::write(place.path().join("tiny.yaml"), text).unwrap();
    let output = place.dgnet(&["sweep", "tiny.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{what}: {said}");
    assert!(
        said.contains(&format!("tiny.yaml:{position}")),
        "{what}: no `tiny.yaml:{position}` in\n{said}"
    );
    for word in words {
        assert!(said.contains(word), "{what}: no `{word}` in\n{said}");
    }
    assert!(!place.runs().join("tiny").exists(), "{what}: nothing may run");
}

/// `TINY` with one line replaced, and that line's number.
fn with(old: &str, new: &str) -> (String, usize) {
    let line = TINY.lines().position(|line| line.contains(old)).unwrap() + 1;
    (TINY.replace(old, new), line)
}

#[test]
fn bad_studies_are_refused_at_the_right_line_before_anything_runs() {
    for (what, old, new, words) in [
        (
            "unknown key",
            "teacher.labels: hard",
            "teacher.lables: hard",
            ["teacher.lables", "did you mean"],
        ),
        (
            "wrong type",
            "width: 4, feature: 8, upsample",
            "width: wide, feature: 8, upsample",
            ["wide", "width"],
        ),
        ("bad value", "ids: 12", "ids: 1", ["ids", "4"]),
        (
            "unknown arm",
            "confirm: [teacher_only]",
            "confirm: [teacher_onyl]",
            ["teacher_onyl", "did you mean"],
        ),
        ("repeated seed", "seeds: 1", "seeds: [1, 2, 1]", ["seed", "1"]),
        ("bad name", "  full: {}", "  fu/ll: {}", ["fu/ll", "A-Z"]),
        ("batch of one", "batch: 2,", "batch: 1,", ["batch", "2"]),
        (
            "missing file",
            "upsample: never",
            "weights: nowhere.safetensors",
            ["nowhere.safetensors", "does not exist"],
        ),
    ] {
        let (text, line) = with(old, new);
        refused(what, text.as_bytes(), &format!("{line}:"), &words);
    }
    let (text, line) = with("  full: {}", "  full: {}\n  full: {}");
    refused("duplicate key", text.as_bytes(), &format!("{}:", line + 1), &["full"]);
    refused("empty file", b"", "1:1", &["empty"]);
    refused("not UTF-8", b"study: \xff\n", "1:", &["UTF-8"]);
}

#[test]
fn a_missing_study_names_the_places_that_were_searched() {
    let place = Place::new();
    let output = place.dgnet(&["sweep", "nothing.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing.yaml"));
}

#[test]
fn user_sql_cannot_write() {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["run", "tiny.yaml", "--arm", "teacher_only", "--seed", "1"]);
    for sql in [
        "delete from run",
        "attach 'x.db' as x",
        "vacuum into 'copy.db'",
        "pragma journal_mode = wal",
        "select 1; drop table run",
        "with x as (select 1) delete from run",
    ] {
        let output = place.dgnet(&["query", sql]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(!place.path().join("copy.db").exists() && !place.path().join("x.db").exists());
    let json = place.succeed(&["query", "select arm, seed from runs", "--format", "json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap().is_array(), "{json}");
    let unknown = place.dgnet(&["query", "select arn from runs"]);
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("arm"),
        "a misspelt column gets a suggestion"
    );
}

#[test]
fn help_teaches() {
    let place = Place::new();
    let help = place.succeed(&["--help"]);
    for word in ["sweep", "plan", "query", "report", "Exit codes", "Examples"] {
        assert!(help.contains(word), "{word} is missing from --help");
    }
    for verb in [
        "sweep", "run", "plan", "runs", "query", "report", "eval", "embed", "data", "reindex",
        "schema",
    ] {
        assert!(place.dgnet(&[verb, "--help"]).status.success(), "{verb} --help");
    }
}

#[test]
fn rules_make_arms_and_every_setting_tells_where_it_was_stated() {
    let place = Place::new();
    let rule = "vary:\n  - grid: { loss.lambda_fine: [0.1, 0.4] }\n  - leave_one_out: [loss.lambda_id, loss.lambda_adv]\n";
    place.study(&format!("{TINY}{rule}"));
    let plan = place.succeed(&["plan", "tiny.yaml", "--json"]);
    for arm in ["full", "fine-0.1", "fine-0.4", "no_id", "no_adv"] {
        assert!(plan.contains(&format!("\"arm\": \"{arm}\"")), "{arm}: {plan}");
    }
    let settings = place.succeed(&["plan", "tiny.yaml", "--show-settings", "no_id"]);
    let line = |name: &str| settings.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("loss.lambda_id ").contains('0'), "{settings}");
    assert!(line("train.steps ").ends_with("tiny.yaml:16"), "{settings}");
    assert!(line("loss.lambda_img ").ends_with("default"), "{settings}");
    let output = place.dgnet(&["plan", "tiny.yaml", "--show-settings", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_validation_split_can_be_checked_and_trained_on() {
    let place = Place::new();
    place.succeed(&["data", "draw", "--out", "people", "--ids", "12", "--cameras", "2"]);
    let told = place.succeed(&["data", "split", "people", "--people", "3", "--out", "kept"]);
    assert!(told.contains("3 persons to validate"), "{told}");
    let checked = place.succeed(&["data", "check", "kept"]);
    assert!(
        checked.contains("layout: own photos") && checked.contains("every photo can be used"),
        "{checked}"
    );
    let again = place.dgnet(&["data", "split", "people", "--people", "3", "--out", "kept"]);
    assert_eq!(again.status.code(), Some(2));
    let data = "data: { drawn: { ids: 12, cameras: 2, photos_min: 2, photos_max: 2, height: 48, width: 24 } }";
    place.study(&TINY.replace(data, "data: { path: kept }"));
    place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
}
