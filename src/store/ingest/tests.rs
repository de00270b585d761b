use super::*;
use crate::store::marks::Note;
use crate::store::query::{Cell, query};
use crate::store::records::RunSpec;
use crate::store::records::{
    ArmRecord, ArtifactLine, CellRecord, EndState, QueryLine, StageKeys, StudyRecord,
};
use crate::store::run_dir::tests::{begin, end, spec};
use crate::store::run_writer::RunWriter;
use crate::store::stages::StageKind;

fn rows(root: &Path, sql: &str) -> Vec<Vec<Cell>> {
    query(&Db::file(root), sql).unwrap().rows
}

fn number(root: &Path, sql: &str) -> f64 {
    match rows(root, sql)[0][0] {
        Cell::Integer(value) => value as f64,
        Cell::Real(value) => value,
        ref other => panic!("{other:?} for {sql}"),
    }
}

/// Every table without its short keys, as text.
pub(crate) fn logical(root: &Path) -> Vec<String> {
    let queries = [
        "select * from study order by name",
        "select * from arm order by study, position",
        "select * from cell order by study, arm, seed",
        "select * from run order by uid",
        "select * from setting order by run_uid, key",
        "select uid, name.name, step, value, nonfinite from metric join run_number n on n.id = run join metric_name name on name.id = metric.name order by 1, 2, 3",
        "select uid, step, query, ap, first_hit from query_result join run_number n on n.id = run order by 1, 2, 3",
        "select * from stage order by kind, key",
        "select * from run_stage order by run_uid, kind",
        "select uid, name, kind, step, media_type, caption, bytes from artifact join run_number n on n.id = run order by 1, 2",
        "select uid, attempt, line, at, level, message from event join run_number n on n.id = run order by 1, 2, 3",
        "select uid, query_camera, gallery_camera, queries, mAP, rank1 from camera_pair join run_number n on n.id = run order by 1, 2, 3",
        "select * from ingest order by uid, file",
        "select * from mark order by kind, name",
    ];
    queries.iter().flat_map(|sql| rows(root, sql)).map(|row| format!("{row:?}")).collect()
}

fn study(root: &Path, cells: &[(&str, u64, &RunSpec)]) {
    let arm =
        |name: &str| ArmRecord { name: name.into(), label: name.into(), ..ArmRecord::default() };
    let record = StudyRecord {
        name: "s".into(),
        primary: "mAP".into(),
        baseline: "full".into(),
        confirm: vec!["rgb".into()],
        arms: vec![arm("full"), arm("rgb")],
        cells: cells
            .iter()
            .map(|(arm, seed, spec)| CellRecord {
                arm: (*arm).into(),
                seed: *seed,
                uid: spec.uid.clone(),
            })
            .collect(),
        ..StudyRecord::default()
    };
    study_dir::write(root, &record).unwrap();
}

fn picture(step: u64) -> ArtifactLine {
    ArtifactLine {
        name: "grid.png".into(),
        kind: "swap_grid".into(),
        step,
        media_type: "image/png".into(),
        caption: "rows structure".into(),
    }
}

fn hit(step: u64, query: &str) -> QueryLine {
    QueryLine { step, query: query.into(), ap: Some(0.25), first_hit: Some(3) }
}

/// Leaves pairs of this many cameras in a run folder.
fn cameras(run: &RunDir, count: u32) {
    let pair = |query_camera, gallery_camera| crate::stats::ranking::CameraPair {
        query_camera,
        gallery_camera,
        queries: 3,
        rank1: 0.5,
        map: 0.1 * f64::from(query_camera),
    };
    let of = |query| (1..=count).filter(move |other| *other != query).map(move |g| pair(query, g));
    let pairs: Vec<_> = (1..=count).flat_map(of).collect();
    crate::store::files::write_json(&run.path().join(CAMERAS), &pairs).unwrap();
}

