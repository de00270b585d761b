//! Whole studies through `Study::load`: what is accepted, how refusals read to the last character, and
//! that no text can make it panic.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::identity::{Keys, active, run_uid, stage_keys};
use super::settings::{Data, StructureInput, TeacherLabels};
use super::{SpecError, Study};

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn load(text: &str) -> Result<Study, SpecError> {
    let dir = folder(&[("s.yaml", text)]);
    Study::load(&dir.path().join("s.yaml"), &[])
}

/// How a study is refused, without the folder.
fn refused(text: &str) -> String {
    let dir = folder(&[("s.yaml", text)]);
    refused_in(&dir, &[])
}

fn refused_in(dir: &TempDir, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let error = Study::load(&dir.path().join("s.yaml"), &sets).unwrap_err().to_string();
    let real = fs::canonicalize(dir.path()).unwrap();
    error
        .replace(&format!("{}/", real.display()), "")
        .replace(&format!("{}/", dir.path().display()), "")
}

/// The smallest study with one more line.
fn with(line: &str) -> String {
    format!("study: s\narms: {{ full: {{}} }}\n{line}\n")
}

fn arms(lines: &str) -> Study {
    load(&format!("study: s\narms:\n{lines}")).unwrap()
}

#[test]
fn devices_say_where_runs_train_and_not_what_they_are() {
    let gpu = load(&with("devices: { cuda:0: 2, cuda:1: 1 }")).unwrap();
    assert_eq!((gpu.devices[0].runs, gpu.devices[1].runs), (Some(2), Some(1)));
    assert_eq!(gpu.arms[0].settings.train.device.to_string(), "cuda:0");
    assert!(gpu.arms[0].origins.get("train.device").unwrap().ends_with(":3"));
    let other = load(&with("train.device: cuda:5")).unwrap();
    let id = |study: &Study| super::identity::run_uid(&study.arms[0].settings, 1, "d");
    assert_eq!(id(&gpu), id(&other), "the number of a card moves no number");
    assert_ne!(id(&gpu), id(&load(&with("")).unwrap()));
    let stated = load(&with("devices: cuda:1\ntrain.device: auto")).unwrap();
    assert_eq!(stated.arms[0].settings.train.device.to_string(), "auto");
    for (line, at, why) in [
        ("devices: []", "s.yaml:3:10", "expected devices, found a list"),
        ("devices: [cuda:0, tpu]", "s.yaml:3:19", "`tpu` is no device"),
        ("devices: [cuda:0, cpu]", "s.yaml:3:10", "different bits"),
        ("devices: { cuda:0: 0 }", "s.yaml:3:20", "a number of runs from 1 to 64"),
        ("devices: [cuda:0, cuda:0]", "s.yaml:3:10", "listed twice"),
    ] {
        let text = refused(&with(line));
        assert!(text.contains(at) && text.contains(why), "{line}: {text}");
    }
}

fn experiments() -> PathBuf {
    // The checkout that these sources lie in, wherever the tests are built.
    let here = fs::canonicalize(file!())
        .unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/tests.rs"));
    here.ancestors().nth(3).unwrap().join("experiments")
}

#[test]
fn a_study_says_little_and_gets_the_defaults() {
    let study = arms("  full:\n  other: { loss.λ_id: 0 }\n");
    assert_eq!((study.name.as_str(), study.primary.as_str()), ("s", "mAP"));
    assert_eq!(study.seeds, [1, 2, 3]);
    assert_eq!(study.baseline, "full");
    assert!(study.confirm.is_empty() && study.notes.is_empty());
    assert_eq!(study.arms[1].overrides["loss.lambda_id"], serde_json::json!(0.0));
    assert_eq!(study.arms[1].settings.loss.lambda_id.to_bits(), 0);
    assert!((study.arms[0].settings.loss.lambda_id - 0.5).abs() < 1e-12);
}

#[test]
fn the_default_study_loads_without_a_note() {
    let study = Study::load(&experiments().join("ablations.yaml"), &[]).unwrap();
    assert!(study.arms.len() >= 8 && study.seeds.len() >= 3);
    assert_eq!(study.notes, Vec::<String>::new());
    let teachers: std::collections::BTreeSet<String> = study
        .arms
        .iter()
        .map(|arm| stage_keys(&arm.settings, 1, "data").teacher)
        .filter(|key| !key.is_empty())
        .collect();
    assert_eq!(teachers.len(), 1, "the arms of a seed share its teacher");
}

