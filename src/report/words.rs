//! Sentences: a verdict per arm and the answer to the study's question. Backticks mark names, which the
//! page sets as code; everything is plain text until then.

use super::compare::Compared;
use super::measure::{Measure, count, list};
use crate::stats::{self, Decision, Interval};
use crate::store::rows::{ArmRow, StudyRow};

/// What sentences are about.
pub struct Speaker<'a> {
    /// The study.
    pub study: &'a StudyRow,
    /// Its arms.
    pub arms: &'a [ArmRow],
    /// Its primary metric.
    pub primary: &'a Measure,
}

/// A verdict in two or three words.
#[must_use]
pub fn verdict_word(arm: &Compared) -> &'static str {
    match arm.verdict.map(|v| v.decision) {
        _ if arm.is_baseline => "baseline",
        None => "no pairs yet",
        Some(Decision::Worse) => "worse",
        Some(Decision::Better) => "better",
        Some(Decision::NoDifference) => "no difference that matters",
        Some(Decision::Inconclusive { .. }) => "inconclusive",
    }
}

/// `diverges 1 of 3`, where runs did.
#[must_use]
pub fn divergence(arm: &Compared) -> Option<String> {
    let k = arm.diverged();
    (k > 0).then(|| format!("diverges {k} of {}", arm.n()))
}

