//! Finished networks: evaluation on any data set, and the features of photos. The request comes as JSON
//! on standard input, answers go to standard output, a JSON value a line; nothing is stored.

mod embed;
mod evaluate;
mod network;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{Exit, Stop, WorkerError, caught};
use crate::train::checkpoint::CheckpointError;
use dgnet::store::inquiry::{Answer, Inquiry};

/// Time between two reports of progress.
const REPORT: Duration = Duration::from_millis(250);

/// Answers the request on standard input.
#[must_use]
pub fn answer(stop: &Stop) -> Exit {
    let mut report = Report { last: Instant::now(), done: 0, total: 0, stop: stop.clone() };
    let outcome = request().and_then(|inquiry| {
        caught(|| match &inquiry {
            Inquiry::Evaluate(asked) => evaluate::answer(asked, &mut report),
            Inquiry::Embed(asked) => embed::answer(asked, &mut report),
        })
    });
    match outcome {
        Ok(()) => Exit::Done,
        Err(_) if stop.requested() => Exit::Interrupted,
        Err(error) => {
            let refused = match &error {
                WorkerError::Data(_) | WorkerError::Refused(_) => true,
                WorkerError::Checkpoint(error) => !matches!(error, CheckpointError::Libtorch(_)),
                _ => false,
            };
            match say(&Answer::Failed { reason: error.to_string(), refused }) {
                Ok(()) => Exit::Done,
                Err(_) => Exit::Failed,
            }
        }
    }
}

fn request() -> Result<Inquiry, WorkerError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| WorkerError::Panic(format!("no request: {error}")))?;
    serde_json::from_str(&text).map_err(|error| WorkerError::Panic(format!("no request: {error}")))
}

/// Says one line of the answer.
fn say(answer: &Answer) -> Result<(), WorkerError> {
    let gone = |error: std::io::Error| WorkerError::Panic(format!("nobody listens: {error}"));
    let mut line =
        serde_json::to_vec(answer).map_err(|error| WorkerError::Panic(error.to_string()))?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).map_err(gone)
}

/// Photos done so far.
struct Report {
    last: Instant,
    done: u64,
    total: u64,
    stop: Stop,
}

impl Report {
    /// Counts photos whose features are known.
    ///
    /// # Errors
    /// When nobody listens any more, or the work shall stop.
    fn advance(&mut self, photos: usize) -> Result<(), WorkerError> {
        self.done += photos as u64;
        if self.stop.requested() {
            return Err(WorkerError::Panic("stopped".into()));
        }
        if self.last.elapsed() >= REPORT || self.done == self.total {
            self.last = Instant::now();
            say(&Answer::Progress { done: self.done, total: self.total })?;
        }
        Ok(())
    }
}
