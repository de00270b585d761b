//! Constructed studies for tests: plausible ones to look at, and nasty ones.

use std::collections::BTreeMap;

use crate::store::rows::{
    ArmRow, ArtifactRow, CameraRow, CellRow, ChangeRow, FinalRow, HitRow, MetricDef, MetricRow,
    StageRow, StudyData, StudyRow,
};

/// An arm to invent: name, overrides, effect on mAP.
pub struct Invented {
    /// Name.
    pub name: &'static str,
    /// Overrides.
    pub overrides: &'static [(&'static str, &'static str)],
    /// Added to the baseline's mAP.
    pub effect: f64,
}

/// The arms of a study like the default one.
pub const ARMS: [Invented; 8] = [
    Invented { name: "full", overrides: &[], effect: 0.0 },
    Invented { name: "no_prim", overrides: &[("loss.lambda_prim", "0")], effect: -0.031 },
    Invented { name: "no_fine", overrides: &[("loss.lambda_fine", "0")], effect: -0.006 },
    Invented { name: "no_id", overrides: &[("loss.lambda_id", "0")], effect: 0.0002 },
    Invented { name: "low_img", overrides: &[("loss.lambda_img", "0.5")], effect: 0.019 },
    Invented { name: "rgb", overrides: &[("structure.input", "\"rgb\"")], effect: -0.012 },
    Invented { name: "hard_labels", overrides: &[("teacher.labels", "\"hard\"")], effect: -0.009 },
    Invented {
        name: "teacher_only",
        overrides: &[("train.mode", "\"teacher_only\"")],
        effect: -0.082,
    },
];

/// A random search over three weights, of which one spans orders of magnitude, and a text.
pub fn searched(arms: u64, seeds: u64) -> StudyData {
    let mut found = vec![Invented { name: "full", overrides: &[], effect: 0.0 }];
    for k in 1..arms {
        let (prim, fine, id) = (noise(k, 1, 1), noise(k, 2, 2), noise(k, 3, 3));
        let input = ["\"grey\"", "\"rgb\"", "\"edges\""][k as usize % 3];
        // a test's few bytes may stay for the life of the process
        let value = |v: f64| -> &'static str { Box::leak(format!("{v:.6}").into_boxed_str()) };
        let overrides: &'static [(&str, &str)] = Box::leak(Box::new([
            ("loss.lambda_prim", value(10f64.powf(2.5 * prim))),
            ("loss.lambda_fine", value(0.4 + 0.35 * fine)),
            ("loss.lambda_id", value((4.0 + 4.0 * id).round() / 8.0)),
            ("structure.input", input),
        ]));
        let name: &'static str = Box::leak(format!("draw_{k:03}").into_boxed_str());
        let effect = -0.05 * (prim - 0.2).powi(2) - 0.03 * (fine - 0.4).powi(2);
        found.push(Invented { name, overrides, effect });
    }
    study(&found, seeds)
}

const STEPS: u64 = 1200;
const LOSSES: [(&str, f64, f64); 11] = [
    ("loss_total", 14.0, 3.1),
    ("loss_img_1", 0.62, 0.085),
    ("loss_img_2", 0.66, 0.13),
    ("loss_id_s", 9.2, 0.41),
    ("loss_id_c", 4.6, 1.2),
    ("loss_code_1", 0.9, 0.31),
    ("loss_code_2", 0.7, 0.12),
    ("loss_cycle", 0.5, 0.16),
    ("loss_adv", 3.2, 2.4),
    ("loss_prim", 1.9, 0.44),
    ("loss_fine", 4.4, 1.9),
];

