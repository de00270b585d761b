//! Lines of a run folder's JSONL files -> rows ready for one bulk insert. No file and no SQL here.

use serde::de::DeserializeOwned;

use crate::store::records::{ArtifactLine, EventLine, MetricHeader, MetricLine, QueryLine};

/// A file of a run folder that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Metrics,
    Queries,
    Artifacts,
    Log,
}

/// What new lines of one file say.
#[derive(Debug, Default)]
pub struct Batch {
    /// From a metrics header: earlier attempts' values at later steps are void.
    pub void_after: Option<u64>,
    /// Name, step, value, spelling of a non-finite value.
    pub metrics: Vec<(String, u64, Option<f64>, Option<&'static str>)>,
    /// Step, query, ap, first hit.
    pub queries: Vec<(u64, String, Option<f64>, Option<u32>)>,
    /// Pictures, whose bytes are still to be read.
    pub artifacts: Vec<ArtifactLine>,
    /// Attempt, line, time, level, message.
    pub events: Vec<(u32, u64, f64, String, String)>,
    /// Lines read, damaged ones included.
    pub lines: u64,
    /// Numbers of the lines that say nothing this program understands, from 1.
    pub damaged: Vec<u64>,
}

impl Batch {
    /// Reads whole lines; `before` lines of the file were read earlier.
    pub fn read(kind: Kind, bytes: &[u8], before: u64) -> Self {
        let mut batch = Self::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            batch.lines += 1;
            let number = before + batch.lines;
            if batch.line(kind, line, number).is_none() {
                batch.damaged.push(number);
            }
        }
        batch
    }

    fn line(&mut self, kind: Kind, line: &[u8], number: u64) -> Option<()> {
        match kind {
            Kind::Metrics if number == 1 => {
                self.void_after = Some(parse::<MetricHeader>(line)?.from_step);
            }
            Kind::Metrics => {
                let MetricLine { step, values } = parse(line)?;
                self.metrics.extend(values.into_iter().map(|(name, value)| {
                    let word = value.nonfinite();
                    (name, step, word.is_none().then_some(value.0), word)
                }));
            }
            Kind::Queries => {
                let QueryLine { step, query, ap, first_hit } = parse(line)?;
                self.queries.push((step, query, ap, first_hit));
            }
            Kind::Artifacts => self.artifacts.push(parse(line)?),
            Kind::Log => {
                let EventLine { attempt, at, level, message } = parse(line)?;
                self.events.push((attempt, number, at, level, message));
            }
        }
        Some(())
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let text = b"{\"attempt\":2,\"from_step\":5}\n{\"step\":6,\"values\":{\"a\":\"-inf\"}}\n{\"st\n{\"step\":7,\"values\":{\"a\":1.5}}\n";
        let batch = Batch::read(Kind::Metrics, text, 0);
        assert_eq!(batch.void_after, Some(5));
        assert_eq!((batch.lines, batch.damaged.as_slice()), (4, &[3][..]));
        assert_eq!(
            batch.metrics,
            [("a".into(), 6, None, Some("-inf")), ("a".into(), 7, Some(1.5), None)]
        );
    }
}
