//! What a sweep says while it works: a bar per running job on a terminal, a line now and then elsewhere.
//! Numbers come from heartbeats and metric files; nothing waits for it and nothing depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::scheduler::{Job, JobKind, JobState, Outcome, Wish};
use crate::store::RunDir;
use crate::store::files::tail;
use crate::store::records::{Heartbeat, MetricLine};

const BAR_EVERY: Duration = Duration::from_millis(500);
const LINE_EVERY: Duration = Duration::from_secs(15);
/// A job whose heart has not beaten for this long is said to be silent.
const SILENT: Duration = Duration::from_mins(2);

/// What can be seen of a running job.
#[derive(Debug)]
pub struct Seen {
    /// Its index.
    pub job: usize,
    /// Its last heartbeat.
    pub beat: Option<Heartbeat>,
    /// Its folder, for a run.
    pub run: Option<RunDir>,
}

/// Shows how the jobs of a sweep go.
#[derive(Debug)]
pub struct Progress {
    jobs: Vec<Watched>,
    slots: usize,
    /// Cells done and cells in all.
    cells: (usize, usize),
    /// Seconds that finished jobs of a class took, and how many.
    took: BTreeMap<&'static str, (f64, u32)>,
    face: Face,
    shown: Option<Instant>,
}

#[derive(Debug)]
struct Watched {
    label: String,
    class: &'static str,
    kind: JobKind,
    cells: usize,
    since: Option<Instant>,
    phase: Phase,
    values: Values,
}

/// Speed within one phase of a job.
#[derive(Debug, Default)]
struct Phase {
    name: String,
    beat: u64,
    first: Option<(Instant, u64)>,
    moved: Option<Instant>,
    step: u64,
    of: u64,
}

/// The last values in a run's metric file.
#[derive(Debug, Default)]
struct Values {
    attempt: u32,
    offset: u64,
    loss: Option<f64>,
    map: Option<f64>,
}

#[derive(Debug)]
enum Face {
    Bars { all: MultiProgress, total: ProgressBar, of_job: BTreeMap<usize, ProgressBar> },
    Lines,
}

