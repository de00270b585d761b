//! Where several metrics count: the arms as points in them, and which no other arm beats. Means only;
//! `stats` finds the fronts, `plots` draws them.

use serde::Serialize;

use super::compare::{Compared, of_finished};
use super::frames::Frames;
use super::measure::{Measure, count, list};
use crate::stats;
use crate::store::rows::StudyData;

/// Metrics that say another thing than how well people are found, in order of preference.
const OTHERS: [&str; 4] = ["swap_nearer", "swap_psnr", "frechet_teacher", "fid"];
/// Metrics beside the primary one, at most.
const BESIDE: usize = 3;
/// Fewest arms of a front: of two, the table says as much.
const ARMS: usize = 3;

/// The arms in several metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Several {
    /// The primary metric, then the others.
    pub measures: Vec<Measure>,
    /// The arms.
    pub points: Vec<Point>,
}

/// An arm in the metrics, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Place of the arm in the study file.
    pub place: usize,
    /// Means over seeds.
    pub means: Vec<Option<f64>>,
    /// Standard errors of the means, from two seeds on.
    pub errors: Vec<Option<f64>>,
}

/// What the front says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Front {
    /// Metrics with their units, the primary one first.
    pub metrics: Vec<String>,
    /// Arms that no other arm beats on all of them.
    pub arms: Vec<String>,
    /// Arms without a value in some of them.
    pub left_out: Vec<String>,
    /// That as a sentence; backticks mark names.
    pub sentence: String,
}

impl Several {
    /// The metrics of a study that count, where they are two or more and three arms have them.
    #[must_use]
    pub fn of(
        data: &StudyData,
        frames: &Frames,
        arms: &[Compared],
        primary: &Measure,
    ) -> Option<Self> {
        primary.higher?;
        let values = |arm: &Compared, name: &str| of_finished(data, frames, arm.place, name);
        let is_known =
            |arm: &&Compared, name: &str| arm.mean.is_some() && !values(arm, name).is_empty();
        let known = |name: &str| arms.iter().filter(|arm| is_known(arm, name)).count();
        // how well people are found is one thing, however it is measured
        let searched = ["mAP", "mINP", "rank"].iter().any(|name| primary.name.starts_with(name));
        let others = OTHERS.into_iter().chain((!searched).then_some("mAP"));
        let others = others.filter(|name| *name != primary.name && known(name) >= ARMS);
        let others =
            others.map(|name| Measure::of(name, &data.defs)).filter(|m| m.higher.is_some());
        let measures: Vec<Measure> =
            std::iter::once(primary.clone()).chain(others.take(BESIDE)).collect();
        let point = |arm: &Compared| {
            let first: Vec<f64> = arm.seeds.iter().filter_map(|seed| seed.value).collect();
            let beside = measures[1..].iter().map(|measure| values(arm, &measure.name));
            let all: Vec<Vec<f64>> = std::iter::once(first).chain(beside).collect();
            Point {
                place: arm.place,
                means: all.iter().map(|values| stats::mean(values)).collect(),
                errors: all.iter().map(|values| stats::standard_error(values)).collect(),
            }
        };
        let points = arms.iter().map(point).collect();
        (measures.len() > 1).then_some(Self { measures, points })
    }

    /// Which arms are in the front of some of the metrics, by their places among the measures.
    #[must_use]
    pub fn front(&self, of: &[usize]) -> Vec<bool> {
        let higher: Vec<bool> = of.iter().map(|k| self.measures[*k].higher == Some(true)).collect();
        let points: Vec<Vec<Option<f64>>> =
            self.points.iter().map(|point| of.iter().map(|k| point.means[*k]).collect()).collect();
        stats::pareto_front(&points, &higher)
    }

    /// The front of all metrics together, in words.
    #[must_use]
    pub fn summary(&self, data: &StudyData) -> Front {
        let all: Vec<usize> = (0..self.measures.len()).collect();
        let name = |place: usize| data.arms[place].name.clone();
        let front = self.front(&all);
        let arms: Vec<String> = self
            .points
            .iter()
            .zip(&front)
            .filter(|(_, inside)| **inside)
            .map(|(point, _)| name(point.place))
            .collect();
        let left_out: Vec<String> = self
            .points
            .iter()
            .filter(|point| point.means.iter().any(Option::is_none))
            .map(|point| name(point.place))
            .collect();
        let titles: Vec<String> = self.measures.iter().map(Measure::title).collect();
        Front {
            sentence: sentence(
                &titles,
                &arms,
                self.points.len() - left_out.len(),
                !left_out.is_empty(),
            ),
            metrics: self.measures.iter().map(Measure::heading).collect(),
            arms,
            left_out,
        }
    }
}

fn sentence(titles: &[String], front: &[String], compared: usize, left_out: bool) -> String {
    let quoted: Vec<String> = front.iter().map(|name| format!("`{name}`")).collect();
    let both = if titles.len() == 2 { "both" } else { "all" };
    match front {
        [one] => format!("On {}, `{one}` is best in {both}.", list(titles)),
        front if front.len() == compared => format!(
            "On {}, none of {} beats another in {both}.",
            list(titles),
            count(compared, "arm")
        ),
        front => format!(
            "On {}, no arm{} beats {} in {both}; {} beaten by one of them.",
            list(titles),
            if left_out {
                format!(" of the {compared} that have a value in each")
            } else {
                String::new()
            },
            list(&quoted),
            match compared - front.len() {
                1 => "the other one is".to_owned(),
                others => format!("each of the other {others} is"),
            }
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::build;
    use super::super::demo::{ARMS, settle, study};

    #[test]
    fn arms_that_nothing_beats_are_named() {
        let mut data = study(&ARMS, 3);
        // one arm draws best and searches worse: a trade-off with the best searcher
        for row in data
            .metrics
            .iter_mut()
            .filter(|row| row.arm == "rgb" && row.metric.starts_with("swap_"))
        {
            row.value += 1.0;
        }
        settle(&mut data);
        let front = build(&data).unwrap().front.unwrap();
        assert_eq!(front.metrics, ["mAP (%)", "swap nearer (%)", "swap psnr (dB)"]);
        assert_eq!(front.arms, ["low_img", "rgb"]);
        assert_eq!(front.left_out, ["teacher_only"], "a teacher draws nothing");
        assert!(
            front.sentence.contains(
                "no arm of the 7 that have a value in each beats `low_img` and `rgb` in all; each of the other 5"
            ),
            "{}",
            front.sentence
        );
    }

    #[test]
    fn ties_stand_together_and_two_arms_have_no_front() {
        let mut data = study(&ARMS, 3);
        for row in &mut data.metrics {
            row.value = 0.5;
        }
        settle(&mut data);
        let front = build(&data).unwrap().front.unwrap();
        assert_eq!(front.arms.len(), 7);
        assert!(front.sentence.contains("none of 7 arms beats another"), "{}", front.sentence);
        assert_eq!(build(&study(&ARMS[..2], 3)).unwrap().front, None);
    }
}
