//! The parts of the program that `benches/bench.sh` cannot time from outside: lines of `what,who,median,unit` on
//! standard output, and nothing is asserted. *Floor* is what the products alone would take at the speed that libtorch
//! reaches on large square ones.
//!
//!     cargo test --locked --workspace --bench speed -- PART      rank | rank-large | rerank | load FOLDER
//!     cargo test --locked --workspace --bench speed -- rank-scaling       lines of `chart,series,x,y`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use dgnet::data::layout;
use dgnet::data::loader::{Images, JointLoader};
use dgnet::data::rng::Rng;
use dgnet::spec::settings::Augment;
use dgnet::stats::rerank::Rerank;
use dgnet_worker::eval::rank::{Features, Label, rank, reranked};
use tch::{Device, Kind, Tensor};

/// Photos of a synthetic set; `people` have as many as each other, the rest are nobody's.
struct Sizes {
    queries: usize,
    gallery: usize,
    /// Gallery photos of people; then distractors, then junk.
    own: usize,
    distractors: usize,
    people: usize,
    /// How far photos of a person scatter around their centre, whose values are within 1.
    noise: f64,
}

/// Features that hardly know people: mAP 0.06 in Market-1501's sizes. Scores lie close together, the worst case.
const HARD: f64 = 4.0;
/// Features of a good network: mAP 0.8 there.
const GOOD: f64 = 2.6;

