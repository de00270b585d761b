use super::*;
use crate::store::files::tail;
use crate::store::records::{ArtifactLine, QueryLine};
use crate::store::run_writer::RunWriter;

/// A spec whose uid begins with `tag`.
pub(crate) fn spec(study: &str, arm: &str, seed: u64, tag: &str) -> RunSpec {
    RunSpec {
        study: study.into(),
        arm: arm.into(),
        seed,
        uid: format!("{tag:0<64}"),
        recipe: 1,
        stages: crate::store::records::StageKeys::default(),
        overrides: std::sync::Arc::default(),
        settings: std::sync::Arc::default(),
    }
}

/// Provenance of an attempt that starts at `from_step`.
pub(crate) fn begin(attempt: u32, from_step: u64) -> Begin {
    Begin {
        attempt,
        from_step,
        steps: 10,
        shared_steps: 0,
        started_at: 1.0,
        command: vec![],
        version: "0".into(),
        started_by: vec![],
        device_class: String::new(),
        git_commit: None,
        git_dirty: None,
        libtorch: String::new(),
        device: "cpu".into(),
        processor: String::new(),
        instruction_set: String::new(),
        host: String::new(),
        pid: 1,
    }
}

/// A terminal record.
pub(crate) fn end(state: EndState, attempt: u32, step: u64) -> End {
    End {
        state,
        reason: (state != EndState::Done).then(|| "why".to_owned()),
        attempt,
        step,
        ended_at: 2.0,
        wall_s: 3.5,
        cpu_s: 3.0,
        energy_j: None,
        peak_bytes: 1 << 20,
    }
}

#[test]
fn the_state_follows_from_records_and_the_lock() {
    let runs = tempfile::tempdir().unwrap();
    let run = RunDir::create(runs.path(), &spec("s", "full", 1, "ab12cd34")).unwrap();
    assert!(run.path().ends_with("s/full/seed-1-ab12cd34"));
    assert_eq!(run.state().unwrap(), RunState::Planned);
    {
        let _lock = RunLock::acquire(run.path()).unwrap().unwrap();
        assert_eq!(run.state().unwrap(), RunState::Running);
        assert!(RunLock::acquire(run.path()).unwrap().is_none());
        drop(RunWriter::begin(run.path(), &begin(1, 0)).unwrap());
    }
    assert_eq!(run.state().unwrap(), RunState::Stale);
    assert_eq!(run.next_attempt().unwrap(), 2);
    let writer = RunWriter::begin(run.path(), &begin(2, 0)).unwrap();
    writer.pause(&Pause { attempt: 2, step: 4, at: 0.0 }).unwrap();
    assert_eq!(run.state().unwrap(), RunState::Interrupted);
    let writer = RunWriter::begin(run.path(), &begin(3, 4)).unwrap();
    assert_eq!(run.state().unwrap(), RunState::Stale, "an earlier pause does not count");
    writer.end(&end(EndState::Diverged, 3, 7)).unwrap();
    assert_eq!(run.state().unwrap(), RunState::Diverged);
}

#[test]
fn a_run_given_up_can_be_reopened() {
    let runs = tempfile::tempdir().unwrap();
    let run = RunDir::create(runs.path(), &spec("s", "full", 1, "ab12cd34")).unwrap();
    run.give_up(EndState::Failed, "its teacher failed").unwrap();
    assert_eq!(run.state().unwrap(), RunState::Failed);
    assert_eq!(run.end().unwrap().unwrap().reason.as_deref(), Some("its teacher failed"));
    run.reopen().unwrap();
    assert_eq!(run.state().unwrap(), RunState::Planned);
    assert!(run.path().join("end-0.json").is_file());
    let writer = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    writer.end(&end(EndState::Done, 1, 9)).unwrap();
    run.reopen().unwrap();
    assert_eq!(run.state().unwrap(), RunState::Done, "what is done is not done again");
}

#[test]
fn a_run_is_found_by_its_whole_uid_and_its_spec_survives() {
    let runs = tempfile::tempdir().unwrap();
    let mut other = spec("a", "full", 1, "ab12cd34");
    other.uid = format!("{:f<64}", "ab12cd34");
    RunDir::create(runs.path(), &other).unwrap();
    let mut wanted = spec("b", "arm", 2, "ab12cd34");
    std::sync::Arc::make_mut(&mut wanted.overrides)
        .insert("loss.lambda_prim".into(), serde_json::json!(0));
    std::sync::Arc::make_mut(&mut wanted.settings).train.lr_generator = 1.234_567_890_123e-4;
    let run = RunDir::create(runs.path(), &wanted).unwrap();
    assert_eq!(RunDir::find(runs.path(), &wanted.uid).unwrap(), Some(run.clone()));
    assert_eq!(run.spec().unwrap(), wanted);
    assert_eq!(RunDir::find(runs.path(), &format!("{:0<64}", "ff")).unwrap(), None);
    assert_eq!(RunDir::list(runs.path()).unwrap().len(), 2);
    assert_eq!(RunDir::list(&runs.path().join("none")).unwrap(), []);
}

#[test]
fn names_cannot_lead_out_of_the_runs_folder() {
    let root = Path::new("runs");
    assert!(RunDir::of(root, &spec("..", "full", 1, "ab12cd34")).is_err());
    assert!(RunDir::of(root, &spec("s", "a/b", 1, "ab12cd34")).is_err());
    assert!(RunDir::of(root, &spec("s", "a", 1, "../../../x")).is_err());
}

#[test]
fn a_damaged_record_names_its_file() {
    let runs = tempfile::tempdir().unwrap();
    let run = RunDir::create(runs.path(), &spec("s", "full", 1, "ab12cd34")).unwrap();
    fs::write(run.path().join("end.json"), b"{\"state\":").unwrap();
    let text = run.state().unwrap_err().to_string();
    assert!(text.contains("end.json") && text.contains("hint:"), "{text}");
}

#[test]
fn what_is_written_can_be_read_line_by_line() {
    let runs = tempfile::tempdir().unwrap();
    let run = RunDir::create(runs.path(), &spec("s", "full", 1, "ab12cd34")).unwrap();
    let mut writer = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
    writer.metrics(1, &[("loss_total", f64::NAN), ("mAP", 0.1)]).unwrap();
    writer
        .queries(&[QueryLine { step: 1, query: "q.png".into(), ap: None, first_hit: None }])
        .unwrap();
    writer.heartbeat("training", 1, 10).unwrap();
    let picture = ArtifactLine {
        name: "grid.png".into(),
        kind: "swap_grid".into(),
        step: 1,
        media_type: "image/png".into(),
        caption: "c".into(),
    };
    writer.artifact(&picture, b"png").unwrap();
    assert!(writer.artifact(&ArtifactLine { name: "../x".into(), ..picture }, b"").is_err());
    writer.flush().unwrap();
    let beat = run.heartbeat().unwrap();
    assert_eq!((beat.beat, beat.phase.as_str(), beat.step, beat.of), (1, "training", 1, 10));
    let text = String::from_utf8(tail(&run.metrics_file(1), 0, 1 << 20).unwrap().bytes).unwrap();
    assert_eq!(
        text,
        "{\"attempt\":1,\"from_step\":0}\n{\"step\":1,\"values\":{\"loss_total\":\"nan\",\"mAP\":0.1}}\n"
    );
    assert_eq!(fs::read(run.images().join("grid.png")).unwrap(), b"png");
    assert!(RunWriter::begin(run.path(), &begin(1, 0)).is_err(), "an attempt begins once");
}
