//! Where and by what a run was made, and what it cost: facts that every record names. Reads the
//! system; decides nothing.

use std::process::Command;

use tch::Device;

use crate::compute;
use dgnet::store::records::Begin;
use dgnet::store::run_dir::now;
use dgnet::store::stages::host;

/// `begin.json` of an attempt that starts now.
#[must_use]
pub fn begin(device: Device, attempt: u32, from_step: u64, steps: u64) -> Begin {
    let (git_commit, git_dirty) = git();
    Begin {
        attempt,
        from_step,
        steps,
        shared_steps: 0,
        started_at: now(),
        command: std::env::args().collect(),
        started_by: started_by(),
        device_class: compute::class(device).to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit,
        git_dirty,
        libtorch: env!("DGNET_LIBTORCH_VERSION").to_owned(),
        device: compute::name(device),
        processor: processor(),
        instruction_set: instruction_set().to_owned(),
        host: host(),
        pid: std::process::id(),
    }
}

/// The command line of the sweep, which it hands on as JSON.
fn started_by() -> Vec<String> {
    let json = std::env::var("DGNET_COMMAND").unwrap_or_default();
    serde_json::from_str(&json).unwrap_or_default()
}

/// Commit of the working directory and a hash of what differs from it.
fn git() -> (Option<String>, Option<String>) {
    let ask = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then_some(output.stdout)
    };
    let commit =
        ask(&["rev-parse", "HEAD"]).map(|out| String::from_utf8_lossy(&out).trim().to_owned());
    let dirty = ask(&["diff", "HEAD"])
        .filter(|difference| !difference.is_empty())
        .map(|difference| blake3::hash(&difference).to_hex()[..16].to_owned());
    (commit, dirty)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The widest instruction set that numerical kernels choose by; bits may differ between classes.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if std::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    std::env::consts::ARCH
}

/// CPU seconds of this process so far, all threads.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Largest resident set of this process so far, bytes; 0 where the system does not say.
#[must_use]
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map_or(0, |kilobytes| kilobytes * 1024)
}
