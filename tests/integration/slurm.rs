//! Sweeps on a real Slurm, which `just test-slurm` starts; elsewhere these tests are left out.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, TINY, fingerprint};

const SWEEP: [&str; 4] = ["sweep", "tiny.yaml", "--launcher", "slurm"];

fn slurm(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_mins(2), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Tasks of a study: `id state reason`, submitted ones and those that are over.
fn tasks(place: &Place) -> Vec<(String, String, String)> {
    let records = std::fs::read(place.runs().join("tiny/slurm.json")).unwrap_or_default();
    let records: serde_json::Value = serde_json::from_slice(&records).unwrap_or_default();
    let arrays = records["arrays"].as_array().cloned().unwrap_or_default();
    let jobs: Vec<String> =
        arrays.iter().filter_map(|a| Some(a["job"].as_u64()?.to_string())).collect();
    if jobs.is_empty() {
        return Vec::new();
    }
    let jobs = format!("--jobs={}", jobs.join(","));
    let text =
        slurm("squeue", &["--noheader", "--array", "--states=all", "--format=%i %T %r", &jobs]);
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default())
    };
    text.lines().map(words).collect()
}

/// The task that works on an arm's run.
fn task_of(place: &Place, label: &str) -> String {
    let records = std::fs::read(place.runs().join("tiny/slurm.json")).unwrap();
    let records: serde_json::Value = serde_json::from_slice(&records).unwrap();
    let found = records["arrays"].as_array().unwrap().iter().find_map(|array| {
        let at = array["tasks"].as_array()?.iter().position(|task| task["label"] == label)?;
        Some(format!("{}_{at}", array["job"].as_u64()?))
    });
    found.unwrap()
}

fn is_training(place: &Place, arm: &str) -> bool {
    let arm = place.runs().join("tiny").join(arm);
    walkdir::WalkDir::new(arm).into_iter().flatten().any(|e| e.file_name() == "metrics-1.jsonl")
}

fn begin(place: &Place, arguments: &[&str]) -> Child {
    place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child, code: i32) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A study whose steps are many enough to be caught in the act, without a shared beginning.
fn long() -> String {
    TINY.replace("steps: 16", "steps: 60")
        .replace("hard_labels: { label: <script>alert(1)</script>, teacher.labels: hard }", "")
        .replace("eval: { every: 6", "eval: { every: 30")
}

#[test]
#[ignore = "needs Slurm: just test-slurm"]
fn slurm_makes_the_runs_that_this_machine_makes() {
    let local = Place::new();
    local.study(TINY);
    local.succeed(&["sweep", "tiny.yaml", "--no-report"]);

    let place = Place::new();
    let block = "slurm:\n  partition: main\n  cpus: 1\n  time: 30m\n  parallel: 2\n  extra: [--comment=tiny]\n";
    place.study(&format!("{TINY}{block}"));
    let said = ended(begin(&place, &SWEEP), 0);
    assert_eq!(fingerprint(&place), fingerprint(&local));
    // teacher, beginning, the runs that wait for both, and the one that waits for the teacher
    let arrays = said.lines().filter(|line| line.starts_with("Slurm job ")).count();
    assert!((3..=4).contains(&arrays), "{said}");
    assert!(tasks(&place).iter().all(|(_, state, _)| state == "COMPLETED"), "{said}");
    assert!(place.path().join("reports/tiny/index.html").is_file());
    let again = ended(begin(&place, &SWEEP), 0);
    assert!(!again.contains("Slurm job "), "{again}");
}

#[test]
#[ignore = "needs Slurm: just test-slurm"]
fn slurm_goes_on_without_the_shell_and_nothing_is_submitted_twice() {
    let local = Place::new();
    local.study(&long());
    local.succeed(&["sweep", "tiny.yaml", "--no-report"]);

    let place = Place::new();
    place.study(&long());
    let mut sweep = begin(&place, &SWEEP);
    wait_for("every job to be submitted", || tasks(&place).len() == 3);
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    let before: Vec<String> = tasks(&place).into_iter().map(|(id, ..)| id).collect();
    let said = ended(begin(&place, &SWEEP), 0);
    assert!(said.contains("of earlier submissions go on"), "{said}");
    assert!(!said.contains("Slurm job "), "submitted twice: {said}");
    let after: Vec<String> = tasks(&place).into_iter().map(|(id, ..)| id).collect();
    assert!(after.iter().all(|id| before.contains(id)), "{before:?} {after:?}");
    assert_eq!(fingerprint(&place), fingerprint(&local));
}

