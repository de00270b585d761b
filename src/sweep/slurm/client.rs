//! Slurm's commands: submitting, asking, cancelling. Every call names all tasks at once; none names a
//! single job where there are several. What the answers mean is in `state`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::state::{SACCT_FIELDS, SQUEUE_FIELDS, Seen, TaskId, sacct, squeue};
use crate::sweep::SweepError;

/// Environment that would change what a script asks for.
const OVERRIDES: [&str; 9] = [
    "SBATCH_ARRAY_INX",
    "SBATCH_JOB_NAME",
    "SBATCH_OUTPUT",
    "SBATCH_ERROR",
    "SBATCH_SIGNAL",
    "SBATCH_REQUEUE",
    "SBATCH_NO_REQUEUE",
    "SBATCH_OPEN_MODE",
    "SBATCH_WAIT",
];
/// Tasks that one call cancels.
const MOST_NAMED: usize = 2_000;

/// Slurm as its commands show it.
#[derive(Debug)]
pub struct Client {
    /// Whether `sacct` has an accounting database behind it; `None` before it was asked.
    accounting: Option<bool>,
}

/// Why a submission was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Slurm is busy, away, or has enough of this user's jobs for now.
    ForNow(String),
    /// It will never be taken.
    ForGood(String),
}

/// How tasks are told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// Out of the queue.
    Queued,
    /// Save, then end.
    Gently,
    /// At once.
    AtOnce,
}

impl Client {
    /// Slurm, if this machine has its commands.
    ///
    /// # Errors
    /// [`SweepError::Slurm`] where `sbatch` is missing.
    pub fn find() -> Result<Self, SweepError> {
        match run("sbatch", &["--version"]) {
            Ok(output) if output.status.success() => Ok(Self { accounting: None }),
            Ok(output) => Err(SweepError::Slurm {
                reason: format!("`sbatch --version` fails: {}", complaint(&output)),
                hint: "ask whoever runs the cluster; SLURM_CONF may name the wrong file".into(),
            }),
            Err(error) => Err(SweepError::Slurm {
                reason: format!("`sbatch` cannot be started: {error}"),
                hint: "run this where jobs are submitted (a login node), or load Slurm's module; without `--launcher slurm` this machine trains itself".into(),
            }),
        }
    }

    /// Submits a script; gives Slurm's number of the array.
    pub fn submit(script: &Path) -> Result<u64, Refusal> {
        let mut command = Command::new("sbatch");
        for name in OVERRIDES {
            command.env_remove(name);
        }
        command.arg("--parsable").arg(script).stdin(Stdio::null());
        let output = command.output().map_err(|error| Refusal::ForNow(error.to_string()))?;
        if !output.status.success() {
            let text = complaint(&output);
            return Err(if is_passing(&text) {
                Refusal::ForNow(text)
            } else {
                Refusal::ForGood(text)
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        // `12`, or `12;cluster`
        let number = text.trim().split(';').next().and_then(|number| number.parse().ok());
        number.ok_or_else(|| Refusal::ForGood(format!("`sbatch` said `{}`", text.trim())))
    }

    /// Slurm's number of the array of this name, if it has one.
    pub fn named(name: &str) -> Result<Option<u64>, String> {
        let output = asked(
            "squeue",
            &["--noheader", "--array", "--states=all", "--name", name, "--format=%F"],
        )?;
        Ok(output.lines().find_map(|line| line.trim().parse().ok()))
    }

    /// What Slurm says of every task of these arrays; those that ended some minutes ago are missing.
    pub fn look(arrays: &[u64]) -> Result<BTreeMap<TaskId, Seen>, String> {
        let jobs = format!("--jobs={}", listed(arrays));
        let fields = ["--noheader", "--array", "--states=all", &jobs, "-O", SQUEUE_FIELDS];
        match asked("squeue", &fields) {
            Ok(text) => Ok(squeue(&text).into_iter().collect()),
            // that is how it says that it has forgotten the only one
            Err(text) if text.contains("Invalid job id") => Ok(BTreeMap::new()),
            Err(text) => Err(text),
        }
    }

    /// What the accounting database says of these arrays; nothing where there is none.
    pub fn remembered(&mut self, arrays: &[u64]) -> BTreeMap<TaskId, Seen> {
        if self.accounting == Some(false) || arrays.is_empty() {
            return BTreeMap::new();
        }
        let (jobs, format) =
            (format!("--jobs={}", listed(arrays)), format!("--format={SACCT_FIELDS}"));
        let answer =
            asked("sacct", &["--parsable2", "--noheader", "--allocations", &jobs, &format]);
        self.accounting = Some(answer.is_ok());
        answer.map(|text| sacct(&text).into_iter().collect()).unwrap_or_default()
    }

    /// Tells tasks to end.
    pub fn cancel(tasks: &[TaskId], how: Cancel) -> Result<(), String> {
        for tasks in tasks.chunks(MOST_NAMED) {
            let mut arguments: Vec<String> = match how {
                Cancel::Queued => vec!["--state=PENDING".into()],
                Cancel::Gently => {
                    vec!["--state=RUNNING".into(), "--batch".into(), "--signal=TERM".into()]
                }
                Cancel::AtOnce => Vec::new(),
            };
            arguments.extend(tasks.iter().map(ToString::to_string));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            match asked("scancel", &arguments) {
                // one that is over needs no end
                Err(text) if !text.contains("Invalid job id") && !text.contains("already") => {
                    return Err(text);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a refusal may pass by itself. Limits on submitted jobs do, as jobs end.
fn is_passing(text: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "Unable to contact",
        "Socket timed out",
        "temporarily",
        "Connection refused",
        "MaxSubmitJob",
        "MaxJobCount",
        "retry",
        "Slurm backup controller",
    ];
    SIGNS.iter().any(|sign| text.contains(sign))
}

fn listed(arrays: &[u64]) -> String {
    let names: Vec<String> = arrays.iter().map(ToString::to_string).collect();
    names.join(",")
}

/// Standard output of a command that must succeed.
fn asked(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = run(program, arguments).map_err(|error| format!("`{program}`: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`{program}`: {}", complaint(&output)))
    }
}

fn run(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(arguments).stdin(Stdio::null()).output()
}

/// What a command said on standard error, on one line.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { output.status.to_string() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_never_will() {
        for text in [
            "sbatch: error: AssocMaxSubmitJobLimit; sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        ] {
            assert!(is_passing(text), "{text}");
        }
        for text in [
            "sbatch: error: invalid partition specified: gpus; sbatch: error: Batch job submission failed: Invalid partition name specified",
            "sbatch: error: Batch job submission failed: Requested node configuration is not available",
        ] {
            assert!(!is_passing(text), "{text}");
        }
    }
}
