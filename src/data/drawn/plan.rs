//! Which photos a set has: who is trained on and who is searched for, who is seen by which camera, the
//! names of the files. Decides counts and factors; renders nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::camera::cameras;
use super::factors::{Appearance, Body, Factors, Shot, Split, Structure};
use super::wardrobe::{fresh, looks};
use super::{DRAW_VERSION, shots};
use crate::data::rng::Rng;
use crate::spec::settings::Drawn;

/// Frames between two photos of one camera, at most; real sets number the frames of a video.
const FRAME_GAP: usize = 24;

struct Planner<'a> {
    drawn: &'a Drawn,
    factors: Factors,
    aspect: f32,
    /// Last frame number of each camera.
    frames: Vec<usize>,
    rng: Rng,
}

/// Decides every photo of the set that `drawn` describes.
pub fn plan(drawn: &Drawn) -> Factors {
    let factors = Factors {
        version: DRAW_VERSION,
        seed: drawn.seed,
        height: drawn.height,
        width: drawn.width,
        cameras: cameras(drawn.cameras, drawn.seed),
        looks: Vec::new(),
        shots: BTreeMap::new(),
    };
    let mut planner = Planner {
        drawn,
        factors,
        aspect: drawn.width as f32 / drawn.height as f32,
        frames: vec![50; drawn.cameras as usize],
        rng: Rng::new(drawn.seed, "drawn plan", 0),
    };
    let tested = planner.people();
    planner.extras(&tested);
    planner.factors
}

impl Planner<'_> {
    /// Photographs every person; returns the looks of those who are searched for.
    fn people(&mut self) -> Vec<usize> {
        let count = self.drawn.ids as usize;
        let tested = ((count as f64 * self.drawn.test_share).round() as usize)
            .clamp(2, count.saturating_sub(2));
        let mut ids: Vec<usize> = (1..=count).collect();
        self.rng.shuffle(&mut ids);
        let mut test_looks = Vec::new();
        // Families stay on one side of the split: the look-alikes of a query stand in its gallery.
        for (side, share) in [(false, count - tested), (true, tested)] {
            let stream = if side { "drawn test looks" } else { "drawn train looks" };
            for look in looks(share, &mut Rng::new(self.drawn.seed, stream, 0)) {
                let Some(id) = ids.pop() else { break };
                let index = self.factors.looks.len();
                self.factors.looks.push(look);
                if side {
                    test_looks.push(index);
                }
                self.person(id as i64, index, side);
            }
        }
        test_looks
    }

    fn person(&mut self, id: i64, look: usize, tested: bool) {
        let mut rng = Rng::new(self.drawn.seed, "drawn person", id as u64);
        let all = self.drawn.cameras as usize;
        let mut seen: Vec<usize> = (0..all).collect();
        rng.shuffle(&mut seen);
        seen.truncate(2 + rng.below(all - 1));
        seen.sort_unstable();
        let (low, high) = (self.drawn.photos_min as usize, self.drawn.photos_max as usize);
        let counts: Vec<usize> = seen.iter().map(|_| low + rng.below(high - low + 1)).collect();
        let queried = if tested { query_cameras(&counts) } else { BTreeSet::new() };
        let body = shots::body(&mut rng);
        for (place, (&camera, &count)) in seen.iter().zip(&counts).enumerate() {
            for nth in 0..count {
                let split = match (tested, nth == 0 && queried.contains(&place)) {
                    (false, _) => Split::Train,
                    (true, true) => Split::Query,
                    (true, false) => Split::Gallery,
                };
                let structure = self.seen(&mut rng, body, camera);
                self.add(split, id, Some(look), structure, nth);
            }
        }
    }

    fn seen(&self, rng: &mut Rng, body: Body, camera: usize) -> Structure {
        shots::structure(rng, body, camera, &self.factors.cameras[camera], self.aspect)
    }

    /// Distractors (strangers and empty scenes) and junk (people whom the detector cut badly).
    fn extras(&mut self, tested: &[usize]) {
        let gallery =
            self.factors.shots.values().filter(|shot| shot.split == Split::Gallery).count();
        let count = (gallery / 8).max(2);
        for nth in 0..count {
            let mut rng = Rng::new(self.drawn.seed, "drawn distractor", nth as u64);
            let look = (nth % 2 == 0).then(|| self.stranger(&mut rng));
            let camera = rng.below(self.factors.cameras.len());
            let body = shots::body(&mut rng);
            let structure = self.seen(&mut rng, body, camera);
            self.add(Split::Gallery, 0, look, structure, nth % 4);
        }
        for nth in 0..count {
            let mut rng = Rng::new(self.drawn.seed, "drawn junk", nth as u64);
            let look = tested.get(rng.below(tested.len())).copied();
            let camera = rng.below(self.factors.cameras.len());
            let body = shots::body(&mut rng);
            let good = self.seen(&mut rng, body, camera);
            let structure = shots::botched(&mut rng, good, self.aspect);
            self.add(Split::Gallery, -1, look, structure, nth % 4);
        }
    }

    fn stranger(&mut self, rng: &mut Rng) -> usize {
        let mut look: Appearance = fresh(rng);
        while self.factors.looks.contains(&look) {
            look = fresh(rng);
        }
        self.factors.looks.push(look);
        self.factors.looks.len() - 1
    }

    fn add(
        &mut self,
        split: Split,
        person: i64,
        look: Option<usize>,
        structure: Structure,
        nth: usize,
    ) {
        let camera = structure.camera;
        self.frames[camera] += 1 + self.rng.below(FRAME_GAP);
        let frame = self.frames[camera];
        let who = if person < 0 { "-1".to_owned() } else { format!("{person:04}") };
        let take = 1 + frame / 10_000;
        let number = if split == Split::Query { 0 } else { nth + 1 };
        let name = format!("{who}_c{}s{take}_{frame:06}_{number:02}.jpg", camera + 1);
        self.factors.shots.insert(name, Shot { split, person, look, structure });
    }
}

/// Which of a person's cameras give a query, so that each query keeps a match under another camera.
/// `counts` are photos per camera; a query takes one away from the gallery.
fn query_cameras(counts: &[usize]) -> BTreeSet<usize> {
    let mut queried: BTreeSet<usize> =
        (0..counts.len()).filter(|&camera| counts[camera] > 1).collect();
    let sound = |queried: &BTreeSet<usize>| {
        queried.iter().all(|&query| {
            counts.iter().enumerate().any(|(camera, &count)| {
                camera != query && count > usize::from(queried.contains(&camera))
            })
        })
    };
    for camera in (0..counts.len()).filter(|&camera| counts[camera] == 1) {
        queried.insert(camera);
        if !sound(&queried) {
            queried.remove(&camera);
        }
    }
    queried
}

#[cfg(test)]
mod tests {
    use super::query_cameras;

    #[test]
    fn every_query_keeps_a_match_under_another_camera() {
        let cases: [(&[usize], &[usize]); 5] = [
            (&[1, 1], &[0]),
            (&[2, 1], &[0]),
            (&[2, 2], &[0, 1]),
            (&[1, 1, 1], &[0, 1]),
            (&[3, 1, 2, 1], &[0, 1, 2, 3]),
        ];
        for (counts, expected) in cases {
            let queried: Vec<usize> = query_cameras(counts).into_iter().collect();
            assert_eq!(queried, expected, "photos per camera {counts:?}");
        }
    }
}
