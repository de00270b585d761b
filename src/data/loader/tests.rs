use std::sync::Mutex;

use super::*;

fn photo(person: i64, number: usize) -> Photo {
    let name = format!("{person:04}_c{}s1_{number:06}_00.jpg", number % 3 + 1);
    Photo { path: Path::new("/set/bounding_box_train").join(name), person, camera: 1 }
}

/// Pictures whose first byte is their number, so that a batch can be read back.
fn images(people: &[i64]) -> Arc<Images> {
    let (height, width) = (8, 4);
    let photos = people.iter().zip(0..).map(|(&person, number)| photo(person, number)).collect();
    let pictures = (0..people.len())
        .map(|number| Rgb8::filled(height, width, [number as u8, 9, 200]))
        .collect();
    Arc::new(Images { height, width, photos, pictures })
}

fn numbers(images: &Images, x: &[f32]) -> Vec<usize> {
    x.chunks_exact(3 * images.height * images.width)
        .map(|picture| {
            let picture = pixels::denormalise(picture, images.height, images.width);
            usize::from(picture.pixel(0, 0)[0])
        })
        .collect()
}

const PEOPLE: [i64; 10] = [5, 5, 8, 8, 8, 11, 5, 11, 20, 8];

fn loader(augment: Augment, batch: usize, seed: u64) -> JointLoader {
    let classes = [(5, 0), (8, 1), (11, 2), (20, 3)].into();
    JointLoader::new(images(&PEOPLE), &classes, augment, batch, seed).unwrap()
}

#[test]
fn positives_show_the_same_person_and_labels_match() {
    let loader = loader(Augment { erasing: 0.0, ..Augment::default() }, 4, 1);
    let images = images(&PEOPLE);
    for step in 0..20 {
        let batch = loader.joint_batch(step);
        assert!(batch.erased.is_none());
        let (a, positives) = (numbers(&images, &batch.x_a), numbers(&images, &batch.xp_a));
        let classes = [(5, 0), (8, 1), (11, 2), (20, 3)];
        for ((photo, positive), label) in a.iter().zip(&positives).zip(&batch.labels_a) {
            assert_eq!(PEOPLE[*photo], PEOPLE[*positive]);
            assert!(photo != positive || PEOPLE[*photo] == 20);
            assert!(classes.contains(&(PEOPLE[*photo], *label)));
        }
    }
}

#[test]
fn batches_depend_on_seed_and_step_alone() {
    let loader_one = loader(Augment { pad: 2, ..Augment::default() }, 3, 1);
    let late = loader_one.joint_batch(17);
    let again = loader(Augment { pad: 2, ..Augment::default() }, 3, 1);
    for step in 0..4 {
        let _ = again.joint_batch(step);
    }
    assert_eq!(again.joint_batch(17), late);
    assert_ne!(again.joint_batch(18).x_a, late.x_a);
    assert_ne!(loader(Augment { pad: 2, ..Augment::default() }, 3, 2).joint_batch(17), late);
    assert_ne!(late.x_a, late.x_b);
}

#[test]
fn any_number_of_workers_gives_the_same_batches() {
    let straight: Vec<JointBatch> = {
        let loader = loader(Augment::default(), 3, 9);
        (5..25).map(|step| loader.joint_batch(step)).collect()
    };
    for workers in [1, 2, 5] {
        let loader = loader(Augment::default(), 3, 9);
        let make: Make<JointBatch> = Arc::new(move |step| loader.joint_batch(step));
        let batches: Vec<JointBatch> =
            Prefetch::new(5..25, workers, 4, make).map(Result::unwrap).collect();
        assert!(batches == straight, "{workers} workers");
    }
}

