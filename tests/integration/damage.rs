//! Files that are no longer what was written: checkpoints, stages, settings.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::faults::{FULL, edit, flip, place, stage, stopped};
use crate::support::{Place, TINY, fingerprint};

const HARD: [&str; 6] = ["run", "tiny.yaml", "--arm", "hard_labels", "--seed", "1"];

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// Records of checkpoints, oldest first.
pub fn checkpoints(place: &Place) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(place.runs().join("tiny")).sort_by_file_name();
    let files = files.into_iter().flatten().map(walkdir::DirEntry::into_path);
    files
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("checkpoints")))
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect()
}

/// A way to damage the checkpoint of a record, and its name.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn a_checkpoint_that_is_not_whole_falls_back_to_the_one_before() {
    let straight = place();
    straight.succeed(&FULL);
    let expected = fingerprint(&straight);
    let stopped = stopped();
    let truncate = |file: &Path| {
        let bytes = std::fs::read(file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    };
    let damages: [Damage; 7] = [
        ("truncated weights", &|record| truncate(&record.with_extension("safetensors"))),
        ("no weights", &|record| {
            std::fs::remove_file(record.with_extension("safetensors")).unwrap();
        }),
        ("a flipped bit", &|record| flip(&record.with_extension("safetensors"))),
        ("no record", &|record| std::fs::remove_file(record).unwrap()),
        ("a truncated record", &|record| truncate(record)),
        ("another step", &|record| edit(record, |json| json["step"] = 4.into())),
        ("another counter", &|record| edit(record, |json| json["counters"]["gen"] = 1.into())),
    ];
    for (name, damage) in damages {
        let place = place();
        copy(&stopped.runs(), &place.runs());
        let records = checkpoints(&place);
        damage(records.last().unwrap());
        let begin = place.run_folder("full").join("begin.json");
        place.succeed(&FULL);
        let begin: Json = serde_json::from_slice(&std::fs::read(begin).unwrap()).unwrap();
        let before = records[0].file_stem().unwrap().to_string_lossy().into_owned();
        let step: u64 = before.strip_prefix("step-").unwrap().parse().unwrap();
        assert_eq!(begin["from_step"], step, "{name}");
        assert_eq!(fingerprint(&place), expected, "{name}");
        let log = std::fs::read_to_string(place.run_folder("full").join("log.jsonl")).unwrap();
        assert_eq!(log.contains("warn"), name != "no record", "{name}: {log}");
    }

    // one of another class of device is refused, and the way on is said
    let place = place();
    copy(&stopped.runs(), &place.runs());
    for record in checkpoints(&place) {
        edit(&record, |json| {
            json["device"] = "cuda".into();
            json.as_object_mut().unwrap().remove("seal");
        });
    }
    let end = place.run_folder("full").join("end.json");
    assert_eq!(place.dgnet(&FULL).status.code(), Some(3));
    let end: Json = serde_json::from_slice(&std::fs::read(end).unwrap()).unwrap();
    let reason = end["reason"].as_str().unwrap();
    assert!(reason.contains("began on a cuda") && reason.contains("train.device: cpu"), "{reason}");
    std::fs::remove_dir_all(place.run_folder("full").join("checkpoints")).unwrap();
    place.succeed(&FULL);
    assert_eq!(fingerprint(&place), expected);
}

