//! Joules that the processor packages of this machine have taken since this process began, where Linux
//! lets it read RAPL's counters. They count the whole package: other work is in it too. A machine that
//! does not say gives nothing, never zero.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The counters wrap after some ten minutes at full power; this is often enough.
const EVERY: Duration = Duration::from_secs(10);

static METER: LazyLock<Mutex<Meter>> =
    LazyLock::new(|| Mutex::new(Meter::open(Path::new("/sys/class/powercap"))));

/// Begins to count, or takes note of the counters so that none wraps unseen; cheap, call it often.
pub fn sample() {
    let mut meter = METER.lock().unwrap_or_else(PoisonError::into_inner);
    if meter.last.elapsed() >= EVERY {
        meter.read();
    }
}

/// Joules since the first [`sample`].
#[must_use]
pub fn taken() -> Option<f64> {
    let mut meter = METER.lock().unwrap_or_else(PoisonError::into_inner);
    meter.read();
    meter.joules
}

/// The counters of a machine.
#[derive(Debug)]
struct Meter {
    packages: Vec<Package>,
    joules: Option<f64>,
    last: Instant,
}

/// One processor package.
#[derive(Debug)]
struct Package {
    file: PathBuf,
    /// Microjoules at the last reading, below `range`.
    last: u64,
    range: u64,
}

impl Meter {
    /// Reads the packages below `root` for the first time.
    fn open(root: &Path) -> Self {
        let zones = std::fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path());
        let packages: Vec<Package> = zones.filter_map(|zone| Package::open(&zone)).collect();
        let joules = (!packages.is_empty()).then_some(0.0);
        Self { packages, joules, last: Instant::now() }
    }

    /// Adds what was taken since the last reading; gives up for good once a counter cannot be read.
    fn read(&mut self) {
        self.last = Instant::now();
        let taken: Option<Vec<f64>> = self.packages.iter_mut().map(Package::read).collect();
        self.joules = self.joules.zip(taken).map(|(sum, taken)| sum + taken.iter().sum::<f64>());
    }
}

impl Package {
    fn open(zone: &Path) -> Option<Self> {
        // parts of packages and the whole platform are counted by zones of their own
        let name = std::fs::read_to_string(zone.join("name")).ok()?;
        let file = zone.join("energy_uj");
        let (last, range) = (number(&file)?, number(&zone.join("max_energy_range_uj"))?);
        name.starts_with("package").then_some(Self { file, last, range })
    }

    /// Joules since the last reading.
    fn read(&mut self) -> Option<f64> {
        let now = number(&self.file)?;
        let before = std::mem::replace(&mut self.last, now);
        let taken =
            if now >= before { now - before } else { self.range.checked_sub(before)? + now };
        Some(taken as f64 * 1e-6)
    }
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn zone(root: &Path, folder: &str, name: &str, microjoules: u64) -> PathBuf {
        let zone = root.join(folder);
        std::fs::create_dir_all(&zone).unwrap();
        let file = zone.join("energy_uj");
        std::fs::write(zone.join("name"), name).unwrap();
        std::fs::write(zone.join("max_energy_range_uj"), "10000000\n").unwrap();
        std::fs::write(&file, format!("{microjoules}\n")).unwrap();
        file
    }

    #[test]
    fn packages_add_up_and_wrap_and_nothing_is_never_zero() {
        let root = std::env::temp_dir().join(format!("dgnet-energy-{}", std::process::id()));
        let one = zone(&root, "intel-rapl:0", "package-0\n", 9_000_000);
        let two = zone(&root, "intel-rapl:1", "package-1\n", 0);
        let core = zone(&root, "intel-rapl:0:0", "core\n", 0);
        let mut meter = Meter::open(&root);
        std::fs::write(&one, "2000000\n").unwrap();
        std::fs::write(&two, "500000\n").unwrap();
        std::fs::write(&core, "700000\n").unwrap();
        meter.read();
        assert!((meter.joules.unwrap() - 3.5).abs() < 1e-9, "{meter:?}");
        std::fs::remove_file(&two).unwrap();
        meter.read();
        assert_eq!(meter.joules, None, "a part is not the whole");
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(Meter::open(&root).joules, None);
    }
}
