//! Diversity of generated images, as it is published: how unlike two images of one identity are.
//! Pairs are drawn from nothing but the photos, so every arm and seed is measured on the same ones.

use std::collections::BTreeMap;

use tch::Device;

use super::picture_quality::dissimilarity_lab;
use super::swap::{Pair, generate, pictures};
use crate::model::appearance::AppearanceEncoder;
use crate::model::generator::Generator;
use dgnet::data::Photo;
use dgnet::data::loader::Images;
use dgnet::data::rng::Rng;

/// An appearance in two structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twin {
    /// Gives the appearance.
    pub i: usize,
    /// Give the structures; two photos.
    pub structures: [usize; 2],
}

/// `count` appearances, each in two structures; none of fewer than two photos.
#[must_use]
pub fn twins(photos: usize, count: usize) -> Vec<Twin> {
    if photos < 2 {
        return Vec::new();
    }
    let mut rng = Rng::new(0, "diversity", 0);
    (0..count)
        .map(|_| {
            let (i, first) = (rng.below(photos), rng.below(photos));
            let second = (first + 1 + rng.below(photos - 1)) % photos;
            Twin { i, structures: [first, second] }
        })
        .collect()
}

/// `count` pairs of different photos of one person, each person as likely as any other; none where
/// nobody has two.
#[must_use]
pub fn real_pairs(photos: &[Photo], count: usize) -> Vec<[usize; 2]> {
    let mut of: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (at, photo) in photos.iter().enumerate() {
        of.entry(photo.person).or_default().push(at);
    }
    let people: Vec<Vec<usize>> = of.into_values().filter(|photos| photos.len() > 1).collect();
    if people.is_empty() {
        return Vec::new();
    }
    let mut rng = Rng::new(0, "diversity.real", 0);
    (0..count)
        .map(|_| {
            let own = &people[rng.below(people.len())];
            let first = rng.below(own.len());
            let second = (first + 1 + rng.below(own.len() - 1)) % own.len();
            [own[first], own[second]]
        })
        .collect()
}

/// Mean dissimilarity of G(a_i, s_j) and G(a_i, s_k) over the twins; not a number without any.
#[must_use]
pub fn of_generated(
    encoder: &AppearanceEncoder,
    generator: &Generator,
    images: &Images,
    twins: &[Twin],
    batch: u32,
    device: Device,
) -> f64 {
    let mut sum = 0.0;
    for chunk in twins.chunks((batch as usize / 2).max(1)) {
        let pairs: Vec<Pair> =
            chunk.iter().flat_map(|twin| twin.structures.map(|j| Pair { i: twin.i, j })).collect();
        let generated = pictures(&generate(encoder, generator, images, &pairs, device));
        sum +=
            generated.chunks_exact(2).map(|two| dissimilarity_lab(&two[0], &two[1])).sum::<f64>();
    }
    sum / twins.len() as f64
}

/// The same of two photos of one person.
#[must_use]
pub fn of_photos(images: &Images, pairs: &[[usize; 2]]) -> f64 {
    let sum: f64 = pairs
        .iter()
        .map(|[one, other]| dissimilarity_lab(&images.pictures[*one], &images.pictures[*other]))
        .sum();
    sum / pairs.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_two_photos_of_one_person_and_the_same_every_time() {
        let people = [1, 1, 2, 3, 3, 3, 4];
        let photo = |person: &i64| Photo { path: "x".into(), person: *person, camera: 1 };
        let photos: Vec<Photo> = people.iter().map(photo).collect();
        let pairs = real_pairs(&photos, 200);
        assert_eq!(pairs.len(), 200);
        assert!(pairs.iter().all(|[a, b]| a != b && people[*a] == people[*b]));
        let seen: std::collections::BTreeSet<i64> = pairs.iter().map(|[a, _]| people[*a]).collect();
        assert_eq!(seen, [1, 3].into(), "everybody with two photos");
        assert_eq!(pairs, real_pairs(&photos, 200));
        assert_eq!(real_pairs(&photos[..2], 3).len(), 3);
        assert!(real_pairs(&photos[1..4], 3).is_empty());

        let twins = twins(5, 300);
        assert!(twins.iter().all(|twin| twin.structures[0] != twin.structures[1]));
        let seconds: std::collections::BTreeSet<usize> =
            twins.iter().map(|twin| twin.structures[1]).collect();
        assert_eq!(seconds.len(), 5, "every photo can give a structure");
        assert!(super::twins(1, 3).is_empty());
    }
}
