//! Killed at any moment, the same command ends with the same bits: workers, sweeps, both, over and over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dgnet::data::rng::Rng;
use dgnet::store::RunDir;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, TINY, fingerprint};

/// Kills over all rounds, at least.
const KILLS: usize = 30;
/// After so many kills a study is left in peace, and another one begins.
const KILLS_A_ROUND: usize = 12;
/// Kills of workers within one sweep: a job that dies three times is given up.
const KILLS_A_SWEEP: u64 = 2;
/// Steps between two checkpoints of `TINY`.
const STRETCH: u64 = 3;

/// Three arms that begin alike, with a teacher, and every step in the records.
fn study() -> String {
    TINY.replace("log_every: 2", "log_every: 1")
}

/// Everything in the database but clocks, costs and how often something was tried.
fn content(place: &Place) -> String {
    [
        "select name, question, primary_name, baseline, confirm, source from study order by 1",
        "select study, name, position, label, overrides from arm order by 1, 2",
        "select study, arm, seed, run_uid from cell order by 1, 2, 3",
        "select uid, folder, state, seed, step, steps, recipe, data_key, settings, failure from run order by 1",
        "select run_uid, key, value from setting order by 1, 2",
        "select u.uid, n.name, m.step, m.value, m.nonfinite from metric m join run_number u on u.id = m.run \
         join metric_name n on n.id = m.name where n.name <> 'step_seconds' order by 1, 2, 3",
        "select u.uid, q.step, q.query, q.ap, q.first_hit from query_result q join run_number u on u.id = q.run \
         order by 1, 2, 3",
        "select u.uid, a.name, a.kind, a.step, a.caption, hex(a.bytes) from artifact a \
         join run_number u on u.id = a.run order by 1, 2",
        "select kind, key, state from stage order by 1, 2",
        "select run_uid, kind, key from run_stage order by 1, 2, 3",
    ]
    .map(|sql| place.succeed(&["query", sql, "--format", "csv"]))
    .concat()
}

