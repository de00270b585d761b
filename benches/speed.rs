//! The parts of the program that `benches/bench.sh` cannot time from outside: lines of `what,median,unit` on
//! standard output, and nothing is asserted.
//!
//!     cargo test --locked --workspace --bench speed -- PART      rank | rank-large | load FOLDER

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use dgnet::data::layout;
use dgnet::data::loader::{Images, JointLoader};
use dgnet::data::rng::Rng;
use dgnet::spec::settings::Augment;
use dgnet_worker::eval::rank::{Label, rank};
use tch::{Device, Kind, Tensor};

/// Photos of a synthetic set; `people` have as many as each other, the rest are nobody's.
struct Sizes {
    queries: usize,
    gallery: usize,
    /// Gallery photos of people; then distractors, then junk.
    own: usize,
    distractors: usize,
    people: usize,
}

/// Market-1501's test set.
const MARKET: Sizes =
    Sizes { queries: 3368, gallery: 19_732, own: 13_115, distractors: 2798, people: 750 };
/// MSMT17's.
const MSMT: Sizes =
    Sizes { queries: 11_659, gallery: 82_161, own: 82_161, distractors: 0, people: 3060 };
const DIMS: usize = 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rank"] => ranking(&MARKET, 5),
        ["rank-large"] => ranking(&MSMT, 1),
        ["load", folder] => loading(Path::new(folder)),
        _ => {
            eprintln!("usage: speed rank | rank-large | load FOLDER");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Median seconds of a few runs.
fn median(times: usize, mut of: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..times)
        .map(|_| {
            let began = Instant::now();
            of();
            began.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[times / 2]
}

/// Ranking from features, products included; beside it what the products alone would take at the speed
/// that libtorch reaches on large square matrices.
fn ranking(sizes: &Sizes, times: usize) {
    let threads = threads();
    tch::set_num_threads(threads as i32);
    let Sizes { queries, gallery, own, distractors, people } = *sizes;
    let camera = |at: usize| (at * 7 / people % 6) as u32 + 1;
    let person = |at: usize| (at % people) as i64 + 1;
    let query_labels: Vec<Label> =
        (0..queries).map(|at| Label { person: person(at), camera: camera(at) }).collect();
    let gallery_labels: Vec<Label> = (0..gallery)
        .map(|at| {
            let person = if at < own {
                person(at)
            } else if at < own + distractors {
                0
            } else {
                -1
            };
            Label { person, camera: camera(at) }
        })
        .collect();
    let features = |labels: &[Label], stream: &str| -> Vec<f32> {
        let mut rows = Vec::with_capacity(labels.len() * DIMS);
        for (at, label) in labels.iter().enumerate() {
            let mut noise = Rng::new(1, stream, at as u64);
            let mut centre = Rng::new(1, "centre", label.person.max(0) as u64);
            let row: Vec<f64> =
                (0..DIMS).map(|_| centre.range(-1.0, 1.0) + 4.0 * noise.range(-1.0, 1.0)).collect();
            let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            rows.extend(row.iter().map(|value| (value / norm) as f32));
        }
        rows
    };
    let (one, other) = (features(&query_labels, "query"), features(&gallery_labels, "gallery"));
    let mut map = 0.0;
    let seconds = median(times, || {
        let ranking = rank(&one, &query_labels, &other, &gallery_labels, DIMS, threads);
        map = ranking.map_or(f64::NAN, |ranking| ranking.map());
    });
    println!("ranking {queries} x {gallery} x {DIMS},{seconds:.3},s");
    let side = 3072;
    let matrix = Tensor::rand([side, side], (Kind::Float, Device::Cpu));
    let square = median(5, || drop(matrix.matmul(&matrix)));
    let flops = |n: f64, m: f64, k: f64| 2.0 * n * m * k;
    let ceiling = flops(side as f64, side as f64, side as f64) / square;
    let floor = flops(queries as f64, gallery as f64, DIMS as f64) / ceiling;
    println!("its products alone at {:.0} GFLOP/s,{floor:.3},s", ceiling / 1e9);
    eprintln!("mAP {map:.4}");
}

/// Decoding, resizing and augmenting the training photos of a set in the Market-1501 layout.
fn loading(folder: &Path) {
    let threads = threads();
    let set = match layout::read(folder) {
        Ok(set) => set,
        Err(error) => return eprintln!("error: {error}"),
    };
    let photos = &set.train;
    let count = photos.len() as f64;
    let mut images = None;
    let decode = median(3, || {
        images = Images::load(photos, 256, 128, threads, &|_, _| {}).ok();
    });
    let Some(images) = images.map(Arc::new) else { return eprintln!("error: no photos") };
    let augment = Augment { erasing: 0.0, ..Augment::default() };
    let Ok(loader) = JointLoader::new(Arc::clone(&images), &set.classes(), augment, 8, 1) else {
        return eprintln!("error: fewer than 8 photos");
    };
    // a joint batch is four times 8 photos
    let steps = (images.len() as u64).div_ceil(32).max(8);
    let each = median(3, || {
        std::thread::scope(|scope| {
            for own in 0..threads as u64 {
                let loader = &loader;
                scope.spawn(move || {
                    for step in (own..steps).step_by(threads) {
                        std::hint::black_box(loader.joint_batch(step));
                    }
                });
            }
        });
    }) / (steps * 32) as f64;
    println!("photos decoded and resized to 256x128,{:.0},images/s", count / decode);
    println!("kept photos: flip + pad + crop + normalise,{:.0},images/s", 1.0 / each);
    println!("photos of a first epoch: all of it,{:.0},images/s", 1.0 / (decode / count + each));
}