impl Speaker<'_> {
    /// The verdict on one arm as a sentence.
    #[must_use]
    pub fn arm(&self, arm: &Compared) -> String {
        let name = self.name(arm);
        let (Some(verdict), Some(pairs)) = (arm.verdict, arm.pairs.as_ref()) else {
            return if arm.is_baseline {
                format!("{name} is what the other arms are compared with.")
            } else if arm.unlike.is_empty() {
                format!("{name} has no finished run beside one of the baseline yet.")
            } else {
                format!("{name} is not compared: its runs saw other data than the baseline's.")
            };
        };
        let lead = match divergence(arm) {
            Some(text) => format!("{name} {text} and "),
            None => format!("{name} "),
        };
        let base = format!("`{}`", self.study.baseline);
        match verdict.decision {
            Decision::Worse => format!(
                "{lead}is worse than {base} by {}{}: {} {}.{}",
                self.primary.amount(pairs.mean),
                self.size_interval(pairs.mean, pairs.t95),
                self.settings(arm),
                if self.changed(arm) == 1 { "helps" } else { "help" },
                second_thoughts(arm),
            ),
            Decision::Better => format!(
                "{lead}is better than {base} by {}{}: {} {}.{}",
                self.primary.amount(pairs.mean),
                self.size_interval(pairs.mean, pairs.t95),
                self.settings(arm),
                if self.changed(arm) == 1 { "hurts" } else { "hurt" },
                second_thoughts(arm),
            ),
            Decision::NoDifference => format!(
                "{lead}makes no difference that matters: {}{}, inside \u{b1}{}.",
                self.signed(pairs.mean),
                self.interval("90 % interval", pairs.t90),
                self.band(),
            ),
            Decision::Inconclusive { more_seeds } => {
                format!("{lead}is undecided: {}.", self.undecided(arm, pairs, more_seeds))
            }
        }
    }

    /// The answer: two sentences at most, first what is decided.
    #[must_use]
    pub fn answer(&self, arms: &[Compared], done: usize, total: usize) -> Vec<String> {
        let others: Vec<&Compared> = arms.iter().filter(|a| !a.is_baseline).collect();
        let judged: Vec<&Compared> =
            others.iter().copied().filter(|a| a.verdict.is_some()).collect();
        if others.is_empty() {
            return vec![self.alone(arms)];
        }
        if judged.is_empty() {
            return vec![format!(
                "No arm has a finished run beside one of `{}` yet: {done} of {} done.",
                self.study.baseline,
                count(total, "run"),
            )];
        }
        let (open, decided): (Vec<&Compared>, Vec<&Compared>) =
            judged.iter().copied().partition(|a| is_open(a));
        let mut answer = Vec::new();
        if !decided.is_empty() {
            answer.push(self.decided(&decided, judged.len()));
        }
        answer.push(self.open(&open, judged.len()));
        let missing = others.len() - judged.len();
        if missing > 0 {
            answer.push(format!(
                "{} no finished pair yet ({done} of {} done).",
                if missing == 1 { "1 arm has".to_owned() } else { format!("{missing} arms have") },
                count(total, "run"),
            ));
        }
        answer
    }

    fn alone(&self, arms: &[Compared]) -> String {
        let Some(mean) = arms.first().and_then(|a| a.mean) else {
            return "The study has one arm, and no run of it has finished yet.".to_owned();
        };
        let arm = &arms[0];
        let value = format!("{} {}", self.primary.value(mean), self.primary.unit);
        let interval = match arm.interval {
            Some(i) => format!(
                " (95 % interval {} to {})",
                self.primary.bound(i.low),
                self.primary.bound(i.high)
            ),
            None => " (one seed gives no interval)".to_owned(),
        };
        format!(
            "The study has one arm, so there is nothing to compare: {} reaches {} {}{interval} on {}.",
            self.name(arm),
            value.trim(),
            self.primary.title(),
            count(arm.n(), "seed"),
        )
    }

    fn decided(&self, decided: &[&Compared], judged: usize) -> String {
        let group = |wanted: Decision| -> Vec<&Compared> {
            let of = |a: &&Compared| a.verdict.is_some_and(|v| v.decision == wanted);
            let mut group: Vec<&Compared> = decided.iter().copied().filter(of).collect();
            // what was declared in advance first: it is the answer that the study was made for
            group.sort_by(|a, b| b.in_family.cmp(&a.in_family).then(size(b).total_cmp(&size(a))));
            group
        };
        let mut parts = Vec::new();
        for (decision, one, many) in [
            (Decision::Worse, "is worse", "are worse"),
            (Decision::Better, "is better", "are better"),
            (
                Decision::NoDifference,
                "makes no difference that matters",
                "make no difference that matters",
            ),
        ] {
            let group = group(decision);
            if group.is_empty() {
                continue;
            }
            let verb = if group.len() == 1 { one } else { many };
            let told = self.told(&group, decision == Decision::NoDifference);
            parts.push(format!("{} {verb} ({told})", group.len()));
        }
        let seeds = seeds(decided);
        let of = count(judged, "arm");
        let verb = if judged == 1 { "Against" } else { "Of" };
        if judged == 1 {
            let arm = decided[0];
            let text = self.arm(arm);
            return format!("{verb} `{}` on {seeds}: {text}", self.study.baseline);
        }
        format!("{verb} {of} compared with `{}` on {seeds}, {}.", self.study.baseline, list(&parts))
    }

    /// Names with numbers, the first few of them.
    fn told(&self, group: &[&Compared], short: bool) -> String {
        let shown = if self.arms.len() > 10 { 2 } else { 3 }; // the answer fits a screen
        let mut words: Vec<String> = group
            .iter()
            .take(shown)
            .map(|arm| match arm.pairs.as_ref() {
                Some(pairs) if !short => {
                    let runs = divergence(arm).map_or(String::new(), |text| format!(", {text}"));
                    let (low, high) = (pairs.t95.map(|i| i.low), pairs.t95.map(|i| i.high));
                    let interval = match (low, high) {
                        (Some(low), Some(high)) => format!(
                            ", 95 % interval {} to {}",
                            self.primary.difference(low),
                            self.primary.difference(high)
                        ),
                        _ => String::new(),
                    };
                    let declared = match rests_on_t(arm) {
                        _ if arm.in_family => ", declared in advance",
                        Some(_) => ", by the t interval alone",
                        None => "",
                    };
                    let difference = self.signed(pairs.mean);
                    format!("{} {difference}{interval}{declared}{runs}", self.name(arm))
                }
                _ => self.name(arm),
            })
            .collect();
        if group.len() > shown {
            words.push(format!("and {} more", group.len() - shown));
        }
        words.join(if short { ", " } else { "; " })
    }

    fn open(&self, open: &[&Compared], judged: usize) -> String {
        let Some(largest) = open.iter().max_by(|a, b| size(a).total_cmp(&size(b))) else {
            return "No comparison is left undecided.".to_owned();
        };
        let Some(pairs) = largest.pairs.as_ref() else { return String::new() };
        let seeds = seeds(open);
        let subject = match (open.len(), judged) {
            (1, 1) => {
                format!("whether {} differs from `{}`", self.name(largest), self.study.baseline)
            }
            (n, all) if n == all => "this study".to_owned(),
            (1, _) => "the remaining arm".to_owned(),
            (n, _) => format!("the other {n}"),
        };
        let verb =
            if pairs.n == 1 { "gives no interval and cannot decide" } else { "cannot decide" };
        let effect = format!(
            "{}{} is {}{}",
            if open.len() > 1 { "the largest difference, " } else { "" },
            self.name(largest),
            self.signed(pairs.mean),
            self.interval("95 % interval", pairs.t95),
        );
        let effect = if open.len() > 1 {
            effect.replacen(
                &format!("{} is", self.name(largest)),
                &format!("{}, is", self.name(largest)),
                1,
            )
        } else {
            effect
        };
        format!("{} {verb} {subject}: {effect}; {}.", capital(&seeds), self.needed(open))
    }

    /// Seeds that the undecided arms would take.
    fn needed(&self, open: &[&Compared]) -> String {
        let more: Vec<Option<u32>> = open
            .iter()
            .filter_map(|a| a.verdict)
            .map(|v| match v.decision {
                Decision::Inconclusive { more_seeds } => more_seeds,
                _ => None,
            })
            .collect();
        let family = self.study.confirm.len();
        let adaptive = self.study.adaptive.is_some();
        let floor = if family > 0 && !adaptive && open.iter().any(|a| a.in_family) {
            let needed = stats::seeds_for_family(family, stats::verdict::ALPHA);
            format!(", and the corrected family of {family} takes at least {needed}")
        } else {
            String::new()
        };
        let known: Vec<u32> = more.iter().filter_map(|m| *m).collect();
        let (Some(least), Some(most)) = (known.iter().min(), known.iter().max()) else {
            let reason = if open.iter().all(|a| a.pairs.as_ref().is_some_and(|p| p.n == 1)) {
                "a second seed is the least that shows how much seeds differ"
            } else if self.study.equal_within <= 0.0 {
                "without `equal_within` no number of seeds can show that arms are equal"
            } else {
                "no practical number of seeds would settle it"
            };
            return format!("{reason}{floor}");
        };
        let range = if least == most {
            format!("about {}", count(*most as usize, "more seed"))
        } else {
            format!("about {least} to {most} more seeds")
        };
        let whom = match more.len() - known.len() {
            0 => "would settle",
            _ if known.len() == 1 => "would settle one of them for",
            _ => "would settle some of them for",
        };
        format!("{range} an arm {whom} differences of {}{floor}", self.band())
    }

    fn undecided(&self, arm: &Compared, pairs: &stats::Paired, more: Option<u32>) -> String {
        let effect = self.signed(pairs.mean);
        if pairs.n == 1 {
            return format!("{effect} on one seed, which gives no interval");
        }
        let interval = self.interval("95 % interval", pairs.t95);
        let strict = arm.in_family && pairs.t95.is_some_and(|i| i.excludes_zero());
        let why = if strict {
            let test = if self.study.adaptive.is_some() { "corrected" } else { "exact" };
            format!(
                "; the interval leaves zero out, but the {test} test over {} does not (p = {})",
                count(self.study.confirm.len(), "confirmed comparison"),
                p_value(arm.p_holm.unwrap_or(1.0)),
            )
        } else {
            String::new()
        };
        let more = match more {
            Some(n) => format!("; up to about {} would decide", count(n as usize, "more seed")),
            None if self.study.equal_within > 0.0 => {
                "; no practical number of seeds would decide".to_owned()
            }
            None => String::new(),
        };
        format!("{effect}{interval}{why}{more}")
    }

    fn name(&self, arm: &Compared) -> String {
        format!("`{}`", self.arms.get(arm.place).map_or("", |a| a.name.as_str()))
    }

    fn changed(&self, arm: &Compared) -> usize {
        self.arms.get(arm.place).map_or(0, |a| a.overrides.len())
    }

    /// What the baseline has where the arm differs: `the baseline's setting of ...`.
    fn settings(&self, arm: &Compared) -> String {
        let keys: Vec<String> = self
            .arms
            .get(arm.place)
            .map(|a| a.overrides.keys().map(|k| format!("`{k}`")).collect())
            .unwrap_or_default();
        let base = &self.study.baseline;
        match keys.len() {
            0 => format!("the settings of `{base}`"),
            1 => format!("the setting of {} in `{base}`", keys[0]),
            2..=4 => format!("the settings of {} in `{base}`", list(&keys)),
            n => format!("the {n} settings that differ in `{base}`"),
        }
    }

    fn signed(&self, value: f64) -> String {
        let parts = [
            self.primary.difference(value),
            self.primary.difference_unit().into(),
            self.primary.title(),
        ];
        parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn band(&self) -> String {
        self.primary.margin(self.study.equal_within)
    }

    fn interval(&self, name: &str, interval: Option<Interval>) -> String {
        interval.map_or(String::new(), |i| {
            format!(
                " ({name} {} to {})",
                self.primary.difference(i.low),
                self.primary.difference(i.high)
            )
        })
    }

    /// The interval of an amount: turned around for a negative mean, signs only where needed.
    fn size_interval(&self, mean: f64, interval: Option<Interval>) -> String {
        interval.map_or(String::new(), |i| {
            let (low, high) = if mean < 0.0 { (-i.high, -i.low) } else { (i.low, i.high) };
            format!(" (95 % interval {} to {})", self.primary.value(low), self.primary.value(high))
        })
    }
}