/// Market-1501's test set.
const MARKET: Sizes = Sizes {
    queries: 3368,
    gallery: 19_732,
    own: 13_115,
    distractors: 2798,
    people: 750,
    noise: HARD,
};
/// MSMT17's.
const MSMT: Sizes = Sizes {
    queries: 11_659,
    gallery: 82_161,
    own: 82_161,
    distractors: 0,
    people: 3060,
    noise: HARD,
};
const DIMS: usize = 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rank"] => {
            ranking(&MARKET, 5);
            ranking(&Sizes { noise: GOOD, ..MARKET }, 5);
        }
        ["rank-large"] => {
            ranking(&MSMT, 1);
            ranking(&Sizes { noise: GOOD, ..MSMT }, 1);
        }
        ["rerank"] => reranking(&MARKET),
        ["rank-scaling"] => rank_scaling(),
        ["load", folder] => loading(Path::new(folder)),
        _ => {
            eprintln!("usage: speed rank | rank-large | rank-scaling | rerank | load FOLDER");
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

/// Labels of queries and gallery, and features of `dims` values around a centre for each person, of unit length.
fn people(sizes: &Sizes, dims: usize) -> [(Vec<Label>, Vec<f32>); 2] {
    let Sizes { queries, gallery, own, distractors, people, noise: scatter } = *sizes;
    let camera = |at: usize| (at * 7 / people % 6) as u32 + 1;
    let person = |at: usize| (at % people) as i64 + 1;
    let of_gallery = |at: usize| match at {
        at if at < own => person(at),
        at if at < own + distractors => 0,
        _ => -1,
    };
    let features = |labels: Vec<Label>, stream: &str| {
        let mut rows = Vec::with_capacity(labels.len() * dims);
        for (at, label) in labels.iter().enumerate() {
            let mut noise = Rng::new(1, stream, at as u64);
            let mut centre = Rng::new(1, "centre", label.person.max(0) as u64);
            let row: Vec<f64> = (0..dims)
                .map(|_| centre.range(-1.0, 1.0) + scatter * noise.range(-1.0, 1.0))
                .collect();
            let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            rows.extend(row.iter().map(|value| (value / norm) as f32));
        }
        (labels, rows)
    };
    let query = (0..queries).map(|at| Label { person: person(at), camera: camera(at) }).collect();
    let photos =
        (0..gallery).map(|at| Label { person: of_gallery(at), camera: camera(at) }).collect();
    [features(query, "query"), features(photos, "gallery")]
}

/// The largest memory of this process so far, in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Seconds of a product of `n` x `k` and `k` x `m` numbers at the speed of large square ones.
fn floor(n: usize, m: usize, k: usize) -> f64 {
    let side = 3072;
    let matrix = Tensor::rand([side, side], (Kind::Float, Device::Cpu));
    let square = median(5, || drop(matrix.matmul(&matrix)));
    let speed = (side as f64).powi(3) / square;
    eprintln!("large products: {:.0} GFLOP/s", 2.0 * speed / 1e9);
    n as f64 * m as f64 * k as f64 / speed
}

/// Ranking from features, products included.
fn ranking(sizes: &Sizes, times: usize) {
    let threads = threads();
    tch::set_num_threads(threads as i32);
    let [(query_labels, queries), (gallery_labels, gallery)] = people(sizes, DIMS);
    let mut map = 0.0;
    let seconds = median(times, || {
        let ranking = rank(&queries, &query_labels, &gallery, &gallery_labels, DIMS, threads);
        map = ranking.map_or(f64::NAN, |ranking| ranking.map());
    });
    let kind = if sizes.noise < HARD { "good features " } else { "" };
    let what = format!("ranking {kind}{} x {} x {DIMS}", sizes.queries, sizes.gallery);
    println!("{what},dgnet,{seconds:.3},s");
    println!("{what}: peak memory,dgnet,{},MB", peak());
    // junk takes part in nothing
    let photos = gallery_labels.iter().filter(|label| label.person != -1).count();
    println!("{what},floor,{:.3},s", floor(sizes.queries, photos, DIMS));
    eprintln!("mAP {map:.4}");
}

/// Market-1501's queries in galleries of more and more photos of people.
fn rank_scaling() {
    let threads = threads();
    tch::set_num_threads(threads as i32);
    for gallery in [2500, 5000, 10_000, 20_000, 40_000] {
        let sizes = Sizes { gallery, own: gallery, distractors: 0, ..MARKET };
        let [(query_labels, queries), (gallery_labels, photos)] = people(&sizes, DIMS);
        let seconds = median(3, || {
            let ranking = rank(&queries, &query_labels, &photos, &gallery_labels, DIMS, threads);
            std::hint::black_box(ranking.is_ok());
        });
        println!("ranking,dgnet,{gallery},{seconds:.3}");
        println!(
            "ranking,floor: products alone,{gallery},{:.3}",
            floor(sizes.queries, gallery, DIMS)
        );
    }
}

/// The same with k-reciprocal re-ranking, by features of two halves.
fn reranking(sizes: &Sizes) {
    let threads = threads();
    tch::set_num_threads(threads as i32);
    let [query, gallery] = people(sizes, DIMS).map(|(labels, rows)| {
        let halves = rows.chunks_exact(DIMS).map(|row| row.split_at(DIMS / 2));
        let (primary, fine) = halves.map(|(one, other)| (one.to_vec(), other.to_vec())).unzip();
        let [primary, fine] = [primary, fine].map(|rows: Vec<Vec<f32>>| rows.concat());
        Features { labels, primary, fine, dims: DIMS / 2 }
    });
    let mut map = 0.0;
    let seconds = median(1, || {
        map = reranked(&query, &gallery, 1.0, Rerank::default(), threads).map();
    });
    let what = format!("re-ranking {} x {} x {DIMS}", sizes.queries, sizes.gallery);
    println!("{what},dgnet,{seconds:.1},s");
    println!("{what}: peak memory,dgnet,{},MB", peak());
    // of every two photos, whichever comes first
    let photos = sizes.queries + sizes.gallery;
    println!("{what},floor,{:.2},s", floor(photos, photos, DIMS) / 2.0);
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
    println!("photos decoded and resized to 256x128,dgnet,{:.0},images/s", count / decode);
    println!("kept photos: flip + pad + crop + normalise,dgnet,{:.0},images/s", 1.0 / each);
    let first_epoch = 1.0 / (decode / count + each);
    println!("photos of a first epoch: all of it,dgnet,{first_epoch:.0},images/s");
}