#[test]
fn every_study_of_the_repository_loads() {
    for (name, arms, seeds) in [("components.yaml", 7, 8), ("components_large.yaml", 21, 3)] {
        let study = Study::load(&experiments().join(name), &[]).unwrap();
        assert_eq!((study.arms.len(), study.seeds.len()), (arms, seeds), "{name}");
        assert_eq!(
            (study.baseline.as_str(), study.confirm.as_slice()),
            ("full", &["teacher_only".to_owned()][..])
        );
        assert_eq!(study.notes, Vec::<String>::new(), "{name}");
    }
}

/// `base/paper.yaml` is the documentation of the defaults, so they must not drift apart.
#[test]
fn the_paper_is_the_default() {
    let text = format!(
        "study: s\nextends: {}\narms: {{ full: }}\n",
        experiments().join("base/paper.yaml").display()
    );
    assert_eq!(load(&text).unwrap().arms[0].settings.as_ref(), &super::Settings::default());
}

#[test]
fn the_nearest_file_wins_and_paths_belong_to_the_file_that_states_them() {
    let dir = folder(&[
        (
            "s.yaml",
            "study: s\nextends: base/b.yaml\ntrain.steps: 3\narms: { a: , b: { train: { steps: 4 } } }\n",
        ),
        ("base/b.yaml", "extends: deep/c.yaml\ntrain: { steps: 2, batch: 4 }\n"),
        ("base/deep/c.yaml", "train: { steps: 1, batch: 2, threads: 2 }\ndata.path: photos\n"),
        ("base/deep/photos/x", ""),
    ]);
    let file = dir.path().join("s.yaml");
    let study = Study::load(&file, &[]).unwrap();
    let train = &study.arms[0].settings.train;
    assert_eq!((train.steps, train.batch, train.threads), (3, 4, 2));
    assert_eq!(study.arms[1].settings.train.steps, 4);
    let photos = fs::canonicalize(dir.path().join("base/deep/photos")).unwrap();
    assert_eq!(study.arms[0].settings.data.path.as_deref(), photos.to_str());

    let study = Study::load(&file, &["train.steps=5".to_owned()]).unwrap();
    assert_eq!(study.arms[1].settings.train.steps, 5);
    assert_eq!(study.arms[1].overrides["train.steps"], serde_json::json!(5));
    assert!(study.notes.contains(&"arm `b`: `--set` replaces its `train.steps`".to_owned()));
}

/// Editors read the committed schema; `DGNET_UPDATE_SCHEMA=1` writes it anew.
#[test]
fn the_committed_schema_is_current() {
    let file = experiments().join("../schema/study.schema.json");
    let now = serde_json::to_string_pretty(&super::schema::study_schema()).unwrap() + "\n";
    if std::env::var_os("DGNET_UPDATE_SCHEMA").is_some() {
        fs::write(&file, &now).unwrap();
    }
    assert!(fs::read_to_string(&file).unwrap() == now, "run the tests with DGNET_UPDATE_SCHEMA=1");
}

#[test]
fn other_line_ends_and_a_byte_order_mark_are_accepted() {
    let study = load("\u{feff}study: s\r\narms:\r\n  full: {}\r\n").unwrap();
    assert_eq!((study.name.as_str(), study.arms.len()), ("s", 1));
    assert_eq!(
        refused("study: s\r\narms:\r\n  full: 3\r\n"),
        "s.yaml:3:9: arm `full`: expected overrides such as `{ loss.lambda_id: 0 }`, found `3`\n    3 |   full: 3\n      |         ^"
    );
}

#[test]
fn a_colon_in_a_text_asks_for_quotes() {
    assert_eq!(
        refused("study: s\nquestion: why: not\narms: { full: }\n"),
        "s.yaml:2:14: not valid YAML: mapping values are not allowed in this context\n    2 | question: why: not\n      |              ^\n  hint: a text that holds `: ` needs quotes"
    );
}

#[test]
fn tabs_are_named_as_the_cause() {
    let shown = refused("study: s\narms:\n\tfull: {}\n");
    assert!(shown.starts_with("s.yaml:3:"), "{shown}");
    assert!(shown.ends_with("hint: YAML is indented with spaces, never with tabs"), "{shown}");
}

#[test]
fn other_spellings_are_accepted() {
    let study = arms(
        "  a: { structure: { input: gray }, label: nice name }\n  2: { structure.input: rgb }\n",
    );
    assert_eq!(study.arms[0].settings.structure.input, StructureInput::Grey);
    assert_eq!(study.arms[0].label, "nice name");
    assert_eq!(study.arms[1].label, "2");
}

