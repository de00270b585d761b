//! Published numbers beside an arm's own, where its data set is that one and its features match; never
//! otherwise. Read from the arm's resolved settings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::assets::PUBLISHED;
use super::measure::Measure;
use super::view::ArmView;
use crate::store::rows::StudyData;

/// An arm whose numbers have a published counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Arm.
    pub arm: String,
    /// Data set, as published.
    pub data: String,
    /// Features, as published.
    pub features: String,
    /// This study's rank-1 / mAP in per cent, means over seeds.
    pub measured: String,
    /// The published ones.
    pub published: String,
}

/// Data sets of the published table, by how their folders are called.
const DATA: [(&str, &str); 3] =
    [("market", "Market-1501"), ("duke", "DukeMTMC-reID"), ("msmt17", "MSMT17")];

/// Arms with a published counterpart, in the order of the study.
#[must_use]
pub fn references(
    data: &StudyData,
    means: &dyn Fn(usize, &str) -> Option<f64>,
    arms: &[ArmView],
) -> Vec<Reference> {
    arms.iter()
        .enumerate()
        .filter_map(|(place, arm)| {
            let settings = data.settings.get(&arm.name)?;
            let (column, set) = data_set(settings)?;
            let row = features(settings)?;
            let share = |name: &str| {
                let value = means(place, name).filter(|v| v.is_finite())?;
                Some(Measure::of(name, &data.defs).value(value))
            };
            Some(Reference {
                arm: arm.name.clone(),
                data: set.to_owned(),
                features: PUBLISHED[row][0].to_owned(),
                measured: format!("{} / {}", share("rank1")?, share("mAP")?),
                published: PUBLISHED[row][column].to_owned(),
            })
        })
        .collect()
}

type Settings = BTreeMap<String, String>;

fn text<'a>(settings: &'a Settings, key: &str) -> &'a str {
    settings.get(key).map_or("", |value| value.trim_matches('"'))
}

/// Column of the table and name; a folder with a held-out part is another data set.
fn data_set(settings: &Settings) -> Option<(usize, &'static str)> {
    let folder = text(settings, "data.path").trim_end_matches('/');
    let folder = folder.rsplit('/').next()?.to_ascii_lowercase();
    let plain = !["val", "split", "new", "small", "mini"].iter().any(|part| folder.contains(part));
    let place = DATA.iter().position(|(part, _)| folder.contains(part)).filter(|_| plain)?;
    Some((place + 1, DATA[place].1))
}

/// Row of the table: which features are ranked, at the published size.
fn features(settings: &Settings) -> Option<usize> {
    let is = |key: &str, value: &str| text(settings, key) == value;
    let size = is("image.height", "256") && is("image.width", "128");
    if is("train.mode", "teacher_only") {
        return (size && is("teacher.backbone", "resnet50")).then_some(0);
    }
    // both heads are ranked together; single heads have metrics of their own, not arms
    let weight = |key: &str| text(settings, key).parse::<f64>().is_ok_and(|w| w > 0.0);
    let both = weight("loss.lambda_prim") && weight("loss.lambda_fine");
    (size && both && is("appearance.backbone", "resnet50")).then_some(3)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(path: &str, height: &str, mode: &str) -> Settings {
        [
            ("data.path", format!("\"{path}\"")),
            ("image.height", height.to_owned()),
            ("image.width", "128".to_owned()),
            ("train.mode", format!("\"{mode}\"")),
            ("teacher.backbone", "\"resnet50\"".to_owned()),
            ("appearance.backbone", "\"resnet50\"".to_owned()),
            ("loss.lambda_prim", "2".to_owned()),
            ("loss.lambda_fine", "0.4".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    #[test]
    fn only_the_same_data_at_the_same_size_has_a_reference() {
        let market = settings("/data/Market-1501-v15.09.15", "256", "joint");
        assert_eq!((data_set(&market).unwrap().0, features(&market)), (1, Some(3)));
        let teacher = settings("/data/DukeMTMC-reID/", "256", "teacher_only");
        assert_eq!((data_set(&teacher).unwrap().0, features(&teacher)), (2, Some(0)));
        assert_eq!(features(&settings("/data/market", "128", "joint")), None);
        assert_eq!(data_set(&settings("/data/market_val", "256", "joint")), None);
        assert_eq!(data_set(&Settings::new()), None);
    }
}
