//! What Slurm says of a task: `squeue` and `sacct` as text -> states, and what each state means for the job
//! behind it. Pure; tested on recorded outputs.

use std::fmt;
use std::str::FromStr;

use crate::sweep::ending::Exit;

/// Fields that `squeue -O` is asked for, in the order in which [`squeue`] reads them.
pub const SQUEUE_FIELDS: &str = "JobArrayID:|,State:|,Reason:|,exit_code:|";
/// Fields that `sacct --format` is asked for.
pub const SACCT_FIELDS: &str = "JobID,State,ExitCode";
/// The script's exit code when the time was up and Slurm did not take the task back into the queue.
pub const NOT_REQUEUED: i32 = 75;

/// A task of an array job: `12_3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    pub array: u64,
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.array, self.index)
    }
}

impl FromStr for TaskId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (array, index) = text.split_once('_').ok_or(())?;
        Ok(Self { array: array.parse().map_err(|_| ())?, index: index.parse().map_err(|_| ())? })
    }
}

/// What Slurm last said of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `PENDING`, `RUNNING`, ...
    pub state: String,
    /// `None`, `Dependency`, `NonZeroExitCode`, ...
    pub reason: String,
    /// How the script ended, once it has.
    pub exit: Exit,
}

/// What a state means for the job behind the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// In the queue.
    Queued,
    /// Running, or about to end.
    Running,
    /// The script ended by itself; the worker's exit code tells how.
    Ended(Exit),
    /// Taken away through no fault of its own.
    Again(String),
    /// Killed for what may go better another time.
    Died(String),
    /// Killed for what would be the same another time.
    Failed(String),
    /// Somebody cancelled it.
    Cancelled(String),
}

impl Seen {
    /// What it means.
    pub fn fate(&self) -> Fate {
        match (self.state.as_str(), self.reason.as_str()) {
            // Slurm takes such tasks away by itself where it is allowed to
            ("PENDING" | "CANCELLED", "DependencyNeverSatisfied") => {
                Fate::Again("what it needs failed, so Slurm took it out of the queue".into())
            }
            ("PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT"
            | "RESV_DEL_HOLD", _) => Fate::Queued,
            ("COMPLETED" | "FAILED", _) => Fate::Ended(self.exit),
            ("PREEMPTED", _) => {
                Fate::Again("preempted by a more important job (PREEMPTED)".into())
            }
            ("NODE_FAIL", _) => Fate::Again("its node failed (NODE_FAIL)".into()),
            ("BOOT_FAIL" | "LAUNCH_FAILED" | "RECONFIG_FAIL" | "REVOKED", _) => {
                Fate::Again(format!("its node did not start it ({})", self.state))
            }
            ("TIMEOUT", _) => Fate::Died(
                "it hit its time limit before it could save (TIMEOUT)\n  hint: raise `slurm.time`"
                    .into(),
            ),
            ("OUT_OF_MEMORY", _) => Fate::Failed(
                "it ran out of memory (OUT_OF_MEMORY)\n  hint: raise `slurm.memory`, or make `train.batch` smaller"
                    .into(),
            ),
            ("CANCELLED", _) => Fate::Cancelled("it was cancelled (CANCELLED)".into()),
            ("DEADLINE", _) => Fate::Cancelled("its deadline has passed (DEADLINE)".into()),
            // CONFIGURING, RUNNING, COMPLETING, STAGE_OUT, SUSPENDED, STOPPED, ...: it is not over yet
            _ => Fate::Running,
        }
    }

    /// Whether the task may still do something.
    pub fn is_live(&self) -> bool {
        matches!(self.fate(), Fate::Queued | Fate::Running)
    }
}

/// Reads what `squeue --noheader --array --states=all -O SQUEUE_FIELDS` prints.
pub fn squeue(text: &str) -> Vec<(TaskId, Seen)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('|').map(str::trim);
        let (Some(id), Some(state), Some(reason)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let exit = fields.next().map_or(UNKNOWN, exit);
        let seen = Seen { state: state.to_owned(), reason: reason.to_owned(), exit };
        found.extend(tasks(id).into_iter().map(|task| (task, seen.clone())));
    }
    found
}

/// Reads what `sacct --parsable2 --noheader --allocations --format=SACCT_FIELDS` prints.
pub fn sacct(text: &str) -> Vec<(TaskId, Seen)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('|').map(str::trim);
        let (Some(id), Some(state)) = (fields.next(), fields.next()) else { continue };
        // `CANCELLED by 1000`
        let state = state.split_whitespace().next().unwrap_or_default().to_owned();
        let exit = fields.next().map_or(UNKNOWN, exit);
        let seen = Seen { state, reason: String::new(), exit };
        found.extend(tasks(id).into_iter().map(|task| (task, seen.clone())));
    }
    found
}

const UNKNOWN: Exit = Exit { code: None, signal: None };

