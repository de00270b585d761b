//! The report as a user meets it: same rows, same bytes; hostile names as text; every verdict in words.
#![allow(clippy::unwrap_used)]

use super::demo::{ARMS, Invented, eventful, pairs_of_cameras, settle, study};
use super::plots::Place;
use super::view::Report;
use super::{build, page, tables, write_rows};
use crate::store::rows::StudyData;

pub const PAIR: [Invented; 2] = [
    Invented { name: "full", overrides: &[], effect: 0.0 },
    Invented { name: "no_prim", overrides: &[("loss.lambda_prim", "0")], effect: 0.0 },
];

/// Two arms whose final mAP is given per seed.
pub fn pair(base: &[f64], arm: &[f64]) -> StudyData {
    let mut data = study(&PAIR, base.len() as u64);
    data.study.confirm.clear();
    for metric in data.metrics.iter_mut().filter(|m| m.metric == "mAP" && m.step == 1200) {
        let of = if metric.arm == "full" { base } else { arm };
        metric.value = of[metric.seed as usize - 1];
    }
    settle(&mut data);
    data
}

fn sentence(data: &StudyData) -> String {
    build(data).unwrap().arms[1].sentence.clone()
}

pub const BASE: [f64; 3] = [0.61, 0.63, 0.60];

#[test]
fn worse_means_that_the_baseline_setting_helps() {
    let data = pair(&BASE, &[0.58, 0.597, 0.57]);
    assert_eq!(
        sentence(&data),
        "`no_prim` is worse than `full` by 3.1 points mAP (95 % interval 2.7 to 3.5): \
         the setting of `loss.lambda_prim` in `full` helps."
    );
    assert!(build(&data).unwrap().answer[0].starts_with("Against `full` on 3 seeds: "));
}

#[test]
fn better_means_that_the_baseline_setting_hurts() {
    let text = sentence(&pair(&BASE, &[0.64, 0.659, 0.63]));
    assert!(text.starts_with("`no_prim` is better than `full` by 3.0 points mAP"), "{text}");
    assert!(text.ends_with("`loss.lambda_prim` in `full` hurts."), "{text}");
}

#[test]
fn small_differences_do_not_matter() {
    let text = sentence(&pair(&BASE, &[0.611, 0.6295, 0.6005]));
    assert_eq!(
        text,
        "`no_prim` makes no difference that matters: 0.0 points mAP (90 % interval \u{2212}0.1 to +0.2), \
         inside \u{b1}0.5 points."
    );
}

#[test]
fn undecided_names_the_seeds_that_the_band_takes() {
    let data = pair(&BASE, &[0.58, 0.64, 0.59]);
    let text = sentence(&data);
    assert!(text.contains("is undecided: \u{2212}1.0 points mAP (95 % interval"), "{text}");
    assert!(text.contains("more seeds would decide"), "{text}");
    let answer = build(&data).unwrap().answer.join(" ");
    assert!(
        answer.starts_with("3 seeds cannot decide whether `no_prim` differs from `full`"),
        "{answer}"
    );
    assert!(answer.contains("would settle differences of 0.5 points"), "{answer}");
}

#[test]
fn a_confirmed_arm_waits_for_the_exact_test() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    data.study.confirm = vec!["no_prim".into()];
    let text = sentence(&data);
    assert!(
        text.contains("the exact test over 1 confirmed comparison does not (p = 0.25)"),
        "{text}"
    );
    let report = build(&data).unwrap();
    assert_eq!(report.arms[1].p_note, "Holm");
    assert!(report.answer.join(" ").contains("takes at least 6"), "{:?}", report.answer);
}

#[test]
fn six_seeds_confirm() {
    let base = [0.61, 0.63, 0.60, 0.62, 0.64, 0.615];
    let mut data = pair(&base, &base.map(|v| v - 0.03));
    data.study.confirm = vec!["no_prim".into()];
    let report = build(&data).unwrap();
    assert_eq!(report.arms[1].tone, "worse");
    assert_eq!(report.arms[1].p, "0.031");
    assert!(!report.arms[1].flip_interval.is_empty());
}