/// A study of two arms: one run that was killed and resumed, one that finished at once.
pub(crate) fn lived_through(root: &Path) {
    let mut full = spec("s", "full", 1, "aaaaaaaa");
    full.stages = StageKeys { data: "ab".into(), teacher: "cd".into(), ..StageKeys::default() };
    let mut rgb = spec("s", "rgb", 1, "bbbbbbbb");
    rgb.stages.data = "ab".into();
    study(root, &[("full", 1, &full), ("rgb", 1, &rgb)]);
    let mut writer = Writer::open(root).unwrap().unwrap();
    let run = RunDir::create(root, &full).unwrap();
    assert_eq!(writer.tail(&run).unwrap().state, RunState::Planned);
    writer.study("s").unwrap();
    let stages = Stages::new(root);
    stages.publish(stages.work(StageKind::Teacher, "cd").unwrap()).unwrap();

    let mut first = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    for step in 0..=6 {
        first.metrics(step, &[("mAP", 0.1 * step as f64), ("loss_total", 1.0 / 3.0)]).unwrap();
    }
    first.queries(&[hit(5, "q1.png"), hit(5, "q2.png")]).unwrap();
    first.artifact(&picture(5), b"old").unwrap();
    first.event("info", "begins").unwrap();
    first.flush().unwrap();
    assert!(writer.tail(&run).unwrap().lines > 8);
    first.metrics(7, &[("only_first", 7.0)]).unwrap();
    drop(first);
    let file = run.metrics_file(1);
    let mut text = std::fs::read(&file).unwrap();
    text.extend_from_slice(b"{\"step\":8,\"val");
    std::fs::write(&file, text).unwrap();
    assert_eq!(writer.tail(&run).unwrap().state, RunState::Stale);
    assert_eq!(number(root, "select max(step) from curves"), 7.0);

    let mut second = RunWriter::begin(run.path(), &begin(2, 4)).unwrap();
    second.metrics(5, &[("mAP", 0.55), ("loss_total", f64::NAN)]).unwrap();
    second.queries(&[hit(5, "q1.png")]).unwrap();
    second.artifact(&picture(5), b"new").unwrap();
    second.event("warn", "resumed").unwrap();
    cameras(&run, 2);
    second.end(&end(EndState::Done, 2, 5)).unwrap();
    assert_eq!(writer.tail(&run).unwrap().state, RunState::Done);
    assert_eq!(writer.tail(&run).unwrap().lines, 0);

    let run = RunDir::create(root, &rgb).unwrap();
    let mut only = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    only.metrics(5, &[("mAP", 0.35)]).unwrap();
    only.end(&end(EndState::Done, 1, 5)).unwrap();
    writer.tail(&run).unwrap();
    let note = |m: &mut Marks| m.notes.push(Note { at: 5.0, text: "odd; \u{e4} 'x'".into() });
    Marks::change(root, run.path(), note).unwrap();
    Marks::change(root, run.path(), |m| m.tag(&["good".into()]).unwrap()).unwrap();
    Marks::change(root, &root.join("s"), |m| m.archived_at = Some(7.0)).unwrap();
    writer.tail(&run).unwrap();
    writer.study("s").unwrap();
    writer.close().unwrap();
}

#[test]
fn notes_and_tags_reach_the_views() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    lived_through(root);
    let text = |text: &str| Cell::Text(text.into());
    assert_eq!(
        rows(root, "select tags, note, archived from runs where arm = 'rgb'"),
        [[text("good"), text("odd; \u{e4} 'x'"), Cell::Integer(1)]]
    );
    assert_eq!(rows(root, "select count(*) from notes"), [[Cell::Integer(1)]]);
    Marks::change(root, &root.join("s"), |m| *m = Marks::default()).unwrap();
    reindex(root).unwrap();
    assert_eq!(number(root, "select max(archived) from runs"), 0.0);
}

#[test]
fn the_later_attempt_wins_from_its_start_step() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    lived_through(root);
    assert_eq!(
        number(root, "select count(*) from curves where arm = 'full' and metric = 'mAP'"),
        6.0
    );
    assert_eq!(number(root, "select count(*) from curves where metric = 'only_first'"), 0.0);
    assert_eq!(number(root, "select mAP from final where arm = 'full'"), 0.55);
    let difference = number(root, "select difference from comparisons where metric = 'mAP'");
    assert!((difference - (0.35 - 0.55)).abs() < 1e-12);
    assert_eq!(rows(root, "select bytes from artifact"), [[Cell::Blob(b"new".to_vec())]]);
    assert_eq!(number(root, "select count(*) from event"), 2.0);
    assert_eq!(
        rows(root, "select nonfinite from metric where value is null"),
        [[Cell::Text("nan".into())]]
    );
}

