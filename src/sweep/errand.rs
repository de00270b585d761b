//! A worker that is sent for one piece of work and waited for: a request as its argument, its progress
//! on its standard output, its complaints on ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::error::SweepError;
use super::process::{ROUND, worker_executable};

/// Runs the worker's `verb` with a request and gives its exit code. `progress(done, of)` follows its work;
/// a signal to this process stops it, and it ends as it sees fit.
///
/// # Errors
/// When there is no worker, the system does not start it, or a signal ends it.
pub fn errand(
    runs_root: &Path,
    verb: &str,
    request: &str,
    progress: &dyn Fn(u64, u64),
) -> Result<i32, SweepError> {
    let failed = |action| move |source| SweepError::System { action, source };
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked))
            .map_err(failed("listen for signals"))?;
    }
    let mut child = Command::new(worker_executable()?)
        .arg("--runs")
        .arg(runs_root)
        .args([verb, request])
        .env("DGNET_PARENT", std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed("start the worker"))?;
    let (sender, receiver) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // who no longer listens has seen enough
            let _ = lines.map(|line| sender.send(line)).take_while(Result::is_ok).count();
        });
    }
    let mut told = false;
    loop {
        match receiver.recv_timeout(ROUND) {
            Ok(line) => {
                let mut numbers = line.split_whitespace().map(str::parse::<u64>);
                if let (Some(Ok(done)), Some(Ok(of))) = (numbers.next(), numbers.next()) {
                    progress(done, of);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if asked.load(Ordering::Relaxed) && !told {
            told = true;
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // a worker that is gone already needs no signal
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        }
    }
    let status = child.wait().map_err(failed("wait for the worker"))?;
    // a worker that a signal ended (out of memory, say) has told nobody
    status.code().ok_or_else(|| SweepError::Worker { reason: format!("it ended with {status}") })
}