/// Worker processes that are at this place, whoever started them.
fn workers(place: &Place) -> Vec<Pid> {
    let runs = place.runs().canonicalize().unwrap_or_else(|_| place.runs());
    let mine = |folder: &Path| {
        let command = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let here = std::fs::read_link(folder.join("cwd")).unwrap_or_default();
        let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
        program.ends_with(b"dgnet-worker") && runs.starts_with(&here) && here != Path::new("")
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|folder| mine(folder))
        .filter_map(|folder| folder.file_name()?.to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .collect()
}

fn kill(pid: Pid) -> bool {
    kill_process(pid, Signal::KILL).is_ok()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

/// Heartbeats of trainings, as they are right now.
fn beats(place: &Place) -> Vec<String> {
    let files = walkdir::WalkDir::new(place.runs()).sort_by_file_name().into_iter().flatten();
    files
        .filter(|file| file.file_name() == "heartbeat")
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .filter(|beat| beat.contains("\"training\""))
        .collect()
}

/// Starts a sweep whose words go to a file.
fn sweep(place: &Place, more: &[&str]) -> Child {
    let said = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(place.path().join("said.txt"))
        .unwrap();
    let arguments = [&["sweep", "tiny.yaml", "--no-report", "--jobs", "2"], more].concat();
    let mut command = place.command(&arguments);
    command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

fn said(place: &Place) -> String {
    std::fs::read_to_string(place.path().join("said.txt")).unwrap_or_default()
}

/// What attempts have written of the steps they trained, also of stages whose folder goes when they are
/// done.
#[derive(Default)]
struct Curves {
    /// Text by file.
    files: BTreeMap<PathBuf, String>,
    /// Last step by folder and attempt that a heartbeat told: lines of a curve are written later.
    beats: BTreeMap<(PathBuf, u64), u64>,
}

impl Curves {
    fn look(&mut self, place: &Place) {
        let files = walkdir::WalkDir::new(place.runs()).into_iter().flatten();
        for file in files {
            let name = file.file_name().to_string_lossy();
            if name == "heartbeat" {
                self.beat(file.path());
            }
            let wanted = name.starts_with("metrics-") || name == "log.jsonl";
            if !wanted || file.path().to_string_lossy().contains("/.tmp-") {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let known = self.files.entry(file.into_path()).or_default();
            if text.len() > known.len() {
                *known = text;
            }
        }
    }

    fn beat(&mut self, file: &Path) {
        let beat = std::fs::read(file).unwrap_or_default();
        let Ok(beat) = serde_json::from_slice::<serde_json::Value>(&beat) else { return };
        let folder = file.parent().unwrap();
        let attempt = RunDir::new(folder).attempts().ok().and_then(|all| all.last().copied());
        if let (Some(attempt), Some(step), true) =
            (attempt, beat["step"].as_u64(), beat["phase"] == "training")
        {
            let known = self.beats.entry((folder.to_owned(), attempt.into())).or_default();
            *known = step.max(*known);
        }
    }

    /// First and last step that every attempt trained, by folder. Steps that were taken over are none.
    fn attempts(&self) -> BTreeMap<&Path, Vec<(u64, u64)>> {
        let mut found: BTreeMap<&Path, BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
        for (file, text) in &self.files {
            let folder = file.parent().unwrap();
            let name = file.file_name().unwrap().to_string_lossy();
            let Some(number) = name.strip_prefix("metrics-") else { continue };
            let number: u64 = number.strip_suffix(".jsonl").unwrap().parse().unwrap();
            let lines: Vec<serde_json::Value> =
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let Some(header) = lines.first() else { continue };
            // only the steps of training tell how long they took
            let trained: Vec<u64> = lines[1..]
                .iter()
                .filter(|line| line["values"]["step_seconds"].is_number())
                .filter_map(|line| line["step"].as_u64())
                .collect();
            let log = self.files.get(&folder.join("log.jsonl")).map_or("", String::as_str);
            let taken = log.lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                let words = line["message"].as_str()?.strip_prefix("took over ")?;
                (line["attempt"] == number).then(|| words.split(' ').next()?.parse().ok())?
            });
            let first = header["from_step"].as_u64().unwrap().max(taken.unwrap_or(0));
            let beat = self.beats.get(&(folder.to_owned(), number)).copied();
            let last = trained.into_iter().chain(beat).max().unwrap_or(first).max(first);
            found.entry(folder).or_default().insert(number, (first, last));
        }
        found.into_iter().map(|(folder, by)| (folder, by.into_values().collect())).collect()
    }
}

/// Who is killed next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    Worker,
    Sweep,
    Both,
}

struct Round<'a> {
    place: Place,
    rng: &'a mut Rng,
    curves: Curves,
    kills: usize,
    history: Vec<String>,
}

