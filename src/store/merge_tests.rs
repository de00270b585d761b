use super::*;
use crate::store::Db;
use crate::store::ingest::reindex;
use crate::store::ingest::tests::{lived_through, logical};
use crate::store::records::{ArmRecord, CellRecord, EndState, StudyRecord};
use crate::store::run_dir::tests::{begin, end, spec};
use crate::store::run_writer::RunWriter;

fn from(sources: &[&Path]) -> Vec<PathBuf> {
    sources.iter().map(|path| path.to_path_buf()).collect()
}

/// A run of a seed with some steps, perhaps ended.
fn run(root: &Path, seed: u64, steps: u64, state: Option<EndState>) -> RunDir {
    let tag = format!("{seed:08x}");
    let run = RunDir::create(root, &spec("s", "full", seed, &tag)).unwrap();
    let mut writer = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    writer.metrics(steps, &[("mAP", steps as f64)]).unwrap();
    writer.heartbeat("training", steps, 10).unwrap();
    match state {
        Some(state) => writer.end(&end(state, 1, steps)).unwrap(),
        None => writer.flush().unwrap(),
    }
    run
}

fn record(root: &Path, primary: &str, arms: &[&str], cells: &[(&str, u64)]) {
    let record = StudyRecord {
        name: "s".into(),
        primary: primary.into(),
        arms: arms
            .iter()
            .map(|a| ArmRecord { name: (*a).into(), ..ArmRecord::default() })
            .collect(),
        cells: cells
            .iter()
            .map(|(arm, seed)| CellRecord {
                arm: (*arm).into(),
                seed: *seed,
                uid: format!("{:0<64}", format!("{seed:08x}")),
            })
            .collect(),
        ..StudyRecord::default()
    };
    study_dir::write(root, &record).unwrap();
}

/// Every file with its bytes, without locks and the database.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root).into_iter().flatten();
    entries
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy();
            !name.ends_with("lock") && !name.starts_with("results.db")
        })
        .map(|entry| {
            let inner = entry.path().strip_prefix(root).unwrap().to_owned();
            (inner, fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn a_merged_database_equals_the_live_one_and_a_second_merge_changes_nothing() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    lived_through(there.path());
    let live = logical(there.path());
    assert!(live.len() > 60);
    let merged = merge(here.path(), &from(&[there.path()])).unwrap();
    assert_eq!((merged.new, merged.stages, merged.studies), (2, 1, 1));
    assert_eq!(logical(here.path()), live);
    assert_eq!(files(here.path()), files(there.path()));

    let again = merge(here.path(), &from(&[there.path()])).unwrap();
    assert_eq!(again, Merged { kept: 2, ..Merged::default() });
    assert!(!again.changed());
    assert_eq!(logical(here.path()), live);
    reindex(here.path()).unwrap();
    assert_eq!(logical(here.path()), live);
}

#[test]
fn the_run_that_is_further_stays() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (seed, theirs, ours) in [
        (1, (4, None), (9, Some(EndState::Done))),
        (2, (9, Some(EndState::Done)), (4, None)),
        (3, (6, None), (4, None)),
        (4, (3, None), (8, Some(EndState::Failed))),
        (5, (2, Some(EndState::Diverged)), (9, Some(EndState::Done))),
    ] {
        run(there.path(), seed, theirs.0, theirs.1);
        run(here.path(), seed, ours.0, ours.1);
    }
    reindex(here.path()).unwrap();
    let merged = merge(here.path(), &from(&[there.path()])).unwrap();
    assert_eq!((merged.new, merged.replaced, merged.kept), (0, 2, 3));
    let mut db = Db::open_read(&Db::file(here.path())).unwrap();
    let maps = db.with("testing", async |connection| {
        sqlx::query_as::<_, (String, f64)>(
            "SELECT run.state, metric.value FROM run JOIN run_number n ON n.uid = run.uid
             JOIN metric ON metric.run = n.id ORDER BY run.seed",
        )
        .fetch_all(connection)
        .await
    });
    let expected = [("done", 9.0), ("done", 9.0), ("stale", 6.0), ("failed", 8.0), ("done", 9.0)];
    assert_eq!(maps.unwrap(), expected.map(|(state, value)| (state.to_owned(), value)));
}

#[test]
fn nothing_is_taken_from_under_a_worker_or_a_sweep() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let busy = run(there.path(), 1, 4, None);
    let lock = RunLock::acquire(busy.path()).unwrap();
    let refused = merge(here.path(), &from(&[there.path()]));
    assert!(matches!(refused, Err(StoreError::Locked { .. })));
    assert!(!here.path().join("s").exists());
    drop(lock);
    create_folder(&here.path().join("s")).unwrap();
    let sweep = RunLock::acquire_file(&here.path().join("s/.sweep.lock")).unwrap();
    assert!(matches!(merge(here.path(), &from(&[there.path()])), Err(StoreError::Locked { .. })));
    drop(sweep);
    assert_eq!(merge(here.path(), &from(&[there.path()])).unwrap().new, 1);
}

