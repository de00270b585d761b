use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;
use crate::store::RunState;
use crate::store::run_dir::tests::spec;
use crate::sweep::scheduler::{JobKind, run as run_jobs};

/// A worker of a few shell lines; `$4` is the run folder.
fn worker(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("fake-worker");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn one_run(root: &Path, script: &str) -> (Workers, RunDir, Vec<Job>) {
    let run = RunDir::create(root, &spec("s", "full", 1, "aaaaaaaa")).unwrap();
    let job = Job {
        kind: JobKind::Run,
        key: "aa".into(),
        label: "full seed 1".into(),
        after: vec![],
        batch: 0,
        cost: 1,
    };
    let workers = Workers::new(
        root,
        worker(root, script),
        vec![(job.clone(), Work::Run(run.clone()))],
        Places::plain(1),
        hang::DEFAULT,
    );
    (workers, run, vec![job])
}

fn end_line(state: &str, reason: &str) -> String {
    format!(
        r#"echo '{{"state":"{state}","reason":{reason},"attempt":1,"step":1,"ended_at":1,"wall_s":1,"cpu_s":1,"peak_bytes":1}}' > "$4/end.json""#
    )
}

#[test]
fn the_terminal_record_decides_not_the_exit_code_alone() {
    for (state, reason, code, expected) in [
        ("done", "null", 0, JobState::Done),
        ("failed", "\"bad data\"", 1, JobState::Failed("bad data".into())),
        ("diverged", "\"loss is nan\"", 3, JobState::Diverged("loss is nan".into())),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("{}\nexit {code}", end_line(state, reason));
        let (mut workers, _, jobs) = one_run(folder.path(), &script);
        assert_eq!(run_jobs(&jobs, 1, &mut workers), [expected]);
    }
}

#[test]
fn a_worker_that_keeps_dying_is_recorded_as_failed_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "echo started >> \"$4/count\"; echo 'thread panicked: out of luck' >&2; kill -9 $$";
    let (mut workers, run, jobs) = one_run(folder.path(), script);
    let states = run_jobs(&jobs, 1, &mut workers);
    assert!(matches!(states[0], JobState::Failed(_)));
    assert_eq!(std::fs::read_to_string(run.path().join("count")).unwrap().lines().count(), 3);
    let reason = run.end().unwrap().unwrap().reason.unwrap();
    assert!(reason.contains("signal 9") && reason.contains("out of luck"), "{reason}");
    assert_eq!(run.state().unwrap(), RunState::Failed);
}

#[test]
fn a_stop_reaches_the_worker_and_a_deaf_one_is_killed() {
    for (script, at_once) in [
        ("trap 'exit 130' TERM; while :; do sleep 0.05; done", false),
        ("trap '' TERM; while :; do sleep 0.05; done", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (mut workers, _, _) = one_run(folder.path(), script);
        workers.start(0, 0).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(workers.poll(0), None);
        workers.stop(0, at_once);
        let since = Instant::now();
        let outcome = loop {
            if let Some(outcome) = workers.poll(0) {
                break outcome;
            }
            assert!(since.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(matches!(outcome, Outcome::Died(_)), at_once, "{outcome:?}");
    }
}

#[test]
fn a_missing_worker_fails_the_run_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (mut workers, _, jobs) = one_run(folder.path(), "");
    workers.executable = folder.path().join("nothing");
    let states = run_jobs(&jobs, 1, &mut workers);
    assert!(matches!(&states[0], JobState::Failed(reason) if reason.contains("cannot start")));
}

#[test]
fn data_is_drawn_once_and_published() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = Drawn { ids: 4, cameras: 2, height: 32, width: 16, ..Drawn::default() };
    let job = Job {
        kind: JobKind::Data,
        key: "ab".into(),
        label: "data".into(),
        after: vec![],
        batch: 0,
        cost: 1,
    };
    let work = vec![(job.clone(), Work::Data(Box::new(drawn)))];
    let places = Places::plain(1);
    let mut workers = Workers::new(folder.path(), "none".into(), work, places, hang::DEFAULT);
    assert_eq!(run_jobs(&[job], 1, &mut workers), [JobState::Done]);
    let path = Stages::new(folder.path()).published(StageKind::Data, "ab").unwrap();
    assert!(path.join("bounding_box_train").is_dir());
}

#[test]
fn a_teacher_that_another_sweep_trains_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::create(folder.path(), &spec("s", "full", 1, "aaaaaaaa")).unwrap();
    let job = Job {
        kind: JobKind::Teacher,
        key: "ab".into(),
        label: "teacher of seed 1".into(),
        after: vec![],
        batch: 0,
        cost: 1,
    };
    let stages = Stages::new(folder.path());
    let resume = stages.resume_dir(StageKind::Teacher, "ab");
    std::fs::create_dir_all(&resume).unwrap();
    let lock = RunLock::acquire(&resume).unwrap().unwrap();
    let script = worker(folder.path(), "exit 4");
    let work = vec![(job, Work::Teacher(run))];
    let mut workers = Workers::new(folder.path(), script, work, Places::plain(1), hang::DEFAULT);
    workers.start(0, 0).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..3 {
        assert_eq!(workers.poll(0), None, "its lock is held");
    }
    stages.publish(stages.work(StageKind::Teacher, "ab").unwrap()).unwrap();
    drop(lock);
    std::thread::sleep(LOOK_ELSEWHERE_EVERY);
    assert_eq!(workers.poll(0), Some(Outcome::Done));
}