#[test]
fn arms_that_are_the_same_are_noted() {
    let study = arms(
        "  a:\n  b: { train.log_every: 7 }\n  c: { loss.lambda_prim: 0 }\n  d: { loss.lambda_prim: 0, teacher.labels: hard }\n",
    );
    assert_eq!(
        study.notes,
        [
            "arms `a`, `b` come out as the same settings and share their runs",
            "arms `c`, `d` come out as the same settings and share their runs",
        ]
    );
    let study = arms("  a: { train.steps: 100 }\n");
    assert_eq!(
        study.notes,
        [
            "arm `a`: the ramped losses never enter: `loss.ramp_start` is 30000, training ends at step 100"
        ]
    );
}

/// Every way of being wrong, and the whole of what the user reads.
#[test]
#[allow(clippy::too_many_lines)] // a table reads best in one piece
fn refusals_read_well() {
    let cases: &[(&str, &str)] = &[
        ("", "s.yaml:1:1: the file is empty\n    1 | \n      | ^"),
        ("3\n", "s.yaml:1:1: expected `key: value` lines, found `3`\n    1 | 3\n      | ^"),
        (
            "arms: { full: {} }\n",
            "s.yaml:1:1: the study has no name\n    1 | arms: { full: {} }\n      | ^\n  hint: add a line `study: s`",
        ),
        (
            "study: s\narms: {}\n",
            "s.yaml:2:1: the study has no arms\n    2 | arms: {}\n      | ^\n  hint: add `arms:` with at least one line such as `  full: {}`",
        ),
        (
            "study: s\narms:\n  full: {}\n  no_prim: { loss.lambda_prm: 0 }\n",
            "s.yaml:4:14: unknown setting `loss.lambda_prm`\n    4 |   no_prim: { loss.lambda_prm: 0 }\n      |              ^\n  hint: did you mean `loss.lambda_prim`?",
        ),
        (
            "study: s\narms:\n  no_prim: { lambda_prim: 0 }\n",
            "s.yaml:3:14: unknown setting `lambda_prim`\n    3 |   no_prim: { lambda_prim: 0 }\n      |              ^\n  hint: did you mean `loss.lambda_prim`?",
        ),
        (
            &with("sedes: 3"),
            "s.yaml:3:1: unknown key `sedes`\n    3 | sedes: 3\n      | ^\n  hint: did you mean `seeds`?",
        ),
        (
            &with("loss: { lambda_img: abc }"),
            "s.yaml:3:21: `loss.lambda_img`: expected a number, found `abc`\n    3 | loss: { lambda_img: abc }\n      |                     ^",
        ),
        (
            &with("loss.lambda_img: -1"),
            "s.yaml:3:18: `loss.lambda_img`: expected a number of at least 0, found `-1`\n    3 | loss.lambda_img: -1\n      |                  ^",
        ),
        (
            &with("loss.lambda_img: .nan"),
            "s.yaml:3:18: `loss.lambda_img`: expected a finite number, found `NaN`\n    3 | loss.lambda_img: .nan\n      |                  ^",
        ),
        (
            &with("loss.lambda_img: 0,5"),
            "s.yaml:3:18: `loss.lambda_img`: expected a number, found `0,5`\n    3 | loss.lambda_img: 0,5\n      |                  ^\n  hint: write `0.5`",
        ),
        (
            &with("train.steps: 1_000"),
            "s.yaml:3:14: `train.steps`: expected a whole number, found `1_000`\n    3 | train.steps: 1_000\n      |              ^\n  hint: write `1000`",
        ),
        (
            &with("train.batch: 1"),
            "s.yaml:3:14: `train.batch`: expected a whole number from 2 to 65536, found `1`\n    3 | train.batch: 1\n      |              ^\n  hint: a batch of 1 cannot pass the heads' batch norm",
        ),
        (
            &with("image.height: 66"),
            "s.yaml:3:15: `image.height`: expected a whole number divisible by 4 from 8 to 4096, found `66`\n    3 | image.height: 66\n      |               ^",
        ),
        (
            &with("data.drawn.seed: 18446744073709551616"),
            "s.yaml:3:18: `data.drawn.seed`: expected a whole number that is not negative, found `18446744073709551616`\n    3 | data.drawn.seed: 18446744073709551616\n      |                  ^\n  hint: at most 18446744073709551615",
        ),
        (
            &with("teacher.labels: harrd"),
            "s.yaml:3:17: `teacher.labels`: expected one of soft, hard, static, uniform, two_label, found `harrd`\n    3 | teacher.labels: harrd\n      |                 ^\n  hint: did you mean `hard`?",
        ),
        (
            &with("decoder.up_kernel: 4"),
            "s.yaml:3:20: `decoder.up_kernel`: 4 does not fit maps from 64 pixels on\n    3 | decoder.up_kernel: 4\n      |                    ^\n  hint: an odd number, at most twice the smaller side of the map",
        ),
        (
            &with("structure.dilations: [1, 2]"),
            "s.yaml:3:22: `structure.dilations`: expected a list of 3 values, each a whole number from 1 to 1024, found 2\n    3 | structure.dilations: [1, 2]\n      |                      ^",
        ),
        (
            &with("image: { height: 64, width: 32 }"),
            "s.yaml:3:29: `structure.dilations`: 9 does not fit a structure code of 16x8 (a quarter of `image`)\n    3 | image: { height: 64, width: 32 }\n      |                             ^\n  hint: each dilation must be smaller than the code's height and width",
        ),
        (
            &with("decoder.residual_blocks: 3"),
            "s.yaml:3:26: `decoder.residual_blocks`: the appearance code of 8192 values cannot be cut into 3 equal chunks\n    3 | decoder.residual_blocks: 3\n      |                          ^\n  hint: its length is the channels of the last stage times `appearance.parts`",
        ),
        (
            &with("teacher.source: none"),
            "s.yaml:3:17: `teacher.source: none`, but `loss.lambda_prim` is 2 and asks the teacher for labels\n    3 | teacher.source: none\n      |                 ^\n  hint: set `loss.lambda_prim: 0`, or `teacher.labels` to static or uniform",
        ),
        (
            &with("teacher.source: checkpoint"),
            "s.yaml:3:17: `teacher.source: checkpoint` needs `teacher.path`\n    3 | teacher.source: checkpoint\n      |                 ^\n  hint: for example `teacher.path: weights/teacher.safetensors`",
        ),
        (
            &with("data.path: photos"),
            "s.yaml:3:12: `data.path`: `photos` does not exist\n    3 | data.path: photos\n      |            ^\n  hint: a relative path starts from the folder of the file that states it",
        ),
        (
            &with("seeds: [1, 2, 1]"),
            "s.yaml:3:15: `seeds`: 1 is listed twice\n    3 | seeds: [1, 2, 1]\n      |               ^\n  hint: the same seed gives the same run, not another replicate",
        ),
        (
            &with("seeds: 0"),
            "s.yaml:3:8: `seeds`: expected a count from 1 to 10000 or a list of whole numbers, found `0`\n    3 | seeds: 0\n      |        ^\n  hint: `seeds: 3` means 1, 2, 3; `{ min: 4, max: 12, stop: decided }` adds them as needed",
        ),
        (
            &with("baseline: fall"),
            "s.yaml:3:11: `baseline`: no arm is named `fall`\n    3 | baseline: fall\n      |           ^\n  hint: did you mean `full`?",
        ),
        (
            &with("confirm: [full]"),
            "s.yaml:3:11: `confirm`: `full` is the baseline, nothing to compare\n    3 | confirm: [full]\n      |           ^",
        ),
        (
            &with("primary: map"),
            "s.yaml:3:10: `primary`: unknown metric `map`\n    3 | primary: map\n      |          ^\n  hint: did you mean `mAP`?",
        ),
        (
            &with("primary: weight_prim"),
            "s.yaml:3:10: `primary`: `weight_prim` has no better or worse, it cannot decide\n    3 | primary: weight_prim\n      |          ^\n  hint: for example `primary: mAP`",
        ),
        (
            "study: a b\narms: { full: }\n",
            "s.yaml:1:8: study name `a b` may only have the letters A-Z, a-z, digits and `.`, `_`, `-`\n    1 | study: a b\n      |        ^\n  hint: for example `a_b`",
        ),
        (
            "study: s\narms: { ../x: {} }\n",
            "s.yaml:2:9: arm name `../x` must not begin with a dot\n    2 | arms: { ../x: {} }\n      |         ^\n  hint: for example `_x`; free text goes in `label`",
        ),
        (
            "study: s\narms: { full: {}, full: {} }\n",
            "s.yaml:2:19: duplicate key `full`; it is on line 2 already\n    2 | arms: { full: {}, full: {} }\n      |                   ^",
        ),
        (
            "study: s\narms: { full: {}, Full: {} }\n",
            "s.yaml:2:19: arms `full` and `Full` differ in case alone\n    2 | arms: { full: {}, Full: {} }\n      |                   ^",
        ),
        (
            "study: s\narms: { full: { seeds: 4 } }\n",
            "s.yaml:2:17: `seeds` is a key of the study, arms cannot change it\n    2 | arms: { full: { seeds: 4 } }\n      |                 ^",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(&refused(text), expected, "for\n{text}");
    }
}

#[test]
fn refusals_of_base_files_name_the_base_file() {
    let study = "study: s\nextends: b.yaml\narms: { full: }\n";
    let dir = folder(&[("s.yaml", study), ("b.yaml", "loss:\n  lambda_imgg: 1\n")]);
    assert_eq!(
        refused_in(&dir, &[]),
        "b.yaml:2:3: unknown setting `loss.lambda_imgg`\n    2 |   lambda_imgg: 1\n      |   ^\n  hint: did you mean `loss.lambda_img`?"
    );
    let dir = folder(&[("s.yaml", study), ("b.yaml", "extends: s.yaml\n")]);
    assert_eq!(
        refused_in(&dir, &[]),
        "b.yaml:1:10: `extends` goes in a circle: `s.yaml` extends this file\n    1 | extends: s.yaml\n      |          ^"
    );
    let dir = folder(&[("s.yaml", study), ("c.yaml", "")]);
    assert_eq!(
        refused_in(&dir, &[]),
        "s.yaml:2:10: cannot read `b.yaml`: no such file\n    2 | extends: b.yaml\n      |          ^\n  hint: did you mean `c.yaml`?"
    );
    let dir = folder(&[("s.yaml", study), ("b.yaml", "seeds: 3\n")]);
    assert!(refused_in(&dir, &[]).starts_with("b.yaml:1:1: `seeds` belongs in a study"));
}

#[test]
fn arguments_are_checked_like_lines() {
    let dir = folder(&[("s.yaml", &with(""))]);
    assert_eq!(
        refused_in(&dir, &["loss.lambda_imgg=1"]),
        "--set loss.lambda_imgg=1: unknown setting `loss.lambda_imgg`\n  hint: did you mean `loss.lambda_img`?"
    );
    assert_eq!(
        refused_in(&dir, &["structure.dilations=[1, 2, 40]"]),
        "--set structure.dilations=[1, 2, 40]: `structure.dilations`: 40 does not fit a structure code of 64x32 (a quarter of `image`)\n  hint: each dilation must be smaller than the code's height and width"
    );
}

#[test]
fn files_that_are_no_text_are_refused() {
    let dir = folder(&[]);
    let file = dir.path().join("s.yaml");
    fs::write(&file, b"study: s\nquestion: caf\xe9\n").unwrap();
    assert_eq!(
        refused_in(&dir, &[]),
        "s.yaml:2:14: not UTF-8 text: first bad byte at offset 22\n    2 | question: caf\u{fffd}\n      |              ^\n  hint: save the file as UTF-8"
    );
    fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(refused_in(&dir, &[]).contains("more than the limit"));
    fs::remove_file(&file).unwrap();
    assert_eq!(refused_in(&dir, &[]), "s.yaml: no such file");
    fs::create_dir(&file).unwrap();
    assert_eq!(refused_in(&dir, &[]), "s.yaml: not a file");
}

#[test]
fn what_cannot_change_results_forks_no_identity() {
    let study = arms(
        "  full:
  logs: { train: { log_every: 1, checkpoint_every: 1, loader_workers: 2 } }
  no_prim: { loss.lambda_prim: 0 }
  no_prim_hard: { loss.lambda_prim: 0, teacher: { labels: hard, width: 8 } }
  static: { teacher.labels: static }
  static_wide: { teacher.labels: static, teacher.width: 8 }
  hard: { teacher.labels: hard }
  alone: { train.mode: teacher_only }
  alone_too: { train: { mode: teacher_only, steps: 7 }, loss.lambda_img: 1, structure.width: 4, teacher.labels: hard }
  alone_wide: { train.mode: teacher_only, teacher.width: 8 }
  pictures: { pictures.grid: 3 }
  weight: { eval.fine_weight: 0 }
",
    );
    let settings = |name: &str| &study.arm(name).unwrap().settings;
    let uid = |name: &str| run_uid(settings(name), 1, "data");
    let keys = |name: &str| stage_keys(settings(name), 1, "data");
    for (one, other) in [
        ("full", "logs"),
        ("no_prim", "no_prim_hard"),
        ("static", "static_wide"),
        ("alone", "alone_too"),
    ] {
        assert_eq!(uid(one), uid(other), "{one} {other}");
        assert_eq!(active(settings(one)), active(settings(other)));
        assert_eq!(keys(one), keys(other));
    }
    let all: std::collections::BTreeSet<String> =
        ["full", "no_prim", "static", "hard", "alone", "alone_wide", "pictures"].map(uid).into();
    assert_eq!(all.len(), 7);
    assert_ne!(uid("full"), run_uid(settings("full"), 2, "data"));
    assert_ne!(uid("full"), run_uid(settings("full"), 1, "other"));
    assert_eq!(uid("full").len(), 64);

    assert_eq!(keys("full").teacher, keys("hard").teacher);
    assert_eq!(keys("full").teacher, keys("alone").training);
    assert_eq!(keys("alone").teacher, keys("alone").training);
    assert_ne!(keys("alone_wide").teacher, keys("alone").teacher);
    assert_eq!(keys("no_prim").teacher, "");
    assert_eq!(keys("static").teacher, "");
    let Keys { training, evaluation, pictures, .. } = keys("pictures");
    assert_eq!((&training, &evaluation), (&keys("full").training, &keys("full").evaluation));
    assert_ne!(pictures, keys("full").pictures);
    assert_eq!(training.len(), 32);
    // what is measured at the end alone trains nothing again; pictures follow what they show
    let mut with_fid = super::Settings::clone(settings("full"));
    with_fid.eval.inception_weights = Some("inception.safetensors".into());
    let (fid, weight) = (stage_keys(&with_fid, 1, "data"), keys("weight"));
    assert_eq!(fid.training, keys("full").training);
    assert_ne!(fid.evaluation, keys("full").evaluation);
    assert_eq!(fid.pictures, keys("full").pictures);
    assert_ne!(weight.pictures, keys("full").pictures, "another order of the gallery");
    assert_ne!(weight.training, keys("full").training, "the curves show it");
}

/// What bf16 narrows has a version of its own: raise `BF16_VERSION`, then these values. Nothing else has it.
#[test]
fn bf16_is_known_by_what_it_narrows() {
    let mut settings = super::Settings::default();
    settings.train.precision = super::settings::Precision::Bf16;
    let keys = |settings: &super::Settings| {
        let keys = super::identity::stage_keys(settings, 1, "data");
        let uid = super::identity::run_uid(settings, 1, "data");
        let course = super::prefix::Course::new(settings, 1, "data", "");
        [&uid, &keys.training, &keys.teacher, &course.key(1)].map(|key| key[..8].to_owned())
    };
    assert_eq!(keys(&settings), ["fb217ea2", "6b0a8107", "6b5aca1b", "564b7798"]);
    settings.train.precision = super::settings::Precision::Float32;
    assert_eq!(keys(&settings), ["ea31898a", "6c78e3d4", "d9c6ca09", "7dd3bf95"]);
}

/// A changed default changes what every study means: raise `RECIPE_VERSION`, then this value. A new
/// setting whose default is the old behaviour changes this value alone.
#[test]
fn defaults_are_part_of_the_recipe() {
    let defaults = serde_json::to_string(&super::Settings::default()).unwrap();
    let hash = blake3::hash(defaults.as_bytes()).to_hex();
    assert_eq!((super::identity::RECIPE_VERSION, &hash[..16]), (3, "d70bbeb83277c66c"));
}

/// Every switch of the paper and the release is a run of its own where it can matter, and only there.
#[test]
fn switches_are_runs_of_their_own() {
    let switches = "
  edges: { structure.input: edges }
  noise: { structure: { input: edges, edge_noise: 0 } }
  attached: { appearance.detach_code: false }
  slim: { decoder.block: slim }
  series: { decoder.block: series }
  parallel: { decoder.block: parallel }
  attention: { decoder.non_local: true }
  tanh: { decoder.tanh: true }
  dropout: { decoder.dropout: 0.1 }
  nsgan: { discriminator.gan: nsgan }
  wgan: { discriminator.gan: wgan }
  log: { discriminator.gan: log }
  before: { discriminator.non_local: before }
  two_teachers: { teacher.count: 2 }
  no_pid: { loss.identity_on_positives: false }
  fine_generated: { loss.fine_on_real: false }
  constant: { loss.code_schedule: constant }
  no_decay: { train.adam_weight_decay: false }
  offline: { train.feeding: offline }
  running: { teacher.batch_norm: running }";
    let inactive = "
  full: {}
  still: { structure.edge_noise: 0 }
  no_fine: { loss.lambda_fine: 0 }
  no_fine_real: { loss: { lambda_fine: 0, fine_on_real: false } }
  critic: { discriminator: { gan: wgan, scales: 2, residual_blocks: 1, non_local: both } }
  uniform: { teacher.labels: uniform }
  uniform_two: { teacher: { labels: uniform, count: 2 } }
  alone: { train.mode: teacher_only }
  alone_offline: { train: { mode: teacher_only, feeding: offline }, teacher.count: 3 }
  no_feedback: { loss: { lambda_prim: 0, lambda_fine: 0 } }
";
    let study = arms(&format!("{switches}{inactive}"));
    let settings = |name: &str| &study.arm(name).unwrap().settings;
    let uid = |name: &str| run_uid(settings(name), 1, "data");
    let names =
        switches.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name);
    let mut seen = std::collections::BTreeMap::from([(uid("full"), "full")]);
    for name in names {
        assert_eq!(seen.insert(uid(name), name), None, "{name}");
    }
    for (one, other) in [
        ("full", "still"),
        ("no_fine", "no_fine_real"),
        ("wgan", "critic"),
        ("uniform", "uniform_two"),
        ("alone", "alone_offline"),
    ] {
        assert_eq!(uid(one), uid(other), "{one} {other}");
    }
    let keys = |name: &str| stage_keys(settings(name), 1, "data");
    assert_ne!(keys("two_teachers").teacher, keys("full").teacher);
    // what feeds offline is the training of the arm that feeds nothing
    assert_eq!(keys("offline").generator, keys("no_feedback").training);
    assert_eq!(keys("full").generator, "");
}