#[test]
fn an_exploratory_verdict_says_where_the_exact_test_disagrees() {
    let base = [0.61, 0.63, 0.60, 0.62, 0.64, 0.615];
    // one of six pairs the other way: p = 4 / 64 for the exact test, the t interval leaves zero out
    let arm = [0.58, 0.602, 0.57, 0.585, 0.61, 0.616];
    let report = build(&pair(&base, &arm)).unwrap();
    let told = &report.arms[1];
    assert_eq!((told.verdict.as_str(), told.p.as_str()), ("worse", "0.062"));
    assert_eq!(told.verdict_note, "by the t interval alone");
    assert!(
        told.sentence.ends_with("helps. The exact test alone would not decide it (p = 0.062)."),
        "{}",
        told.sentence
    );
    let agreed = build(&pair(&base, &base.map(|v| v - 0.03))).unwrap();
    assert_eq!(agreed.arms[1].verdict_note, "");
}

#[test]
fn explored_arms_are_told_with_what_chance_would_decide() {
    let report = build(&study(&ARMS, 3)).unwrap();
    let explored = ARMS.len() - 1 - study(&ARMS, 3).study.confirm.len();
    let told = format!(
        "chance alone would call up to {:.2} of these {explored} worse or better",
        0.05 * explored as f64
    );
    assert!(report.conditions.join(" ").contains(&told), "{:?}", report.conditions);
    let one = build(&study(&ARMS, 1)).unwrap();
    assert!(!one.conditions.join(" ").contains("chance alone"), "one seed decides nothing");
}

#[test]
fn a_metric_that_repeats_another_takes_no_column() {
    let mut data = study(&ARMS, 3);
    let plain: Vec<_> = data.metrics.iter().filter(|row| row.metric == "rank1").cloned().collect();
    for name in ["mAP_standard", "mINP"] {
        data.metrics.extend(plain.iter().cloned().map(|mut row| {
            row.metric = name.into();
            row.value *= 0.9;
            row
        }));
    }
    data.study.primary = "rank1".into();
    data.metrics.retain(|row| !row.metric.starts_with("swap_") && row.metric != "recon_l1_ratio");
    settle(&mut data);
    let columns = |data: &StudyData| build(data).unwrap().secondary;
    assert_eq!(columns(&data), ["mAP (%)", "mAP standard (%)"]);
    data.metrics.iter_mut().filter(|row| row.metric == "mINP").for_each(|row| row.value *= 0.9);
    settle(&mut data);
    assert_eq!(columns(&data), ["mAP (%)", "mAP standard (%)", "mINP (%)"]);
}

#[test]
fn one_seed_decides_nothing_and_says_so() {
    let data = pair(&[0.61], &[0.52]);
    assert!(sentence(&data).contains("on one seed, which gives no interval"));
    let report = build(&data).unwrap();
    assert!(
        report.answer[0].starts_with("One seed gives no interval and cannot decide"),
        "{:?}",
        report.answer
    );
    assert_eq!(report.arms[0].interval, "");
}

#[test]
fn diverged_runs_stay_in_the_pairs_as_zero() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    for cell in data.cells.iter_mut().filter(|c| c.arm == "no_prim" && c.seed == 2) {
        cell.state = "diverged".into();
    }
    let report = build(&data).unwrap();
    assert_eq!(report.arms[1].raw.values[1], (2, Some(0.0)));
    assert!(
        report.arms[1].sentence.starts_with("`no_prim` diverges 1 of 3 and "),
        "{}",
        report.arms[1].sentence
    );
    assert_eq!(report.failures.len(), 1);
}

#[test]
fn a_last_value_that_is_not_a_number_counts_as_diverged() {
    let report = build(&pair(&BASE, &[0.58, f64::NAN, 0.57])).unwrap();
    assert_eq!(report.arms[1].raw.diverged, 1);
}

#[test]
fn failed_runs_leave_their_pair_out() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    for cell in data.cells.iter_mut().filter(|c| c.arm == "no_prim" && c.seed == 2) {
        cell.state = "failed".into();
    }
    let report = build(&data).unwrap();
    assert_eq!((report.arms[1].raw.pairs, report.arms[1].seeds.as_str()), (2, "2 of 3"));
}

