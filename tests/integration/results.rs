//! What people do with results: look at a run, compare arms, export, note, tag, archive, make room.

use std::path::Path;

use serde_json::Value as Json;

use crate::support::{Place, TINY};

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A study that is trained once for all looks at it: two arms, two seeds.
fn trained() -> Place {
    let place = Place::new();
    let arms = TINY.find("arms:\n").unwrap();
    let study =
        TINY[..arms].replace("seeds: 1", "seeds: 2").replace("confirm: [teacher_only]\n", "")
            + "arms:\n  full: {}\n  teacher_only: { train.mode: teacher_only }\n";
    place.study(&study);
    place.succeed(&["sweep", "tiny.yaml"]);
    place
}

#[test]
fn results_are_shown_compared_exported_noted_and_archived() {
    let place = trained();
    shown(&place);
    compared(&place);
    exported(&place);
    noted(&place);
    asked_wrongly(&place);
    known_from_folders(&place);
    archived(&place);
    made_room(&place);
}

#[test]
fn the_committed_sample_is_what_its_export_says() {
    let place = Place::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample");
    std::fs::create_dir_all(place.runs()).unwrap();
    std::fs::copy(sample.join("results.db"), place.runs().join("results.db")).unwrap();
    place.succeed(&["report", "components", "--out", "made"]);
    for name in ["index.html", "table.csv", "table.md"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).unwrap();
        let is_same = read(&place.path().join("made")) == read(&sample);
        assert!(is_same, "{name} is not what its export says: `just sample` remakes it");
    }
}

fn shown(place: &Place) {
    let text = place.succeed(&["show", "full/1"]);
    for part in
        ["train.steps", "tiny.yaml:", "mAP", "libtorch", "training", "spec.yaml", "tiny/full/1"]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(text.contains("--arm full --seed 1"), "{text}");
    let whole = json(&place.succeed(&["show", "full/1", "--json"]));
    assert_eq!(whole["settings_not_default"]["train.steps"]["value"], 16);
    assert_eq!(whole["state"], "done");
    // the command that it gives finds the run as it is
    let command = whole["command"].as_str().unwrap().to_owned();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let again = place.succeed(&words);
    assert!(again.contains("nothing was left to do"), "{again}");
    for (name, words) in [
        ("ful/1", "did you mean `full`?"),
        ("full/99", "`full` has the seeds 1, 2"),
        ("tny/full/1", "did you mean `tiny`?"),
    ] {
        assert!(refused(place, &["show", name]).contains(words), "{name}");
    }
}

