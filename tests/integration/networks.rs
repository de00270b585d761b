//! Finished networks: ours and PyTorch's evaluated, embedded, taken as teachers, and refused.
// the numbers of a run are compared bit for bit
#![allow(clippy::float_cmp)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, TINY};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn refused(place: &Place, arguments: &[&str], words: &[&str]) {
    let output = place.dgnet(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: no `{word}` in\n{said}");
    }
}

fn rows(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let all = [&["eval", "--json"], arguments].concat();
    serde_json::from_str(&place.succeed(&all)).unwrap()
}

/// The final value of a metric as the database has it, with every digit.
fn recorded(place: &Place, arm: &str, metric: &str) -> f64 {
    let sql = format!("select value from last_values where arm = '{arm}' and metric = '{metric}'");
    let json = place.succeed(&["query", &sql, "--format", "json"]);
    serde_json::from_str::<Value>(&json).unwrap()[0]["value"].as_f64().unwrap()
}

#[test]
fn a_run_evaluates_to_exactly_the_numbers_that_it_recorded() {
    let place = Place::new();
    place.study(TINY);
    for arm in ["full", "teacher_only"] {
        place.succeed(&["run", "tiny.yaml", "--arm", arm, "--seed", "1"]);
    }
    let (full, teacher) = (place.run_folder("full"), place.run_folder("teacher_only"));
    let asked = ["--checkpoint", text(&full), "--rerank", "--multi-query", "--per-camera"];
    let found = rows(&place, &asked);
    assert_eq!(found.len(), 3, "{found:?}");
    for (row, protocol, names) in [
        (&found[0], "single", [("mAP", "mAP"), ("rank1", "rank1")]),
        (&found[1], "multi_query", [("mAP", "mAP_multi"), ("rank1", "rank1_multi")]),
        (&found[2], "reranked", [("mAP", "mAP_reranked"), ("rank1", "rank1_reranked")]),
    ] {
        assert_eq!(row["protocol"], protocol);
        for (name, metric) in names {
            assert_eq!(row[name].as_f64().unwrap(), recorded(&place, "full", metric), "{metric}");
        }
    }
    for name in ["mAP_standard", "mINP", "rank5", "rank10"] {
        assert_eq!(found[0][name].as_f64().unwrap(), recorded(&place, "full", name), "{name}");
    }
    let cameras = found[0]["cameras"].as_array().unwrap();
    let queries: u64 = cameras.iter().map(|pair| pair["queries"].as_u64().unwrap()).sum();
    assert_eq!(
        queries,
        found[0]["usable_queries"].as_u64().unwrap(),
        "two cameras: a pair a query"
    );

    // the weight of the fine half, without another look at the photos
    let found = rows(&place, &["--checkpoint", text(&full), "--beta", "0,0.5"]);
    assert_eq!(found[0]["mAP"].as_f64().unwrap(), recorded(&place, "full", "mAP_primary"));
    assert_eq!(found[1]["mAP"].as_f64().unwrap(), recorded(&place, "full", "mAP"));

    // two networks on two sets; a stage names its run, a single head has no weight
    let stages = place.runs().join(".stages/teacher");
    let mut stage = std::fs::read_dir(stages).unwrap().flatten().map(|entry| entry.path());
    let stage = stage.find(|path| path.is_dir()).unwrap().join("teacher.safetensors");
    let other = "drawn:ids=10,cameras=3,photos_max=1,height=48,width=24";
    let arguments = [
        "--checkpoint",
        text(&full),
        "--checkpoint",
        text(&stage),
        "--data",
        "drawn",
        "--data",
        other,
    ];
    let found = rows(&place, &arguments);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[2]["mAP"].as_f64().unwrap(), recorded(&place, "teacher_only", "mAP"));
    assert_eq!((&found[2]["fine_weight"], &found[3]["data"]), (&Value::Null, &Value::from(other)));
    let table = place.succeed(&[&["eval"], arguments.as_slice()].concat());
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.contains("mAP_standard") && table.contains("teacher.safetensors"), "{table}");
    let own = rows(&place, &["--checkpoint", text(&teacher)]);
    assert_eq!(own[0]["mAP"].as_f64().unwrap(), recorded(&place, "teacher_only", "mAP"));
}