impl Round<'_> {
    /// Waits a moment that the generator chooses; `false` when the sweep ended meanwhile.
    fn wait(&mut self, sweep: &mut Child) -> bool {
        let pause = Duration::from_millis(self.rng.next_u64() % 1200);
        // every other time it first waits for a training to move, however slow the machine is
        let begun = self.rng.next_u64().is_multiple_of(2).then(|| beats(&self.place));
        let mut until = Instant::now() + pause;
        let patience = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            self.curves.look(&self.place);
            let waits = begun.as_ref().is_some_and(|begun| *begun == beats(&self.place));
            if waits && Instant::now() < patience {
                until = Instant::now() + pause;
            }
            if sweep.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Kills; `false` where nobody was there to be killed.
    fn kill(&mut self, target: Target, sweep: &Child) -> bool {
        let found = workers(&self.place);
        let mut killed = 0;
        if target != Target::Worker {
            killed += usize::from(kill(pid(sweep)));
        }
        match target {
            Target::Worker if found.is_empty() => {}
            Target::Worker => {
                let at = (self.rng.next_u64() % found.len() as u64) as usize;
                killed += usize::from(kill(found[at]));
            }
            Target::Both => killed += found.iter().filter(|pid| kill(**pid)).count(),
            // its workers are orphans now, and the next sweep meets them
            Target::Sweep => {}
        }
        self.kills += killed;
        self.history.push(format!("{target:?} ({killed})"));
        killed > 0
    }

    /// One call of the command: ended by the harness, or by itself with its exit code.
    fn call(&mut self) -> Option<i32> {
        let mut child = sweep(&self.place, &[]);
        let mut of_workers = 0;
        loop {
            let peace = self.kills >= KILLS_A_ROUND;
            if peace || !self.wait(&mut child) {
                while child.try_wait().unwrap().is_none() {
                    self.curves.look(&self.place);
                    std::thread::sleep(Duration::from_millis(20));
                }
                return child.wait().unwrap().code();
            }
            let target = match self.rng.next_u64() % 4 {
                0 | 1 if of_workers < KILLS_A_SWEEP => Target::Worker,
                0 | 2 => Target::Sweep,
                _ => Target::Both,
            };
            of_workers += u64::from(self.kill(target, &child) && target == Target::Worker);
            if target != Target::Worker {
                child.wait().unwrap();
                return None;
            }
        }
    }
}

