//! Studies whose arms change several settings at once: random ones, fractions, large grids.

use std::collections::BTreeSet;

use super::varied;
use crate::store::rows::StudyData;

/// A setting that arms vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The setting.
    pub key: String,
    /// JSON value of every arm, by place.
    pub values: Vec<String>,
}

/// Fewest settings; two are a heat map.
const SETTINGS: usize = 3;
/// Most settings that stay apart on a page.
const MOST: usize = 10;
/// Fewest arms that change two settings or more; where each arm changes one, the forest chart says all.
const ARMS: usize = 3;

/// The settings that a study varies, by key, where they are three or more and arms change several of
/// them at once. Settings that only follow from others are left out; of more than ten those with the most
/// values stay, and how many were left out is said.
#[must_use]
pub fn many(data: &StudyData) -> Option<(Vec<Setting>, usize)> {
    let varied = varied(data);
    let base = data.arms.iter().position(|arm| arm.name == data.study.baseline).unwrap_or(0);
    let written = |key: &str| {
        let mut names = data.arms.iter().flat_map(|arm| arm.overrides.keys());
        names.any(|name| {
            key.strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let mut settings: Vec<Setting> = varied
        .iter()
        .filter(|(key, _)| written(key))
        .map(|(key, values)| Setting {
            key: (*key).to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        })
        .collect();
    let changes =
        |place: &usize| settings.iter().filter(|s| s.values[*place] != s.values[base]).count();
    let several = (0..data.arms.len()).filter(|place| changes(place) >= 2).count();
    if settings.len() < SETTINGS || several < ARMS {
        return None;
    }
    let levels = |setting: &Setting| setting.values.iter().collect::<BTreeSet<_>>().len();
    let left_out = settings.len().saturating_sub(MOST);
    settings.sort_by(|a, b| levels(b).cmp(&levels(a)).then(a.key.cmp(&b.key)));
    settings.truncate(MOST);
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    Some((settings, left_out))
}

#[cfg(test)]
mod tests {
    use super::super::super::demo::{ARMS as ABLATIONS, searched, study};
    use super::*;

    #[test]
    fn searches_have_it_and_ablations_do_not() {
        assert_eq!(many(&study(&ABLATIONS, 1)), None, "each arm changes one setting");
        let found = many(&searched(12, 1)).map(|(settings, left_out)| {
            (settings.into_iter().map(|s| s.key).collect::<Vec<_>>(), left_out)
        });
        let keys = ["loss.lambda_fine", "loss.lambda_id", "loss.lambda_prim", "structure.input"];
        assert_eq!(found, Some((keys.map(str::to_owned).to_vec(), 0)));
    }
}