/// Noise in -1 ..= 1 that depends on its arguments alone.
fn noise(a: u64, b: u64, c: u64) -> f64 {
    let mut word =
        a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xC2B2_AE3D_27D4_EB4F) ^ (c + 1);
    for _ in 0..3 {
        word = (word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    (word >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A study of these arms and seeds, everything done.
pub fn study(arms: &[Invented], seeds: u64) -> StudyData {
    let mut data = StudyData {
        study: StudyRow {
            name: "ablations".into(),
            question: "Which losses, teacher and grey input earn their keep?".into(),
            primary: "mAP".into(),
            equal_within: 0.005,
            baseline: arms.first().map_or(String::new(), |a| a.name.to_owned()),
            confirm: arms
                .last()
                .map(|a| a.name.to_owned())
                .into_iter()
                .skip(usize::from(arms.len() < 2))
                .collect(),
            adaptive: None,
            prune: None,
            file: "experiments/ablations.yaml".into(),
            source: "study: ablations\nextends: base/small.yaml\nseeds: 3\nprimary: mAP\n".into(),
        },
        arms: Vec::new(),
        cells: Vec::new(),
        metrics: Vec::new(),
        stretch: 11,
        finals: Vec::new(),
        defs: defs(),
        artifacts: Vec::new(),
        changes: Vec::new(),
        stages: stages(arms.len() as u32, seeds as u32),
        settings: BTreeMap::new(),
        hits: Vec::new(),
        cameras: Vec::new(),
        marks: Vec::new(),
        archived: 0,
    };
    for (place, arm) in arms.iter().enumerate() {
        let overrides = arm.overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        data.arms.push(ArmRow {
            name: arm.name.to_owned(),
            label: arm.name.to_owned(),
            overrides: overrides.collect::<BTreeMap<_, _>>(),
        });
        data.settings.insert(arm.name.to_owned(), settings(arm));
        for seed in 1..=seeds {
            data.hits.extend(hits(arm, place as u64, seed));
            data.cells.push(cell(arm.name, place as u64, seed));
            curves(&mut data.metrics, arm, place as u64, seed);
        }
        data.artifacts.push(grid(arm.name, place as u64));
        data.artifacts.extend((1..=3).map(|number| list(arm.name, place as u64, number)));
        if place > 0 {
            data.changes.extend(changes(arm.name, place as u64, seeds));
        }
    }
    settle(&mut data);
    data
}

/// Takes last values from the curves, after these were changed.
pub fn settle(data: &mut StudyData) {
    let mut last: BTreeMap<(String, u64, String), (u64, f64)> = BTreeMap::new();
    for row in &data.metrics {
        let of = last.entry((row.arm.clone(), row.seed, row.metric.clone())).or_default();
        if row.step >= of.0 {
            *of = (row.step, row.value);
        }
    }
    data.finals = last
        .into_iter()
        .map(|((arm, seed, metric), (_, value))| FinalRow { arm, seed, metric, value })
        .collect();
}

/// The settings that the invented arms vary, resolved.
fn settings(arm: &Invented) -> BTreeMap<String, String> {
    let defaults = [
        ("loss.lambda_prim", "2"),
        ("loss.lambda_fine", "0.4"),
        ("loss.lambda_id", "0.5"),
        ("loss.lambda_img", "5"),
        ("structure.input", "\"grey\""),
        ("teacher.labels", "\"soft\""),
        ("train.mode", "\"joint\""),
    ];
    let pairs = defaults.iter().chain(arm.overrides);
    pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Ranks of the first true matches of 200 queries.
fn hits(arm: &Invented, place: u64, seed: u64) -> Vec<HitRow> {
    let mut counts = BTreeMap::new();
    for query in 0..200 {
        let luck = 0.5 + 0.5 * noise(query, 17, 3) + arm.effect + 0.02 * noise(place, seed, query);
        let rank = if luck > 0.25 { 1 } else { 1 + ((0.25 - luck) * 90.0) as u32 };
        *counts.entry(rank).or_insert(0) += 1;
    }
    let row = |(rank, queries)| HitRow { arm: arm.name.into(), seed, rank, queries };
    counts.into_iter().map(row).collect()
}

fn defs() -> Vec<MetricDef> {
    let mut defs: Vec<MetricDef> = LOSSES
        .iter()
        .map(|l| (l.0, "", "lower"))
        .chain([
            ("mAP", "", "higher"),
            ("rank1", "", "higher"),
            ("swap_nearer", "", "higher"),
            ("swap_psnr", "dB", "higher"),
            ("step_seconds", "s", "lower"),
        ])
        .map(|(name, unit, direction)| MetricDef {
            name: name.into(),
            unit: unit.into(),
            direction: direction.into(),
        })
        .collect();
    defs.sort_by(|a, b| a.name.cmp(&b.name));
    defs
}

fn curves(rows: &mut Vec<MetricRow>, arm: &Invented, place: u64, seed: u64) {
    let mut push = |metric: &str, step: u64, value: f64| {
        rows.push(MetricRow { arm: arm.name.into(), seed, metric: metric.into(), step, value });
    };
    let shared = 0.012 * noise(99, seed, 0);
    for (k, (name, from, to)) in LOSSES.iter().enumerate() {
        for step in (0..=STEPS).step_by(10) {
            let t = step as f64 / STEPS as f64;
            let value = to + (from - to) * (-6.0 * t).exp() * (1.0 + 0.4 * arm.effect * 10.0);
            push(name, step, value * (1.0 + 0.06 * noise(place * 50 + k as u64, seed, step)));
        }
    }
    for step in (0..=STEPS).step_by(200) {
        let t = step as f64 / STEPS as f64;
        let own = 0.0025 * noise(place, seed, 7);
        let goal = 0.613 + arm.effect + shared + own;
        let wobble = 0.008 * noise(place, seed, step) * (1.0 - t);
        let value = 0.04 + (goal - 0.04) * (1.0 - (-4.5 * t).exp()) / (1.0 - (-4.5_f64).exp());
        push("mAP", step, value + wobble);
        push("rank1", step, value + wobble + 0.14);
    }
    if arm.name != "teacher_only" {
        push("swap_nearer", STEPS, 0.87 + arm.effect + shared);
        push("swap_psnr", STEPS, 19.4 + 20.0 * arm.effect + shared);
    }
    push("step_seconds", STEPS, 0.31);
}

fn cell(arm: &str, place: u64, seed: u64) -> CellRow {
    let wall = 118.0 + 9.0 * noise(place, seed, 3);
    CellRow {
        arm: arm.into(),
        seed,
        uid: format!("{:064x}", (place + 1) * 7_919_000_333 * (seed + 10)),
        folder: format!("ablations/{arm}/seed-{seed}-{:08x}", (place + 1) * 7_919 * (seed + 10)),
        state: "done".into(),
        attempt: 1,
        step: (STEPS, STEPS),
        failure: None,
        wall_s: Some(wall),
        cpu_s: Some(wall * 0.98),
        peak_bytes: Some(612_000_000 + place * 3_000_000),
        recipe: 1,
        data_key: "5c1f0a7be2d94c3388b2f6d1a0c9e4d7".into(),
        begin: format!(
            r#"{{"attempt":1,"version":"0.1.0","libtorch":"2.11.0","device":"cpu","processor":"AMD EPYC 9B14","instruction_set":"AVX512","host":"box","git_commit":"8d41f0c","git_dirty":null,"started_at":{}}}"#,
            1_795_501_020 + place * 240 + seed * 80
        ),
        archived: false,
    }
}

fn stages(arms: u32, seeds: u32) -> Vec<StageRow> {
    let stage = |kind: &str, n: u32, used_by: u32, wall: f64| {
        (0..n)
            .map(move |k| StageRow {
                kind: kind.to_owned(),
                key: format!("{k:032x}"),
                used_by,
                wall_s: Some(wall),
            })
            .collect::<Vec<_>>()
    };
    [
        stage("data", 1, arms * seeds, 21.0),
        stage("teacher", seeds, arms, 64.0),
        stage("training", arms * seeds, 1, 96.0),
    ]
    .concat()
}

/// Gives every run pairs of so many cameras; nobody is searched for under their own.
pub fn pairs_of_cameras(data: &mut StudyData, cameras: u32) {
    let mut rows = Vec::new();
    for (place, arm) in data.arms.iter().enumerate() {
        let cells = data.cells.iter().filter(|cell| cell.arm == arm.name);
        for (seed, query) in cells.flat_map(|cell| (1..=cameras).map(|query| (cell.seed, query))) {
            for gallery in (1..=cameras).filter(|gallery| *gallery != query) {
                let base = (0.3 + 0.08 * f64::from(query) + 0.01 * f64::from(gallery)).min(0.97);
                let own = 0.06 * noise(place as u64, u64::from(query), u64::from(gallery)) - 0.02;
                rows.push(CameraRow {
                    arm: arm.name.clone(),
                    seed,
                    query_camera: query,
                    gallery_camera: gallery,
                    queries: u64::from(3 + query * gallery),
                    map: base + if place > 0 { own } else { 0.0 },
                });
            }
        }
    }
    data.cameras = rows;
}

/// Queries that gain and queries that lose.
fn changes(arm: &str, place: u64, seeds: u64) -> Vec<ChangeRow> {
    let row = |k: u64| {
        let value = 0.5 + 0.3 * noise(place, k, 1);
        ChangeRow {
            arm: arm.into(),
            query: format!("{:04}_c{}s1_{:06}_00.jpg", 97 + k * 3, 1 + k % 4, 40 + k),
            seeds: seeds as u32,
            baseline: value - 0.05 * (3.5 - k as f64),
            value,
        }
    };
    (0..8).map(row).collect()
}

/// A picture like a swap grid: coloured figures in rows and columns.
fn grid(arm: &str, place: u64) -> ArtifactRow {
    let (rows, columns, height, width) = (5_u32, 6_u32, 64_u32, 32_u32);
    let mut picture =
        image::RgbImage::from_pixel(columns * width, rows * height, image::Rgb([238, 238, 238]));
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (column, row) = (u64::from(x / width), u64::from(y / height));
        let (px, py) = (x % width, y % height);
        let shift = (4.0 * noise(row, 5, 5)) as i64;
        let body = (i64::from(px) - 16 + shift).abs() < 7 && (14..58).contains(&py);
        let head = (i64::from(px) - 16 + shift).pow(2) + (i64::from(py) - 9).pow(2) < 25;
        let tone = |k: u64| (128.0 + 100.0 * noise(column, k, if py < 36 { 1 } else { 2 })) as u8;
        if head {
            *pixel = image::Rgb([214, 176, 148]);
        } else if body {
            *pixel = image::Rgb([tone(1), tone(2), tone(3).wrapping_add(place as u8)]);
        } else {
            let back = (205.0 + 30.0 * noise(row, 9, 9)) as u8;
            *pixel = image::Rgb([back, back, back.saturating_sub(6)]);
        }
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).ok();
    ArtifactRow {
        arm: arm.into(),
        seed: 1,
        name: "swap_grid.png".into(),
        kind: "swap_grid".into(),
        step: STEPS,
        media_type: "image/png".into(),
        caption:
            "Top row: photos that give the appearance. Left column: photos that give the structure."
                .into(),
        bytes: bytes.into_inner(),
    }
}

/// A picture in the place of a ranked list.
fn list(arm: &str, place: u64, number: u64) -> ArtifactRow {
    ArtifactRow {
        name: format!("ranked_{number:02}.png"),
        kind: "ranked".into(),
        caption: format!(
            "query {:04} camera 2: {} of 10 right, first right at rank {number}; 9 true matches",
            90 + number,
            10 - 3 * number
        ),
        ..grid(arm, place)
    }
}

/// The default study with a diverged and a failed run.
pub fn eventful() -> StudyData {
    let mut data = study(&ARMS, 3);
    let mut end = |arm: &str, seed: u64, state: &str, step: u64, why: &str| {
        for cell in data.cells.iter_mut().filter(|c| c.arm == arm && c.seed == seed) {
            cell.state = state.into();
            cell.step.0 = step;
            cell.failure = Some(why.into());
        }
        data.metrics.retain(|m| m.arm != arm || m.seed != seed || m.step <= step);
    };
    end("hard_labels", 2, "diverged", 640, "`loss_prim` is not a number at step 640");
    end("rgb", 3, "failed", 210, "the worker was killed (signal 9) three times");
    data.metrics.push(MetricRow {
        arm: "hard_labels".into(),
        seed: 2,
        metric: "loss_prim".into(),
        step: 640,
        value: f64::NAN,
    });
    settle(&mut data);
    data
}