#[test]
fn links_and_folders_without_runs_are_refused() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = here.path().join("secret");
    fs::write(&secret, b"x").unwrap();
    let good = run(there.path(), 1, 4, None);
    let bad = run(there.path(), 2, 4, None);
    std::os::unix::fs::symlink(&secret, bad.path().join("images.txt")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    run(elsewhere.path(), 3, 4, None);
    std::os::unix::fs::symlink(elsewhere.path().join("s"), there.path().join("linked")).unwrap();
    let merged = merge(here.path(), &from(&[there.path()])).unwrap();
    assert_eq!((merged.new, merged.left_out.len()), (1, 2), "{:?}", merged.left_out);
    assert!(merged.left_out.iter().all(|reason| reason.contains("symbolic link")));
    let runs = RunDir::list(here.path()).unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].path().file_name(), good.path().file_name());

    let empty = tempfile::tempdir().unwrap();
    let text = merge(here.path(), &from(&[empty.path()])).unwrap_err().to_string();
    assert!(text.contains("<study>/<arm>"), "{text}");
    assert!(merge(here.path(), &from(&[here.path()])).is_err());
}

#[test]
fn seeds_of_a_study_come_together_only_where_its_arms_are_the_same() {
    let [one, two, other, here] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let done = Some(EndState::Done);
    run(one.path(), 1, 9, done);
    record(one.path(), "mAP", &["full"], &[("full", 1)]);
    run(two.path(), 2, 9, done);
    record(two.path(), "mAP", &["full", "rgb"], &[("full", 2), ("rgb", 5)]);
    merge(here.path(), &from(&[one.path(), two.path()])).unwrap();
    let cells = |root: &Path| -> Vec<(String, u64)> {
        let record = study_dir::read(root, "s").unwrap().0.unwrap();
        record.cells.into_iter().map(|cell| (cell.arm, cell.seed)).collect()
    };
    let both = [("full", 1), ("full", 2), ("rgb", 5)].map(|(arm, seed)| (arm.to_owned(), seed));
    let mut sorted = cells(here.path());
    sorted.sort();
    assert_eq!(sorted, both);
    let before = (files(here.path()), logical(here.path()));
    merge(here.path(), &from(&[two.path(), one.path()])).unwrap();
    assert_eq!((files(here.path()), logical(here.path())), before);

    // the same name with other settings
    let mut spec = spec("s", "full", 3, "00000003");
    std::sync::Arc::make_mut(&mut spec.settings).loss.lambda_img = 77.0;
    RunDir::create(other.path(), &spec).unwrap();
    record(other.path(), "rank1", &["full"], &[("full", 3)]);
    let merged = merge(here.path(), &from(&[other.path()])).unwrap();
    assert_eq!((merged.new, merged.unlike), (1, vec!["s".to_owned()]));
    assert_eq!(cells(here.path()), [("full".to_owned(), 3)], "the newer record stays");
}
