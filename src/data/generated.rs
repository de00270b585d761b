//! The plan of a generated data set: which appearance meets which structure under which file name, in
//! the Market-1501 layout, and the table that says so. A pure function of the photos; draws nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::market::{GALLERY, QUERY, TRAIN};
use super::rng::Rng;
use super::{DataError, Dataset, Photo};
use crate::spec::request::Amount;

/// The table of a generated set: where every file comes from.
pub const TABLE: &str = "generated.csv";
/// The record of what was asked for, by which a set is known and gone on with.
pub const RECORD: &str = "generated.json";

/// A file to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Below the set, with `/`.
    pub file: String,
    /// Gives the appearance, and with it the person.
    pub appearance: Photo,
    /// Gives the structure, and with it the camera.
    pub structure: Photo,
}

/// Every file of the set, in a fixed order. Training photos meet training photos and are trained on;
/// test photos meet test photos: the first image of a person is a query, the others are the gallery.
/// The structures of an appearance take turns between cameras, so that a query has true matches.
///
/// # Errors
/// `DataError::Layout` where a part has too few photos of other persons, or would have no gallery.
pub fn plan(dataset: &Dataset, amount: &Amount) -> Result<Vec<Item>, DataError> {
    if amount.appearances == 0 || amount.structures < 2 {
        let reason = "a query needs a true match, so every person needs two images".to_owned();
        return Err(refused(
            &dataset.root,
            reason,
            "ask for at least 1 appearance in 2 structures",
        ));
    }
    let known = |photos: &[Photo]| -> Vec<Photo> {
        photos.iter().filter(|photo| photo.person > 0).cloned().collect()
    };
    let train = known(&dataset.train);
    let test = known(&[dataset.query.as_slice(), &dataset.gallery].concat());
    let mut items = part(&dataset.root, "train", &train, amount)?;
    for item in &mut items {
        item.file.insert_str(0, &format!("{TRAIN}/"));
    }
    let mut last = None;
    for mut item in part(&dataset.root, "test", &test, amount)? {
        let first = last.replace(item.appearance.person) != Some(item.appearance.person);
        item.file.insert_str(0, &format!("{}/", if first { QUERY } else { GALLERY }));
        items.push(item);
    }
    Ok(items)
}

/// The items of one part, person by person; files without their folder.
fn part(
    root: &Path,
    name: &str,
    photos: &[Photo],
    amount: &Amount,
) -> Result<Vec<Item>, DataError> {
    let mut people: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut cameras: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, photo) in photos.iter().enumerate() {
        people.entry(photo.person).or_default().push(at);
        cameras.entry(photo.camera).or_default().push(at);
    }
    let cameras: Vec<Vec<usize>> = cameras.into_values().collect();
    let wanted = amount.persons.map_or(people.len(), |persons| persons as usize);
    if people.len() < wanted.max(2) {
        let reason =
            format!("its {name} part has photos of {} persons, not {wanted}", people.len());
        return Err(refused(root, reason, "ask for fewer persons; at least two are needed"));
    }
    let mut items = Vec::new();
    for (&person, own) in people.iter().take(wanted) {
        let mut order = own.clone();
        let stream = |what: &str| format!("generated.{name}.{what}");
        Rng::new(amount.seed, &stream("appearance"), person as u64).shuffle(&mut order);
        order.truncate(amount.appearances as usize);
        order.sort_unstable();
        for i in order {
            let mut rng = Rng::new(amount.seed, &stream("structure"), i as u64);
            let structures = structures(photos, person, &cameras, amount.structures, &mut rng);
            if structures.len() < amount.structures as usize {
                let reason = format!(
                    "its {name} part has {} photos of other persons than {person}, not {}",
                    structures.len(),
                    amount.structures
                );
                return Err(refused(root, reason, "ask for fewer structures"));
            }
            for (turn, j) in structures.into_iter().enumerate() {
                let camera = photos[j].camera;
                items.push(Item {
                    file: format!("{person:04}_c{camera}s1_{i:06}_{turn:02}.jpg"),
                    appearance: photos[i].clone(),
                    structure: photos[j].clone(),
                });
            }
        }
    }
    Ok(items)
}

/// `count` photos of others than `person`, from the cameras in turn; fewer where there are no more.
fn structures(
    photos: &[Photo],
    person: i64,
    cameras: &[Vec<usize>],
    count: u32,
    rng: &mut Rng,
) -> Vec<usize> {
    let mut left: Vec<&[usize]> = cameras.iter().map(Vec::as_slice).collect();
    rng.shuffle(&mut left);
    let mut chosen: Vec<usize> = Vec::new();
    let mut turn = 0;
    while chosen.len() < count as usize && !left.is_empty() {
        turn %= left.len();
        let camera = left[turn];
        let from = rng.below(camera.len());
        let free = |j: &&usize| photos[**j].person != person && !chosen.contains(j);
        if let Some(&j) = camera[from..].iter().chain(&camera[..from]).find(free) {
            chosen.push(j);
            turn += 1;
        } else {
            left.remove(turn);
        }
    }
    chosen
}

