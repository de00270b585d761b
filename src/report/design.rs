//! What a study varies, read from its arms' settings: one number, two numbers, two levels of several
//! settings in every combination, or many settings at once. Decides which charts make sense; draws and estimates nothing.

mod many;

pub use many::{Setting, many};

use std::collections::{BTreeMap, BTreeSet};

use crate::store::rows::StudyData;

/// Arms that differ in one numeric setting only.
#[derive(Debug, Clone, PartialEq)]
pub struct OneSetting {
    /// The setting.
    pub key: String,
    /// Value and place of the arm, by value.
    pub levels: Vec<(f64, usize)>,
    /// Other settings in which all of these arms leave the baseline: key and JSON value.
    pub beside: Vec<(String, String)>,
}

/// Arms that differ in two numeric settings only.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoSettings {
    /// The settings: across, and upwards.
    pub keys: [String; 2],
    /// Values across, ascending.
    pub xs: Vec<f64>,
    /// Values upwards, ascending.
    pub ys: Vec<f64>,
    /// (place in `xs`, place in `ys`) -> place of the arm.
    pub arms: BTreeMap<(usize, usize), usize>,
}

/// A setting at two levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    /// The setting.
    pub key: String,
    /// JSON value that the baseline has.
    pub baseline: String,
    /// The other one.
    pub other: String,
}

/// Two-level settings, in every combination or in a regular fraction of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factors {
    /// The settings.
    pub factors: Vec<Factor>,
    /// Whether each factor has its other level, and the place of the arm.
    pub arms: Vec<(Vec<bool>, usize)>,
}

/// Fewest levels of a response curve; two are a comparison, which the forest chart shows.
const LEVELS: usize = 3;
/// Most factors of a full design.
const FACTORS: usize = 6;
/// Most factors of a fraction.
const FRACTION_FACTORS: usize = 9;
/// Least share of the cells of a grid that have an arm.
const FILLED: f64 = 0.6;

/// The settings in which arms differ: key -> JSON value of every arm, by place. Empty where the
/// settings of an arm are not known.
fn varied(data: &StudyData) -> BTreeMap<&str, Vec<&str>> {
    let of: Vec<_> = data.arms.iter().filter_map(|arm| data.settings.get(&arm.name)).collect();
    if of.len() != data.arms.len() {
        return BTreeMap::new();
    }
    let keys: BTreeSet<&String> = of.iter().flat_map(|settings| settings.keys()).collect();
    keys.into_iter()
        .map(|key| {
            let values = of.iter().map(|s| s.get(key).map_or("null", String::as_str)).collect();
            (key.as_str(), values)
        })
        .filter(|(_, values): &(&str, Vec<&str>)| values.iter().any(|v| *v != values[0]))
        .collect()
}

/// Places of the arms that agree in all varied settings but some, in groups.
fn groups(varied: &BTreeMap<&str, Vec<&str>>, but: &[&str], arms: usize) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for place in 0..arms {
        let rest = varied.iter().filter(|(key, _)| !but.contains(key));
        groups.entry(rest.map(|(_, values)| values[place]).collect()).or_default().push(place);
    }
    groups.into_values().collect()
}

fn numbers(values: &[&str], group: &[usize]) -> Option<Vec<f64>> {
    let parse = |place: &usize| values[*place].parse::<f64>().ok().filter(|v| v.is_finite());
    group.iter().map(parse).collect()
}

fn ascending(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    sorted
}

/// Every single numeric setting with three levels or more: through the baseline first, then by key.
#[must_use]
pub fn single(data: &StudyData) -> Vec<OneSetting> {
    let varied = varied(data);
    let base = data.arms.iter().position(|arm| arm.name == data.study.baseline);
    let mut found = Vec::new();
    for (key, values) in &varied {
        for group in groups(&varied, &[key], data.arms.len()) {
            let Some(numbers) = numbers(values, &group) else { continue };
            let mut levels: Vec<(f64, usize)> = numbers.into_iter().zip(group).collect();
            levels.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            levels.dedup_by(|a, b| a.0.total_cmp(&b.0).is_eq());
            if levels.len() >= LEVELS {
                let place = levels[0].1;
                let beside = varied.iter().filter(|(other, values)| {
                    *other != key && base.is_some_and(|base| values[place] != values[base])
                });
                let beside = beside
                    .map(|(other, values)| ((*other).to_owned(), values[place].to_owned()))
                    .collect();
                found.push(OneSetting { key: (*key).to_owned(), levels, beside });
            }
        }
    }
    // those through the baseline first
    found.sort_by_key(|setting| setting.beside.len());
    found
}

