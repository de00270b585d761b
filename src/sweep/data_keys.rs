//! The keys of the data sets that studies name: of drawn people by their settings, of a folder by what it holds.
//! Which run has which data is `plan`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::SweepError;
use crate::data::fingerprint;
use crate::spec::identity;
use crate::spec::settings::Settings;

/// Keys that were worked out already. A folder's is a hash of every photo, so whoever plans again and again keeps
/// them; a worker looks for itself before it trains.
#[derive(Debug, Default)]
pub struct DataKeys(BTreeMap<PathBuf, String>);

impl DataKeys {
    /// The key of an arm's data.
    ///
    /// # Errors
    /// [`SweepError::Data`] where its folder cannot be read.
    pub(super) fn of(&mut self, arm: &str, settings: &Settings) -> Result<String, SweepError> {
        let Some(path) = &settings.data.path else {
            return Ok(identity::drawn_key(&settings.data.drawn));
        };
        let path = PathBuf::from(path);
        if let Some(key) = self.0.get(&path) {
            return Ok(key.clone());
        }
        let key = fingerprint::of_folder(&path)
            .map_err(|source| SweepError::Data { arm: arm.to_owned(), source })?;
        self.0.insert(path, key.clone());
        Ok(key)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let photo = |part: &str| {
            let part = folder.path().join(part);
            std::fs::create_dir(&part).unwrap();
            std::fs::write(part.join("0001_c1s1_000001_00.jpg"), "a photo").unwrap();
        };
        ["bounding_box_train", "query", "bounding_box_test"].into_iter().for_each(photo);
        let mut settings = Settings::default();
        settings.data.path = Some(folder.path().to_str().unwrap().to_owned());
        let mut keys = DataKeys::default();
        let key = keys.of("full", &settings).unwrap();
        drop(folder);
        assert_eq!(keys.of("other", &settings).unwrap(), key);
        let text = DataKeys::default().of("full", &settings).unwrap_err().to_string();
        assert!(text.contains("full"), "{text}");
    }
}
