//! Where jobs run: the slots of a sweep and the device of each, and whether a GPU has memory left for one
//! more run. Asks `nvidia-smi`; starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::spec::devices::Slots;
use crate::spec::settings::Device;

/// Runs on a GPU whose number of runs nobody states, at most, where NVIDIA's MPS lets their kernels run side by
/// side. Without it they take turns, and one run alone makes more steps than several together.
const MOST_BY_MEMORY: usize = 8;
/// A run has taken what memory it needs by then: it is training.
const SETTLED: Duration = Duration::from_mins(1);
/// Time between two questions.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How much more than the largest run so far must be free for another.
const MARGIN: f64 = 1.2;

/// Memory of a GPU, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    used: u64,
    free: u64,
}

/// What is known of a device whose number of runs follows from its memory.
#[derive(Debug, Default)]
struct Watched {
    jobs: usize,
    /// When the last job started there.
    started: Option<Instant>,
    /// MiB in use before any job of this sweep ran there.
    before: u64,
    /// MiB of the largest run so far, the mean of those there at a time.
    largest: f64,
}

/// The slots of a sweep.
#[derive(Debug)]
pub struct Places {
    /// Device of every slot; `None` leaves it to the run's own `train.device`.
    devices: Vec<Option<Device>>,
    /// Devices that are shared by memory.
    watched: BTreeMap<u32, Watched>,
    smi: PathBuf,
    memory: BTreeMap<u32, Memory>,
    asked: Option<Instant>,
}

impl Places {
    /// Slots without a device of their own.
    #[must_use]
    pub fn plain(slots: usize) -> Self {
        Self::with(vec![None; slots.max(1)], BTreeMap::new())
    }

    /// Slots on devices, at most `most` in all; they take turns, so that every device has a run before
    /// one has two. `per_cpu` is the number of runs that the CPU takes where it is not stated.
    #[must_use]
    pub fn on(devices: &[Slots], most: Option<usize>, per_cpu: usize) -> Self {
        Self::shared(devices, most, per_cpu, side_by_side())
    }

    fn shared(devices: &[Slots], most: Option<usize>, per_cpu: usize, beside: bool) -> Self {
        let per_card = if beside { MOST_BY_MEMORY } else { 1 };
        let runs = |slots: &Slots| match (slots.runs, slots.device) {
            (Some(runs), _) => runs,
            (None, Device::Cuda(_)) => per_card,
            (None, Device::Cpu | Device::Auto) => per_cpu,
        };
        let deepest = devices.iter().map(runs).max().unwrap_or(0);
        let turns = (0..deepest)
            .flat_map(|turn| devices.iter().filter(move |slots| turn < runs(slots)))
            .map(|slots| Some(slots.device));
        let watched = devices.iter().filter_map(|slots| match (slots.runs, slots.device) {
            (None, Device::Cuda(number)) => Some((number, Watched::default())),
            _ => None,
        });
        Self::with(turns.take(most.unwrap_or(usize::MAX)).collect(), watched.collect())
    }

    fn with(devices: Vec<Option<Device>>, watched: BTreeMap<u32, Watched>) -> Self {
        let (memory, smi) = (BTreeMap::new(), PathBuf::from("nvidia-smi"));
        Self { devices, watched, smi, memory, asked: None }
    }