/// The size at which the networks among the fixtures work.
const SIZE: [&str; 6] = [
    "--set",
    "image={height: 32, width: 16}",
    "--set",
    "appearance.upsample=never",
    "--set",
    "eval.batch=4",
];

#[test]
fn pytorch_files_give_pytorchs_features_and_are_evaluated() {
    let place = Place::new();
    let known = std::fs::read(fixture("torch_features.json")).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    let photo = fixture("photo.png");
    for (file, parts) in
        [("id_tiny.pt", vec!["primary", "fine"]), ("teacher_tiny.pth", vec!["primary"])]
    {
        for (at, part) in parts.into_iter().enumerate() {
            let weights = fixture(file);
            let embed = ["embed", "--part", part, "--checkpoint", text(&weights), text(&photo)];
            let line = place.succeed(&[embed.as_slice(), &SIZE].concat());
            let line: Value = serde_json::from_str(&line).unwrap();
            let wanted = known[file][at].as_array().unwrap();
            let found = line["feature"].as_array().unwrap();
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                let (found, wanted) = (found.as_f64().unwrap(), wanted.as_f64().unwrap());
                assert!((found - wanted).abs() < 1e-5, "{file} {part}: {found} is not {wanted}");
            }
        }
    }
    let weights = fixture("id_tiny.pt");
    let data = "drawn:ids=10,cameras=2,height=48,width=24";
    let evaluate = ["--checkpoint", text(&weights), "--data", data, "--beta", "0,1", "--rerank"];
    let found = rows(&place, &[evaluate.as_slice(), &SIZE].concat());
    assert_eq!(found.len(), 4);
    for row in &found {
        let map = row["mAP"].as_f64().unwrap();
        assert!(map > 0.0 && map < 1.0, "{row}");
    }
}

#[test]
fn unreadable_images_are_named_and_the_others_are_embedded() {
    let place = Place::new();
    let folder = place.path().join("photos");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(fixture("photo.png"), folder.join("good.png")).unwrap();
    std::fs::write(folder.join("bad.jpg"), b"\xff\xd8 not a photo").unwrap();
    std::fs::write(folder.join("notes.txt"), b"not an image").unwrap();
    let weights = fixture("id_tiny.pt");
    let embed = ["embed", "--csv", "--checkpoint", text(&weights), "photos", "gone.png"];
    let output = place.dgnet(&[embed.as_slice(), &SIZE].concat());
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("photos/bad.jpg") && told.contains("gone.png"), "{told}");
    assert!(told.contains("2 of 3 images"), "{told}");
    let csv = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("image,f0,") && lines[1].contains("good.png"),
        "{csv}"
    );
    assert_eq!(lines[1].split(',').count(), 1 + 16, "two halves of 8");
    let teacher = fixture("teacher_tiny.pth");
    let fine = ["embed", "--part", "fine", "--checkpoint", text(&teacher), "photos/good.png"];
    refused(&place, &[fine.as_slice(), &SIZE].concat(), &["no fine head", "--part primary"]);
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_the_reason() {
    let place = Place::new();
    let (id, module) = (fixture("id_tiny.pt"), fixture("whole_module.pt"));
    let data = "drawn:ids=10,cameras=2,height=48,width=24";
    let eval = |file: &'static str| ["eval", "--data", data, "--checkpoint", file];
    refused(&place, &eval("nowhere.pt"), &["nowhere.pt", "no such file"]);
    refused(
        &place,
        &["eval", "--data", data, "--checkpoint", text(&module)],
        &["torch.nn.modules.linear.Linear", "state_dict()"],
    );
    let kinds = fixture("kinds.pt");
    refused(
        &place,
        &["eval", "--data", data, "--checkpoint", text(&kinds)],
        &["holds no re-ID network", "`bf16`", "classifier1."],
    );
    refused(&place, &["eval", "--checkpoint", text(&id)], &["no data of its own", "--data"]);
    refused(&place, &["eval", "--data", "drawn:ids=1", "--checkpoint", text(&id)], &["ids", "4"]);
    refused(
        &place,
        &["eval", "--data", data, "--checkpoint", text(&id), "--beta", "-1"],
        &["--beta"],
    );
    // settings that are stated are taken as they are: another network is refused, mismatches named
    place.study(&TINY.replace("backbone: resnet10, width: 4", "backbone: resnet18, width: 6"));
    let exact = ["--settings", "tiny.yaml", "--arm", "full", "--checkpoint", text(&id)];
    refused(
        &place,
        &[&["eval", "--data", data], exact.as_slice()].concat(),
        &["has shape [4, 3, 7, 7], the network wants [6, 3, 7, 7]", "`appearance.width`", "more"],
    );
    // a set without a usable query
    let folder = place.path().join("alone");
    for (part, person) in [("train", 1), ("query", 2), ("gallery", 2)] {
        let inside = folder.join(format!("{part}/{person}/1"));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::copy(fixture("photo.png"), inside.join(format!("{part}.png"))).unwrap();
    }
    refused(
        &place,
        &["eval", "--data", "alone", "--checkpoint", text(&id)],
        &["1 queries", "own camera only", "query.png"],
    );
}