impl Progress {
    /// For these jobs: `classes` names jobs that take equally long, `per_job` the cells that each
    /// answers, `cells` how many are done and how many there are.
    pub fn new(
        jobs: &[Job],
        classes: Vec<&'static str>,
        per_job: Vec<usize>,
        slots: usize,
        cells: (usize, usize),
    ) -> Self {
        let watched = jobs.iter().zip(classes).zip(per_job).map(|((job, class), cells)| Watched {
            label: job.label.clone(),
            class,
            kind: job.kind,
            cells,
            since: None,
            phase: Phase::default(),
            values: Values::default(),
        });
        let face = if std::io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let total = all.add(bar("{prefix} [{bar:30}] {msg}", cells.1 as u64));
            Face::Bars { all, total, of_job: BTreeMap::new() }
        } else {
            Face::Lines
        };
        let progress = Self {
            jobs: watched.collect(),
            slots,
            cells,
            took: BTreeMap::new(),
            face,
            shown: None,
        };
        progress.say(&progress.opening());
        progress
    }

    /// A job starts, perhaps again.
    pub fn started(&mut self, job: usize) {
        let watched = &mut self.jobs[job];
        watched.since = Some(Instant::now());
        watched.phase = Phase::default();
        watched.values = Values::default();
    }

    /// A job ended.
    pub fn ended(&mut self, job: usize, outcome: &Outcome) {
        if let Face::Bars { all, of_job, .. } = &mut self.face
            && let Some(bar) = of_job.remove(&job)
        {
            bar.finish_and_clear();
            all.remove(&bar);
        }
        let watched = &self.jobs[job];
        let seconds = watched.since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let line = match outcome {
            Outcome::Done => {
                let took = self.took.entry(watched.class).or_default();
                *took = (took.0 + seconds, took.1 + 1);
                self.cells.0 += watched.cells;
                format!("{} done in {}", watched.label, duration(seconds))
            }
            Outcome::Failed(reason) => format!("{} failed: {reason}", watched.label),
            Outcome::Diverged(reason) => format!("{} diverged: {reason}", watched.label),
            Outcome::Interrupted => format!("{} stopped", watched.label),
            Outcome::Died(reason) | Outcome::Again(reason) => {
                format!("{}: {reason}", watched.label)
            }
        };
        self.say(&format!("{} {line}", self.count()));
    }

    /// A job is given up.
    pub fn given_up(&self, job: usize, state: &JobState) {
        let (JobState::Failed(reason) | JobState::Diverged(reason)) = state else { return };
        self.say(&format!("{} {} is given up: {reason}", self.count(), self.jobs[job].label));
    }

    /// What is to be said beside the jobs.
    pub fn note(&self, line: &str) {
        self.say(line);
    }

    /// Somebody asked to stop.
    pub fn stopping(&self, wish: Wish) {
        self.say(match wish {
            Wish::Go => return,
            Wish::Stop => {
                "stopping: workers finish their step and save; once more ends them at once"
            }
            Wish::Kill => "ending all workers at once",
            Wish::Leave => "leaving: what is submitted goes on; the same command comes back to it",
        });
    }

    /// Whether it is time to look again.
    pub fn is_due(&self) -> bool {
        let every = match self.face {
            Face::Bars { .. } => BAR_EVERY,
            Face::Lines => LINE_EVERY,
        };
        self.shown.is_none_or(|shown| shown.elapsed() >= every)
    }

    /// Shows the running jobs.
    pub fn show(&mut self, states: &[JobState], seen: &[Seen]) {
        let first_look = self.shown.is_none();
        self.shown = Some(Instant::now());
        for Seen { job, beat, run } in seen {
            let watched = &mut self.jobs[*job];
            if let Some(beat) = beat {
                watched.phase.look(beat, Instant::now());
            }
            if let Some(run) = run {
                watched.values.look(run);
            }
        }
        let left = self.left(states);
        let count = self.count();
        match &mut self.face {
            Face::Bars { all, total, of_job } => {
                total.set_prefix(count);
                total.set_position(self.cells.0 as u64);
                total.set_message(
                    left.map_or(String::new(), |left| format!("about {} left", duration(left))),
                );
                for Seen { job, .. } in seen {
                    let watched = &self.jobs[*job];
                    let bar = of_job.entry(*job).or_insert_with(|| {
                        let bar = bar("  {prefix:24} [{bar:20}] {msg}", 1);
                        all.insert_before(total, bar)
                    });
                    bar.set_prefix(watched.label.clone());
                    bar.set_length(watched.phase.of.max(1));
                    bar.set_position(watched.phase.step);
                    bar.set_message(watched.numbers());
                }
            }
            // the first look comes before any worker could say something
            Face::Lines if first_look => {}
            Face::Lines => {
                let jobs: Vec<_> = seen
                    .iter()
                    .map(|seen| &self.jobs[seen.job])
                    .map(|watched| format!("{}: {}", watched.label, watched.numbers()))
                    .collect();
                let left =
                    left.map_or(String::new(), |left| format!("; about {} left", duration(left)));
                if !jobs.is_empty() {
                    self.say(&format!("{count} {}{left}", jobs.join("; ")));
                }
            }
        }
    }

    /// Clears the bars.
    pub fn end(&mut self, states: &[JobState]) {
        if let Face::Bars { all, total, .. } = &self.face {
            total.finish_and_clear();
            // a terminal that is gone needs no clearing
            let _ = all.clear();
        }
        if states.contains(&JobState::Interrupted) {
            self.say("stopped; the same command goes on from here");
        }
    }

    fn opening(&self) -> String {
        let of = |kind| self.jobs.iter().filter(|job| job.kind == kind).count();
        let mut parts = Vec::new();
        for (kind, one, many) in [
            (JobKind::Data, "data set to draw", "data sets to draw"),
            (JobKind::Teacher, "teacher to train", "teachers to train"),
            (
                JobKind::Prefix,
                "beginning to train for several runs",
                "beginnings to train for several runs",
            ),
            (JobKind::Generator, "generator to train", "generators to train"),
            (JobKind::Run, "run to make", "runs to make"),
        ] {
            match of(kind) {
                0 => {}
                1 => parts.push(format!("1 {one}")),
                n => parts.push(format!("{n} {many}")),
            }
        }
        format!("{} {}, {} at a time", self.count(), parts.join(", "), self.slots)
    }

    fn count(&self) -> String {
        format!("[{}/{} done]", self.cells.0, self.cells.1)
    }

    fn say(&self, line: &str) {
        match &self.face {
            Face::Bars { all, .. } => {
                let _ = all.println(line);
            }
            // progress that nobody can read is no reason to stop
            Face::Lines => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
    }

    /// Seconds until everything is done; `None` while a kind of job has never been timed.
    fn left(&self, states: &[JobState]) -> Option<f64> {
        let mut left = 0.0;
        let mut longest: f64 = 0.0;
        let mut unknown: BTreeSet<&str> = BTreeSet::new();
        let whole: BTreeMap<&str, f64> = self.whole();
        for (watched, state) in self.jobs.iter().zip(states) {
            let whole = whole.get(watched.class).copied();
            let mine = match state {
                JobState::Waiting => whole,
                JobState::Running => watched.phase.left(Instant::now()).or_else(|| {
                    let since = watched.since?.elapsed().as_secs_f64();
                    whole.map(|whole| (whole - since).max(0.0))
                }),
                _ => Some(0.0),
            };
            match mine {
                Some(mine) => {
                    left += mine;
                    longest = longest.max(mine);
                }
                None => {
                    unknown.insert(watched.class);
                }
            }
        }
        // the short kinds may stay unknown without spoiling the estimate
        let known = unknown.iter().all(|class| *class != "joint");
        known.then(|| (left / self.slots as f64).max(longest))
    }

    /// Seconds that a job of each class takes as a whole.
    fn whole(&self) -> BTreeMap<&'static str, f64> {
        let mut whole: BTreeMap<_, _> = self
            .took
            .iter()
            .map(|(class, (seconds, jobs))| (*class, seconds / f64::from(*jobs)))
            .collect();
        for watched in &self.jobs {
            if let Some(rate) = watched.phase.rate(Instant::now()) {
                whole.entry(watched.class).or_insert(watched.phase.of as f64 / rate);
            }
        }
        whole
    }
}

