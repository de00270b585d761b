//! `devices` of a study: where its runs may train, and how many on each at a time. It moves no number:
//! cards of one kind give the same bits, so what is hashed is `train.device`'s class alone.

use std::collections::BTreeSet;

use super::error::SpecError;
use super::settings::Device;
use super::yaml::{Node, Value, shortened};

/// Most runs that one device may be told to hold.
const MAX_RUNS: i128 = 64;

/// A device and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// A GPU, or the CPU.
    pub device: Device,
    /// Runs at a time; `None` for one, or with NVIDIA's MPS as many as its memory holds, eight at most.
    pub runs: Option<usize>,
}

impl Slots {
    /// Reads `cuda:0,cuda:1` or `cuda:0=2,cuda:1=2`, as an argument has it.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let parse = |part: &str| {
            let (name, runs) = part.split_once('=').map_or((part, None), |(n, r)| (n, Some(r)));
            let runs = runs.map(|runs| {
                let count =
                    runs.trim().parse().ok().filter(|n| (1..=MAX_RUNS as usize).contains(n));
                count.ok_or_else(|| format!("`{runs}` is no number of runs from 1 to {MAX_RUNS}"))
            });
            Ok(Self { device: device(name.trim())?, runs: runs.transpose()? })
        };
        let slots: Vec<Self> = text.split(',').map(parse).collect::<Result<_, String>>()?;
        check(&slots).map(|()| slots)
    }
}

/// Reads the key.
pub(crate) fn read(node: &Node) -> Result<Vec<Slots>, SpecError> {
    let hint = "for example `devices: [cuda:0, cuda:1]`, or `devices: { cuda:0: 2 }` for two runs at a time";
    let named = |at: &super::yaml::Place, name: &str| {
        device(name).map_err(|reason| at.error(format!("`devices`: {reason}")).hint(hint))
    };
    let refuse = |found: &Node, what: &str| {
        found.at.error(format!("`devices`: expected {what}, found {}", found.value)).hint(hint)
    };
    let slots = match &node.value {
        Value::Text(name, _) => vec![Slots { device: named(&node.at, name)?, runs: None }],
        Value::List(items) if !items.is_empty() => items
            .iter()
            .map(|item| match &item.value {
                Value::Text(name, _) => Ok(Slots { device: named(&item.at, name)?, runs: None }),
                _ => Err(refuse(item, "a device")),
            })
            .collect::<Result<_, _>>()?,
        Value::Map(entries) if !entries.is_empty() => entries
            .iter()
            .map(|entry| match entry.node.value {
                Value::Integer(runs) if (1..=MAX_RUNS).contains(&runs) => {
                    let device = named(&entry.at, &entry.key)?;
                    Ok(Slots { device, runs: Some(runs as usize) })
                }
                _ => Err(refuse(&entry.node, &format!("a number of runs from 1 to {MAX_RUNS}"))),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(refuse(node, "devices")),
    };
    check(&slots)
        .map(|()| slots)
        .map_err(|reason| node.at.error(format!("`devices`: {reason}")).hint(hint))
}

fn device(name: &str) -> Result<Device, String> {
    match Device::try_from(shortened(name))? {
        Device::Auto => Err("`auto` is no device of its own; name them".to_owned()),
        device => Ok(device),
    }
}

/// Bits differ between CPU and GPU, so one study is not spread over both.
fn check(slots: &[Slots]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = slots.iter().find(|slots| !seen.insert(slots.device.to_string())) {
        return Err(format!("`{}` is listed twice", twice.device));
    }
    let on_cpu = slots.iter().filter(|slots| slots.device == Device::Cpu).count();
    if on_cpu > 0 && on_cpu < slots.len() {
        return Err("CPU and GPU give different bits, so a study trains on one of them".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_names_devices_and_counts() {
        let two = Slots::parse("cuda:0=2, cuda:1").unwrap();
        assert_eq!(two[0], Slots { device: Device::Cuda(0), runs: Some(2) });
        assert_eq!(two[1], Slots { device: Device::Cuda(1), runs: None });
        for (text, why) in [
            ("cuda:0,cuda", "listed twice"),
            ("cpu,cuda:0", "different bits"),
            ("tpu", "no device"),
            ("cuda:0=0", "no number of runs"),
            ("auto", "no device of its own"),
        ] {
            let error = Slots::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