fn refused(root: &Path, reason: String, hint: &str) -> DataError {
    DataError::Layout { path: root.to_owned(), reason, hint: hint.to_owned() }
}

/// The table as CSV (RFC 4180); photos relative to the root of their set.
#[must_use]
pub fn table(root: &Path, items: &[Item]) -> String {
    let cell = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let relative =
        |photo: &Photo| photo.path.strip_prefix(root).unwrap_or(&photo.path).display().to_string();
    let mut text = String::from("file,person,camera,appearance,structure,structure_person\r\n");
    for item in items {
        let cells = [
            item.file.clone(),
            item.appearance.person.to_string(),
            item.structure.camera.to_string(),
            relative(&item.appearance),
            relative(&item.structure),
            item.structure.person.to_string(),
        ];
        text.push_str(&cells.map(|text| cell(&text)).join(","));
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn photos(people: std::ops::Range<i64>, folder: &str) -> Vec<Photo> {
        people
            .flat_map(|person| (1..=3).map(move |camera| (person, camera)))
            .map(|(person, camera)| Photo {
                path: format!("/set/{folder}/{person:04}_c{camera}.jpg").into(),
                person,
                camera,
            })
            .collect()
    }

    fn dataset() -> Dataset {
        let mut gallery = photos(6..9, "gallery");
        gallery.push(Photo { path: "/set/gallery/junk.jpg".into(), person: -1, camera: 1 });
        gallery.push(Photo { path: "/set/gallery/other.jpg".into(), person: 0, camera: 1 });
        Dataset {
            root: "/set".into(),
            train: photos(1..6, "train"),
            query: photos(9..10, "query"),
            gallery,
            multi_query: Vec::new(),
        }
    }

    const AMOUNT: Amount = Amount { persons: None, appearances: 2, structures: 4, seed: 0 };

    #[test]
    fn persons_come_from_appearances_and_cameras_from_structures() {
        let items = plan(&dataset(), &AMOUNT).unwrap();
        assert_eq!(items.len(), (5 + 4) * 2 * 4);
        let files: BTreeSet<&str> = items.iter().map(|item| item.file.as_str()).collect();
        assert_eq!(files.len(), items.len());
        for item in &items {
            assert_ne!(item.appearance.person, item.structure.person);
            let parsed = super::super::market::parse_name(Path::new(&item.file)).unwrap();
            assert_eq!(parsed, (item.appearance.person, item.structure.camera), "{}", item.file);
            let trained = item.file.starts_with(TRAIN);
            for photo in [&item.appearance, &item.structure] {
                assert_eq!(trained, photo.person < 6, "test photos stay out of training");
                assert!(photo.person > 0);
            }
        }
    }

    #[test]
    fn every_test_person_has_a_query_with_a_match_under_another_camera() {
        let items = plan(&dataset(), &Amount { appearances: 1, structures: 2, ..AMOUNT }).unwrap();
        for person in 6..10 {
            let of = |folder: &str| -> Vec<u32> {
                let own = |item: &&Item| {
                    item.appearance.person == person && item.file.starts_with(folder)
                };
                items.iter().filter(own).map(|item| item.structure.camera).collect()
            };
            let (query, gallery) = (of(QUERY), of(GALLERY));
            assert_eq!((query.len(), gallery.len()), (1, 1));
            assert_ne!(query, gallery);
        }
    }

    #[test]
    fn a_smaller_set_is_a_part_of_a_larger_one_and_seeds_differ() {
        let set = |amount| plan(&dataset(), &amount).unwrap();
        assert_eq!(set(AMOUNT), set(AMOUNT));
        let two = set(Amount { persons: Some(2), ..AMOUNT });
        assert_eq!(two.len(), 2 * 2 * 2 * 4);
        let all: BTreeSet<String> = set(AMOUNT).into_iter().map(|item| item.file).collect();
        assert!(two.iter().all(|item| all.contains(&item.file)));
        assert_ne!(set(Amount { seed: 1, ..AMOUNT }), set(AMOUNT));
    }

    #[test]
    fn what_the_photos_cannot_give_is_refused() {
        for (amount, words) in [
            (Amount { persons: Some(9), ..AMOUNT }, "5 persons, not 9"),
            (Amount { structures: 1, ..AMOUNT }, "true match"),
            (Amount { structures: 13, ..AMOUNT }, "12 photos of other persons than 1, not 13"),
        ] {
            let text = plan(&dataset(), &amount).unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn the_table_names_both_photos_of_every_file() {
        let items = plan(&dataset(), &AMOUNT).unwrap();
        let table = table(Path::new("/set"), &items);
        assert_eq!(table.lines().count(), items.len() + 1);
        let row: Vec<&str> = table.lines().nth(1).unwrap().split(',').collect();
        assert_eq!(row[0], items[0].file);
        assert!(row[3].starts_with("train/0001_c") && row[4].starts_with("train/0"), "{row:?}");
    }
}