impl Watched {
    /// `training: step 400/800, loss 3.1, 2.4 steps/s, about 3 min left`.
    fn numbers(&self) -> String {
        let now = Instant::now();
        let phase = &self.phase;
        if phase.name.is_empty() {
            return "starting".into();
        }
        let mut parts = vec![if phase.of > 0 {
            format!("{} {}/{}", phase.name, phase.step, phase.of)
        } else {
            phase.name.clone()
        }];
        parts.extend(self.values.loss.map(|loss| format!("loss {loss:.3}")));
        parts.extend(self.values.map.map(|map| format!("mAP {:.1} %", map * 100.0)));
        if let Some(rate) = phase.rate(now) {
            let what = if self.kind == JobKind::Data { "photo" } else { "step" };
            parts.push(if rate >= 1.0 {
                format!("{rate:.1} {what}s/s")
            } else {
                format!("{:.1} s/{what}", 1.0 / rate)
            });
        }
        parts.extend(phase.left(now).map(|left| format!("{} left", duration(left))));
        if let Some(silence) =
            phase.moved.map(|moved| now - moved).filter(|silence| *silence > SILENT)
        {
            parts.push(format!("no sign of life for {}", duration(silence.as_secs_f64())));
        }
        parts.join(", ")
    }
}

impl Phase {
    fn look(&mut self, beat: &Heartbeat, now: Instant) {
        if beat.phase != self.name || beat.step < self.step {
            *self =
                Self { name: beat.phase.clone(), first: Some((now, beat.step)), ..Self::default() };
        }
        if beat.beat != self.beat || self.moved.is_none() {
            self.moved = Some(now);
        }
        (self.beat, self.step, self.of) = (beat.beat, beat.step, beat.of);
    }

    /// Steps per second since the phase was first seen.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (since, from) = self.first?;
        let seconds = self.moved.unwrap_or(now).duration_since(since).as_secs_f64();
        let steps = self.step.saturating_sub(from);
        (steps > 0 && seconds > 0.5).then(|| steps as f64 / seconds)
    }

    fn left(&self, now: Instant) -> Option<f64> {
        Some(self.of.saturating_sub(self.step) as f64 / self.rate(now)?)
    }
}

impl Values {
    fn look(&mut self, run: &RunDir) {
        let attempt =
            run.attempts().ok().and_then(|attempts| attempts.last().copied()).unwrap_or(0);
        if attempt != self.attempt {
            *self = Self { attempt, ..Self::default() };
        }
        let Ok(chunk) = tail(&run.metrics_file(attempt), self.offset, 1 << 20) else { return };
        self.offset = chunk.next;
        for line in chunk.bytes.split(|byte| *byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<MetricLine>(line) else { continue };
            let value = |name| line.values.get(name).map(|number| number.0);
            self.loss = value("loss_total").or(self.loss);
            self.map = value("mAP").or(self.map);
        }
    }
}

fn bar(template: &str, length: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.progress_chars("=> "))
}

/// Seconds as people say them: `40 s`, `12 min`, `3 h 20 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..=89 => format!("{whole} s"),
        90..=5399 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    fn beat(beat: u64, phase: &str, step: u64) -> Heartbeat {
        Heartbeat { beat, phase: phase.into(), step, of: 100 }
    }

    #[test]
    fn speed_and_time_left_come_from_one_phase_only() {
        let start = Instant::now();
        let mut phase = Phase::default();
        phase.look(&beat(1, "teacher", 90), start);
        assert_eq!(phase.rate(start), None);
        phase.look(&beat(2, "training", 10), start);
        let later = start + Duration::from_secs(10);
        phase.look(&beat(3, "training", 30), later);
        assert_eq!(phase.rate(later), Some(2.0));
        assert_eq!(phase.left(later), Some(35.0));
    }

    #[test]
    fn a_line_says_what_a_run_is_at() {
        let start = Instant::now();
        let mut watched = Watched {
            label: "full seed 2".into(),
            class: "joint",
            kind: JobKind::Run,
            cells: 1,
            since: Some(start),
            phase: Phase::default(),
            values: Values { loss: Some(2.71), map: Some(0.415), ..Values::default() },
        };
        assert_eq!(watched.numbers(), "starting");
        watched.phase.look(&beat(1, "training", 0), start);
        watched.phase.look(&beat(2, "training", 25), start + Duration::from_secs(10));
        assert_eq!(
            watched.numbers(),
            "training 25/100, loss 2.710, mAP 41.5 %, 2.5 steps/s, 30 s left"
        );
    }

    #[test]
    fn durations_read_well() {
        let said = [0.2, 89.0, 90.0, 754.0, 12_000.0].map(duration);
        assert_eq!(said, ["0 s", "89 s", "2 min", "13 min", "3 h 20 min"]);
    }
}
