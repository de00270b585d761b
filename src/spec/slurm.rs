//! The `slurm:` block of a study: what a job asks of the cluster. It says where runs are made, never what
//! comes out, so it is in no run's identity.

use std::time::Duration;

use super::error::SpecError;
use super::yaml::{Entry, Node, Value, shortened};

/// Keys of the block.
const KEYS: [&str; 7] = ["partition", "gpus", "cpus", "time", "memory", "parallel", "extra"];
/// Most devices, cores or tasks that a number may ask for.
const MAX_COUNT: i128 = 100_000;
/// Longest time limit, in minutes: a year.
const MAX_MINUTES: u64 = 366 * 24 * 60;
/// Options that the launcher itself needs and states.
const OWN: [&str; 23] = [
    "array",
    "a",
    "chdir",
    "D",
    "clusters",
    "M",
    "dependency",
    "d",
    "error",
    "e",
    "job-name",
    "J",
    "kill-on-invalid-dep",
    "no-requeue",
    "open-mode",
    "output",
    "o",
    "requeue",
    "signal",
    "test-only",
    "wait",
    "W",
    "wrap",
];

/// What a job asks of the cluster; what is not stated is left to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slurm {
    /// Partition, or several with commas.
    pub partition: Option<String>,
    /// GPUs of a task.
    pub gpus: u32,
    /// Cores of a task; the study's `train.threads` without it.
    pub cpus: Option<u32>,
    /// Time limit of a task.
    pub time: Option<Duration>,
    /// Memory of a task, as Slurm writes it: `16G`.
    pub memory: Option<String>,
    /// Tasks of an array that may run at the same time.
    pub parallel: Option<u32>,
    /// More `#SBATCH` options, each a line: `--account=vision`.
    pub extra: Vec<String>,
}

/// Reads the block.
pub(crate) fn read(node: &Node) -> Result<Slurm, SpecError> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        other => {
            let message = format!("`slurm`: expected keys such as `partition: gpu`, found {other}");
            return Err(node.at.error(message));
        }
    };
    let mut slurm = Slurm::default();
    for entry in entries {
        match entry.key.as_str() {
            "partition" => slurm.partition = Some(partition(entry)?),
            "gpus" => slurm.gpus = count(entry, 0)?,
            "cpus" => slurm.cpus = Some(count(entry, 1)?),
            "time" => slurm.time = Some(time(entry)?),
            "memory" => slurm.memory = Some(memory(entry)?),
            "parallel" => slurm.parallel = Some(count(entry, 1)?),
            "extra" => slurm.extra = extra(entry)?,
            key => {
                return Err(entry
                    .at
                    .error(format!("unknown key `slurm.{}`", shortened(key)))
                    .hint("other options of `sbatch` go in `extra: [\"--account=vision\"]`")
                    .did_you_mean(key, KEYS));
            }
        }
    }
    Ok(slurm)
}

fn refused(entry: &Entry, expected: &str, hint: &str) -> SpecError {
    let message = format!("`slurm.{}`: expected {expected}, found {}", entry.key, entry.node.value);
    entry.node.at.error(message).hint(hint)
}

fn partition(entry: &Entry) -> Result<String, SpecError> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "_-.,+".contains(c);
    match &entry.node.value {
        Value::Text(name, _) if !name.is_empty() && name.chars().all(letters) => Ok(name.clone()),
        _ => Err(refused(entry, "the name of a partition", "`sinfo` lists them")),
    }
}

fn count(entry: &Entry, least: i128) -> Result<u32, SpecError> {
    match entry.node.value {
        Value::Integer(value) if (least..=MAX_COUNT).contains(&value) => Ok(value as u32),
        _ => Err(refused(entry, &format!("a whole number from {least} to {MAX_COUNT}"), "")),
    }
}

/// `90m`, `8h`, `2d`, or as Slurm writes it: `8:00:00`, `2-12:00:00`.
fn time(entry: &Entry) -> Result<Duration, SpecError> {
    let error = || {
        refused(
            entry,
            "a time from 1m to 366d",
            "for example 90m, 8h, 2d, or as Slurm writes it: 8:00:00, 2-12:00:00",
        )
    };
    let Value::Text(text, _) = &entry.node.value else { return Err(error()) };
    let minutes = minutes(text).ok_or_else(error)?;
    if (1..=MAX_MINUTES).contains(&minutes) {
        Ok(Duration::from_secs(minutes * 60))
    } else {
        Err(error())
    }
}