#[test]
fn runs_on_other_data_are_never_paired() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    for cell in data.cells.iter_mut().filter(|c| c.arm == "no_prim") {
        cell.data_key = "another".into();
    }
    let report = build(&data).unwrap();
    assert_eq!(report.arms[1].raw.pairs, 0);
    assert!(report.arms[1].sentence.contains("other data"), "{}", report.arms[1].sentence);
}

#[test]
fn an_arm_s_runs_on_other_data_are_not_pooled_with_it() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    for cell in data.cells.iter_mut().filter(|c| c.arm == "no_prim" && c.seed == 3) {
        cell.data_key = "another".into();
    }
    let report = build(&data).unwrap();
    let arm = &report.arms[1];
    assert_eq!((arm.raw.n, arm.raw.pairs, arm.seeds.as_str()), (2, 2, "2 of 3"));
    assert!((arm.raw.mean.unwrap() - f64::midpoint(0.58, 0.597)).abs() < 1e-12);
    assert!(
        arm.verdict_note.contains("2 of 3 pairs, the rest on other data"),
        "{}",
        arm.verdict_note
    );
    let told = report.conditions.join(" ");
    assert!(told.contains("1 run left out, on other data"), "{told}");
}

#[test]
fn gaps_of_the_baseline_are_gaps_of_the_pairs() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    for cell in data.cells.iter_mut().filter(|c| c.arm == "full" && c.seed == 2) {
        cell.state = "failed".into();
    }
    let report = build(&data).unwrap();
    assert_eq!((report.arms[1].seeds.as_str(), report.arms[1].raw.pairs), ("3", 2));
    assert!(report.arms[1].verdict_note.contains("2 of 3 pairs"));
}

#[test]
fn the_answer_says_what_is_decided_before_what_is_not() {
    let mut data = study(&ARMS, 6);
    data.study.confirm = vec!["teacher_only".into()];
    let report = build(&data).unwrap();
    let tones: Vec<(&str, &str)> =
        report.arms.iter().map(|a| (a.name.as_str(), a.tone.as_str())).collect();
    assert!(tones.contains(&("teacher_only", "worse")), "{tones:?}");
    assert!(tones.contains(&("low_img", "better")), "{tones:?}");
    assert!(tones.contains(&("no_id", "same")), "{tones:?}");
    let answer = &report.answer;
    let start = "Of 7 arms compared with `full` on 6 seeds, 5 are worse (`teacher_only` \u{2212}8.";
    assert!(answer[0].starts_with(start), "{answer:?}");
    for word in ["worse", "better", "no difference"] {
        assert!(answer[0].contains(word), "{word}: {answer:?}");
    }
    assert_eq!(answer[1], "No comparison is left undecided.");
    // what was declared leads, however small
    let size = |arm: &super::view::ArmView| arm.raw.difference.unwrap().abs();
    let worse = report.arms.iter().filter(|a| a.tone == "worse");
    let least = worse.min_by(|a, b| size(a).total_cmp(&size(b))).unwrap().name.clone();
    data.study.confirm = vec![least.clone()];
    let answer = build(&data).unwrap().answer;
    assert!(answer[0].contains(&format!("worse (`{least}` ")), "{answer:?}");
    assert!(answer[0].contains(", declared in advance; "), "{answer:?}");
}

#[test]
fn an_answer_with_diverged_runs_names_them() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    for cell in data.cells.iter_mut().filter(|c| c.arm == "no_prim") {
        cell.state = "diverged".into();
    }
    let answer = build(&data).unwrap().answer.join(" ");
    assert!(answer.contains("diverges 3 of 3"), "{answer}");
}

#[test]
fn without_a_band_no_number_of_seeds_shows_equality() {
    let mut data = pair(&BASE, &[0.58, 0.64, 0.59]);
    data.study.equal_within = 0.0;
    let report = build(&data).unwrap();
    let answer = report.answer.join(" ");
    assert!(answer.contains("without `equal_within` no number of seeds"), "{answer}");
    assert!(!report.arms[1].sentence.contains("more seed"), "{}", report.arms[1].sentence);
}