/// An exploratory verdict rests on the t interval; where the exact test, which assumes no distribution,
/// has enough pairs to agree and does not, the reader is told.
fn second_thoughts(arm: &Compared) -> String {
    let told = |p| format!(" The exact test alone would not decide it (p = {}).", p_value(p));
    rests_on_t(arm).map_or_else(String::new, told)
}

/// The exact p of an exploratory arm that the t interval decides and the exact test could but does not.
#[must_use]
pub fn rests_on_t(arm: &Compared) -> Option<f64> {
    let pairs = arm.pairs.as_ref()?;
    let decided =
        matches!(arm.verdict?.decision, Decision::Worse | Decision::Better) && !arm.in_family;
    let could = pairs.n as u32 >= stats::seeds_for_family(1, stats::verdict::ALPHA);
    (decided && could && pairs.test.p > stats::verdict::ALPHA).then_some(pairs.test.p)
}

fn seeds(arms: &[&Compared]) -> String {
    let pairs = || arms.iter().filter_map(|a| a.pairs.as_ref()).map(|p| p.n);
    let (least, most) = (pairs().min().unwrap_or(0), pairs().max().unwrap_or(0));
    if least == most { count(most, "seed") } else { format!("{least} to {most} seeds") }
}

fn is_open(arm: &Compared) -> bool {
    matches!(arm.verdict.map(|v| v.decision), Some(Decision::Inconclusive { .. }))
}

fn size(arm: &Compared) -> f64 {
    arm.pairs.as_ref().map_or(0.0, |p| p.mean.abs())
}

fn capital(text: &str) -> String {
    match text.strip_prefix("1 seed") {
        Some(rest) if !rest.starts_with('s') => format!("One seed{rest}"),
        _ => text.to_owned(),
    }
}

/// A p value for people.
#[must_use]
pub fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "<0.001".to_owned(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}
