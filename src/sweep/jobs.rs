//! Plan -> jobs: which data sets, teachers, shared beginnings and runs have to be made, and what each waits for.

use std::collections::BTreeMap;

use super::plan::{Plan, needs_teacher};
use super::process::Work;
use super::scheduler::{Job, JobKind};
use crate::spec::settings::Mode;
use crate::store::StageKind;

/// A job, what it works on, and which others take about as long.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub job: Job,
    pub work: Work,
    /// Jobs of one class take about as long as each other.
    pub class: &'static str,
}

/// Everything that is open, seed by seed, so that arms can be compared early.
pub(super) fn tasks(plan: &Plan) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut known: BTreeMap<(JobKind, String), usize> = BTreeMap::new();
    let mut open = plan.open_runs();
    // stable: arms stay in the order of the study file within a seed
    let place = |seed| plan.record.cells.iter().position(|other| other.seed == seed);
    // a run that is fed offline comes after those that may train its generator as their own
    open.sort_by_key(|cell| (place(cell.seed), cell.lacks_generator));
    let mut add = |job: Job, work: Work, class| {
        *known.entry((job.kind, job.key.clone())).or_insert_with(|| {
            tasks.push(Task { job, work, class });
            tasks.len() - 1
        })
    };
    let mut trained: BTreeMap<usize, usize> = BTreeMap::new();
    let mut trainings: BTreeMap<String, usize> = BTreeMap::new();
    for cell in open {
        let (spec, mut after) = (&cell.spec, Vec::new());
        let (mut teacher, mut beginning) = (None, None);
        if cell.missing.contains(&StageKind::Data) {
            let key = spec.stages.data.clone();
            let label = "the drawn people".to_owned();
            let work = Work::Data(Box::new(spec.settings.data.drawn.clone()));
            after.push(add(Job { kind: JobKind::Data, key, label, after: vec![] }, work, "data"));
        }
        if needs_teacher(spec) && cell.missing.contains(&StageKind::Teacher) {
            let key = spec.stages.teacher.clone();
            let label = format!("teacher of seed {}", cell.seed);
            let job = Job { kind: JobKind::Teacher, key, label, after: after.clone() };
            teacher = Some(add(job, Work::Teacher(cell.run.clone()), "teacher"));
        }
        if cell.lacks_generator {
            let key = spec.stages.generator.clone();
            let own = trainings.get(&key).copied();
            after.push(own.unwrap_or_else(|| {
                let label = format!("generator of seed {}", cell.seed);
                let job = Job { kind: JobKind::Generator, key, label, after: after.clone() };
                add(job, Work::Generator(cell.run.clone()), "joint")
            }));
        }
        // shorter ones come first, so the last one added is the one to wait for
        for (at, fork) in plan.forks.iter().enumerate() {
            let mine = fork.cells.iter().any(|&at| plan.cells[at].spec.uid == spec.uid);
            if !mine || fork.published {
                continue;
            }
            let mut after = after.clone();
            after.extend(fork.after.and_then(|shorter| trained.get(&shorter)));
            after.extend(teacher.filter(|_| fork.asks_teacher));
            let label =
                format!("steps 1-{} of {} runs, seed {}", fork.steps, fork.cells.len(), cell.seed);
            let job = Job { kind: JobKind::Prefix, key: fork.key.clone(), label, after };
            let work = Work::Prefix(cell.run.clone(), fork.steps);
            let job = add(job, work, "beginning");
            trained.insert(at, job);
            beginning = Some(job);
        }
        after.extend(teacher);
        after.extend(beginning);
        let label = format!("{} seed {}", cell.arm, cell.seed);
        let job = Job { kind: JobKind::Run, key: spec.uid.clone(), label, after };
        let class = match spec.settings.train.mode {
            Mode::Joint => "joint",
            Mode::TeacherOnly => "teacher_only",
        };
        let job = add(job, Work::Run(cell.run.clone()), class);
        trainings.insert(spec.stages.training.clone(), job);
    }
    tasks
}

/// How many jobs run at a time when the user does not say: every core busy, none twice.
pub(super) fn default_slots(plan: &Plan) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / threads(plan) as usize).max(1)
}

/// Threads of the open run that has most.
pub(super) fn threads(plan: &Plan) -> u32 {
    let threads = plan.open_runs().iter().map(|cell| cell.spec.settings.train.threads).max();
    threads.unwrap_or(1).max(1)
}
