//! What a user of a drawn set relies on, checked on small sets on disk.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{FACTORS_FILE, Truth, draw, draw_on};
use crate::data::DataError;
use crate::spec::settings::Drawn;

const FOLDERS: [&str; 4] = ["bounding_box_train", "query", "bounding_box_test", "gt_bbox"];

fn small() -> Drawn {
    Drawn { ids: 10, cameras: 3, height: 64, width: 32, ..Drawn::default() }
}

fn drawn(settings: &Drawn, threads: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    draw_on(settings, folder.path(), threads, &|_, _| {}).unwrap();
    folder
}

fn names(root: &Path, folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root.join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in FOLDERS {
        for name in names(root, folder) {
            let path = format!("{folder}/{name}");
            all.insert(path.clone(), fs::read(root.join(path)).unwrap());
        }
    }
    all.insert(FACTORS_FILE.to_owned(), fs::read(root.join(FACTORS_FILE)).unwrap());
    all
}

/// Person and camera of a file name.
fn who(name: &str) -> (i64, u32) {
    let mut fields = name.split('_');
    let person = fields.next().unwrap().parse().unwrap();
    let camera = fields.next().unwrap()[1..].split('s').next().unwrap().parse().unwrap();
    (person, camera)
}

#[test]
fn the_seed_alone_decides_the_bytes_on_any_number_of_threads() {
    let first = files(drawn(&small(), 1).path());
    assert_eq!(first, files(drawn(&small(), 3).path()));
    assert_ne!(first, files(drawn(&Drawn { seed: 2, ..small() }, 2).path()));
}

#[test]
fn the_layout_is_that_of_market_and_every_query_has_a_match_elsewhere() {
    let settings = Drawn { ids: 40, cameras: 4, height: 16, width: 16, ..Drawn::default() };
    let set = drawn(&settings, 2);
    let [train, query, gallery, all] = FOLDERS.map(|folder| names(set.path(), folder));
    let people = |names: &BTreeSet<String>| -> BTreeSet<i64> {
        names.iter().map(|name| who(name).0).filter(|&person| person > 0).collect()
    };
    assert_eq!(people(&train).len(), 24);
    assert_eq!(people(&query).len(), 16);
    assert!(people(&train).is_disjoint(&people(&gallery)));
    assert!(people(&train).iter().max() > people(&query).iter().min());
    assert!([0, -1].iter().all(|&extra| gallery.iter().any(|name| who(name).0 == extra)));
    let cells: BTreeSet<(i64, u32)> = query.iter().map(|name| who(name)).collect();
    assert_eq!(cells.len(), query.len(), "one query per person and camera");
    for name in &query {
        let (person, camera) = who(name);
        let found = gallery.iter().any(|other| who(other).0 == person && who(other).1 != camera);
        assert!(found, "{name} has no match under another camera");
    }
    let tested: BTreeSet<String> =
        query.iter().chain(&gallery).filter(|name| who(name).0 > 0).cloned().collect();
    assert_eq!(all, tested);
}

#[test]
fn the_truth_about_a_photo_is_that_photo() {
    let set = drawn(&small(), 2);
    let truth = Truth::open(set.path()).unwrap().unwrap();
    for folder in ["bounding_box_train", "query", "bounding_box_test"] {
        for name in names(set.path(), folder) {
            let photo = image::open(set.path().join(folder).join(&name)).unwrap().to_rgb8();
            let rendered = truth.render(&name, &name).unwrap();
            let gap: f64 = photo
                .as_raw()
                .iter()
                .zip(&rendered.data)
                .map(|(a, b)| f64::from(a.abs_diff(*b)))
                .sum::<f64>()
                / rendered.data.len() as f64;
            assert!(gap < 6.0, "{name} differs from its truth by {gap} grey levels");
        }
    }
}