#[test]
fn a_family_is_corrected_together() {
    // p = 2/64 each: two comparisons make 0.0625, which decides nothing
    let mut data = study(&ARMS[..3], 6);
    data.study.confirm = vec!["no_prim".into(), "no_fine".into()];
    let report = build(&data).unwrap();
    let p: Vec<Option<f64>> = report.arms.iter().map(|a| a.raw.p_holm).collect();
    assert_eq!(p, [None, Some(0.0625), Some(0.0625)]);
    assert_eq!(report.arms[1].tone, "open");
    let answer = report.answer.join(" ");
    assert!(answer.contains("corrected family of 2 takes at least 7"), "{answer}");
}

#[test]
fn above_twenty_pairs_the_p_states_its_error() {
    let base: Vec<f64> = (0..24).map(|k| 0.6 + 0.01 * f64::from(k).sin()).collect();
    let arm: Vec<f64> = (0..24).map(|k| 0.602 + 0.01 * f64::from(k * 7).cos()).collect();
    let report = build(&pair(&base, &arm)).unwrap();
    assert!(report.arms[1].p_note.starts_with("exploratory, drawn \u{b1} "));
    assert!(report.arms[1].interval.ends_with("(BCa)"));
}

#[test]
fn archived_runs_are_left_out_and_counted() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    data.cells.iter_mut().filter(|c| c.seed == 2).for_each(|c| c.archived = true);
    data.hide_archived();
    let report = build(&data).unwrap();
    assert_eq!(report.arms[1].raw.pairs, 2);
    assert!(report.conditions.join(" ").contains("2 runs archived and left out"));
}

#[test]
fn what_a_study_varies_gets_its_charts() {
    const GRID: [Invented; 6] = [
        Invented { name: "full", overrides: &[], effect: 0.0 },
        Invented { name: "a", overrides: &[("loss.lambda_fine", "0.2")], effect: -0.01 },
        Invented { name: "b", overrides: &[("loss.lambda_fine", "0")], effect: -0.05 },
        Invented { name: "c", overrides: &[("loss.lambda_prim", "0")], effect: -0.02 },
        Invented {
            name: "d",
            overrides: &[("loss.lambda_prim", "0"), ("loss.lambda_fine", "0.2")],
            effect: -0.03,
        },
        Invented {
            name: "e",
            overrides: &[("loss.lambda_prim", "0"), ("loss.lambda_fine", "0")],
            effect: -0.08,
        },
    ];
    let report = build(&study(&GRID, 5)).unwrap();
    let alts = |report: &Report, place: Place| {
        let of: Vec<&str> =
            report.figures.iter().filter(|f| f.place == place).map(|f| f.alt.as_str()).collect();
        of.join(" | ")
    };
    let alt = |place: Place| alts(&report, place);
    let curve = alt(Place::Response);
    assert!(curve.contains("3 levels of loss.lambda_fine: best at 0.4"), "{curve}");
    assert!(curve.contains("no other level may be the best"), "{curve}");
    assert!(alt(Place::Heat).contains("means of 6 arms"), "{}", alt(Place::Heat));
    assert_eq!(alt(Place::Effects), "", "four corners would hide a level");
    let [full, _, b, c, _, e] = GRID;
    let corners = [full, b, c, e];
    let effects = alts(&build(&study(&corners, 5)).unwrap(), Place::Effects);
    assert!(effects.contains("lambda_prim 2 \u{2192} 0 \u{2212}2."), "{effects}");
    assert!(effects.contains(" \u{d7} "), "{effects}");
    assert!(alt(Place::Cmc).contains("6 arms"));
    let html = page::render(&report);
    assert!(html.contains("What was varied") && html.contains("Ranks"));
}

#[test]
fn lower_is_better_turns_the_verdict() {
    let mut data = pair(&BASE, &[0.64, 0.659, 0.63]);
    for def in data.defs.iter_mut().filter(|d| d.name == "mAP") {
        def.direction = "lower".into();
    }
    assert_eq!(build(&data).unwrap().arms[1].tone, "worse");
}

#[test]
fn an_unfinished_study_says_so() {
    let mut data = study(&ARMS, 3);
    for cell in &mut data.cells {
        cell.state = "planned".into();
    }
    data.metrics.clear();
    data.finals.clear();
    data.artifacts.clear();
    let report = build(&data).unwrap();
    assert_eq!(
        report.answer,
        ["No arm has a finished run beside one of `full` yet: 0 of 24 runs done."]
    );
    assert!(page::render(&report).contains("Arms"));
}

