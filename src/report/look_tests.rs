//! Demanding studies, drawn into files for people to look at; asserts nothing about looks.
#![allow(clippy::unwrap_used)]

use super::demo::{ARMS, Invented, eventful, pairs_of_cameras, searched, settle, study};
use super::tests::{BASE, PAIR, pair};
use super::write_rows;
use crate::store::rows::StudyData;

/// Forty arms, names as long as they may be.
fn crowd() -> StudyData {
    let mut data = study(&PAIR, 3);
    let (arm, cells, metrics) = (
        data.arms[1].clone(),
        data.cells.iter().filter(|c| c.arm == "no_prim").cloned().collect::<Vec<_>>(),
        data.metrics.iter().filter(|m| m.arm == "no_prim").cloned().collect::<Vec<_>>(),
    );
    for k in 0..39_u32 {
        let name =
            format!("arm_{k:02}_{}", "long_name_".repeat(6)).chars().take(64).collect::<String>();
        let shift = f64::from(k % 9) * 0.007 - 0.03;
        data.arms.push(crate::store::rows::ArmRow { name: name.clone(), ..arm.clone() });
        data.cells.extend(
            cells.iter().cloned().map(|c| crate::store::rows::CellRow { arm: name.clone(), ..c }),
        );
        data.metrics.extend(metrics.iter().cloned().map(|m| {
            let value = if m.metric == "mAP" { m.value + shift } else { m.value };
            crate::store::rows::MetricRow { arm: name.clone(), value, ..m }
        }));
    }
    data.study.confirm = data.arms[1..7].iter().map(|a| a.name.clone()).collect();
    settle(&mut data);
    data
}

/// Constant curves, values over twelve orders of magnitude, nothing finite, markup in names.
fn nasty() -> StudyData {
    let mut data = pair(&BASE, &[0.58, 0.64, f64::NAN]);
    for metric in &mut data.metrics {
        match metric.metric.as_str() {
            "loss_img_1" => metric.value = 0.25,
            "loss_img_2" => metric.value = f64::NAN,
            "loss_total" => metric.value = 10f64.powf(6.0 - metric.step as f64 / 100.0),
            "loss_cycle" => metric.value = 0.0,
            "loss_adv" => metric.value *= -1e9,
            _ => {}
        }
    }
    settle(&mut data);
    data.study.name = "x".repeat(64);
    data.study.question =
        format!("\u{202e}<script>alert(1)</script> \u{1f600} \"quotes\" & {}", "w".repeat(200));
    data.arms[1].label = "<script>alert('label')</script>".into();
    data
}

/// Two weights crossed, over zero and twelve orders of magnitude, with a gap.
fn grid() -> StudyData {
    let prims = ["0", "0.000001", "0.01", "2", "1000000"];
    let fines = ["0", "0.1", "0.4", "0.8"];
    let mut arms = vec![Invented { name: "full", overrides: &[], effect: 0.0 }];
    for (i, prim) in prims.iter().enumerate() {
        for (j, fine) in fines.iter().enumerate() {
            if (*prim, *fine) == ("2", "0.4") || (i, j) == (4, 3) {
                continue;
            }
            // a test's few bytes may stay for the life of the process
            let overrides: &'static [(&str, &str)] =
                Box::leak(Box::new([("loss.lambda_prim", *prim), ("loss.lambda_fine", *fine)]));
            let name: &'static str = Box::leak(format!("p{prim}_f{fine}").into_boxed_str());
            let effect = -0.004 * ((i as f64 - 3.0).powi(2) + (j as f64 - 2.0).powi(2));
            arms.push(Invented { name, overrides, effect });
        }
    }
    study(&arms, 3)
}

/// With pairs of so many cameras.
fn between(mut data: StudyData, cameras: u32) -> StudyData {
    pairs_of_cameras(&mut data, cameras);
    data
}

/// Arms whose names are as long as they may be, settings whose texts are long too.
fn long_names(mut data: StudyData) -> StudyData {
    let long = |name: &str| format!("{name}_{}", "long_name_".repeat(6)).chars().take(64).collect();
    data.study.baseline = long(&data.study.baseline);
    data.study.confirm = data.study.confirm.iter().map(|name| long(name)).collect();
    data.arms.iter_mut().for_each(|arm| arm.name = long(&arm.name));
    data.cells.iter_mut().for_each(|row| row.arm = long(&row.arm));
    data.metrics.iter_mut().for_each(|row| row.arm = long(&row.arm));
    data.cameras.iter_mut().for_each(|row| row.arm = long(&row.arm));
    data.settings = std::mem::take(&mut data.settings)
        .into_iter()
        .map(|(arm, mut settings)| {
            if let Some(value) = settings.get_mut("structure.input") {
                *value = format!("\"a long text about {}\"", value.trim_matches('"'));
            }
            (long(&arm), settings)
        })
        .collect();
    settle(&mut data);
    data
}

/// Arms that tie in several metrics, one that wins one of them, one without values.
fn tied() -> StudyData {
    let mut data = study(&ARMS, 3);
    for row in data.metrics.iter_mut().filter(|row| row.arm != "teacher_only") {
        row.value = match (row.metric.as_str(), row.arm.as_str()) {
            ("mAP", "rgb") => 0.59,
            ("swap_psnr", "rgb") => 21.5,
            ("mAP", _) => 0.61,
            ("swap_psnr", _) => 19.5,
            _ => row.value,
        };
    }
    settle(&mut data);
    data
}

/// Draws every case into `$DGNET_LOOK`, for eyes.
#[test]
#[ignore = "writes reports for people to look at"]
fn look() {
    let Some(out) = std::env::var_os("DGNET_LOOK").map(std::path::PathBuf::from) else { return };
    let eight = |n| study(&ARMS, n);
    for (name, data) in [
        ("eventful", eventful()),
        ("crowd", crowd()),
        ("nasty", nasty()),
        ("one_seed", eight(1)),
        ("eight_seeds", eight(8)),
        ("one_arm", study(&ARMS[..1], 3)),
        ("search_40", between(searched(40, 3), 6)),
        ("search_300", searched(300, 1)),
        ("search_long", long_names(between(searched(12, 3), 15))),
        ("ties", tied()),
        ("grid", grid()),
        ("grid_one_seed", {
            let mut data = grid();
            data.cells.retain(|c| c.seed == 1);
            data.metrics.retain(|m| m.seed == 1);
            settle(&mut data);
            data
        }),
    ] {
        let start = std::time::Instant::now();
        write_rows(&data, &out.join(name)).unwrap();
        let size = std::fs::metadata(out.join(name).join("index.html")).unwrap().len();
        std::fs::write(out.join(name).join("took.txt"), format!("{:?} {size}\n", start.elapsed()))
            .unwrap();
    }
}