#[test]
fn killed_at_any_moment_a_study_ends_with_the_same_bits() {
    let seed = std::env::var("DGNET_SURVIVAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);
    let again = format!("DGNET_SURVIVAL_SEED={seed} makes the same choices");
    let straight = Place::new();
    straight.study(&study());
    let mut child = sweep(&straight, &[]);
    assert!(child.wait().unwrap().success(), "{}", said(&straight));
    let expected = (fingerprint(&straight), content(&straight));

    let (mut kills, mut went_on) = (0, 0);
    for nth in 0.. {
        if kills >= KILLS {
            break;
        }
        let mut rng = Rng::new(seed, "survival", nth);
        let place = Place::new();
        place.study(&study());
        let mut round = Round {
            place,
            rng: &mut rng,
            curves: Curves::default(),
            kills: 0,
            history: Vec::new(),
        };
        let code = loop {
            if let Some(code) = round.call() {
                break code;
            }
        };
        let history = format!("{again}; killed {}", round.history.join(", "));
        assert_eq!(code, 0, "{history}\n{}", said(&round.place));
        // one whose sweep was killed may have published what the last sweep waited for a moment ago
        wait_for(&format!("the end of every orphan; {history}"), || {
            workers(&round.place).is_empty()
        });
        round.curves.look(&round.place);
        for (folder, attempts) in round.curves.attempts() {
            for pair in attempts.windows(2) {
                let ((_, before), (from, _)) = (pair[0], pair[1]);
                let again = before.saturating_sub(from);
                went_on += usize::from(from > 0);
                assert!(
                    again <= STRETCH,
                    "{}: {again} steps were trained again, {STRETCH} are between two checkpoints: {attempts:?}; {history}",
                    folder.display()
                );
            }
        }
        let found = (fingerprint(&round.place), content(&round.place));
        assert_eq!(found.0, expected.0, "other bits; {history}");
        assert!(found.1 == expected.1, "another database; {history}\n{}", said(&round.place));
        kills += round.kills;
    }
    assert!(went_on > 0, "no attempt went on from a checkpoint: nothing was tried; {again}");
}

/// Ends what it holds when the test is over, however it ends.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_mins(2), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Step of the training that a worker is at, in a run folder or a stage's.
fn training_step(place: &Place) -> u64 {
    let beats = walkdir::WalkDir::new(place.runs()).into_iter().flatten();
    beats
        .filter(|file| file.file_name() == "heartbeat")
        .filter_map(|file| {
            let beat = std::fs::read(file.path()).ok()?;
            let beat: serde_json::Value = serde_json::from_slice(&beat).ok()?;
            (beat["phase"] == "training").then(|| beat["step"].as_u64())?
        })
        .max()
        .unwrap_or(0)
}

const ONE: [&str; 2] = ["--only", "full"];

#[test]
fn a_hanging_worker_is_stopped_and_its_run_goes_on_from_the_checkpoint() {
    let straight = Place::new();
    straight.study(&study());
    assert!(sweep(&straight, &ONE).wait().unwrap().success(), "{}", said(&straight));

    let place = Place::new();
    place.study(&study());
    let mut guard = Guard(sweep(&place, &[&ONE[..], &["--hang-after", "3s"]].concat()));
    wait_for("training", || training_step(&place) >= 4 || guard.0.try_wait().unwrap().is_some());
    let stopped = workers(&place);
    for pid in &stopped {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    assert!(!stopped.is_empty(), "it was over before it could be stopped");
    assert!(guard.0.wait().unwrap().success(), "{}", said(&place));
    let said = said(&place);
    assert!(said.contains("hung in training") && said.contains("sign of life"), "{said}");
    assert_eq!(fingerprint(&place), fingerprint(&straight));
    let begin = std::fs::read_to_string(place.run_folder("full").join("begin.json")).unwrap();
    assert!(begin.contains("\"attempt\": 2"), "{begin}");
}

#[test]
fn the_workers_of_a_killed_sweep_save_and_stop_and_the_next_one_takes_over() {
    let place = Place::new();
    place.study(&study());
    let mut child = sweep(&place, &ONE);
    wait_for("training", || training_step(&place) >= 1 || child.try_wait().unwrap().is_some());
    let orphans = workers(&place);
    assert!(!orphans.is_empty(), "{}", said(&place));
    assert!(kill(pid(&child)));
    // not waited for: a zombie is dead as well
    wait_for("the orphans to stop", || workers(&place).is_empty());
    child.wait().unwrap();
    let states = place.succeed(&["watch", "tiny.yaml", "--once", "--json"]);
    assert!(states.contains("\"interrupted\":1"), "it saved before it stopped: {states}");
    assert!(sweep(&place, &ONE).wait().unwrap().success(), "{}", said(&place));
}

#[test]
fn two_sweeps_of_one_study_refuse_and_of_two_studies_share() {
    let place = Place::new();
    place.study(&study());
    let other = study().replace("study: tiny", "study: other");
    std::fs::write(place.path().join("other.yaml"), other).unwrap();
    let mut first = Guard(sweep(&place, &[]));
    let arms = ["full", "hard_labels", "teacher_only"];
    wait_for("the first sweep", || {
        arms.iter().all(|arm| place.runs().join("tiny").join(arm).is_dir())
    });
    std::thread::sleep(Duration::from_millis(300));
    let refused = place.dgnet(&["sweep", "tiny.yaml", "--no-report"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(words.contains("the study `tiny` is in use") && words.contains("hint:"), "{words}");

    // the same runs by another name: what the first one builds is waited for
    let second = place.dgnet(&["sweep", "other.yaml", "--no-report", "--jobs", "2"]);
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(0), "{words}\n{}", said(&place));
    assert!(first.0.wait().unwrap().success(), "{}", said(&place));
    for arm in arms {
        assert!(!place.runs().join("other").join(arm).exists(), "{arm} was trained twice");
        let attempts = std::fs::read_dir(place.run_folder(arm)).unwrap().flatten();
        let names: BTreeSet<String> = attempts
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("metrics-"))
            .collect();
        assert_eq!(names, BTreeSet::from(["metrics-1.jsonl".to_owned()]), "{arm}");
    }
    let cells = "select study, count(*) from runs where state = 'done' group by study order by 1";
    let cells = place.succeed(&["query", cells, "--format", "csv"]);
    assert_eq!(cells.lines().skip(1).collect::<Vec<_>>(), ["other,3", "tiny,3"]);
}