#[test]
fn a_damaged_stage_is_found_by_its_checksum_and_made_anew() {
    let trained = place();
    trained.succeed(&FULL);
    let straight = place();
    copy(&trained.runs(), &straight.runs());
    straight.succeed(&HARD);
    let expected = fingerprint(&straight);

    // what others are made from fails who needs it, by name; the same command makes it anew
    for (kind, file) in
        [("data", "query"), ("teacher", "teacher.safetensors"), ("teacher", "teacher.json")]
    {
        let place = place();
        copy(&trained.runs(), &place.runs());
        let mut path = stage(&place, kind).join(file);
        if path.is_dir() {
            path = std::fs::read_dir(&path).unwrap().flatten().next().unwrap().path();
        }
        flip(&path);
        assert_eq!(place.dgnet(&HARD).status.code(), Some(3), "{kind}/{file}");
        let end =
            std::fs::read_to_string(place.run_folder("hard_labels").join("end.json")).unwrap();
        assert!(end.contains("the same command makes it anew") && end.contains(kind), "{end}");
        place.succeed(&HARD);
        assert_eq!(fingerprint(&place), expected, "{kind}/{file}");
    }

    // what a run makes itself is made anew at once
    for (kind, file) in [
        ("training", "weights.safetensors"),
        ("training", "metrics.jsonl"),
        ("training", "stage.json"),
        ("evaluation", "result.json"),
        ("pictures", "swap_grid.png"),
    ] {
        let place = place();
        copy(&trained.runs(), &place.runs());
        flip(&stage(&place, kind).join(file));
        std::fs::remove_file(place.run_folder("full").join("end.json")).unwrap();
        place.succeed(&FULL);
        assert_eq!(fingerprint(&place), fingerprint(&trained), "{kind}/{file}");
    }

    // a shared beginning is a help, and without it a run trains alone
    let both = TINY.replace("  teacher_only: { train.mode: teacher_only }\n", "");
    let both = both.replace("confirm: [teacher_only]", "confirm: [hard_labels]");
    let sweep = ["sweep", "tiny.yaml", "--no-report"];
    let place = place();
    place.study(&both);
    place.succeed(&sweep);
    let whole = fingerprint(&place);
    let spec = std::fs::read_to_string(place.run_folder("hard_labels").join("spec.yaml")).unwrap();
    let key =
        spec.lines().find_map(|line| line.trim().strip_prefix("training: ")).unwrap().to_owned();
    std::fs::remove_dir_all(place.run_folder("hard_labels")).unwrap();
    std::fs::remove_dir_all(place.runs().join(".stages/training").join(key)).unwrap();
    flip(&stage(&place, "prefix").join("weights.safetensors"));
    place.succeed(&sweep);
    assert_eq!(fingerprint(&place), whole);
    let log = std::fs::read_to_string(place.run_folder("hard_labels").join("log.jsonl")).unwrap();
    assert!(log.contains("warn") && !log.contains("took over"), "{log}");
}

#[test]
fn settings_that_were_changed_in_a_run_folder_are_refused() {
    let place = stopped();
    let file = place.run_folder("full").join("spec.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("lambda_img: 5"), "{text}");
    std::fs::write(&file, text.replace("lambda_img: 5", "lambda_img: 4")).unwrap();
    assert_eq!(place.dgnet(&FULL).status.code(), Some(3));
    let end = std::fs::read_to_string(place.run_folder("full").join("end.json")).unwrap();
    assert!(end.contains("was changed") && end.contains("hint: move the folder away"), "{end}");
}

#[test]
fn finished_weights_that_are_damaged_draw_and_find_nothing() {
    let place = place();
    place.succeed(&FULL);
    let training = stage(&place, "training");
    flip(&training.join("weights.safetensors"));
    let training = training.to_str().unwrap().to_owned();
    let photos = std::fs::read_dir(stage(&place, "data").join("query")).unwrap().flatten();
    let photo = photos.map(|entry| entry.path()).min().unwrap().to_str().unwrap().to_owned();
    let grid: Vec<&str> =
        "generate grid tiny.yaml --arm full --seed 1 --to grid.png".split(' ').collect();
    let grid = [grid.as_slice(), &["--appearance", &photo, "--structure", &photo]].concat();
    for (arguments, code) in [(grid.as_slice(), 1), (&["eval", "--checkpoint", &training], 2)] {
        let output = place.dgnet(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains("weights.safetensors` is damaged"), "{said}");
        assert!(said.contains("hint: `dgnet doctor --stages`"), "{said}");
    }
    assert!(!place.path().join("grid.png").exists());
}