#[test]
fn a_rebuilt_database_equals_the_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    lived_through(root);
    let live = logical(root);
    assert!(live.len() > 60);
    let found = reindex(root).unwrap();
    assert_eq!((found.studies, found.runs, found.damaged), (1, 2, 0));
    assert_eq!(logical(root), live);
    let mut writer = Writer::open(root).unwrap().unwrap();
    for run in RunDir::list(root).unwrap() {
        assert_eq!(writer.tail(&run).unwrap().lines, 0, "nothing is read twice");
    }
    writer.study("s").unwrap();
    writer.close().unwrap();
    assert_eq!(logical(root), live);
}

#[test]
fn rebuilding_never_throws_results_away() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    lived_through(root);
    let live = logical(root);
    let runs = RunDir::list(root).unwrap();
    assert_eq!(reindex(root).unwrap().kept, None, "every run has its folder");
    // one folder is gone: what the database knew of it is kept beside the new one
    let away = tempfile::tempdir().unwrap();
    std::fs::rename(runs[0].path(), away.path().join("run")).unwrap();
    let kept = reindex(root).unwrap().kept.unwrap();
    assert_eq!(kept, root.join("results.db.replaced-1"));
    assert_eq!(number(root, "select count(*) from run"), 1.0);
    std::fs::copy(&kept, Db::file(away.path())).unwrap();
    assert_eq!(logical(away.path()), live);
    // both are gone: nothing to rebuild from
    std::fs::remove_dir_all(runs[1].path()).unwrap();
    let text = reindex(root).unwrap_err().to_string();
    assert!(text.contains("results of 1 run that") && text.contains("only copy"), "{text}");
    assert_eq!(number(root, "select count(*) from run"), 1.0);
    // a damaged file is no reason for an empty one
    let damaged = "no database, but a text that is long enough to look at";
    std::fs::write(Db::file(root), damaged).unwrap();
    assert!(matches!(reindex(root), Err(StoreError::Damaged { .. })));
    assert_eq!(std::fs::read_to_string(Db::file(root)).unwrap(), damaged);
}

#[test]
fn queries_gain_and_lose_by_their_mean_over_common_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let specs = [
        spec("s", "full", 1, "aaaaaaaa"),
        spec("s", "full", 2, "bbbbbbbb"),
        spec("s", "full", 3, "cccccccc"),
        spec("s", "rgb", 1, "dddddddd"),
        spec("s", "rgb", 2, "eeeeeeee"),
    ];
    let cells: Vec<(&str, u64, &RunSpec)> =
        specs.iter().map(|spec| (spec.arm.as_str(), spec.seed, spec)).collect();
    study(root, &cells);
    let mut writer = Writer::open(root).unwrap().unwrap();
    for spec in &specs {
        let run = RunDir::create(root, spec).unwrap();
        let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
        // the third seed of the baseline has no partner and must not count
        let base = if spec.seed == 3 { 0.9 } else { 0.4 };
        let gain = |rgb: f64| if spec.arm == "rgb" { rgb * spec.seed as f64 } else { 0.0 };
        let gains =
            [("q1", 0.1), ("q2", 0.02), ("q3", 0.0), ("q4", -0.04), ("q5", -0.2), ("q6", 0.01)];
        let line = |step, (query, rgb): (&str, f64)| QueryLine {
            step,
            query: query.into(),
            ap: Some(base + gain(rgb)),
            first_hit: Some(1),
        };
        let earlier: Vec<_> = gains.iter().map(|(query, rgb)| line(2, (query, -rgb))).collect();
        lines.queries(&earlier).unwrap();
        lines.queries(&gains.map(|gain| line(5, gain))).unwrap();
        // without a true match in one of two seeds
        let ap = (spec.seed == 1).then(|| base + gain(0.05));
        lines.queries(&[QueryLine { step: 5, query: "q7".into(), ap, first_hit: None }]).unwrap();
        lines.end(&end(EndState::Done, 1, 5)).unwrap();
        writer.tail(&run).unwrap();
    }
    writer.study("s").unwrap();
    writer.close().unwrap();
    let changes = Db::open_read(&Db::file(root)).unwrap().changes("s", 2, true).unwrap();
    let told: Vec<(&str, u32, i64)> = changes
        .iter()
        .map(|row| {
            let points = ((row.value - row.baseline) * 1000.0).round() as i64;
            (row.query.as_str(), row.seeds, points)
        })
        .collect();
    assert_eq!(told, [("q1", 2, 150), ("q7", 1, 50), ("q4", 2, -60), ("q5", 2, -300)]);
    assert!(changes.iter().all(|row| row.arm == "rgb" && (row.baseline - 0.4).abs() < 1e-12));
}