/// What a command says that is refused.
fn refused(place: &Place, arguments: &[&str]) -> String {
    let output = place.dgnet(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

fn compared(place: &Place) {
    let told = json(&place.succeed(&["compare", "full", "teacher_only", "--json"]));
    assert_eq!(told["estimate"]["n"], 2);
    let by_hand = json(&place.succeed(&[
        "query",
        "select avg(difference) as d from comparisons where metric = 'mAP' and arm = 'teacher_only'",
        "--format",
        "json",
    ]));
    let (a, b) = (told["estimate"]["difference"].as_f64(), by_hand[0]["d"].as_f64());
    assert!((a.unwrap() - b.unwrap()).abs() < 1e-12, "{a:?} {b:?}");
    let text = place.succeed(&["compare", "full", "teacher_only", "--metric", "rank1"]);
    assert!(text.contains("P(teacher_only better)") && text.contains("p, Wilcoxon"), "{text}");
    let said = refused(place, &["compare", "full", "teacher_onyl"]);
    assert!(said.contains("did you mean"), "{said}");
    let said = refused(place, &["compare", "full", "teacher_only", "--metric", "diversity"]);
    assert!(said.contains("`teacher_only` has no `diversity`"), "{said}");
    let said = refused(place, &["compare", "full/1", "full/2"]);
    assert!(said.contains("`full/1` is a run: `dgnet diff`"), "{said}");
    let text = place.succeed(&["diff", "full/1", "full/2"]);
    assert!(text.starts_with("the same settings\n\nmetric"), "{text}");
    assert!(text.contains("full/1") && text.contains("mAP (%)"), "{text}");
}

fn exported(place: &Place) {
    let text = place.succeed(&["export", "tiny", "--to", "out"]);
    assert!(text.contains("final: 4 rows") && text.contains("tensorboard: 4 runs"), "{text}");
    // a folder that holds something else is left as it is; an export is replaced
    let refused = place.dgnet(&["export", "tiny", "--to", "."]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    place.succeed(&["export", "tiny", "--to", "out"]);
    let out = place.path().join("out");
    for name in ["runs", "final", "curves", "queries", "settings"] {
        let parquet = std::fs::read(out.join(format!("{name}.parquet"))).unwrap();
        assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"), "{name}");
        let csv = std::fs::read_to_string(out.join(format!("{name}.csv"))).unwrap();
        assert!(csv.lines().count() > 4, "{name}: {csv}");
    }
    assert!(out.join("specs/full-seed-2.yaml").is_file());
    assert_eq!(
        std::fs::read(out.join("study.yaml")).unwrap(),
        std::fs::read(place.path().join("tiny.yaml")).unwrap()
    );
    assert_eq!(std::fs::read_dir(out.join("tensorboard/full/seed-1")).unwrap().count(), 1);
    // whoever has the export alone reads the same report
    place.succeed(&["report", "tiny", "--out", "here"]);
    place.succeed(&["--runs", "out", "report", "tiny", "--out", "there"]);
    for name in ["index.html", "report.json"] {
        let read = |folder: &str| std::fs::read(place.path().join(folder).join(name)).unwrap();
        assert!(read("here") == read("there"), "{name}");
    }
    alone(place);
    place.succeed(&["query", "select * from curves", "--output", "curves.parquet"]);
    assert!(std::fs::read(place.path().join("curves.parquet")).unwrap().ends_with(b"PAR1"));
    let refused = place.dgnet(&["query", "select 1", "--format", "parquet"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// An export has the database and no run folder.
fn alone(place: &Place) {
    let text = place.succeed(&["--runs", "out", "show", "full/1"]);
    for part in ["not here", "train.steps", "mAP", "libtorch", "--arm full --seed 1"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let told = |runs: &str| {
        let mut told = json(&place.succeed(&["--runs", runs, "show", "full/1", "--json"]));
        // what is of the folder alone, and what the database does not keep
        for key in ["folder", "there", "files", "stages"] {
            told.as_object_mut().unwrap().remove(key);
        }
        told["end"].as_object_mut().unwrap().remove("energy_j");
        told
    };
    assert_eq!(told("out"), told("runs"));
    let text = place.succeed(&["--runs", "out", "export", "tiny", "--to", "again"]);
    assert!(text.contains("specs: 4 (4 from the database"), "{text}");
    for name in ["full-seed-1.yaml", "teacher_only-seed-2.yaml"] {
        let read = |folder: &str| {
            std::fs::read_to_string(place.path().join(folder).join("specs").join(name)).unwrap()
        };
        assert_eq!(read("again"), read("out"), "{name}");
    }
    for (verb, name, rest) in
        [("note", "full/1", "x"), ("tag", "full/1", "+x"), ("note", "tiny", "x")]
    {
        let said = refused(place, &["--runs", "out", verb, name, rest]);
        assert!(said.contains(&format!("`{name}` is in the database, but its")), "{said}");
    }
    let said = refused(place, &["--runs", "out", "archive", "full/2"]);
    assert!(said.contains("kept in run folders"), "{said}");
    let said = refused(place, &["--runs", "out", "note", "tniy", "x"]);
    assert!(said.contains("unknown run or study `tniy`") && said.contains("`tiny`"), "{said}");
}

fn noted(place: &Place) {
    place.succeed(&["note", "full/1", "looks \"odd\"; <b>"]);
    place.succeed(&["note", "tiny", "first try"]);
    place.succeed(&["tag", "full/1", "+good", "+seen"]);
    place.succeed(&["tag", "full/1", "-seen"]);
    let all = place.succeed(&["runs"]);
    assert!(all.contains("+good looks \"odd\"; <b>") && !all.contains("+seen"), "{all}");
    let tagged = place.succeed(&["runs", "--where", "tags~good", "--cols", "arm,seed"]);
    assert_eq!(tagged.lines().count(), 2, "{tagged}");
    // the folder is the truth
    std::fs::remove_file(place.runs().join("results.db")).unwrap();
    place.succeed(&["reindex"]);
    assert_eq!(place.succeed(&["runs"]), all);
    assert!(place.succeed(&["show", "full/1"]).contains("+good"));
    place.succeed(&["report", "tiny"]);
    let page = std::fs::read_to_string(place.path().join("reports/tiny/index.html")).unwrap();
    assert!(page.contains("first try") && page.contains("&lt;b&gt;"), "notes are in the report");
    assert_eq!(place.dgnet(&["tag", "full/1", "two words"]).status.code(), Some(2));
}

fn asked_wrongly(place: &Place) {
    let said = |arguments: &[&str], code: i32, words: &str| {
        let output = place.dgnet(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: no `{words}` in\n{said}");
    };
    said(&["runs", "--study", "nope", "--where", "arm=full"], 2, "unknown study `nope`");
    said(&["runs", "--study", "tny", "--sort", "arm"], 2, "did you mean `tiny`?");
    said(&["runs", "--where", "mapp>0.5"], 2, "did you mean `mAP`?");
    said(&["runs", "--where", "arm=full mAP>0.7"], 2, "expected `and` or `or` after `arm=full`");
    said(&["runs", "--where", "started>1 and seed>one"], 2, "`seed` holds numbers");
    said(&["runs", "--cols", ""], 2, "the name of a column is missing");
    said(&["query", "select * from final where arm = :arm"], 2, "add `--param arm=VALUE`");
    said(&["query", "select * from final where arm = 'ful'"], 0, "did you mean the arm `full`?");
    let ranking = ["query", "--name", "ranking", "--param", "study=tny"];
    said(&ranking, 0, "did you mean the study `tiny`?");
    let whatever_case = ["runs", "--where", "state~DONE and started>2000", "--cols", "arm"];
    assert_eq!(place.succeed(&whatever_case).lines().count(), 5);
}

/// A database that nobody has updated since a run ended: its folder is asked.
fn known_from_folders(place: &Place) {
    let folder = place.succeed(&[
        "query",
        "select folder from runs where arm = 'full' and seed = 1",
        "--format",
        "csv",
    ]);
    let end = place.runs().join(folder.lines().last().unwrap()).join("end.json");
    let text = std::fs::read(&end).unwrap();
    std::fs::remove_file(&end).unwrap();
    place.succeed(&["reindex"]);
    let done = ["runs", "--where", "state=done", "--cols", "arm,state"];
    assert_eq!(place.succeed(&done).lines().count(), 4);
    std::fs::write(&end, text).unwrap();
    let found = place.succeed(&done);
    assert_eq!(found.lines().filter(|line| line.contains("done")).count(), 4, "{found}");
    place.succeed(&["reindex"]);
}

fn archived(place: &Place) {
    place.succeed(&["archive", "teacher_only/2"]);
    assert_eq!(place.succeed(&["runs"]).lines().count(), 4);
    assert_eq!(place.succeed(&["runs", "--archived"]).lines().count(), 5);
    for name in ["ranking", "cost"] {
        let answer = place.succeed(&["query", "--name", name, "--format", "csv"]);
        let arms = ["tiny,teacher_only,1,", "tiny,full,2,"];
        assert!(arms.iter().all(|arm| answer.contains(arm)), "{name}: {answer}");
    }
    place.succeed(&["report", "tiny"]);
    let page = std::fs::read_to_string(place.path().join("reports/tiny/index.html")).unwrap();
    assert!(page.contains("1 run archived and left out"));
    place.succeed(&["archive", "teacher_only/2", "--undo"]);
    assert_eq!(place.succeed(&["runs"]).lines().count(), 5);
    place.succeed(&["archive", "tiny"]);
    assert_eq!(place.succeed(&["runs"]).lines().count(), 1);
    assert_eq!(place.succeed(&["runs", "--study", "tiny"]).lines().count(), 5);
    place.succeed(&["archive", "tiny", "--undo"]);
}

fn made_room(place: &Place) {
    let before = place.succeed(&["gc", "--yes"]);
    // a run whose folder is gone needs nothing any more
    std::fs::remove_dir_all(place.run_folder("teacher_only")).unwrap();
    let looked = place.succeed(&["gc", "--dry-run"]);
    assert!(looked.contains("stage that no run needs") && looked.contains("would be removed"));
    let asked = place.dgnet(&["gc"]);
    assert_eq!(asked.status.code(), Some(2), "nobody can be asked here");
    assert_eq!(place.succeed(&["gc", "--dry-run"]), looked, "nothing was removed: {before}");
    place.succeed(&["gc", "--yes"]);
    assert_eq!(place.succeed(&["gc", "--dry-run"]), "nothing to remove\n");
    // what is left is whole: the other arm has nothing to do again
    let again = place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    assert!(again.contains("nothing was left to do"), "{again}");
}

#[test]
fn one_seed_is_compared_by_its_queries() {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["sweep", "tiny.yaml"]);
    let told = json(&place.succeed(&["compare", "full", "hard_labels", "--json"]));
    assert_eq!(told["estimate"]["n"], 1);
    assert!(told["one_seed"]["persons"].as_u64().unwrap() > 1, "{told:#}");
    let all = told["sentences"].to_string();
    assert!(all.contains("Seeds are not sampled"), "{all}");
}
