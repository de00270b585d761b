//! Names that are near a misspelled one. Case does not count.

use strsim::{damerau_levenshtein, jaro_winkler};

/// Names that are suggested at most.
const SHOWN: usize = 3;
/// Characters of a name at most: longer texts are no misspelled names.
const LONGEST: usize = 200;

/// The names that are nearest to a misspelled one.
pub struct Near<'a> {
    /// Edits from one to the other.
    pub edits: usize,
    /// All that are so far away, in the order of the known names.
    pub names: Vec<&'a str>,
}

/// Those of the known names that take the fewest edits, if these are few or much of the beginning is the
/// same.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<Near<'a>> {
    let name = name.to_lowercase();
    if !(1..=LONGEST).contains(&name.chars().count()) {
        return None;
    }
    let close: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|other| {
            let lower = other.to_lowercase();
            let edits = damerau_levenshtein(&name, &lower);
            (edits <= few(&name) || jaro_winkler(&name, &lower) > 0.88).then_some((edits, other))
        })
        .collect();
    let edits = close.iter().map(|(edits, _)| *edits).min()?;
    let names = close.iter().filter(|near| near.0 == edits).map(|(_, name)| *name).collect();
    Some(Near { edits, names })
}

/// Edits that a slip of the finger explains: two, in a short name one.
pub fn few(name: &str) -> usize {
    (name.chars().count() / 3).clamp(1, 2)
}

/// A hint that names those of the known names that are near, if any is.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names = near(name, known)?.names;
    let names: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    Some(format!("did you mean {}?", names.join(" or ")))
}

/// A hint that names those of the known names that are near, otherwise all; `what` they are.
#[must_use]
pub fn nearest(name: &str, known: &[String], what: &str) -> String {
    did_you_mean(name, known.iter().map(String::as_str))
        .unwrap_or_else(|| format!("known {what}: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_edits_win_and_nothing_far_is_near() {
        for (name, expected) in [
            ("ful", "did you mean `full`?"),
            ("FULL", "did you mean `full`?"),
            ("mapp", "did you mean `mAP`?"),
            ("rank", "did you mean `rank1` or `rank5`?"),
            ("no_prime", "did you mean `no_prim`?"),
            ("step_sec", "did you mean `step_seconds`?"),
            (
                "banana",
                "known names: fid, full, mAP, swap_psnr, rank1, rank5, no_prim, step_seconds",
            ),
            ("", "known names: fid, full, mAP, swap_psnr, rank1, rank5, no_prim, step_seconds"),
        ] {
            let known =
                ["fid", "full", "mAP", "swap_psnr", "rank1", "rank5", "no_prim", "step_seconds"];
            assert_eq!(nearest(name, &known.map(str::to_owned), "names"), expected, "{name}");
        }
        assert!(near(&"a".repeat(LONGEST + 1), ["a"]).is_none());
    }
}