fn minutes(text: &str) -> Option<u64> {
    // longer numbers are no times
    let number = |digits: &str| {
        let digits = Some(digits).filter(|d| d.len() <= 7 && d.bytes().all(|b| b.is_ascii_digit()));
        digits?.parse::<u64>().ok()
    };
    for (unit, minutes) in [("min", 1), ("m", 1), ("h", 60), ("d", 24 * 60)] {
        if let Some(digits) = text.strip_suffix(unit) {
            return Some(number(digits)? * minutes);
        }
    }
    let (days, clock) = text.split_once('-').map_or((Some(0), text), |(d, rest)| (number(d), rest));
    let parts: Option<Vec<u64>> = clock.split(':').map(number).collect();
    let (hours, minutes, seconds) = match parts?.as_slice() {
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    if minutes >= 60 || seconds >= 60 {
        return None;
    }
    Some(days? * 24 * 60 + hours * 60 + minutes + u64::from(seconds > 0))
}

/// `16G`: a number with its unit, which Slurm would otherwise take for megabytes.
fn memory(entry: &Entry) -> Result<String, SpecError> {
    let error = || refused(entry, "a number with K, M, G or T", "for example `memory: 16G`");
    let Value::Text(text, _) = &entry.node.value else { return Err(error()) };
    let digits = text.strip_suffix(['K', 'M', 'G', 'T']).ok_or_else(error)?;
    let good = (1..=9).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && digits.bytes().any(|b| b != b'0');
    if good { Ok(text.clone()) } else { Err(error()) }
}

fn extra(entry: &Entry) -> Result<Vec<String>, SpecError> {
    let items = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    items.iter().map(extra_line).collect()
}

fn extra_line(item: &Node) -> Result<String, SpecError> {
    let hint = "for example `extra: [\"--account=vision\", \"--constraint=a100\"]`";
    let line = match &item.value {
        Value::Text(line, _) if !line.chars().any(char::is_control) => line.trim(),
        other => {
            let message = format!("`slurm.extra`: expected an option of `sbatch`, found {other}");
            return Err(item.at.error(message).hint(hint));
        }
    };
    let line = line.strip_prefix("#SBATCH").unwrap_or(line).trim();
    let name = match (line.strip_prefix("--"), line.strip_prefix('-')) {
        (Some(rest), _) => rest.split(['=', ' ']).next().unwrap_or_default(),
        // a short option may have its value right behind it
        (None, Some(rest)) => rest.get(..1).unwrap_or_default(),
        (None, None) => "",
    };
    if name.is_empty() || name.starts_with('-') {
        let message = format!("`slurm.extra`: `{}` is no option of `sbatch`", shortened(line));
        return Err(item.at.error(message).hint(hint));
    }
    if OWN.contains(&name) {
        let message = format!("`slurm.extra`: `{}` is set by dgnet itself", shortened(line));
        return Err(item
            .at
            .error(message)
            .hint("dgnet decides about arrays, output, signals and requeues"));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::spec::yaml::{Source, parse};

    fn block(text: &str) -> Result<Slurm, SpecError> {
        let source = Source {
            name: "s.yaml".into(),
            dir: PathBuf::new(),
            text: text.into(),
            has_lines: true,
        };
        read(&parse(&Arc::new(source)).unwrap())
    }

    #[test]
    fn a_whole_block_is_read() {
        let text = "partition: gpu,long\ngpus: 1\ncpus: 4\ntime: 8h\nmemory: 16G\nparallel: 10\nextra: ['#SBATCH --account=a b', -C a100]";
        let slurm = block(text).unwrap();
        let expected = Slurm {
            partition: Some("gpu,long".into()),
            gpus: 1,
            cpus: Some(4),
            time: Some(Duration::from_hours(8)),
            memory: Some("16G".into()),
            parallel: Some(10),
            extra: vec!["--account=a b".into(), "-C a100".into()],
        };
        assert_eq!(slurm, expected);
        assert_eq!(block("").unwrap(), Slurm::default());
    }

    #[test]
    fn times_are_rounded_up_to_minutes() {
        for (text, expected) in
            [("90m", 90), ("2d", 2880), ("8:00:00", 480), ("1-00:30:01", 1471), ("1min", 1)]
        {
            assert_eq!(minutes(text), Some(expected), "{text}");
        }
        for text in
            ["", "h", "8", "8:00", "1:60:00", "-1h", "1-2", "99999999h", "\u{e4}h", "1--0:0:0"]
        {
            assert_eq!(minutes(text), None, "{text}");
        }
    }

    #[test]
    fn refusals_name_the_place_and_the_way_out() {
        for (text, place, word) in [
            ("gpus: many", "1:7", "whole number from 0"),
            ("cpus: 0", "1:7", "from 1"),
            ("time: 90", "1:7", "8:00:00"),
            ("memory: 16", "1:9", "16G"),
            ("memory: 0G", "1:9", "16G"),
            ("partition: a b", "1:12", "sinfo"),
            ("partion: gpu", "1:1", "did you mean `partition`"),
            ("extra: [account=a]", "1:9", "no option"),
            ("extra:\n- --array=0-3", "2:3", "dgnet itself"),
            ("extra: [-o out]", "1:9", "dgnet itself"),
            ("extra: [\"--a\\nrm\"]", "1:9", "an option"),
            ("3", "1:1", "partition: gpu"),
        ] {
            let said = block(text).unwrap_err().to_string();
            assert!(said.starts_with(&format!("s.yaml:{place}: ")), "{text}: {said}");
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}