#[test]
fn a_hanging_worker_is_ended_and_tried_again_and_a_slow_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let end = end_line("done", "null");
    // deaf to the first request, as a process in a system call that never returns
    let script = format!(
        "echo started >> \"$4/count\"\n[ $(wc -l < \"$4/count\") = 2 ] || {{ trap '' TERM; sleep 60; }}\n{end}"
    );
    let (mut workers, run, jobs) = one_run(folder.path(), &script);
    workers.hang_after = Duration::from_secs(1);
    assert_eq!(run_jobs(&jobs, 1, &mut workers), [JobState::Done]);
    assert_eq!(std::fs::read_to_string(run.path().join("count")).unwrap().lines().count(), 2);

    let folder = tempfile::tempdir().unwrap();
    let (mut workers, run, jobs) = one_run(folder.path(), "echo x >> \"$4/count\"; exec sleep 60");
    workers.hang_after = Duration::from_millis(500);
    let states = run_jobs(&jobs, 1, &mut workers);
    let JobState::Failed(reason) = &states[0] else { panic!("{states:?}") };
    assert!(reason.contains("died 3 times") && reason.contains("sign of life"), "{reason}");
    assert_eq!(run.end().unwrap().unwrap().state, EndState::Failed);

    // a beat now and then, and no processor time to speak of
    let folder = tempfile::tempdir().unwrap();
    let beat = r#"printf '{"beat":%s,"phase":"training","step":%s,"of":9}' $i $i > "$4/heartbeat""#;
    let script =
        format!("echo x >> \"$4/count\"\nfor i in 1 2 3 4; do {beat}; sleep 1; done\n{end}");
    let (mut workers, run, jobs) = one_run(folder.path(), &script);
    workers.hang_after = Duration::from_millis(2500);
    assert_eq!(run_jobs(&jobs, 1, &mut workers), [JobState::Done]);
    assert_eq!(std::fs::read_to_string(run.path().join("count")).unwrap().lines().count(), 1);
}

#[test]
fn a_run_that_another_process_lets_go_of_goes_on_here() {
    let folder = tempfile::tempdir().unwrap();
    let end = end_line("done", "null");
    let script = format!("[ -e \"$4/free\" ] || exit 4\n{end}");
    let (mut workers, run, _) = one_run(folder.path(), &script);
    let lock = RunLock::acquire(run.path()).unwrap().unwrap();
    workers.start(0, 0).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..3 {
        assert_eq!(workers.poll(0), None, "its lock is held");
    }
    // the orphan of a killed sweep saves and stops
    std::fs::write(run.path().join("free"), "").unwrap();
    drop(lock);
    std::thread::sleep(LOOK_ELSEWHERE_EVERY);
    assert_eq!(workers.poll(0), Some(let_go()));
}
