//! Whole studies through both executables: results, sharing, crashes, faults.

use std::time::{Duration, Instant};

use crate::support::{Place, TINY, fingerprint};

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_mins(2), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_sweep_fills_the_database_writes_the_report_and_does_nothing_twice() {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["sweep", "tiny.yaml"]);
    let final_rows = place.succeed(&[
        "query",
        "select arm, mAP, rank1, swap_nearer from final order by arm",
        "--format",
        "csv",
    ]);
    assert_eq!(final_rows.lines().count(), 4, "{final_rows}");
    assert!(final_rows.starts_with("arm,mAP,rank1,swap_nearer\n"), "{final_rows}");
    let queries = place.succeed(&["query", "select count(*) from query_result", "--format", "csv"]);
    assert_ne!(queries.lines().nth(1), Some("0"));

    let others = place.succeed(&[
        "query",
        "select count(*) from last_values where metric in ('mAP_multi', 'rank1_multi', 'mAP_reranked', 'rank1_reranked') and value between 0 and 1",
        "--format",
        "csv",
    ]);
    assert_eq!(others.lines().nth(1), Some("12"), "four values for each of three runs");
    // quality of generated images: shares that sum to 1, and distances on named features
    let shares = place.succeed(&[
        "query",
        "select round(sum(value), 9), min(value) >= 0 from last_values where metric like 'swap_error_%' group by arm",
        "--format",
        "csv",
    ]);
    assert_eq!(shares.lines().skip(1).collect::<Vec<_>>(), ["1,1", "1,1"], "{shares}");
    let measured = place.succeed(&[
        "query",
        "select distinct metric from last_values where arm = 'full' and value >= 0 and (metric like 'frechet%' or metric like 'diversity%') order by 1",
        "--format",
        "csv",
    ]);
    assert_eq!(measured, "metric\ndiversity\ndiversity_real\nfrechet_teacher\n");
    let best = place.succeed(&[
        "runs",
        "--where",
        "map >= 0 and arm != teacher_only",
        "--sort",
        "-mAP",
        "--cols",
        "arm,seed",
    ]);
    assert_eq!(best.lines().count(), 3, "{best}");
    let diff = place.succeed(&["diff", "full/1", "tiny/hard_labels/1"]);
    assert!(diff.contains("teacher.labels") && diff.contains("mAP"), "{diff}");
    assert!(!diff.contains("lambda_img"), "only what differs: {diff}");
    assert_eq!(place.dgnet(&["diff", "full/1", "full/7"]).status.code(), Some(2));
    let ranking = ["query", "--name", "ranking", "--param", "study=tiny", "--format", "markdown"];
    let ranking = place.succeed(&ranking);
    assert!(ranking.starts_with("| study | arm | seeds |"), "{ranking}");
    assert_eq!(ranking.lines().count(), 5, "{ranking}");
    for (name, rows) in [
        ("pictures", 3),
        ("cost", 4),
        ("hard_queries", 2),
        ("changed_queries", 1),
        ("cameras", 3),
        ("trouble", 1),
    ] {
        let answer = place.succeed(&["query", "--name", name, "--format", "csv"]);
        assert!(answer.lines().count() >= rows, "{name}: {answer}");
    }

    let report = place.path().join("reports/tiny/index.html");
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("does it run?"));
    assert!(!page.contains("<script>alert(1)</script>"), "a label must stay text");
    assert!(page.contains("data:image/png;base64"));
    for arm in ["full", "hard_labels", "teacher_only"] {
        let list = format!("alt=\"Ranked list of {arm}, seed 1, step ");
        assert!(page.contains(&list), "{arm} has no ranked list");
    }
    assert!(page.contains(" right, first right at rank "), "a list states its finding");
    assert!(page.contains("Quality of generated pictures"));
    assert!(page.contains("Pairs of cameras") && page.contains("finds people worst from camera"));
    assert!(page.contains("no verdict rests on them"));
    assert_eq!(place.dgnet(&["report", "tiny", "--against", "tiny"]).status.code(), Some(2));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page must work offline");

    let stages = || {
        let mut names: Vec<_> = walkdir::WalkDir::new(place.runs().join(".stages"))
            .into_iter()
            .flatten()
            .map(|entry| (entry.path().to_owned(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        names.sort();
        names
    };
    let before = stages();
    place.succeed(&["sweep", "tiny.yaml"]);
    assert_eq!(before, stages(), "a finished study must train nothing");
    assert_eq!(page, std::fs::read_to_string(&report).unwrap(), "same database, same bytes");

    let live =
        place.succeed(&["query", "select * from curves order by 1,2,3,4", "--format", "csv"]);
    place.succeed(&["reindex"]);
    let rebuilt =
        place.succeed(&["query", "select * from curves order by 1,2,3,4", "--format", "csv"]);
    assert_eq!(live, rebuilt, "the folders are the truth");
}

#[test]
fn runs_that_share_a_beginning_end_with_the_bits_of_runs_alone() {
    let arms = "
  no_prim: { loss.lambda_prim: 0 }
  late: { train.decay_at: [14] }
  other_teacher: { teacher.epochs: 1 }
";
    let text = format!("{}{arms}", TINY.trim_end());
    let shared = Place::new();
    shared.study(&text);
    let plan = shared.succeed(&["plan", "tiny.yaml"]);
    assert!(
        plan.contains("steps 1-5 of full, hard_labels, no_prim, late, other_teacher"),
        "{plan}"
    );
    assert!(plan.contains("steps 6-12 of full, late"), "{plan}");
    assert!(plan.contains("save 27 of 80 training steps (34 %)"), "{plan}");
    shared.succeed(&["sweep", "tiny.yaml"]);
    for (arm, steps) in [("full", 12), ("late", 12), ("no_prim", 5), ("other_teacher", 5)] {
        let begin = std::fs::read_to_string(shared.run_folder(arm).join("begin.json")).unwrap();
        assert!(begin.contains(&format!("\"shared_steps\": {steps},")), "{arm}: {begin}");
    }

    let alone = Place::new();
    alone.study(&text);
    for arm in ["full", "hard_labels", "no_prim", "late", "other_teacher", "teacher_only"] {
        alone.succeed(&["run", "tiny.yaml", "--arm", arm, "--seed", "1"]);
    }
    assert_eq!(fingerprint(&shared), fingerprint(&alone));

    // a beginning is trained from the beginning, also where the whole training is published already
    let worker = std::path::Path::new(env!("CARGO_BIN_EXE_dgnet")).with_file_name("dgnet-worker");
    let spec = alone.run_folder("full").join("spec.yaml");
    let status = std::process::Command::new(worker)
        .arg("--runs")
        .arg(alone.runs())
        .args(["prefix", "--steps", "5", "--job"])
        .arg(spec)
        .status()
        .unwrap();
    assert!(status.success());
    let prefix = std::fs::read_dir(alone.runs().join(".stages/prefix")).unwrap().flatten();
    let stage = prefix.map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
    let twin = shared.runs().join(".stages/prefix").join(stage.file_name().unwrap());
    let weights =
        |stage: &std::path::Path| std::fs::read(stage.join("weights.safetensors")).unwrap();
    assert!(weights(&stage) == weights(&twin), "the same steps, the same bits");
}

#[test]
fn killed_workers_end_with_the_same_bits() {
    let straight = Place::new();
    straight.study(TINY);
    straight.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    let expected = fingerprint(&straight);
    // kill before the first checkpoint, between two, after an evaluation, and near the end
    for kill_at in [1, 5, 8, 14] {
        let place = Place::new();
        place.study(TINY);
        let mut sweep =
            place.command(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]).spawn().unwrap();
        let heartbeat = || -> Option<serde_json::Value> {
            let folder =
                std::fs::read_dir(place.runs().join("tiny/full")).ok()?.flatten().next()?.path();
            serde_json::from_slice(&std::fs::read(folder.join("heartbeat")).ok()?).ok()
        };
        let begin = || -> Option<i32> {
            let folder =
                std::fs::read_dir(place.runs().join("tiny/full")).ok()?.flatten().next()?.path();
            let begin: serde_json::Value =
                serde_json::from_slice(&std::fs::read(folder.join("begin.json")).ok()?).ok()?;
            i32::try_from(begin["pid"].as_i64()?).ok()
        };
        wait_for("the step to kill at", || {
            heartbeat().is_some_and(|beat| {
                beat["phase"] == "training" && beat["step"].as_u64() >= Some(kill_at)
            }) || sweep.try_wait().unwrap().is_some()
        });
        if let Some(pid) = begin().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        assert!(
            sweep.wait().unwrap().success(),
            "the sweep must resume a killed worker (killed at {kill_at})"
        );
        assert_eq!(fingerprint(&place), expected, "killed at step {kill_at}");
    }
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_stopped() {
    let straight = Place::new();
    straight.study(TINY);
    straight.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);

    let place = Place::new();
    place.study(TINY);
    let mut sweep =
        place.command(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]).spawn().unwrap();
    wait_for("training", || {
        walkdir::WalkDir::new(place.runs())
            .into_iter()
            .flatten()
            .any(|entry| entry.file_name() == "metrics-1.jsonl")
            || sweep.try_wait().unwrap().is_some()
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(sweep.id()).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let status = sweep.wait().unwrap();
    assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
    place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    assert_eq!(fingerprint(&place), fingerprint(&straight));
}

#[test]
fn a_diverged_run_is_a_result_and_the_study_goes_on() {
    let place = Place::new();
    let text = TINY.replace(
        "hard_labels: { label: <script>alert(1)</script>, teacher.labels: hard }",
        "wild: { train.lr_generator: 1e30 }",
    );
    place.study(&text);
    let output = place.dgnet(&["sweep", "tiny.yaml"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let states =
        place.succeed(&["query", "select arm, state from runs order by arm", "--format", "csv"]);
    assert_eq!(states, "arm,state\nfull,done\nteacher_only,done\nwild,diverged\n");
    let page = std::fs::read_to_string(place.path().join("reports/tiny/index.html")).unwrap();
    assert!(page.contains("diverge"), "the report must name the divergence");
}

#[test]
fn limits_stop_a_sweep_that_goes_on_later() {
    let place = Place::new();
    let arms = "  wild: { train.lr_generator: 1e30 }\n  full: {}\n  teacher_only: { train.mode: teacher_only }\n";
    let (head, _) = TINY.split_once("arms:").unwrap();
    place.study(&format!("{head}arms:\n{arms}"));
    let output = place.dgnet(&["sweep", "tiny.yaml", "--jobs", "1", "--fail-fast"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("1 failed or diverged and 1 was the limit"), "{said}");
    let count = |state: &str| {
        let plan = place.succeed(&["watch", "tiny.yaml", "--once", "--json"]);
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        plan["cells"][state].as_u64().unwrap_or(0)
    };
    assert_eq!((count("diverged"), count("done")), (1, 0));

    let output = place.dgnet(&["sweep", "tiny.yaml", "--jobs", "1", "--max-time", "1s"]);
    assert!(matches!(output.status.code(), Some(130 | 3)), "{output:?}");
    assert_eq!(place.dgnet(&["sweep", "tiny.yaml", "--max-time", "soon"]).status.code(), Some(2));
    assert_eq!(place.dgnet(&["sweep", "tiny.yaml"]).status.code(), Some(3));
    assert_eq!((count("diverged"), count("done")), (1, 2));

    // a finished run tells what an open one like it will cost, and what sets it apart
    let text = format!("{head}arms:\n{arms}  less: {{ loss.lambda_img: 1 }}\n");
    place.study(&text);
    let plan = place.succeed(&["plan", "tiny.yaml"]);
    assert!(plan.contains("against tiny/full/1: loss.lambda_img: 5.0 -> 1.0"), "{plan}");
    assert!(plan.contains("judged by finished runs: "), "{plan}");

    // diverged runs stay results until they are asked for
    let attempts = || {
        std::fs::read_dir(place.run_folder("wild"))
            .unwrap()
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with("metrics-"))
            .count()
    };
    let before = attempts();
    place.dgnet(&["sweep", "tiny.yaml", "--only", "wild"]);
    assert_eq!(attempts(), before);
    place.dgnet(&["sweep", "tiny.yaml", "--only", "wild", "--retry", "diverged"]);
    assert_eq!(attempts(), before + 1);
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let straight = Place::new();
    straight.study(TINY);
    straight.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    let expected = fingerprint(&straight);

    let place = Place::new();
    place.study(TINY);
    let mut sweep =
        place.command(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]).spawn().unwrap();
    let checkpoints = || -> Vec<std::path::PathBuf> {
        walkdir::WalkDir::new(place.runs().join("tiny"))
            .into_iter()
            .flatten()
            .map(walkdir::DirEntry::into_path)
            .filter(|path| {
                path.extension().is_some_and(|e| e == "safetensors")
                    && path.with_extension("json").exists()
            })
            .collect()
    };
    wait_for("two checkpoints", || checkpoints().len() >= 2 || sweep.try_wait().unwrap().is_some());
    let pid = rustix::process::Pid::from_raw(i32::try_from(sweep.id()).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    sweep.wait().unwrap();
    let mut files = checkpoints();
    files.sort();
    if let Some(newest) = files.last() {
        let mut bytes = std::fs::read(newest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(newest, bytes).unwrap();
    }
    place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    assert_eq!(fingerprint(&place), expected);
}

#[test]
fn a_damaged_photo_fails_the_run_by_name_and_data_check_lists_it() {
    let place = Place::new();
    place.succeed(&[
        "data",
        "draw",
        "--out",
        "people",
        "--ids",
        "12",
        "--cameras",
        "2",
        "--seed",
        "3",
    ]);
    let train = place.path().join("people/bounding_box_train");
    let mut photos: Vec<_> =
        std::fs::read_dir(&train).unwrap().flatten().map(|e| e.path()).collect();
    photos.sort();
    let bytes = std::fs::read(&photos[1]).unwrap();
    std::fs::write(&photos[1], &bytes[..bytes.len() / 2]).unwrap();
    let name = photos[1].file_name().unwrap().to_string_lossy().into_owned();

    let check = place.dgnet(&["data", "check", "people"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned()
        + &String::from_utf8_lossy(&check.stderr);
    assert!(said.contains(&name), "{said}");

    place.study(&TINY.replace("data: { drawn:", "data: { path: people, drawn:"));
    let output = place.dgnet(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let failure = place.succeed(&["query", "select failure from run", "--format", "csv"]);
    assert!(failure.contains(&name), "{failure}");
}

#[test]
fn the_run_folder_is_complete_by_itself() {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["run", "tiny.yaml", "--arm", "full", "--seed", "1"]);
    let folder = place.run_folder("full");
    for file in [
        "spec.yaml",
        "begin.json",
        "end.json",
        "heartbeat",
        "metrics-1.jsonl",
        "queries.jsonl",
        "images/swap_grid.png",
        "images/ranked_01.jpg",
    ] {
        assert!(folder.join(file).exists(), "{file} is missing");
    }
}

#[test]
fn seeds_are_added_look_by_look_and_an_interruption_changes_nothing() {
    let text = TINY
        .replace("seeds: 1", "seeds: { min: 2, max: 3, stop: decided }\nequal_within: 0")
        .replace("  hard_labels: { label: <script>alert(1)</script>, teacher.labels: hard }\n", "");
    let cells = |place: &Place| {
        let sql = "select arm, seed, state from runs order by arm, seed";
        place.succeed(&["query", sql, "--format", "csv"])
    };
    let straight = Place::new();
    straight.study(&text);
    let planned = straight.succeed(&["plan", "tiny.yaml"]);
    assert!(planned.contains("4 runs to train for 4 cells"), "{planned}");
    assert!(planned.contains("2 at first, 3 at most, looks at 2, 3"), "{planned}");
    straight.succeed(&["sweep", "tiny.yaml"]);
    let page = std::fs::read_to_string(straight.path().join("reports/tiny/index.html")).unwrap();
    assert!(page.contains("looks at 2 and 3 pairs"), "the report must tell of the looks");
    let again = straight.succeed(&["sweep", "tiny.yaml"]);
    assert!(again.contains("nothing was left to do"), "{again}");
    let json: serde_json::Value =
        serde_json::from_str(&straight.succeed(&["plan", "tiny.yaml", "--json"])).unwrap();
    assert_eq!(json["looks"]["next"], serde_json::Value::Null, "{json}");
    assert!(json["looks"]["looks"].as_u64() >= Some(1) && json["runs_to_train"] == 0);

    // one cell, one arm, a sweep that is stopped, and the rest
    let place = Place::new();
    place.study(&text);
    place.succeed(&["run", "tiny.yaml", "--arm", "teacher_only", "--seed", "2"]);
    place.succeed(&["sweep", "tiny.yaml", "--only", "full", "--no-report"]);
    let stopped = place.dgnet(&["sweep", "tiny.yaml", "--max-time", "0s"]);
    assert!(matches!(stopped.status.code(), Some(130 | 0)), "{stopped:?}");
    place.succeed(&["sweep", "tiny.yaml"]);
    assert_eq!(cells(&place), cells(&straight));
    assert_eq!(fingerprint(&place), fingerprint(&straight));
    let table = |place: &Place| {
        std::fs::read_to_string(place.path().join("reports/tiny/table.csv")).unwrap()
    };
    assert_eq!(table(&place), table(&straight));
}

#[test]
fn an_arm_that_is_far_behind_gets_no_more_seeds_until_the_rule_is_gone() {
    let text = TINY
        .replace("seeds: 1", "seeds: 4\nprune: { after: 3, behind: 0 }")
        .replace("primary: mAP", "primary: loss_total")
        .replace("  hard_labels: { label: <script>alert(1)</script>, teacher.labels: hard }\n", "")
        .replace("confirm: [teacher_only]\n", "")
        .replace(
            "  teacher_only: { train.mode: teacher_only }\n",
            "  heavy: { loss.lambda_img: 500 }\n",
        );
    let cells = |place: &Place, arm: &str| {
        let sql = format!("select count(*) from cell where arm = '{arm}'");
        place.succeed(&["query", &sql, "--format", "csv"]).lines().nth(1).unwrap().to_owned()
    };
    let place = Place::new();
    place.study(&text);
    let planned = place.succeed(&["plan", "tiny.yaml"]);
    assert!(planned.contains("7 runs to train for 7 cells"), "{planned}");
    assert!(planned.contains("1 arm not looked at yet: 1 run more at most"), "{planned}");
    place.succeed(&["sweep", "tiny.yaml"]);
    assert_eq!((cells(&place, "full").as_str(), cells(&place, "heavy").as_str()), ("4", "3"));
    let planned = place.succeed(&["plan", "tiny.yaml"]);
    assert!(planned.contains("nothing to train"), "{planned}");
    assert!(planned.contains("given up after 3 seeds, too far behind: `heavy`"), "{planned}");
    let page = std::fs::read_to_string(place.path().join("reports/tiny/index.html")).unwrap();
    let told = "on the worse side: <code>heavy</code>";
    assert!(page.contains(told), "the report must tell who was given up");
    place.study(&text.replace("prune: { after: 3, behind: 0 }", ""));
    place.succeed(&["sweep", "tiny.yaml"]);
    assert_eq!(cells(&place, "heavy"), "4");
    // what was measured is never left out again
    place.study(&text);
    place.succeed(&["sweep", "tiny.yaml"]);
    assert_eq!(cells(&place, "heavy"), "4");
}

#[test]
fn a_grid_that_explodes_is_not_trained_unasked() {
    let place = Place::new();
    place.study(TINY);
    let output = place.dgnet(&["sweep", "tiny.yaml", "--at-most", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("3 runs would be trained, more than 2"), "{said}");
    assert!(said.contains("--at-most 3") && !place.runs().join("tiny/full").exists(), "{said}");
}
