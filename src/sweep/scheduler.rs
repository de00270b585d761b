//! Which job runs when: dependencies, slots, retries, stopping. Knows nothing of processes, files or
//! training; an [`Executor`] does the work, so that tests need no worker.

use std::cmp::Reverse;

/// A job has this many chances to die before it is given up.
pub const TRIES: u32 = 3;

/// What a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobKind {
    /// A drawn data set.
    Data,
    /// A teacher.
    Teacher,
    /// The beginning of a training that several runs share. Only a help: without it they train alone.
    Prefix,
    /// A generator that feeds runs offline.
    Generator,
    /// A run.
    Run,
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What it makes.
    pub kind: JobKind,
    /// Key of the stage, or uid of the run.
    pub key: String,
    /// For people: `full seed 2`.
    pub label: String,
    /// Indices of the jobs that must be done before.
    pub after: Vec<usize>,
    /// Jobs of an earlier batch (of the seeds, one a batch) go first, so that arms can be compared early.
    pub batch: usize,
    /// How long it takes against the others, in steps.
    pub cost: u64,
}

/// How an attempt at a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Done,
    /// It failed and said why.
    Failed(String),
    /// A loss or weight was not finite.
    Diverged(String),
    /// It stopped on request and can go on later.
    Interrupted,
    /// The process went away without a word; trying again makes sense.
    Died(String),
    /// It was taken away or let go of through no fault of its own: it goes again, and no try is lost.
    Again(String),
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Not started.
    Waiting,
    /// Running.
    Running,
    /// Done.
    Done,
    /// Failed, or something that it needs did.
    Failed(String),
    /// Not finite.
    Diverged(String),
    /// Stopped, or never started because of a stop.
    Interrupted,
}

impl JobState {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// What the outside wants, asked once per round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Go on.
    Go,
    /// Start nothing more; let running jobs save what they have and stop.
    Stop,
    /// End running jobs at once.
    Kill,
    /// Leave running jobs to themselves and go.
    Leave,
}

/// Does the work of jobs, named by their index.
pub trait Executor {
    /// Whether a slot can take another job now; a device may be short of memory.
    fn admits(&mut self, slot: usize) -> bool {
        let _ = slot;
        true
    }
    /// Starts a job in a slot that is free, again after it died.
    ///
    /// # Errors
    /// A reason why it can never start.
    fn start(&mut self, job: usize, slot: usize) -> Result<(), String>;
    /// How a running job ended; `None` while it runs.
    fn poll(&mut self, job: usize) -> Option<Outcome>;
    /// Asks a running job to stop, or ends it.
    fn stop(&mut self, job: usize, at_once: bool);
    /// Records that a job is given up and why, where its own worker did not: `state` is failed, or
    /// diverged where something that it needs did.
    fn give_up(&mut self, job: usize, state: &JobState);
    /// Whether the executor itself holds back what needs this running job, so that it may be started now.
    fn holds_back(&self, _job: usize) -> bool {
        false
    }
    /// Called once per round with every job's state: waits a moment and tells what is wanted.
    fn round(&mut self, states: &[JobState]) -> Wish;
}

/// Runs all jobs, at most `slots` at a time: batch by batch, in each the longest chain of jobs first, as
/// far as their dependencies allow. No slot waits for a batch to end.
///
/// One failed job stops only those that need it.
pub fn run(jobs: &[Job], slots: usize, executor: &mut dyn Executor) -> Vec<JobState> {
    let mut schedule = Schedule {
        jobs,
        order: order(jobs),
        states: vec![JobState::Waiting; jobs.len()],
        tries: vec![0; jobs.len()],
        slots: vec![None; slots.max(1)],
        changed: true,
        none_ready: false,
        wish: Wish::Go,
    };
    loop {
        schedule.poll(executor);
        if schedule.wish == Wish::Go {
            schedule.go_on(executor);
        }
        if schedule.is_over() {
            break;
        }
        let wish = executor.round(&schedule.states).max(schedule.wish);
        if wish > schedule.wish {
            schedule.wish = wish;
            if wish == Wish::Leave {
                break;
            }
            for job in schedule.running() {
                executor.stop(job, wish == Wish::Kill);
            }
        }
    }
    for state in &mut schedule.states {
        if matches!(state, JobState::Waiting | JobState::Running) {
            *state = JobState::Interrupted;
        }
    }
    schedule.states
}

/// Jobs in the order in which they should start: by batch, then by the time that they and the longest
/// chain of jobs waiting for them take, then as given.
fn order(jobs: &[Job]) -> Vec<usize> {
    let mut chains: Vec<u64> = jobs.iter().map(|job| job.cost).collect();
    // what a job waits for comes before it in the list
    for at in (0..jobs.len()).rev() {
        for &needed in &jobs[at].after {
            chains[needed] = chains[needed].max(jobs[needed].cost + chains[at]);
        }
    }
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&at| (jobs[at].batch, Reverse(chains[at]), at));
    order
}

