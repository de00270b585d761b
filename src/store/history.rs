//! The curve of a run across its attempts: a later attempt wins from its start step. Nothing is
//! written here.

use super::error::StoreError;
use super::files::read_optional;
use super::records::{MetricHeader, MetricLine};
use super::run_dir::RunDir;

impl RunDir {
    /// The valid metric lines of all attempts, by step. A half-written last line is left out.
    pub fn metric_lines(&self) -> Result<Vec<MetricLine>, StoreError> {
        let mut valid: Vec<MetricLine> = Vec::new();
        for attempt in self.attempts()? {
            let bytes = read_optional(&self.metrics_file(attempt))?.unwrap_or_default();
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let mut lines =
                bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            let header =
                lines.next().and_then(|line| serde_json::from_slice::<MetricHeader>(line).ok());
            let Some(header) = header else { continue };
            valid.retain(|line| line.step <= header.from_step);
            valid.extend(lines.filter_map(|line| serde_json::from_slice::<MetricLine>(line).ok()));
        }
        valid.sort_by_key(|line| line.step);
        Ok(valid)
    }
}