#[test]
fn runs_that_have_not_begun_are_neither_old_nor_of_other_data() {
    let mut data = study(&ARMS, 3);
    data.metrics.retain(|m| m.seed < 3);
    settle(&mut data);
    for cell in data.cells.iter_mut().filter(|c| c.seed == 3) {
        (cell.state, cell.begin) = ("planned".into(), "{}".into());
        (cell.recipe, cell.data_key) = (0, String::new());
    }
    let report = build(&data).unwrap();
    assert_eq!(report.arms[1].seeds, "2 of 3");
    let told = report.conditions.join(" ");
    assert!(told.contains("one data set") && !told.contains("older recipe"), "{told}");
    let recipe = report.provenance.iter().find(|f| f.label == "Recipe version");
    assert_eq!(recipe.map(|f| f.value.as_str()), Some("1"));
}

#[test]
fn names_are_shown_as_text() {
    let mut data = pair(&BASE, &[0.58, 0.597, 0.57]);
    let evil = "\"><script>alert(1)</script>";
    data.study.question = format!("Is {evil} safe?");
    data.arms[1].label = evil.into();
    data.arms[1].overrides.insert(evil.into(), evil.into());
    data.cells[0].folder = evil.into();
    data.artifacts[0].caption = evil.into();
    pairs_of_cameras(&mut data, 3);
    for picture in data.artifacts.iter_mut().filter(|a| a.arm == "no_prim") {
        picture.media_type = "image/svg+xml".into();
    }
    let report = build(&data).unwrap();
    let html = page::render(&report);
    assert!(!html.contains("<script>alert"), "a name became markup");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(
        (report.pictures.len(), report.ranked.len()),
        (1, 1),
        "vector pictures may carry scripts and stay out"
    );
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "the page asks nothing of a network"
    );
    assert!(!tables::markdown(&report).contains("<script>"));
}

#[test]
fn lists_and_changed_queries_state_their_findings() {
    let report = build(&study(&ARMS, 3)).unwrap();
    assert_eq!(report.ranked.len(), ARMS.len());
    assert_eq!(report.ranked[0].lists.len(), 3);
    let (change, html) = (&report.changes[0], page::render(&report));
    assert_eq!((change.arm.as_str(), change.seeds.as_str()), ("no_prim", "3 seeds"));
    let differences = |queries: &[super::pictures::ChangedQuery]| -> Vec<String> {
        queries.iter().map(|query| query.difference.clone()).collect()
    };
    assert_eq!(differences(&change.improved), ["+17.5", "+12.5", "+7.5", "+2.5"]);
    let hurt = ["17.5", "12.5", "7.5", "2.5"].map(|points| format!("\u{2212}{points}"));
    assert_eq!(differences(&change.hurt), hurt);
    assert!(html.contains(
        "alt=\"Ranked list of no_prim, seed 1, step 1200. query 0091 camera 2: 7 of 10 right, first right at rank 1"
    ));
    assert_eq!(html.matches("<details open>").count(), 1, "the baseline's lists are open");
    let quality = report.quality.unwrap();
    assert_eq!(quality.headings, ["swap nearer (%)", "swap psnr (dB)"]);
    assert_eq!(quality.rows.len(), ARMS.len() - 1, "a teacher draws nothing");
}

#[test]
fn same_rows_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = eventful();
    let mut shuffled = data.clone();
    shuffled.metrics.reverse();
    write_rows(&data, a.path()).unwrap();
    write_rows(&shuffled, b.path()).unwrap();
    let mut files = 0;
    for folder in ["", "figures"] {
        for entry in std::fs::read_dir(a.path().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let other = b.path().join(path.strip_prefix(a.path()).unwrap());
                assert!(std::fs::read(&path).unwrap() == std::fs::read(other).unwrap(), "{path:?}");
                files += 1;
            }
        }
    }
    assert!(files > 30, "{files}");
}