#[test]
fn teachers_from_elsewhere_are_tried_before_they_teach() {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["run", "tiny.yaml", "--arm", "teacher_only", "--seed", "1"]);
    let stages = std::fs::read_dir(place.runs().join(".stages/teacher")).unwrap().flatten();
    let own =
        stages.map(|entry| entry.path().join("teacher.safetensors")).find(|path| path.is_file());
    let own = own.unwrap();
    let fails = |path: &Path, more: &str, words: &[&str]| {
        let arm = format!(
            "  foreign: {{ teacher.source: checkpoint, teacher.path: {}, teacher.last_stride: 2{more} }}\n",
            path.display()
        );
        place.study(&format!("{TINY}{arm}"));
        let output = place.dgnet(&["run", "tiny.yaml", "--arm", "foreign", "--seed", "1"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in\n{said}");
        }
    };
    // two epochs taught it little: its class map is right, its guesses are not
    fails(
        &own,
        ", teacher.min_accuracy: 1",
        &["teacher.min_accuracy", "classes stand in the right order"],
    );
    // the same weights without their record, as a public file has them: nothing is known of its classes
    let bare = place.path().join("bare.safetensors");
    std::fs::copy(&own, &bare).unwrap();
    fails(
        &bare,
        ", teacher.min_accuracy: 0.99",
        &["into the right class", "rank of the person id", "another order"],
    );
    let teacher = fixture("teacher_tiny.pth");
    fails(
        &teacher,
        ", teacher.min_accuracy: 0.9",
        &["training photos into the right class", "teacher.min_accuracy"],
    );
    let two_heads = fixture("id_tiny.pt");
    fails(&two_heads, "", &["holds no teacher", "one head"]);
    fails(
        &teacher,
        ", teacher.feature: 9",
        &["add_block.0.weight` has shape [8, 32]", "`teacher.feature`"],
    );
    // the bound is the user's
    let arm = format!(
        "  foreign: {{ teacher.source: checkpoint, teacher.path: {}, teacher.min_accuracy: 0 }}\n",
        teacher.display()
    );
    place.study(&format!("{TINY}{arm}"));
    place.succeed(&["run", "tiny.yaml", "--arm", "foreign", "--seed", "1"]);
    // another number of persons
    let fewer = TINY.replace("ids: 12", "ids: 14");
    place.study(&format!("{fewer}{arm}"));
    let output = place.dgnet(&["run", "tiny.yaml", "--arm", "foreign", "--seed", "1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("knows 7 persons") && said.contains("data set's 8"), "{said}");
}

#[test]
fn backbones_begin_with_pytorchs_weights() {
    let place = Place::new();
    let teacher = fixture("teacher_tiny.pth");
    let weights = format!("upsample: never, weights: {}", teacher.display());
    place.study(&TINY.replace("upsample: never", &weights));
    place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
}