/// Every pair of numeric settings that arms cross, by keys.
#[must_use]
pub fn crossed(data: &StudyData) -> Vec<TwoSettings> {
    let varied = varied(data);
    let keys: Vec<&str> = varied.keys().copied().collect();
    let mut found = Vec::new();
    for (first, a) in keys.iter().enumerate() {
        for b in &keys[first + 1..] {
            for group in groups(&varied, &[a, b], data.arms.len()) {
                let both = (numbers(&varied[a], &group), numbers(&varied[b], &group));
                let (Some(across), Some(up)) = both else { continue };
                let (xs, ys) = (ascending(&across), ascending(&up));
                let place = |of: &[f64], v: f64| of.iter().position(|x| x.total_cmp(&v).is_eq());
                let mut arms = BTreeMap::new();
                for ((x, y), arm) in across.iter().zip(&up).zip(&group) {
                    if let (Some(x), Some(y)) = (place(&xs, *x), place(&ys, *y)) {
                        arms.entry((x, y)).or_insert(*arm);
                    }
                }
                let cells = xs.len() * ys.len();
                let wide = xs.len() >= 2 && ys.len() >= 2 && cells >= 6;
                // a cross says no more than its two response curves
                let crossed = arms.len() > xs.len() + ys.len() - 1;
                if wide && crossed && arms.len() as f64 >= FILLED * cells as f64 {
                    let keys = [(*a).to_owned(), (*b).to_owned()];
                    found.push(TwoSettings { keys, xs, ys, arms });
                }
            }
        }
    }
    found
}

/// The largest full two-level design around the baseline, of two factors or more.
#[must_use]
pub fn factors(data: &StudyData) -> Option<Factors> {
    let varied = varied(data);
    let base = data.arms.iter().position(|arm| arm.name == data.study.baseline)?;
    // arms by the settings in which they leave the baseline
    let changes: Vec<BTreeMap<&str, &str>> = (0..data.arms.len())
        .map(|place| {
            let differs = varied.iter().filter(|(_, values)| values[place] != values[base]);
            differs.map(|(key, values)| (*key, values[place])).collect()
        })
        .collect();
    // the arms of a single change name the candidates
    let single = changes.iter().filter(|change| change.len() == 1).flatten();
    let single: BTreeSet<(&str, &str)> = single.map(|(key, value)| (*key, *value)).collect();
    let candidates: Vec<(&str, &str)> = single.into_iter().collect();
    if candidates.len() > 16 {
        return None;
    }
    let mut subsets: Vec<u32> = (1..1_u32 << candidates.len())
        .filter(|s| (2..=FACTORS).contains(&(s.count_ones() as usize)))
        .collect();
    subsets.sort_by_key(|subset| (std::cmp::Reverse(subset.count_ones()), *subset));
    subsets.into_iter().find_map(|subset| {
        let chosen: Vec<(&str, &str)> =
            (0..candidates.len()).filter(|k| subset >> k & 1 == 1).map(|k| candidates[k]).collect();
        if chosen.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None; // two other levels of one setting
        }
        // a grid of more levels than two is shown whole, by curves and a heat map
        let inside = |change: &BTreeMap<&str, &str>| {
            change.keys().all(|key| chosen.iter().any(|(of, _)| of == key))
        };
        if changes.iter().filter(|change| inside(change)).count() > 1 << chosen.len() {
            return None;
        }
        let arms: Option<Vec<(Vec<bool>, usize)>> = (0..1_u32 << chosen.len())
            .map(|levels| {
                let on: Vec<bool> = (0..chosen.len()).map(|k| levels >> k & 1 == 1).collect();
                let wanted: BTreeMap<&str, &str> =
                    chosen.iter().zip(&on).filter(|(_, on)| **on).map(|(c, _)| *c).collect();
                let place = changes.iter().position(|change| *change == wanted)?;
                Some((on, place))
            })
            .collect();
        let factors = chosen.iter().map(|(key, other)| Factor {
            key: (*key).to_owned(),
            baseline: varied[key][base].to_owned(),
            other: (*other).to_owned(),
        });
        Some(Factors { factors: factors.collect(), arms: arms? })
    })
}

