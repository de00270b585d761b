//! When a worker hangs: its heart no longer beats and its processor time stands still, for as long as
//! this process has watched by its own clock. A worker that computes without a beat is not touched
//! before it has been silent for `BUSY` times as long. Decides; ends nothing.

use std::time::{Duration, Instant};

use crate::store::records::Heartbeat;

/// Time without a sign of life after which a worker hangs, unless the user says otherwise.
pub const DEFAULT: Duration = Duration::from_mins(30);
/// How many times longer a worker may be silent that takes processor time: a long evaluation does not
/// beat, and neither does a GPU that never answers.
const BUSY: u32 = 8;
/// Two looks further apart than this count as this far: whoever was stopped itself, by Ctrl-Z or with its
/// machine, has not watched.
const WATCHED: Duration = Duration::from_secs(5);
/// A worker that is asked to stop has this long to save, at most.
const GRACE: Duration = Duration::from_mins(1);
/// Processor ticks are hundredths of a second wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Share of a processor below which a process does nothing but wait.
const IDLE: f64 = 1e-3;

/// Watches one worker.
#[derive(Debug)]
pub struct Watch {
    limit: Duration,
    last: Option<Instant>,
    beat: Option<Heartbeat>,
    ticks: u64,
    /// Watched time since the heart last beat.
    silent: Duration,
    /// Watched time since it beat or took processor time.
    still: Duration,
}

impl Watch {
    /// For a worker that hangs after `limit` without a sign of life.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            last: None,
            beat: None,
            ticks: 0,
            silent: Duration::ZERO,
            still: Duration::ZERO,
        }
    }

    /// Whether it is worth looking again.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let every = (self.limit / 20).min(Duration::from_secs(1));
        self.last.is_none_or(|last| now.duration_since(last) >= every)
    }

    /// Takes note of a heartbeat (`None`: it cannot be read right now) and of the processor time in
    /// hundredths of a second (`None`: the system does not say). Gives, once the worker hangs, how long
    /// it has been silent.
    pub fn look(
        &mut self,
        now: Instant,
        beat: Option<Heartbeat>,
        ticks: Option<u64>,
    ) -> Option<Duration> {
        let passed = self.last.map_or(Duration::ZERO, |last| now.duration_since(last));
        self.last = Some(now);
        let passed = passed.min(WATCHED);
        self.silent += passed;
        self.still += passed;
        if beat.is_some() && beat != self.beat {
            self.beat = beat;
            (self.silent, self.still) = (Duration::ZERO, Duration::ZERO);
        }
        let enough = (self.limit.as_secs_f64() * TICKS_PER_SECOND * IDLE).max(10.0) as u64;
        // where nobody knows, it is taken to compute
        if ticks.is_none_or(|ticks| ticks >= self.ticks.saturating_add(enough)) {
            self.ticks = ticks.unwrap_or_default();
            self.still = Duration::ZERO;
        }
        let hangs = self.still >= self.limit || self.silent >= self.limit.saturating_mul(BUSY);
        hangs.then_some(self.silent)
    }

    /// What it was at when it was last heard of.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.beat.as_ref().map_or_else(
            || "before its first step".to_owned(),
            |beat| format!("in {} {}/{}", beat.phase, beat.step, beat.of),
        )
    }

    /// How long a hanging worker has to end by itself.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.limit.min(GRACE)
    }
}

/// Processor time that a process has taken, in hundredths of a second.
#[must_use]
pub fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name, in brackets, may hold anything; user and system time are the 12th and 13th after it
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(30);

    fn beat(beat: u64) -> Heartbeat {
        Heartbeat { beat, phase: "training".into(), step: beat, of: 100 }
    }

    /// Looks every second for `seconds`; what is seen follows from the second.
    fn watch(
        seconds: u64,
        seen: impl Fn(u64) -> (Option<Heartbeat>, Option<u64>),
    ) -> Option<(u64, Duration)> {
        let (start, mut watch) = (Instant::now(), Watch::new(LIMIT));
        (0..seconds).find_map(|second| {
            let (beat, ticks) = seen(second);
            let silent = watch.look(start + Duration::from_secs(second), beat, ticks)?;
            Some((second, silent))
        })
    }

    #[test]
    fn still_and_idle_for_the_whole_time_is_hanging() {
        let (second, silent) = watch(4000, |_| (Some(beat(3)), Some(700))).unwrap();
        assert_eq!((second, silent), (1800, LIMIT));
        // a process that only wakes now and then still waits: 20 ms a minute
        assert!(watch(4000, |second| (Some(beat(3)), Some(second / 30))).is_some());
    }

    #[test]
    fn a_slow_worker_is_never_touched() {
        // a step of 25 minutes
        assert_eq!(watch(50_000, |second| (Some(beat(second / 1500)), Some(700))), None);
        // an evaluation of three hours, without a beat
        assert_eq!(watch(10_800, |second| (Some(beat(3)), Some(second * 100))), None);
        assert_eq!(
            watch(10_800, |_| (Some(beat(3)), None)),
            None,
            "nobody knows whether it computes"
        );
    }

    #[test]
    fn who_computes_without_end_is_found_in_the_end() {
        let (second, _) = watch(20_000, |second| (Some(beat(3)), Some(second * 100))).unwrap();
        assert_eq!(second, 8 * 1800);
    }

    #[test]
    fn time_that_nobody_watched_does_not_count() {
        let (start, mut watch) = (Instant::now(), Watch::new(LIMIT));
        assert_eq!(watch.look(start, Some(beat(1)), Some(5)), None);
        // the sweep, or the machine, slept for a day
        assert_eq!(watch.look(start + Duration::from_hours(24), Some(beat(1)), Some(5)), None);
        assert_eq!(watch.last_words(), "in training 1/100");
    }

    #[test]
    fn a_process_tells_its_time() {
        assert!(ticks(std::process::id()).is_some());
        assert_eq!(ticks(0), None);
    }
}