struct Schedule<'a> {
    jobs: &'a [Job],
    /// Jobs that may still have to start, most urgent first.
    order: Vec<usize>,
    states: Vec<JobState>,
    tries: Vec<u32>,
    /// What runs where.
    slots: Vec<Option<usize>>,
    /// Whether a job ended since the last look at those that wait: only then can another be ready, and
    /// looking at a hundred thousand takes a while.
    changed: bool,
    /// Whether the last look found none to start.
    none_ready: bool,
    wish: Wish,
}

impl Schedule<'_> {
    fn running(&self) -> Vec<usize> {
        self.slots.iter().copied().flatten().collect()
    }

    fn is_help(&self, job: usize) -> bool {
        self.jobs[job].kind == JobKind::Prefix
    }

    fn is_over(&self) -> bool {
        let none_runs = self.running().is_empty();
        none_runs && (self.wish > Wish::Go || self.states.iter().all(JobState::is_over))
    }

    fn poll(&mut self, executor: &mut dyn Executor) {
        for slot in 0..self.slots.len() {
            let Some(job) = self.slots[slot] else { continue };
            let Some(outcome) = executor.poll(job) else { continue };
            self.slots[slot] = None;
            self.changed = true;
            self.states[job] = match outcome {
                Outcome::Done => JobState::Done,
                Outcome::Failed(reason) => JobState::Failed(reason),
                Outcome::Diverged(reason) => JobState::Diverged(reason),
                Outcome::Interrupted => JobState::Interrupted,
                // killed on our own request: nothing is wrong with it
                Outcome::Died(_) | Outcome::Again(_) if self.wish > Wish::Go => {
                    JobState::Interrupted
                }
                Outcome::Again(_) => {
                    self.tries[job] = self.tries[job].saturating_sub(1);
                    JobState::Waiting
                }
                Outcome::Died(_) if self.tries[job] < TRIES => JobState::Waiting,
                Outcome::Died(reason) => {
                    let state = JobState::Failed(format!("died {TRIES} times, at last: {reason}"));
                    executor.give_up(job, &state);
                    state
                }
            };
        }
    }

    /// Gives up what can never start and fills the free slots.
    fn go_on(&mut self, executor: &mut dyn Executor) {
        if std::mem::take(&mut self.changed) {
            self.fail_dependants(executor);
            let states = &self.states;
            self.order.retain(|job| !states[*job].is_over());
            self.none_ready = false;
        }
        for slot in 0..self.slots.len() {
            if self.none_ready {
                break;
            }
            if self.slots[slot].is_none() && executor.admits(slot) {
                self.start_one(slot, executor);
            }
        }
    }

    fn fail_dependants(&mut self, executor: &mut dyn Executor) {
        for job in 0..self.jobs.len() {
            if self.states[job] != JobState::Waiting {
                continue;
            }
            let needed = || self.jobs[job].after.iter().filter(|at| !self.is_help(**at));
            let ended = needed().find_map(|needed| {
                let label = &self.jobs[*needed].label;
                match &self.states[*needed] {
                    JobState::Failed(reason) => {
                        Some(JobState::Failed(format!("{label} failed: {reason}")))
                    }
                    // it will be the same again: a result, and no failure
                    JobState::Diverged(reason) => {
                        Some(JobState::Diverged(format!("{label} diverged: {reason}")))
                    }
                    _ => None,
                }
            });
            if let Some(state) = ended {
                executor.give_up(job, &state);
                self.states[job] = state;
            } else if needed().any(|at| self.states[*at] == JobState::Interrupted) {
                self.states[job] = JobState::Interrupted;
            }
        }
    }

    fn is_ready(&self, job: usize, executor: &dyn Executor) -> bool {
        self.states[job] == JobState::Waiting
            && self.jobs[job].after.iter().all(|needed| {
                let state = &self.states[*needed];
                *state == JobState::Done
                    || self.is_help(*needed) && state.is_over()
                    || *state == JobState::Running && executor.holds_back(*needed)
            })
    }

    fn start_one(&mut self, slot: usize, executor: &mut dyn Executor) {
        let mut waiting = self.order.iter().copied();
        let Some(job) = waiting.find(|job| self.is_ready(*job, executor)) else {
            self.none_ready = true;
            return;
        };
        self.tries[job] += 1;
        self.states[job] = match executor.start(job, slot) {
            Ok(()) => {
                self.slots[slot] = Some(job);
                JobState::Running
            }
            Err(reason) => {
                let state = JobState::Failed(reason);
                executor.give_up(job, &state);
                self.changed = true;
                state
            }
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every start takes its next outcome from a script, `Done` when there is none, after one round.
    #[derive(Default)]
    struct Fake {
        script: BTreeMap<usize, Vec<Outcome>>,
        running: BTreeMap<usize, Outcome>,
        waits: BTreeMap<usize, u32>,
        log: Vec<String>,
        most: usize,
        wishes: Vec<Wish>,
        /// Whether jobs take no notice of a gentle stop.
        deaf: bool,
        /// Whether only the first slot is admitted.
        short_of_memory: bool,
        /// Whether it keeps the order of what it is given.
        orders: bool,
    }

    impl Executor for Fake {
        fn admits(&mut self, slot: usize) -> bool {
            slot == 0 || !self.short_of_memory
        }
        fn start(&mut self, job: usize, _slot: usize) -> Result<(), String> {
            self.log.push(format!("start {job}"));
            let script = self.script.entry(job).or_default();
            let outcome = if script.is_empty() { Outcome::Done } else { script.remove(0) };
            self.running.insert(job, outcome);
            self.waits.insert(job, 1);
            self.most = self.most.max(self.running.len());
            Ok(())
        }
        fn poll(&mut self, job: usize) -> Option<Outcome> {
            let wait = self.waits.get_mut(&job).unwrap();
            if *wait > 0 {
                *wait -= 1;
                return None;
            }
            self.running.remove(&job)
        }
        fn stop(&mut self, job: usize, at_once: bool) {
            self.log.push(format!("{} {job}", if at_once { "kill" } else { "stop" }));
            let outcome =
                if at_once { Outcome::Died("killed".into()) } else { Outcome::Interrupted };
            self.waits.insert(job, if self.deaf && !at_once { u32::MAX } else { 0 });
            self.running.insert(job, outcome);
        }
        fn give_up(&mut self, job: usize, state: &JobState) {
            self.log.push(format!("give up {job}: {state:?}"));
        }
        fn holds_back(&self, _job: usize) -> bool {
            self.orders
        }
        fn round(&mut self, _states: &[JobState]) -> Wish {
            if self.wishes.is_empty() { Wish::Go } else { self.wishes.remove(0) }
        }
    }

    fn job(label: &str, after: &[usize]) -> Job {
        let (key, label, after) = (label.into(), label.into(), after.to_vec());
        Job { kind: JobKind::Run, key, label, after, batch: 0, cost: 1 }
    }

    #[test]
    fn the_longest_chain_of_the_earliest_seed_goes_first() {
        let with = |batch, cost, job: Job| Job { batch, cost, ..job };
        let jobs = [
            with(0, 5, job("teacher", &[])),
            with(0, 20, job("short", &[])),
            with(0, 30, job("long", &[])),
            with(0, 10, job("taught, longest with its teacher", &[0, 4])),
            with(0, 25, job("its beginning", &[])),
            with(1, 99, job("of the next seed", &[])),
        ];
        let mut fake = Fake::default();
        run(&jobs, 1, &mut fake);
        assert_eq!(fake.log.join(" "), "start 4 start 2 start 1 start 0 start 3 start 5");
        let mut fake = Fake { short_of_memory: true, ..Fake::default() };
        let states = run(&jobs, 3, &mut fake);
        assert_eq!(fake.most, 1, "slots beyond the first were not admitted");
        assert!(states.iter().all(|state| *state == JobState::Done));
    }

    #[test]
    fn dependencies_come_first_and_slots_are_kept() {
        let jobs = [
            job("data", &[]),
            job("teacher 1", &[0]),
            job("teacher 2", &[0]),
            job("a", &[1]),
            job("b", &[2]),
            job("c", &[1]),
        ];
        let mut fake = Fake::default();
        let states = run(&jobs, 2, &mut fake);
        assert!(states.iter().all(|state| *state == JobState::Done));
        assert_eq!(fake.most, 2);
        assert_eq!(fake.log.join(" "), "start 0 start 1 start 2 start 3 start 4 start 5");
    }

    #[test]
    fn a_failed_teacher_fails_its_runs_and_no_other() {
        let jobs = [job("teacher 1", &[]), job("teacher 2", &[]), job("a", &[0]), job("b", &[1])];
        let mut fake = Fake::default();
        fake.script.insert(0, vec![Outcome::Failed("no memory".into())]);
        let states = run(&jobs, 1, &mut fake);
        assert_eq!(states[2], JobState::Failed("teacher 1 failed: no memory".into()));
        assert_eq!(states[3], JobState::Done);
        let given_up = "give up 2: Failed(\"teacher 1 failed: no memory\")";
        assert!(fake.log.contains(&given_up.to_owned()));
    }

    #[test]
    fn what_needs_a_diverged_generator_has_diverged() {
        let generator = Job { kind: JobKind::Generator, ..job("generator", &[]) };
        let jobs = [generator, job("a", &[0]), job("b", &[])];
        let mut fake = Fake::default();
        fake.script.insert(0, vec![Outcome::Diverged("loss is nan".into())]);
        let states = run(&jobs, 1, &mut fake);
        assert_eq!(states[1], JobState::Diverged("generator diverged: loss is nan".into()));
        assert_eq!(states[2], JobState::Done);
        assert!(fake.log.contains(&format!("give up 1: {:?}", states[1])), "it is recorded");
    }

    #[test]
    fn what_another_process_lets_go_of_costs_no_try() {
        let mut fake = Fake::default();
        fake.script.insert(0, vec![Outcome::Again("let go".into()); 5]);
        assert_eq!(run(&[job("a", &[])], 1, &mut fake), [JobState::Done]);
        assert_eq!(fake.log.len(), 6, "{:?}", fake.log);
    }

    #[test]
    fn runs_wait_for_a_shared_beginning_and_go_on_without_it() {
        let prefix = Job { kind: JobKind::Prefix, ..job("beginning", &[]) };
        let jobs = [prefix, job("a", &[0]), job("b", &[0])];
        for end in [Outcome::Diverged("loss is nan".into()), Outcome::Interrupted] {
            let mut fake = Fake::default();
            fake.script.insert(0, vec![end]);
            let states = run(&jobs, 2, &mut fake);
            assert_eq!(fake.log.join(" "), "start 0 start 1 start 2");
            assert_eq!(states[1..], [JobState::Done, JobState::Done]);
        }
    }

    #[test]
    fn a_dead_worker_is_started_again_twice() {
        let died = || Outcome::Died("killed by signal 9".into());
        let mut fake = Fake::default();
        fake.script.insert(0, vec![died(), died()]);
        fake.script.insert(1, vec![died(), died(), died()]);
        let states = run(&[job("a", &[]), job("b", &[])], 2, &mut fake);
        assert_eq!(states[0], JobState::Done);
        assert_eq!(states[1], JobState::Failed("died 3 times, at last: killed by signal 9".into()));
        assert_eq!(fake.log.iter().filter(|line| *line == "start 1").count(), 3);
    }

    #[test]
    fn what_was_taken_away_goes_again_however_often() {
        let mut fake = Fake::default();
        fake.script.insert(0, vec![Outcome::Again("preempted".into()); 7]);
        assert_eq!(run(&[job("a", &[])], 1, &mut fake), [JobState::Done]);
        assert_eq!(fake.log.len(), 8);
    }

    #[test]
    fn an_executor_that_keeps_the_order_is_given_everything_at_once_and_left() {
        let jobs = [job("teacher", &[]), job("a", &[0]), job("b", &[1])];
        let mut fake = Fake { orders: true, wishes: vec![Wish::Leave], ..Fake::default() };
        let states = run(&jobs, 3, &mut fake);
        assert_eq!(fake.log.join(", "), "start 0, start 1, start 2", "nothing is stopped");
        assert!(states.iter().all(|state| *state == JobState::Interrupted));

        // a dependant that was taken away with what it needs fails with it
        let mut fake = Fake { orders: true, ..Fake::default() };
        fake.script.insert(0, vec![Outcome::Failed("no memory".into())]);
        fake.script.insert(1, vec![Outcome::Again("its dependency failed".into())]);
        let states = run(&jobs[..2], 3, &mut fake);
        assert_eq!(states[1], JobState::Failed("teacher failed: no memory".into()));
    }

    #[test]
    fn a_failed_or_diverged_run_stops_nobody() {
        let mut fake = Fake::default();
        fake.script.insert(0, vec![Outcome::Diverged("loss is nan".into())]);
        fake.script.insert(1, vec![Outcome::Failed("x".into())]);
        let jobs = [job("a", &[]), job("b", &[]), job("c", &[])];
        let states = run(&jobs, 1, &mut fake);
        assert_eq!(states[2], JobState::Done);
        assert_eq!(states[0], JobState::Diverged("loss is nan".into()));
    }

    #[test]
    fn the_first_signal_stops_gently_and_the_second_kills() {
        let jobs = [job("a", &[]), job("b", &[])];
        let mut fake = Fake { wishes: vec![Wish::Stop], ..Fake::default() };
        let states = run(&jobs, 1, &mut fake);
        assert_eq!(states, [JobState::Interrupted, JobState::Interrupted]);
        assert_eq!(fake.log.join(", "), "start 0, stop 0");

        let mut fake = Fake { wishes: vec![Wish::Stop, Wish::Kill], deaf: true, ..Fake::default() };
        let states = run(&jobs, 1, &mut fake);
        assert_eq!(states, [JobState::Interrupted, JobState::Interrupted]);
        assert_eq!(fake.log.join(", "), "start 0, stop 0, kill 0");
    }
}