#[test]
#[ignore = "needs Slurm: just test-slurm"]
fn slurm_takes_a_run_back_into_the_queue_and_it_ends_with_the_same_bits() {
    let local = Place::new();
    local.study(&long());
    local.succeed(&["sweep", "tiny.yaml", "--no-report"]);

    let place = Place::new();
    place.study(&long());
    let sweep = begin(&place, &SWEEP);
    wait_for("training", || is_training(&place, "full"));
    // a terminal that closes
    let pid = i32::try_from(sweep.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let said = ended(sweep, 130);
    assert!(said.contains("what is submitted goes on"), "{said}");
    let task = task_of(&place, "full seed 1");
    // what Slurm sends before a time limit
    slurm("scancel", &["--signal=USR1", "--batch", &task]);
    let state = |of: &str| tasks(&place).into_iter().find(|(id, ..)| id == of).unwrap();
    wait_for("the queue", || state(&task).1 == "PENDING");
    let pause = place.run_folder("full").join("pause.json");
    assert!(pause.is_file(), "it saved before it went");
    // Slurm waits two minutes before it starts a job again
    slurm("scontrol", &["update", &format!("JobId={task}"), "StartTime=now"]);
    let said = ended(begin(&place, &SWEEP), 0);
    assert!(!said.contains("Slurm job "), "it is the same job: {said}");
    let begun = std::fs::read_to_string(place.run_folder("full").join("begin.json")).unwrap();
    assert!(begun.contains("\"attempt\": 2"), "{begun}");
    assert_eq!(fingerprint(&place), fingerprint(&local));
}

#[test]
#[ignore = "needs Slurm: just test-slurm"]
fn slurm_jobs_save_at_ctrl_c_and_a_lost_node_starts_them_again() {
    let place = Place::new();
    place.study(&long());
    let sweep = begin(&place, &SWEEP);
    wait_for("training", || is_training(&place, "full"));
    let pid = i32::try_from(sweep.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let said = ended(sweep, 130);
    assert!(place.run_folder("full").join("pause.json").is_file(), "{said}");
    let live = ["PENDING", "RUNNING"];
    assert!(tasks(&place).iter().all(|(_, state, _)| !live.contains(&state.as_str())), "{said}");

    // not taken back by Slurm itself: the sweep submits anew what its node lost
    let said = ended(begin(&place, &[&SWEEP[..], &["--detach"]].concat()), 0);
    assert!(said.contains("everything is submitted"), "{said}");
    let mut sweep = begin(&place, &SWEEP);
    wait_for("the run", || {
        walkdir::WalkDir::new(place.run_folder("full"))
            .into_iter()
            .flatten()
            .any(|e| e.file_name() == "metrics-2.jsonl")
            || sweep.try_wait().unwrap().is_some()
    });
    let task = task_of(&place, "full seed 1");
    slurm("scontrol", &["update", &format!("JobId={task}"), "Requeue=0"]);
    let node = slurm("squeue", &["--noheader", "--format=%N", &format!("--jobs={task}")]);
    let node = node.trim();
    let update = format!("NodeName={node}");
    slurm("scontrol", &["update", &update, "State=DOWN", "Reason=test"]);
    wait_for("the loss", || tasks(&place).iter().any(|(_, state, _)| state == "NODE_FAIL"));
    // a node that registers in between is back by itself, and Slurm refuses to resume it
    wait_for("the node", || {
        let resume = ["update", &update, "State=RESUME"];
        drop(Command::new("scontrol").args(resume).output().unwrap());
        !slurm("sinfo", &["--noheader", "--format=%T", "--nodes", node]).starts_with("down")
    });
    let said = ended(sweep, 0);
    assert!(said.contains("its node failed (NODE_FAIL)"), "{said}");
}

#[test]
#[ignore = "needs Slurm: just test-slurm"]
fn slurm_cancels_what_needs_a_failed_teacher() {
    let place = Place::new();
    place.study(TINY);
    // weights that are named, there, and no weights
    std::fs::write(place.path().join("bad.safetensors"), b"nothing").unwrap();
    place.study(&TINY.replace("epochs: 2,", "epochs: 2, weights: bad.safetensors,"));
    let said = ended(begin(&place, &SWEEP), 3);
    let states = tasks(&place);
    let count = |what: &str| states.iter().filter(|(_, state, _)| state == what).count();
    // the beginning that asks no teacher is made all the same
    assert_eq!(
        (count("FAILED"), count("CANCELLED"), count("COMPLETED")),
        (1, 3, 1),
        "{states:?}\n{said}"
    );
    let failed = place.succeed(&["query", "select count(*) from run where state = 'failed' and failure like 'teacher of seed 1 failed%'", "--format", "csv"]);
    assert_eq!(failed.lines().nth(1), Some("3"), "{said}");
}

#[test]
#[ignore = "needs Slurm: just test-slurm"]
fn slurm_refusals_stop_the_sweep_and_harm_no_run() {
    let place = Place::new();
    place.study(&format!("{TINY}slurm: {{ partition: nowhere }}\n"));
    let said = ended(begin(&place, &SWEEP), 1);
    assert!(
        said.contains("nvalid partition") && said.contains("hint: see the `slurm` block"),
        "{said}"
    );
    assert!(!place.run_folder("full").join("end.json").exists());
    assert!(tasks(&place).is_empty());
}

#[test]
fn without_slurm_the_launcher_says_where_to_go() {
    let place = Place::new();
    place.study(TINY);
    let output = place.command(&SWEEP).env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`sbatch` cannot be started") && said.contains("login node"), "{said}");
    assert!(!place.runs().join("tiny").exists());
    let output = place.dgnet(&["sweep", "tiny.yaml", "--detach"]);
    assert_eq!(output.status.code(), Some(2));
}