/// The fraction of a two-level design that the arms around the baseline are: of the settings that have one
/// other value in all arms, those arms that change nothing else.
#[must_use]
pub fn fraction(data: &StudyData) -> Option<Factors> {
    let varied = varied(data);
    let base = data.arms.iter().position(|arm| arm.name == data.study.baseline)?;
    let changed = |place: usize, key: &str| varied[key][place] != varied[key][base];
    let factors: Vec<Factor> = varied
        .iter()
        .filter_map(|(key, values)| {
            let others: BTreeSet<&str> =
                values.iter().copied().filter(|value| *value != values[base]).collect();
            let mut others = others.into_iter();
            let (other, more) = (others.next()?, others.next());
            // what a single arm changes belongs to that arm
            let arms = values.iter().filter(|value| **value == other).count();
            (more.is_none() && arms > 1).then(|| Factor {
                key: (*key).to_owned(),
                baseline: values[base].to_owned(),
                other: other.to_owned(),
            })
        })
        .collect();
    if !(3..=FRACTION_FACTORS).contains(&factors.len()) {
        return None;
    }
    let inside = |place: &usize| {
        let mut keys = varied.keys().filter(|key| changed(*place, key));
        keys.all(|key| factors.iter().any(|factor| factor.key == **key))
    };
    let levels = |place: usize| -> (Vec<bool>, usize) {
        (factors.iter().map(|factor| changed(place, &factor.key)).collect(), place)
    };
    let mut arms: Vec<(Vec<bool>, usize)> =
        (0..data.arms.len()).filter(inside).map(levels).collect();
    // an arm beside the design that changes one setting, such as one left out, is not of it
    if !arms.len().is_power_of_two() {
        arms.retain(|(levels, _)| levels.iter().filter(|on| **on).count() != 1);
    }
    Some(Factors { factors, arms })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::demo::{Invented, study};
    use super::*;

    fn with(arms: &'static [(&'static str, &'static [(&'static str, &'static str)])]) -> StudyData {
        let invented: Vec<Invented> = arms
            .iter()
            .map(|(name, overrides)| Invented { name, overrides, effect: 0.0 })
            .collect();
        study(&invented, 1)
    }

    #[test]
    fn three_values_of_one_setting_are_a_curve() {
        let data = with(&[
            ("full", &[]),
            ("half", &[("loss.lambda_fine", "0.2")]),
            ("none", &[("loss.lambda_fine", "0")]),
            ("rgb", &[("structure.input", "\"rgb\""), ("loss.lambda_fine", "9")]),
        ]);
        let found = single(&data);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].levels, [(0.0, 2), (0.2, 1), (0.4, 0)]);
        assert!(found[0].beside.is_empty());
        assert!(crossed(&data).is_empty() && factors(&data).is_none());
    }

    #[test]
    fn crossed_settings_are_a_grid_and_a_missing_cell_stays_missing() {
        let data = with(&[
            ("full", &[]),
            ("a", &[("loss.lambda_fine", "0.2")]),
            ("b", &[("loss.lambda_fine", "0.1")]),
            ("c", &[("loss.lambda_prim", "1")]),
            ("d", &[("loss.lambda_prim", "1"), ("loss.lambda_fine", "0.2")]),
        ]);
        let found = crossed(&data);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].xs.as_slice(), found[0].ys.as_slice()),
            (&[0.1, 0.2, 0.4][..], &[1.0, 2.0][..])
        );
        assert_eq!(found[0].arms.len(), 5);
        assert_eq!(found[0].arms.get(&(0, 0)), None);
        assert!(factors(&data).is_none(), "four corners of it would hide a level");
    }

    #[test]
    fn a_fraction_is_found_around_the_baseline() {
        // half of three settings, an arm of its own beside them
        let data = with(&[
            ("full", &[]),
            ("pf", &[("loss.lambda_prim", "0"), ("loss.lambda_fine", "0")]),
            ("pi", &[("loss.lambda_prim", "0"), ("loss.lambda_id", "0")]),
            ("fi", &[("loss.lambda_fine", "0"), ("loss.lambda_id", "0")]),
            ("rgb", &[("structure.input", "\"rgb\"")]),
        ]);
        assert!(factors(&data).is_none());
        let design = fraction(&data).unwrap();
        assert_eq!((design.factors.len(), design.arms.len()), (3, 4));
        assert_eq!(design.arms[0], (vec![false; 3], 0));
    }

    #[test]
    fn texts_make_factors_too() {
        let data = with(&[
            ("full", &[]),
            ("p", &[("loss.lambda_prim", "0")]),
            ("r", &[("structure.input", "\"rgb\"")]),
            ("pr", &[("loss.lambda_prim", "0"), ("structure.input", "\"rgb\"")]),
        ]);
        let design = factors(&data).unwrap();
        assert_eq!(design.factors[1].other, "\"rgb\"");
        assert_eq!(design.arms[3], (vec![true, true], 3));
        assert!(single(&data).is_empty() && crossed(&data).is_empty());
    }
}