#[test]
fn erased_pictures_are_the_same_augmented_pictures_with_holes() {
    let loader = loader(Augment { pad: 1, erasing: 1.0, ..Augment::default() }, 4, 3);
    let batch = loader.joint_batch(6);
    let erased = batch.erased.unwrap();
    for (clean, erased) in
        [&batch.x_a, &batch.x_b, &batch.xp_a, &batch.xp_b].into_iter().zip(&erased)
    {
        let changed: Vec<f32> = clean
            .iter()
            .zip(erased)
            .filter(|(c, e)| c.to_bits() != e.to_bits())
            .map(|(_, e)| *e)
            .collect();
        assert!(!changed.is_empty() && changed.iter().all(|value| *value == 0.0));
    }
}

#[test]
fn too_few_photos_or_a_person_without_class_is_an_error_with_a_hint() {
    let classes: BTreeMap<i64, i64> = [(5, 0), (8, 1), (11, 2), (20, 3)].into();
    let make = |batch, classes: &BTreeMap<i64, i64>| {
        JointLoader::new(images(&PEOPLE), classes, Augment::default(), batch, 1)
    };
    let message = make(11, &classes).unwrap_err().to_string();
    assert!(message.contains("10 training photos") && message.contains("train.batch"), "{message}");
    assert!(make(0, &classes).is_err());
    assert!(make(10, &classes).is_ok());
    let message = make(2, &[(5, 0)].into()).unwrap_err().to_string();
    assert!(message.contains("person 8 has no class"), "{message}");
    let teacher =
        TeacherLoader::new(images(&PEOPLE), vec![1, 2], &classes, Augment::default(), 3, 1);
    assert!(teacher.unwrap_err().to_string().contains("teacher.batch"));
}

#[test]
fn the_teacher_sees_only_the_kept_photos() {
    let classes = [(5, 0), (8, 1), (11, 2), (20, 3)].into();
    let plain = Augment { erasing: 0.0, ..Augment::default() };
    let kept = vec![0, 3, 5, 9];
    let loader = TeacherLoader::new(images(&PEOPLE), kept.clone(), &classes, plain, 2, 1).unwrap();
    assert_eq!(loader.steps_per_epoch(), 2);
    let mut seen: Vec<usize> =
        (4..6).flat_map(|step| numbers(&images(&PEOPLE), &loader.batch(step).x)).collect();
    seen.sort_unstable();
    assert_eq!(seen, kept);
}

#[test]
fn the_mean_photo_is_normalised() {
    let images = images(&PEOPLE);
    let expected = (0..10).map(|number| number as f32).sum::<f32>() / 10.0;
    assert!((images.mean()[0] - (expected / 255.0 - 0.485) / 0.229).abs() < 1e-5);
}

#[test]
fn loading_resizes_reports_progress_and_names_the_damaged_photo() {
    let folder = tempfile::tempdir().unwrap();
    let mut photos = Vec::new();
    for number in 0..9_u8 {
        let path = folder.path().join(format!("000{number}_c1s1_0_0.png"));
        let picture = Rgb8::filled(20, 10, [number * 20; 3]);
        std::fs::write(&path, pixels::encode_png(&picture).unwrap()).unwrap();
        photos.push(Photo { path, person: i64::from(number), camera: 1 });
    }
    for workers in [0, 1, 3, 40] {
        let calls = Mutex::new(Vec::new());
        let images = Images::load(&photos, 8, 4, workers, &|done, total| {
            calls.lock().unwrap().push((done, total));
        });
        let images = images.unwrap();
        assert!(
            images
                .pictures
                .iter()
                .zip(0_u8..)
                .all(|(picture, number)| { *picture == Rgb8::filled(8, 4, [number * 20; 3]) })
        );
        assert_eq!(calls.into_inner().unwrap(), (1..=9).map(|done| (done, 9)).collect::<Vec<_>>());
    }
    let whole = std::fs::read(&photos[4].path).unwrap();
    std::fs::write(&photos[4].path, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(&photos[7].path, "").unwrap();
    for workers in [1, 5] {
        let error = Images::load(&photos, 8, 4, workers, &|_, _| {}).unwrap_err();
        assert!(error.to_string().contains("0004_c1s1_0_0.png"), "{error}");
    }
    assert!(Images::load(&[], 8, 4, 2, &|_, _| {}).unwrap().is_empty());
}
