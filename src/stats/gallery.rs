//! Photos as the Market-1501 protocol sees them: who is on them, under which camera, and which are a query's true
//! matches or junk. No score and no rank.

use std::collections::BTreeMap;

/// What a photo's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Person; -1 is junk, 0 a distractor, wrong for every query.
    pub person: i64,
    /// Camera.
    pub camera: u32,
}

/// The photos among which queries look for their persons.
#[derive(Debug, Clone, Default)]
pub struct Gallery {
    labels: Vec<Label>,
    /// Photos by person, ascending.
    of: BTreeMap<i64, Vec<u32>>,
}

impl Gallery {
    /// # Panics
    /// Where there are more than 2^32 photos.
    #[must_use]
    pub fn new(labels: Vec<Label>) -> Self {
        let mut of: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        assert!(u32::try_from(labels.len()).is_ok(), "places of photos have 32 bits");
        for (label, at) in labels.iter().zip(0..) {
            of.entry(label.person).or_default().push(at);
        }
        Self { labels, of }
    }

    /// The true matches of a query and its junk, both ascending.
    pub(super) fn matches_and_junk(&self, query: Label) -> (Vec<u32>, Vec<u32>) {
        let of = |person: i64| self.of.get(&person).into_iter().flatten().copied();
        let own = of(query.person).filter(|_| query.person > 0);
        let (mut junk, matches): (Vec<u32>, Vec<u32>) =
            own.partition(|at| is_junk(query, self.labels[*at as usize]));
        junk.extend(of(-1));
        (matches, junk)
    }

    /// Whether a photo is a true match of a query or junk for it.
    pub(super) fn is_match_or_junk(&self, query: Label, photo: u32) -> bool {
        let photo = self.labels[photo as usize];
        is_match(query, photo) || is_junk(query, photo)
    }
}

/// Whether a gallery photo is a true match of a query; under the query's camera it is junk as well.
#[must_use]
pub fn is_match(query: Label, photo: Label) -> bool {
    photo.person == query.person && query.person > 0
}

/// Whether a gallery photo is left out for a query: label -1, or the query's person under its camera.
#[must_use]
pub fn is_junk(query: Label, photo: Label) -> bool {
    photo.person == -1 || is_match(query, photo) && photo.camera == query.camera
}