    /// Slots in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.devices.len()
    }

    /// The device of a slot.
    #[must_use]
    pub fn device(&self, slot: usize) -> Option<Device> {
        self.devices[slot]
    }

    fn watched(&mut self, slot: usize) -> Option<(u32, &mut Watched)> {
        let Some(Device::Cuda(number)) = self.devices[slot] else { return None };
        self.watched.get_mut(&number).map(|watched| (number, watched))
    }

    /// Whether the device of a slot can take another job now.
    pub fn admits(&mut self, slot: usize, now: Instant) -> bool {
        let Some((number, watched)) = self.watched(slot) else { return true };
        if watched.jobs == 0 {
            return true;
        }
        if watched.started.is_some_and(|at| now.duration_since(at) < SETTLED) {
            return false;
        }
        self.ask(now);
        let memory = self.memory.get(&number).copied();
        let Some((_, watched)) = self.watched(slot) else { return true };
        // a machine that does not tell keeps one run a device
        memory.is_some_and(|memory| watched.has_room(memory))
    }

    /// A job starts in a slot.
    pub fn started(&mut self, slot: usize, now: Instant) {
        if self.watched(slot).is_none_or(|(_, watched)| watched.jobs == 0) {
            self.ask(now);
        }
        let used = self.memory.iter().map(|(number, memory)| (*number, memory.used));
        let used: BTreeMap<u32, u64> = used.collect();
        let Some((number, watched)) = self.watched(slot) else { return };
        if watched.jobs == 0 {
            watched.before = used.get(&number).copied().unwrap_or(0);
        }
        watched.jobs += 1;
        watched.started = Some(now);
    }

    /// The job in a slot ended.
    pub fn ended(&mut self, slot: usize) {
        if let Some((_, watched)) = self.watched(slot) {
            watched.jobs -= 1;
        }
    }

    fn ask(&mut self, now: Instant) {
        if self.watched.is_empty()
            || self.asked.is_some_and(|asked| now.duration_since(asked) < ASK_EVERY)
        {
            return;
        }
        self.asked = Some(now);
        let output = Command::new(&self.smi)
            .args(["--query-gpu=index,memory.used,memory.free", "--format=csv,noheader,nounits"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        self.memory = match output {
            Ok(output) if output.status.success() => {
                parse(&String::from_utf8_lossy(&output.stdout))
            }
            _ => BTreeMap::new(),
        };
    }
}

impl Watched {
    fn has_room(&mut self, memory: Memory) -> bool {
        let ours = memory.used.saturating_sub(self.before) as f64;
        self.largest = self.largest.max(ours / self.jobs as f64);
        // nothing in use means that the machine does not count what we do
        self.largest > 0.0 && memory.free as f64 >= MARGIN * self.largest
    }
}

/// Whether NVIDIA's MPS is there, so that kernels of several processes run on a card at once.
fn side_by_side() -> bool {
    let folder = std::env::var_os("CUDA_MPS_PIPE_DIRECTORY").map(PathBuf::from);
    folder.as_deref().unwrap_or(Path::new("/tmp/nvidia-mps")).join("control").exists()
}

/// Lines `index, used, free`; others are passed over.
fn parse(text: &str) -> BTreeMap<u32, Memory> {
    let line = |line: &str| {
        let mut parts = line.split(',').map(str::trim);
        let number = parts.next()?.parse().ok()?;
        let used = parts.next()?.parse().ok()?;
        Some((number, Memory { used, free: parts.next()?.parse().ok()? }))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn slots(text: &str) -> Vec<Slots> {
        Slots::parse(text).unwrap()
    }

    #[test]
    fn devices_take_turns() {
        let names = |places: &Places| {
            let names = (0..places.count()).map(|slot| places.device(slot).unwrap().to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        let places = Places::shared(&slots("cuda:0=2,cuda:1"), Some(4), 1, true);
        assert_eq!(names(&places), "cuda:0 cuda:1 cuda:0 cuda:1");
        assert_eq!(names(&Places::on(&slots("cpu"), None, 3)), "cpu cpu cpu");
        assert_eq!(Places::plain(2).device(1), None);
    }

    #[test]
    fn a_gpu_takes_as_many_runs_as_its_memory_holds() {
        let folder = tempfile::tempdir().unwrap();
        let smi = folder.path().join("nvidia-smi");
        let say = |used: u64| {
            let text =
                format!("#!/bin/sh\necho 'No devices'\necho '0, {used}, {}'\n", 24_000 - used);
            let new = smi.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(&new, &smi).unwrap();
        };
        let mut places = Places::shared(&slots("cuda:0"), None, 1, true);
        places.smi.clone_from(&smi);
        let begin = Instant::now();
        let minute = |n: u32| begin + Duration::from_mins(2) * n;
        say(500);
        assert!(places.admits(0, begin));
        places.started(0, begin);
        say(9_500);
        assert!(!places.admits(1, begin + Duration::from_secs(30)), "the first one is not settled");
        assert!(places.admits(1, minute(1)), "9,000 MiB a run, 14,500 free");
        places.started(1, minute(1));
        say(18_500);
        assert!(!places.admits(2, minute(2)), "5,500 MiB are free");
        places.ended(0);
        say(9_500);
        assert!(places.admits(0, minute(3)));

        let mut silent = Places::shared(&slots("cuda:0"), None, 1, true);
        silent.smi = folder.path().join("missing");
        silent.started(0, begin);
        assert!(!silent.admits(1, minute(1)), "without numbers, one run a device");
        assert_eq!(
            Places::shared(&slots("cuda:0"), None, 1, false).count(),
            1,
            "they would take turns"
        );
        let mut stated = Places::on(&slots("cuda:0=2"), None, 1);
        stated.started(0, begin);
        assert!(stated.admits(1, begin));
    }
}