#[test]
fn there_is_one_writer_and_readers_read_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let writer = Writer::open(root).unwrap().unwrap();
    assert!(Writer::open(root).unwrap().is_none());
    assert!(matches!(reindex(root), Err(StoreError::Locked { .. })));
    assert_eq!(number(root, "select count(*) from runs"), 0.0);
    drop(writer);
    assert!(Writer::open(root).unwrap().is_some());
}

#[test]
fn a_run_trained_again_from_nothing_replaces_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let spec = spec("s", "full", 1, "aaaaaaaa");
    let mut writer = Writer::open(root).unwrap().unwrap();
    for (started_at, value) in [(1.0, 0.5), (2.0, 0.75)] {
        let run = RunDir::create(root, &spec).unwrap();
        let mut begin = begin(1, 0);
        begin.started_at = started_at;
        let mut lines = RunWriter::begin(run.path(), &begin).unwrap();
        lines.metrics(1, &[("mAP", value)]).unwrap();
        lines.flush().unwrap();
        writer.tail(&run).unwrap();
        assert_eq!(number(root, "select value from metric"), value);
        drop(lines);
        std::fs::remove_dir_all(run.path()).unwrap();
    }
}

#[test]
fn floats_survive_the_bulk_insert_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let run = RunDir::create(root, &spec("s", "full", 1, "aaaaaaaa")).unwrap();
    let mut state = 1_u64;
    let mut values = vec![0.1, 1.0 / 3.0, 5e-324, 1e308, 2.0_f64.powi(60), 1.0];
    for _ in 0..20_000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        values.push((state >> 11) as f64 / (1_u64 << 53) as f64);
    }
    let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    for (step, value) in values.iter().enumerate() {
        lines.metrics(step as u64, &[("x", *value)]).unwrap();
    }
    drop(lines);
    let mut writer = Writer::open(root).unwrap().unwrap();
    writer.tail(&run).unwrap();
    writer.close().unwrap();
    let mut db = Db::open_read(&Db::file(root)).unwrap();
    let stored: Vec<f64> = db
        .with("testing", async |connection| {
            sqlx::query_scalar("SELECT value FROM metric ORDER BY step").fetch_all(connection).await
        })
        .unwrap();
    let wrong: Vec<_> =
        values.iter().zip(&stored).filter(|(a, b)| a.to_bits() != b.to_bits()).collect();
    assert_eq!((stored.len(), wrong), (values.len(), vec![]));
}

#[test]
fn pairs_of_cameras_follow_their_file() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    lived_through(root);
    assert_eq!(number(root, "select count(*) from camera_pairs"), 2.0);
    let mut writer = Writer::open(root).unwrap().unwrap();
    let run = RunDir::of(root, &spec("s", "rgb", 1, "bbbbbbbb")).unwrap();
    // evaluated anew, with more cameras, then with fewer: never a mixture, and nothing else is read again
    for (count, pairs) in [(4, 12.0), (3, 6.0)] {
        cameras(&run, count);
        assert_eq!(writer.tail(&run).unwrap().lines, 0);
        assert_eq!(number(root, "select count(*) from camera_pairs where arm = 'rgb'"), pairs);
    }
    // a damaged file is said once and leaves nothing behind
    std::fs::write(run.path().join(CAMERAS), "[{\"query_camera\": 1}]").unwrap();
    assert_eq!(writer.tail(&run).unwrap().damaged, 1);
    assert_eq!(writer.tail(&run).unwrap().damaged, 0);
    assert_eq!(number(root, "select count(*) from camera_pairs where arm = 'rgb'"), 0.0);
}