#[test]
fn the_papers_equations_are_a_base() {
    let base = experiments().join("base/paper_equations.yaml");
    let study =
        load(&format!("study: s\nextends: {}\narms: {{ full: }}\n", base.display())).unwrap();
    let settings = &study.arms[0].settings;
    let plan = super::step_plan::StepPlan::at(settings, 0);
    assert!(!settings.appearance.detach_code && !plan.identity_on_positives && !plan.fine_on_real);
    assert_eq!((plan.weights.code, plan.weights.cycle, plan.penalty), (1.0, 0.0, 0.0));
    assert_eq!(settings.discriminator.gan, super::settings::Gan::Log);
    assert!(study.notes.is_empty());
}

#[test]
fn switches_that_cannot_work_are_refused() {
    for (settings, reason) in [
        ("loss.lambda_perceptual: 1", "needs `loss.perceptual_weights`"),
        ("train.feeding: offline, loss: { lambda_prim: 0, lambda_fine: 0 }", "feeds nothing"),
        (
            "discriminator.gan: wgan, image: { height: 16, width: 8 }, structure.dilations: [1, 1, 1]",
            "too small",
        ),
        ("teacher: { source: checkpoint, path: s.yaml, count: 2 }", "one teacher"),
        ("decoder.block: slimm", "did you mean `slim`"),
        ("train.device: gpu", "expected cpu, auto or cuda:0"),
    ] {
        let text = refused(&format!("study: s\narms:\n  a: {{ {settings} }}\n"));
        assert!(text.contains(reason), "{settings}: {text}");
    }
}

