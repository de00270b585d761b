//! Plan -> jobs: which data sets, teachers, shared beginnings and runs have to be made, and what each waits for.

use std::collections::BTreeMap;

use super::error::SweepError;
use super::plan::{Plan, needs_teacher};
use super::process::Work;
use super::scheduler::{Job, JobKind};
use super::slots::Places;
use crate::spec::devices::Slots;
use crate::spec::settings::{Device, Mode};
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
    let forks = forks_by_run(plan);
    let mut trained: BTreeMap<usize, usize> = BTreeMap::new();
    let mut trainings: BTreeMap<String, usize> = BTreeMap::new();
    for cell in open {
        let (spec, mut after) = (&cell.spec, Vec::new());
        let train = &spec.settings.train;
        let batch = place(cell.seed).unwrap_or(0);
        // a teacher's epoch takes about as long as a step of everything
        let teaching = u64::from(spec.settings.teacher.epochs);
        let (mut teacher, mut beginning, mut taken_over) = (None, None, 0);
        if cell.missing.contains(&StageKind::Data) {
            let key = spec.stages.data.clone();
            let label = "the drawn people".to_owned();
            let work = Work::Data(Box::new(spec.settings.data.drawn.clone()));
            let job = Job { kind: JobKind::Data, key, label, after: vec![], batch, cost: 1 };
            after.push(add(job, work, "data"));
        }
        if needs_teacher(spec) && cell.missing.contains(&StageKind::Teacher) {
            let key = spec.stages.teacher.clone();
            let label = format!("teacher of seed {}", cell.seed);
            let after = after.clone();
            let job = Job { kind: JobKind::Teacher, key, label, after, batch, cost: teaching };
            teacher = Some(add(job, Work::Teacher(cell.run.clone()), "teacher"));
        }
        if cell.lacks_generator {
            let key = spec.stages.generator.clone();
            let own = trainings.get(&key).copied();
            after.push(own.unwrap_or_else(|| {
                let label = format!("generator of seed {}", cell.seed);
                let (after, cost) = (after.clone(), train.steps);
                let job = Job { kind: JobKind::Generator, key, label, after, batch, cost };
                add(job, Work::Generator(cell.run.clone()), "joint")
            }));
        }
        // shorter ones come first, so the last one added is the one to wait for
        for &at in forks.get(spec.uid.as_str()).into_iter().flatten() {
            let fork = &plan.forks[at];
            taken_over = fork.steps;
            if fork.published {
                continue;
            }
            let mut after = after.clone();
            after.extend(fork.after.and_then(|shorter| trained.get(&shorter)));
            after.extend(teacher.filter(|_| fork.asks_teacher));
            let label =
                format!("steps 1-{} of {} runs, seed {}", fork.steps, fork.cells.len(), cell.seed);
            let (key, cost) = (fork.key.clone(), fork.adds);
            let job = Job { kind: JobKind::Prefix, key, label, after, batch, cost };
            let work = Work::Prefix(cell.run.clone(), fork.steps);
            let job = add(job, work, "beginning");
            trained.insert(at, job);
            beginning = Some(job);
        }
        after.extend(teacher);
        after.extend(beginning);
        let label = format!("{} seed {}", cell.arm, cell.seed);
        let (class, cost) = match train.mode {
            Mode::Joint => ("joint", train.steps.saturating_sub(taken_over)),
            Mode::TeacherOnly => ("teacher_only", 1),
        };
        let job = Job { kind: JobKind::Run, key: spec.uid.clone(), label, after, batch, cost };
        let job = add(job, Work::Run(cell.run.clone()), class);
        trainings.insert(spec.stages.training.clone(), job);
    }
    tasks
}

/// The shared beginnings of each run, in the plan's order.
fn forks_by_run(plan: &Plan) -> BTreeMap<&str, Vec<usize>> {
    let mut forks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, fork) in plan.forks.iter().enumerate() {
        for &cell in &fork.cells {
            let of = forks.entry(plan.cells[cell].spec.uid.as_str()).or_default();
            // cells may share a run
            if of.last() != Some(&at) {
                of.push(at);
            }
        }
    }
    forks
}

/// Where the jobs run and how many at a time: on the devices that are asked for, else on those of the
/// study, else on the runs' own `train.device`; on a CPU with every core busy and none twice.
///
/// # Errors
/// [`SweepError::Device`] where a run that the CPU is to train would go to a GPU, or the other way round.
pub(super) fn places(
    plan: &Plan,
    asked: &[Slots],
    most: Option<usize>,
) -> Result<Places, SweepError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let open = plan.open_runs();
    let per_cpu = (cores / threads(plan) as usize).max(1);
    let mut devices = if asked.is_empty() { plan.devices.clone() } else { asked.to_vec() };
    if devices.is_empty()
        && let Some(gpu) =
            open.iter().map(|cell| cell.spec.settings.train.device).find(|device| is_gpu(*device))
    {
        devices.push(Slots { device: gpu, runs: None });
    }
    let Some(first) = devices.first() else {
        return Ok(Places::plain(most.unwrap_or(per_cpu)));
    };
    let elsewhere = open.iter().find(|cell| {
        let own = cell.spec.settings.train.device;
        own != Device::Auto && is_gpu(own) != is_gpu(first.device)
    });
    if let Some(cell) = elsewhere {
        return Err(SweepError::Device {
            arm: cell.arm.clone(),
            own: cell.spec.settings.train.device.to_string(),
            device: first.device.to_string(),
        });
    }
    Ok(Places::on(&devices, most, per_cpu))
}

/// Threads of the open run that has most.
pub(super) fn threads(plan: &Plan) -> u32 {
    let threads = plan.open_runs().iter().map(|cell| cell.spec.settings.train.threads).max();
    threads.unwrap_or(1).max(1)
}

fn is_gpu(device: Device) -> bool {
    matches!(device, Device::Cuda(_))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "jobs_tests.rs"]
mod tests;
