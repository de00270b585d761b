//! `eval*.json` and `rerank*.json`: ranking by the official protocol, and k-reciprocal re-ranking.

use dgnet::stats::ranking::{Label, Ranking, rank_all};
use dgnet::stats::rerank::{Rerank, rerank};
use dgnet_worker::eval::rank::rank;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::{Differences, unit};

struct Case<'a>(&'a Value);

impl Case<'_> {
    fn real(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in the case"))
    }

    fn count(&self, key: &str) -> usize {
        self.real(key) as usize
    }

    fn draw(&self, part: &str, at: usize) -> f64 {
        unit(&format!("{}.{part}", self.0["tag"].as_str().unwrap_or_default()), at as u64)
    }

    fn labels(&self, side: &str, count: usize) -> Vec<Label> {
        let label = |at| {
            let pick =
                |part: &str, of: f64| 1 + (self.draw(&format!("{side}{part}"), at) * of) as i64;
            let (person, camera) =
                (pick("l", self.real("ids")), pick("c", self.real("cams")) as u32);
            let kind = self.draw("kind", at);
            let person = match side {
                "g" if kind < self.real("junk") => -1,
                "g" if kind < self.real("junk") + self.real("zero") => 0,
                _ => person,
            };
            Label { person, camera }
        };
        (0..count).map(label).collect()
    }

    fn features(&self, side: &str, labels: &[Label]) -> Vec<f64> {
        let dims = self.count("dims");
        let signed = |part: &str, at| 2.0 * self.draw(part, at) - 1.0;
        let row = |(index, label): (usize, &Label)| {
            let centre = label.person.max(0) as usize * dims;
            let noisy = |at| {
                signed("centre", centre + at) + self.real("noise") * signed(side, index * dims + at)
            };
            let row: Vec<f64> = (0..dims).map(noisy).collect();
            let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            row.into_iter().map(move |value| value / norm)
        };
        labels.iter().enumerate().flat_map(row).collect()
    }

    fn both_sides(&self) -> [(Vec<Label>, Vec<f64>); 2] {
        [("q", "queries"), ("g", "gallery")].map(|(side, count)| {
            let labels = self.labels(side, self.count(count));
            let features = self.features(side, &labels);
            (labels, features)
        })
    }
}

/// The cases of an `eval*.json`.
pub fn evaluation(cases: &Value) -> Result<(), Failed> {
    let mut differences = Differences::default();
    for case in cases.as_array().ok_or("not a list of cases")? {
        let case = Case(case);
        let [(query, q), (gallery, g)] = case.both_sides();
        let ranking = rank(&q, &query, &g, &gallery, case.count("dims"), 2)?;
        compare(&case, &ranking, &mut differences);
    }
    differences.verdict()
}

fn compare(case: &Case, ranking: &Ranking, differences: &mut Differences) {
    let tag = case.0["tag"].as_str().unwrap_or_default();
    let mut check = |what: &str, got: f64, tolerance: f64| {
        differences.check(&format!("{tag}: {what}"), got, case.real(what), 1.0, tolerance);
    };
    check("valid_queries", ranking.valid_queries() as f64, 0.0);
    for k in [1, 5, 10, 20] {
        check(&format!("rank{k}"), ranking.rank(k), 1e-7);
    }
    check("mAP_trapezoid", ranking.map(), 1e-9);
    check("mAP_trapezoid_over_all_queries", ranking.map_over_all_queries(), 1e-9);
    check("mAP_standard", ranking.map_standard(), 1e-9);
    check("mINP", ranking.minp(), 1e-9);
    for key in ["first_ap_trapezoid", "first_ap_standard"] {
        for (at, want) in case.0[key].as_array().into_iter().flatten().enumerate() {
            let query = ranking.queries.get(at).copied().flatten();
            let got = query
                .map(|query| if key == "first_ap_standard" { query.ap_standard } else { query.ap });
            // a query without match is null: both sides then stand at -1
            let want = want.as_f64().unwrap_or(-1.0);
            differences.check(&format!("{tag}: {key}[{at}]"), got.unwrap_or(-1.0), want, 1.0, 1e-9);
        }
    }
}

/// The cases of a `rerank*.json`.
pub fn reranking(cases: &Value) -> Result<(), Failed> {
    let mut differences = Differences::default();
    for case in cases.as_array().ok_or("not a list of cases")? {
        let case = Case(case);
        let tag = case.0["tag"].as_str().unwrap_or_default();
        let [(query, q), (gallery, g)] = case.both_sides();
        let (k1, k2) = (case.count("k1"), case.count("k2"));
        let settings = Rerank { k1, k2, lambda: case.real("lambda_value") };
        let finals = rerank(&q, &g, case.count("dims"), settings, 2);
        for known in case.0["final_at"].as_array().ok_or("no `final_at`")? {
            let at = |side: usize| known[side].as_u64().map(|at| at as usize).ok_or("no index");
            let want = known[2].as_f64().ok_or("no distance")?;
            let got = finals[at(0)? * gallery.len() + at(1)?];
            differences.check(&format!("{tag}: distance {known}"), got, want, 1.0, 1e-5);
        }
        let mean = finals.iter().sum::<f64>() / finals.len() as f64;
        differences.check(&format!("{tag}: final_mean"), mean, case.real("final_mean"), 1.0, 1e-5);
        let ranking = rank_all(&query, &gallery, 2, &|at, row| {
            for (score, distance) in row.iter_mut().zip(&finals[at * gallery.len()..]) {
                *score = -distance;
            }
        });
        differences.check(
            &format!("{tag}: mAP"),
            ranking.map(),
            case.real("mAP_trapezoid"),
            1.0,
            1e-4,
        );
        differences.check(&format!("{tag}: rank1"), ranking.rank(1), case.real("rank1"), 1.0, 1e-7);
    }
    differences.verdict()
}