#[test]
fn a_seed_is_what_a_database_can_keep() {
    let with = |seed: u64| format!("study: s\nseeds: [{seed}]\narms: {{ a: }}\n");
    assert_eq!(load(&with(i64::MAX as u64)).unwrap().arms.len(), 1);
    assert!(refused(&with(1 << 63)).contains("s.yaml:2:9: `seeds`: expected"));
}

/// A refused run keeps its folder and its settings, so a lowered bound has to be another run.
#[test]
fn the_bound_for_a_teacher_counts_where_a_teacher_is_tried() {
    let read = "teacher.source: checkpoint, teacher.path: t.pt";
    let text = format!(
        "study: s\narms:\n  a: {{ {read} }}\n  b: {{ {read}, teacher.min_accuracy: 0 }}\n  \
         c: {{}}\n  d: {{ teacher.min_accuracy: 0 }}\n"
    );
    let dir = folder(&[("s.yaml", text.as_str()), ("t.pt", "1")]);
    let study = Study::load(&dir.path().join("s.yaml"), &[]).unwrap();
    let uid = |arm: usize| run_uid(&study.arms[arm].settings, 1, "data");
    assert_ne!(uid(0), uid(1));
    assert_eq!(uid(2), uid(3));
    let training = |arm: usize| stage_keys(&study.arms[arm].settings, 1, "data").training;
    assert_eq!(training(0), training(1), "whoever passes a bound is trained alike");
}

