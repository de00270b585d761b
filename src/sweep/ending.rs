//! How an attempt at a job ended, read from exit status, records and log. Starts and stops nothing.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use super::scheduler::Outcome;
use crate::store::records::EndState;
use crate::store::{RunDir, RunState};

/// What the terminal record says; `None` without one.
pub(super) fn ended(run: &RunDir) -> Option<Outcome> {
    let end = match run.end() {
        Ok(end) => end?,
        Err(error) => return Some(Outcome::Failed(error.to_string())),
    };
    let reason = end.reason.unwrap_or_else(|| "no reason given".into());
    Some(match end.state {
        EndState::Done => Outcome::Done,
        EndState::Failed => Outcome::Failed(reason),
        EndState::Diverged => Outcome::Diverged(reason),
    })
}

/// Another process was at a job and is no longer: it is ours now.
pub(super) fn let_go() -> Outcome {
    Outcome::Again("another process was at it; it goes on here".to_owned())
}

/// What became of a run that another process is at; `None` while it is.
pub(super) fn elsewhere(run: &RunDir) -> Option<Outcome> {
    match run.state() {
        Ok(RunState::Running) => None,
        // the worker of a sweep that was stopped or killed: what it saved is gone on with
        Ok(_) => Some(ended(run).unwrap_or_else(let_go)),
        Err(error) => Some(Outcome::Failed(error.to_string())),
    }
}

/// How a process ended: by itself or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

/// How a worker went away without a record, with its last words.
pub(super) fn death(exit: Exit, quote: &str) -> String {
    let how = match (exit.signal, exit.code) {
        (Some(9), _) => {
            "its worker was killed by signal 9 (SIGKILL; often the system ran out of memory)".into()
        }
        (Some(signal), _) => format!("its worker was killed by signal {signal}"),
        (None, Some(code)) => {
            format!("its worker exited with code {code} without a terminal record")
        }
        (None, None) => "its worker went away".into(),
    };
    if quote.is_empty() { how } else { format!("{how}\n{quote}") }
}

/// The last lines of a file after an offset, as much of them as a reason needs.
pub(super) fn last_lines(path: &Path, from: u64, lines: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096).max(from)))?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