#[test]
fn a_swap_changes_the_person_and_nothing_else() {
    let set = drawn(&Drawn { cameras: 2, ..small() }, 2);
    let truth = Truth::open(set.path()).unwrap().unwrap();
    let photos: Vec<String> = names(set.path(), "query").into_iter().collect();
    let (wearer, seen) = (&photos[0], &photos[photos.len() - 1]);
    let (own, swapped) = (truth.render(seen, seen).unwrap(), truth.render(wearer, seen).unwrap());
    assert_ne!(own, swapped);
    let (height, width) = (own.height, own.width);
    let covers =
        [seen, wearer].map(|look| truth.rendered(look, seen).unwrap().cover).map(|cover| {
            // Blur carries the person's colours a few pixels over its outline.
            let near = |at: usize, end: usize| at.saturating_sub(3)..(at + 4).min(end);
            (0..height * width)
                .map(|at| {
                    near(at / width, height)
                        .any(|y| near(at % width, width).any(|x| cover[y * width + x] > 0.0))
                })
                .collect::<Vec<bool>>()
        });
    let mut background = 0;
    for at in (0..height * width).filter(|&at| !covers[0][at] && !covers[1][at]) {
        assert_eq!(own.data[at * 3..at * 3 + 3], swapped.data[at * 3..at * 3 + 3]);
        background += 1;
    }
    assert!(background > height * width / 10, "only {background} pixels of background");
}

#[test]
fn silhouettes_show_a_person_of_the_usual_size() {
    let set = drawn(&Drawn { photos_max: 1, ..small() }, 2);
    let truth = Truth::open(set.path()).unwrap().unwrap();
    for name in names(set.path(), "bounding_box_train") {
        let cover = truth.silhouette(&name).unwrap();
        let share =
            cover.iter().map(|&value| f64::from(value) / 255.0).sum::<f64>() / cover.len() as f64;
        assert!((0.08..0.6).contains(&share), "{name} shows a person on {share} of its pixels");
    }
}

#[test]
fn impossible_settings_and_foreign_files_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (Drawn { ids: 3, ..small() }, "ids"),
        (Drawn { cameras: 1, ..small() }, "cameras"),
        (Drawn { photos_min: 4, ..small() }, "photos_min"),
        (Drawn { photos_min: 0, ..small() }, "photos_min"),
        (Drawn { test_share: f64::NAN, ..small() }, "test_share"),
        (Drawn { width: 0, ..small() }, "width"),
        (Drawn { cameras: 100, ..small() }, "cameras"),
    ];
    for (settings, word) in cases {
        let error = draw(&settings, folder.path(), &|_, _| {}).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(Truth::open(folder.path()).unwrap().is_none());
    for text in ["", "{}", r#"{"version":0}"#, r#"{"version":1,"seed":1}"#] {
        fs::write(folder.path().join(FACTORS_FILE), text).unwrap();
        assert!(matches!(Truth::open(folder.path()), Err(DataError::Layout { .. })), "{text}");
    }
    // a file of a few kilobytes must not ask for gigabytes
    let set = drawn(&small(), 2);
    let path = set.path().join(FACTORS_FILE);
    let mut json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let cameras = json["cameras"].as_array_mut().unwrap();
    *cameras = vec![cameras[0].clone(); 100];
    fs::write(&path, json.to_string()).unwrap();
    let error = Truth::open(set.path()).unwrap_err();
    assert!(error.to_string().contains("100 cameras"), "{error}");
}

#[test]
fn the_least_set_that_can_be_drawn_is_drawn() {
    let least = Drawn {
        ids: 4,
        cameras: 2,
        photos_min: 1,
        photos_max: 1,
        test_share: 0.01,
        height: 16,
        width: 16,
        seed: u64::MAX,
    };
    let set = drawn(&least, 2);
    assert_eq!(names(set.path(), "query").len(), 2);
    let truth = Truth::open(set.path()).unwrap().unwrap();
    assert!(truth.render("nobody.jpg", "nobody.jpg").is_err());
}