/// `33280` is a wait status, `130:0` says code and signal. A shell reports a signal n of its child as 128 + n.
fn exit(text: &str) -> Exit {
    let pair = match text.split_once(':') {
        Some((code, signal)) => code.parse::<i32>().ok().zip(signal.parse::<i32>().ok()),
        None => text.parse::<i32>().ok().map(|status| (status >> 8, status & 0x7f)),
    };
    match pair {
        Some((0, 0)) => Exit { code: Some(0), signal: None },
        // 128 + SIGINT is what a worker says that saved and stopped
        Some((code @ 129..=159, 0)) if code != 130 => Exit { code: None, signal: Some(code - 128) },
        Some((code, 0)) => Exit { code: Some(code), signal: None },
        Some((_, signal)) => Exit { code: None, signal: Some(signal) },
        None => UNKNOWN,
    }
}

/// `12_3`, and `12_[0-2,5%4]` for tasks that Slurm keeps as one.
fn tasks(id: &str) -> Vec<TaskId> {
    /// More tasks than any array has.
    const MOST: u32 = 4_000_000;
    let Some((array, index)) = id.split_once('_') else { return Vec::new() };
    let Ok(array) = array.parse() else { return Vec::new() };
    let list = index.trim_start_matches('[').trim_end_matches(']');
    let list = list.split('%').next().unwrap_or_default();
    let mut found = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>())
            && to < MOST
        {
            found.extend((from..=to).map(|index| TaskId { array, index }));
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SQUEUE: &str = include_str!("../../../tests/fixtures/slurm/squeue.txt");
    const SACCT: &str = include_str!("../../../tests/fixtures/slurm/sacct.txt");

    fn fate_of(seen: &[(TaskId, Seen)], id: &str) -> Fate {
        let task: TaskId = id.parse().unwrap();
        seen.iter().find(|(other, _)| *other == task).unwrap().1.fate()
    }

    fn code(code: i32) -> Fate {
        Fate::Ended(Exit { code: Some(code), signal: None })
    }

    #[test]
    fn every_end_that_squeue_tells_is_told_apart() {
        let seen = squeue(SQUEUE);
        assert_eq!(fate_of(&seen, "1_0"), Fate::Queued, "taken back into the queue");
        assert_eq!(fate_of(&seen, "1_1"), code(130), "saved and stopped");
        for id in ["2_0", "2_1", "2_2"] {
            assert!(matches!(fate_of(&seen, id), Fate::Again(why) if why.contains("needs failed")));
        }
        assert!(matches!(fate_of(&seen, "5_0"), Fate::Died(why) if why.contains("slurm.time")));
        assert!(matches!(fate_of(&seen, "6_0"), Fate::Again(why) if why.contains("NODE_FAIL")));
        assert!(matches!(fate_of(&seen, "7_0"), Fate::Cancelled(_)));
        let killed = Exit { code: None, signal: Some(9) };
        assert_eq!(fate_of(&seen, "8_1"), Fate::Ended(killed));
        assert_eq!(fate_of(&seen, "9_0"), Fate::Running);
        assert_eq!(fate_of(&seen, "9_1"), Fate::Running, "completing is not over");
        assert_eq!(fate_of(&seen, "9_2"), code(0));
        assert_eq!(fate_of(&seen, "10_3"), Fate::Queued);
        assert_eq!(fate_of(&seen, "10_7"), Fate::Queued);
        assert!(!seen.iter().any(|(task, _)| task.array == 10 && task.index == 5));
    }

    #[test]
    fn ends_that_only_other_sites_have_are_told_apart() {
        let seen = sacct(SACCT);
        let failed = fate_of(&seen, "4711_0");
        assert!(matches!(failed, Fate::Failed(why) if why.contains("slurm.memory")));
        assert!(matches!(fate_of(&seen, "4711_1"), Fate::Again(why) if why.contains("PREEMPTED")));
        assert!(matches!(fate_of(&seen, "4711_2"), Fate::Cancelled(_)));
        assert!(matches!(fate_of(&seen, "4711_3"), Fate::Died(why) if why.contains("TIMEOUT")));
        assert!(matches!(fate_of(&seen, "4711_4"), Fate::Again(why) if why.contains("NODE_FAIL")));
        assert_eq!(fate_of(&seen, "4711_5"), code(3));
        assert_eq!(fate_of(&seen, "4711_6"), code(0));
        assert_eq!(fate_of(&seen, "4711_9"), Fate::Queued);
        let killed = Exit { code: None, signal: Some(9) };
        assert_eq!(fate_of(&seen, "4711_10"), Fate::Ended(killed), "a shell says 137 for signal 9");
    }

    #[test]
    fn lines_that_are_no_tasks_say_nothing() {
        for text in ["", "3|PENDING|Priority|0|", "slurm_load_jobs error", "1_x|RUNNING|None|0|"] {
            assert!(squeue(text).is_empty(), "{text}");
        }
    }
}