#[test]
fn weights_are_known_by_their_contents() {
    let text = "study: s\narms:\n  a: { appearance.weights: a.st }\n  b: { appearance.weights: b.st }\n  c: { appearance.weights: c.st }\n";
    let dir = folder(&[("s.yaml", text), ("a.st", "1"), ("b.st", "1"), ("c.st", "2")]);
    let study = Study::load(&dir.path().join("s.yaml"), &[]).unwrap();
    let uid = |arm: usize| run_uid(&study.arms[arm].settings, 1, "data");
    assert_eq!(uid(0), uid(1));
    assert_ne!(uid(0), uid(2));
}

#[test]
fn the_place_of_the_data_is_not_its_identity() {
    let data = Data { path: Some("/here".into()), ..Data::default() };
    let here = super::Settings { data, ..Default::default() };
    let mut there = here.clone();
    there.data.path = Some("/there".into());
    there.data.drawn.ids = 7;
    there.teacher.labels = TeacherLabels::Soft;
    assert_eq!(run_uid(&here, 1, "print"), run_uid(&there, 1, "print"));
    assert_ne!(active(&here), active(&there));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pieces of a good study cut out, doubled and sprinkled with YAML's own characters.
    #[test]
    fn no_text_makes_it_panic(
        edits in prop::collection::vec((0usize..2_000, 0usize..40, "[-:{}\\[\\],&*!|>'\"%@#?\t\n 0-9a-zλ.]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = "study: s\nquestion: >\n  why\nseeds: [1, 2]\nprimary: mAP\nequal_within: 0.005\nbaseline: full\nconfirm: [b]\nloss:\n  λ_img: 5\n  lambda_id: 1e-1\ndata: { drawn: { ids: 20 } }\nstructure.dilations: [1, 2, 3]\narms:\n  full: {}\n  \"b\": { label: 'x', train.mode: teacher_only }\n"
            .chars()
            .collect();
        for (at, cut, insert) in edits {
            let at = at % (text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = load(&text) {
            prop_assert!(!error.message.is_empty());
            prop_assert!(error.to_string().len() < 2_000);
        }
    }
}

#[test]
fn seeds_may_be_added_while_a_verdict_is_open() {
    let study = |seeds: &str, confirm: &str| {
        let text = format!(
            "study: s\nseeds: {seeds}\nconfirm: [{confirm}]\narms:\n  full: {{}}\n  b: {{ loss.lambda_id: 0 }}\n"
        );
        load(&text)
    };
    let known = study("{ min: 4, max: 12, stop: decided }", "b").unwrap();
    assert_eq!(known.seeds, [1, 2, 3, 4]);
    assert_eq!(known.adaptive, Some(crate::spec::Adaptive { min: 4, max: 12 }));
    assert_eq!(study("4", "b").unwrap().adaptive, None);
    let refused = |seeds: &str| study(seeds, "b").unwrap_err().to_string();
    for (seeds, place, why) in [
        ("{ min: 1, max: 12 }", "2:15", "from 2 to 64, found `1`"),
        ("{ min: 4, max: 65 }", "2:23", "from 2 to 64, found `65`"),
        ("{ min: 4, max: 3 }", "2:23", "3 is less than `min`, 4"),
        ("{ min: 4 }", "2:8", "`max` is missing"),
        ("{ max: 4 }", "2:8", "`min` is missing"),
        ("{ min: 4, max: 12, stop: soon }", "2:33", "expected `decided`, found `soon`"),
        ("{ min: 4, max: 12, mx: 3 }", "2:27", "unknown key `mx`"),
    ] {
        let text = refused(seeds);
        assert!(text.contains(place) && text.contains(why), "{text}");
    }
    let empty = study("{ min: 4, max: 12 }", "").unwrap_err().to_string();
    assert!(empty.contains(":2:1: `seeds`: nothing is to be decided"), "{empty}");
}

#[test]
fn exploratory_arms_may_be_given_up() {
    let study = |prune: &str, confirm: &str| {
        let text = format!(
            "study: s\nseeds: 4\nprune: {prune}\nconfirm: [{confirm}]\narms:\n  full: {{}}\n  b: {{ loss.lambda_id: 0 }}\n"
        );
        load(&text)
    };
    let known = study("{ after: 2, behind: 0.05 }", "").unwrap();
    assert_eq!(known.prune, Some(crate::spec::Prune { after: 2, behind: 0.05 }));
    for (prune, place, why) in [
        ("{ after: 1, behind: 0.05 }", "3:17", "from 2 to 64, found `1`"),
        ("{ after: 2, behind: -1 }", "3:28", "at least 0, found `-1`"),
        ("{ after: 2 }", "3:8", "`behind` is missing"),
        ("{ behind: 0 }", "3:8", "`after` is missing"),
        ("{ after: 2, behind: 0, by: 3 }", "3:31", "unknown key `by`"),
        ("3", "3:8", "expected a map, found `3`"),
        ("{ after: 4, behind: 0 }", "3:1", "is 4 and an arm has 4 seeds"),
    ] {
        let text = study(prune, "").unwrap_err().to_string();
        assert!(text.contains(place) && text.contains(why), "{text}");
    }
    let nobody = study("{ after: 2, behind: 0 }", "b").unwrap_err().to_string();
    assert!(nobody.contains("3:1") && nobody.contains("never pruned"), "{nobody}");
}