#[test]
fn a_study_whose_seeds_were_added_decides_look_by_look() {
    let mut data = study(&ARMS, 12);
    let usual = build(&data).unwrap();
    data.study.adaptive = Some(crate::spec::Adaptive { min: 4, max: 12 });
    // the sweep stopped after the first look: the declared arm and the baseline have four seeds
    let open = |data: &StudyData| build(data).unwrap();
    let report = open(&data);
    let last = report.arms.last().unwrap();
    assert_eq!((last.verdict.as_str(), last.raw.pairs), ("worse", 4), "{last:?}");
    assert_eq!(last.p_note, "Holm, all looks");
    // a look on four pairs spends an eighth of the error rate, so its interval is wider
    let (low, high) = last.raw.difference_interval.unwrap();
    data.study.adaptive = None;
    data.cells.retain(|cell| cell.seed <= 4);
    let fixed = build(&data).unwrap().arms.last().unwrap().raw.difference_interval.unwrap();
    assert!(low < fixed.0 && fixed.1 < high, "{low} {high} {fixed:?}");
    let told = report.conditions.join(" ");
    assert!(told.contains("looks at 4, 6, 8, 10 and 12 pairs"), "{told}");
    assert!(told.contains("99.38 %") && told.contains("97.50 %"), "{told}");
    assert!(!usual.conditions.join(" ").contains("looks at"));
    // exploratory arms are judged as ever
    assert_eq!(report.arms[1].p_note, "exploratory");
}

#[test]
fn before_the_first_look_nothing_is_decided() {
    let mut data = study(&ARMS, 3);
    data.study.adaptive = Some(crate::spec::Adaptive { min: 4, max: 12 });
    let report = build(&data).unwrap();
    assert_eq!(report.arms.last().unwrap().verdict, "inconclusive");
}

#[test]
fn arms_that_were_given_up_are_named_with_the_rule() {
    let mut data = study(&ARMS, 6);
    data.study.prune = Some(crate::spec::Prune { after: 3, behind: 0.005 });
    let told = |data: &StudyData| build(data).unwrap().conditions.join(" ");
    let nobody = told(&data);
    assert!(nobody.contains("after 3 seeds") && nobody.contains("that was none"), "{nobody}");
    assert!(nobody.contains("more than 0.5 points"), "{nobody}");
    // hopeless by a wide margin, and without its other seeds
    let name = "no_id";
    data.cells.retain(|cell| cell.arm != name || cell.seed <= 3);
    for row in data.finals.iter_mut().filter(|row| row.arm == name && row.metric == "mAP") {
        row.value = 0.1 + 0.001 * row.seed as f64;
    }
    let one = told(&data);
    assert!(one.contains("on the worse side: `no_id`."), "{one}");
    let facts = build(&data).unwrap().facts;
    assert!(facts[0].value.contains("3 to 6 seeds"), "{facts:?}");
    // nobody is that far behind
    data.study.prune = Some(crate::spec::Prune { after: 2, behind: 10.0 });
    assert!(told(&data).contains("that was none"));
}

#[test]
fn what_decides_nothing_says_so_and_every_chart_has_its_words() {
    let mut data = super::demo::searched(24, 3);
    pairs_of_cameras(&mut data, 5);
    let report = build(&data).unwrap();
    let html = page::render(&report);
    for text in [
        "no verdict rests on them",
        "Probability of improvement:",
        "no arm beats",
        "A line is an arm",
        "`full` finds people worst from camera",
        "difference to the baseline, 3 seeds",
        "dgnet query --name cameras",
    ] {
        let marked = text.replace("`full`", "<code>full</code>");
        assert!(html.contains(&marked), "{text}");
    }
    for figure in &report.figures {
        assert!(figure.alt.len() > 30 && html.contains("alt=\""), "{}", figure.title);
        assert!(figure.images.iter().all(|i| !i.png.is_empty() && i.svg.contains("</svg>")));
    }
    let json: serde_json::Value =
        serde_json::from_str(&super::write::json(&report).unwrap()).unwrap();
    assert_eq!(json["opinions"].as_array().map(Vec::len), Some(24));
    assert_eq!(json["front"]["metrics"][0], "mAP (%)");
    assert_eq!(json["cameras"]["baseline"]["cells"][0][0], serde_json::Value::Null);
    let places: Vec<Place> = report.figures.iter().map(|figure| figure.place).collect();
    assert!(places.contains(&Place::Parallel) && places.contains(&Place::Front), "{places:?}");
}
