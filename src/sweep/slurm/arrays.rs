//! Which jobs go into which array: those that wait for the same tasks are one, in the order of the study,
//! and arrays come after those that they wait for. Pure.

use std::collections::BTreeMap;

use super::state::TaskId;
use crate::sweep::scheduler::{Job, JobKind};

/// Most tasks of an array; Slurm's own default allows 1,001.
pub const MOST_TASKS: usize = 1_000;

/// What the tasks of an array wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct After {
    /// Must have succeeded.
    pub ok: Vec<TaskId>,
    /// Must be over; what they make is only a help.
    pub any: Vec<TaskId>,
}

/// The arrays that can be submitted now: jobs of the queue none of whose needs is still in it. `task` gives
/// the live task of a job.
pub fn next(
    queue: &[usize],
    jobs: &dyn Fn(usize) -> Job,
    task: &dyn Fn(usize) -> Option<TaskId>,
) -> Vec<(After, Vec<usize>)> {
    let mut found: BTreeMap<After, Vec<usize>> = BTreeMap::new();
    for &job in queue {
        let needs = jobs(job).after;
        if needs.iter().any(|needed| queue.contains(needed)) {
            continue;
        }
        let mut after = After::default();
        for needed in needs {
            let list = match jobs(needed).kind {
                JobKind::Prefix => &mut after.any,
                _ => &mut after.ok,
            };
            list.extend(task(needed));
        }
        after.ok.sort_unstable();
        after.any.sort_unstable();
        found.entry(after).or_default().push(job);
    }
    let mut arrays: Vec<(After, Vec<usize>)> = found
        .into_iter()
        .flat_map(|(after, jobs)| {
            let parts: Vec<_> = jobs.chunks(MOST_TASKS).map(<[usize]>::to_vec).collect();
            parts.into_iter().map(move |part| (after.clone(), part))
        })
        .collect();
    arrays.sort_by_key(|(_, jobs)| jobs.first().copied());
    arrays
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(array: u64, index: u32) -> TaskId {
        TaskId { array, index }
    }

    #[test]
    fn jobs_that_wait_for_the_same_are_one_array() {
        use JobKind::{Prefix, Run, Teacher};
        let table: [(JobKind, &[usize]); 7] = [
            (Teacher, &[]),
            (Teacher, &[]),
            (Prefix, &[0]),
            (Run, &[0, 2]),
            (Run, &[0, 2]),
            (Run, &[1]),
            (Run, &[]),
        ];
        let jobs = |at: usize| {
            let (kind, after) = table[at];
            Job {
                kind,
                key: at.to_string(),
                label: String::new(),
                after: after.to_vec(),
                batch: 0,
                cost: 1,
            }
        };
        let none = |_: usize| None;
        let all: Vec<usize> = (0..7).collect();
        assert_eq!(next(&all, &jobs, &none), [(After::default(), vec![0, 1, 6])]);

        let first = |job: usize| (job < 2).then(|| id(10, job as u32));
        let ok = |tasks: &[TaskId]| After { ok: tasks.to_vec(), any: vec![] };
        assert_eq!(
            next(&[2, 3, 4, 5], &jobs, &first),
            [(ok(&[id(10, 0)]), vec![2]), (ok(&[id(10, 1)]), vec![5])]
        );

        let second = |job: usize| if job == 2 { Some(id(11, 0)) } else { first(job) };
        let after = After { ok: vec![id(10, 0)], any: vec![id(11, 0)] };
        assert_eq!(next(&[3, 4], &jobs, &second), [(after, vec![3, 4])]);
        // what is done already is not waited for
        assert_eq!(next(&[3, 4], &jobs, &none), [(After::default(), vec![3, 4])]);
    }

    #[test]
    fn an_array_has_no_more_tasks_than_slurm_allows() {
        let jobs = |at: usize| Job {
            kind: JobKind::Run,
            key: at.to_string(),
            label: String::new(),
            after: vec![],
            batch: 0,
            cost: 1,
        };
        let queue: Vec<usize> = (0..2_500).collect();
        let sizes: Vec<usize> =
            next(&queue, &jobs, &|_| None).iter().map(|(_, jobs)| jobs.len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }
}
