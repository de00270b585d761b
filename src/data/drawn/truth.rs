//! The truth about a drawn set: the picture of one photo's appearance in another's structure, and
//! silhouettes, rendered again from `factors.json`. Reads no photo.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::factors::{Factors, Shot};
use super::render::{Rendered, backdrops, render};
use super::scene::Backdrop;
use super::{DRAW_VERSION, FACTORS_FILE, MAX_CAMERAS, MAX_SIDE};
use crate::data::DataError;
use crate::data::pixels::Rgb8;

/// The factors of a drawn set, from which any swap can be rendered.
#[derive(Debug, Clone)]
pub struct Truth {
    path: PathBuf,
    factors: Factors,
    scenes: Vec<Backdrop>,
}

impl Truth {
    /// Reads `root/factors.json`; `None` when there is none, as in every real data set.
    ///
    /// # Errors
    /// The file cannot be read, is not what [`super::draw`] writes, or is another version's.
    pub fn open(root: &Path) -> Result<Option<Self>, DataError> {
        let path = root.join(FACTORS_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::io("read", &path, error)),
        };
        let unusable = |reason: String| DataError::Layout {
            path: path.clone(),
            reason,
            hint: "draw the set again with `dgnet data draw`".to_owned(),
        };
        let version = serde_json::from_str::<Version>(&text)
            .map_err(|error| unusable(error.to_string()))?
            .version;
        if version != DRAW_VERSION {
            return Err(unusable(format!(
                "it was drawn by version {version} of the drawing, this is version {DRAW_VERSION}"
            )));
        }
        let factors: Factors =
            serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        if ![factors.height, factors.width].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            return Err(unusable(format!("photos of {}x{} pixels", factors.height, factors.width)));
        }
        if factors.cameras.len() > MAX_CAMERAS {
            return Err(unusable(format!("{} cameras", factors.cameras.len())));
        }
        let scenes = backdrops(&factors);
        Ok(Some(Self { path, factors, scenes }))
    }

    /// The true picture of the appearance in photo `appearance_of` in the structure of photo
    /// `structure_of` (pose, place, scene, occluder, light, camera), at the drawn size. Both are file
    /// names; `render(x, x)` equals photo x up to JPEG coding.
    ///
    /// # Errors
    /// A name that the set does not have, or one that shows an empty scene.
    pub fn render(&self, appearance_of: &str, structure_of: &str) -> Result<Rgb8, DataError> {
        Ok(self.rendered(appearance_of, structure_of)?.photo)
    }

    /// Where photo `name` shows the person: `height * width` values, row by row, 255 inside and 0
    /// outside. What an occluder hides is outside; an empty scene is all outside.
    ///
    /// # Errors
    /// A name that the set does not have.
    pub fn silhouette(&self, name: &str) -> Result<Vec<u8>, DataError> {
        if self.shot(name)?.look.is_none() {
            let pixels = self.factors.height as usize * self.factors.width as usize;
            return Ok(vec![0; pixels]);
        }
        let cover = self.rendered(name, name)?.cover;
        Ok(cover.into_iter().map(|share| (share * 255.0 + 0.5) as u8).collect())
    }

    pub(super) fn rendered(
        &self,
        appearance_of: &str,
        structure_of: &str,
    ) -> Result<Rendered, DataError> {
        let (wearer, seen) = (self.shot(appearance_of)?, self.shot(structure_of)?);
        let factors = &self.factors;
        let look = match wearer.look {
            Some(index) => Some(factors.looks.get(index).ok_or_else(|| {
                self.missing(format!("photo `{appearance_of}` names look {index}, which it lacks"))
            })?),
            None if appearance_of == structure_of => None,
            None => return Err(self.missing(format!("photo `{appearance_of}` shows nobody"))),
        };
        render(factors, &self.scenes, look, &seen.structure).ok_or_else(|| {
            self.missing(format!("photo `{structure_of}` names a camera that it lacks"))
        })
    }

    fn shot(&self, name: &str) -> Result<&Shot, DataError> {
        let missing = || self.missing(format!("it has no photo `{name}`"));
        self.factors.shots.get(name).ok_or_else(missing)
    }

    fn missing(&self, reason: String) -> DataError {
        DataError::Layout {
            path: self.path.clone(),
            reason,
            hint: "name photos of this very set that show a person".to_owned(),
        }
    }
}

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}
