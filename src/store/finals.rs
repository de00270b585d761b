//! The value of a metric at its last step, read from a run folder alone: what the sweep decides by,
//! whoever holds the database.

use std::collections::BTreeMap;

use super::error::StoreError;
use super::files::read_optional;
use super::records::{MetricHeader, MetricLine};
use super::run_dir::RunDir;

/// The last value of `metric`, non-finite ones included; `None` where the run has none. An attempt's
/// values replace those that earlier attempts left after its first step, as in the database.
pub fn last_value(run: &RunDir, metric: &str) -> Result<Option<f64>, StoreError> {
    let mut values: BTreeMap<u64, f64> = BTreeMap::new();
    for attempt in run.attempts()? {
        let bytes = read_optional(&run.metrics_file(attempt))?.unwrap_or_default();
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let header: Option<MetricHeader> =
            lines.next().and_then(|line| serde_json::from_slice(line).ok());
        if let Some(header) = header {
            values.retain(|step, _| *step <= header.from_step);
        }
        let named = format!("\"{metric}\"");
        for line in lines.filter(|line| contains(line, named.as_bytes())) {
            // a line that is no line says nothing, as in the database
            let Ok(line) = serde_json::from_slice::<MetricLine>(line) else { continue };
            if let Some(value) = line.values.get(metric) {
                values.insert(line.step, value.0);
            }
        }
    }
    Ok(values.pop_last().map(|(_, value)| value))
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|part| part == word)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::RunWriter;
    use crate::store::run_dir::tests::{begin, spec};

    #[test]
    fn the_last_step_counts_and_a_later_attempt_wins() {
        let runs = tempfile::tempdir().unwrap();
        let run = RunDir::create(runs.path(), &spec("s", "full", 1, "0123abcd")).unwrap();
        assert_eq!(last_value(&run, "mAP").unwrap(), None);
        let mut lines = RunWriter::begin(run.path(), &begin(1, 0)).unwrap();
        lines.metrics(4, &[("mAP", 0.25), ("loss", 2.0)]).unwrap();
        lines.metrics(8, &[("mAP", 0.75)]).unwrap();
        lines.flush().unwrap();
        drop(lines);
        assert_eq!(last_value(&run, "mAP").unwrap(), Some(0.75));
        let mut lines = RunWriter::begin(run.path(), &begin(2, 6)).unwrap();
        lines.metrics(7, &[("loss", f64::NAN)]).unwrap();
        lines.flush().unwrap();
        assert_eq!(last_value(&run, "mAP").unwrap(), Some(0.25));
        assert!(last_value(&run, "loss").unwrap().unwrap().is_nan());
    }
}
