//! The one error of this module: where, why, and what to do about it. It is made where the mistake is
//! noticed and printed as it is; nothing here reads files or knows settings.

use std::fmt;

/// A mistake in a study file, a base file or a `--set` argument.
///
/// `Display` gives `file:line:column: message`, the line with a caret, and the hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SpecError {
    /// The file as the user would name it, or the whole argument (`--set loss.lambda_img=x`).
    pub file: String,
    /// From 1; 0 where no line is to blame (a missing file, an argument).
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The offending line, without its line break.
    pub text: String,
    /// What is wrong: a lowercase fragment, values in backticks.
    pub message: String,
    /// What would put it right, where that can be said.
    pub hint: Option<String>,
}

impl SpecError {
    /// A mistake that no line is to blame for.
    pub fn without_line(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            text: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same error with a hint; an empty one leaves it as it is.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hint = Some(hint);
        }
        self
    }

    /// The same error with "did you mean" for the candidate closest to `word`, if one is close.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match closest(word, candidates) {
            Some(best) => self.hint(format!("did you mean `{best}`?")),
            None => self,
        }
    }
}

/// Characters of a long line that are shown around the caret.
const WINDOW: usize = 100;

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)?;
        } else {
            write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
            let (shown, caret) = excerpt(&self.text, self.column);
            write!(f, "\n{:>5} | {shown}\n      | {:caret$}^", self.line, "")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The part of a line around a column, safe to print, and the caret's offset in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.chars().collect();
    let at = column.saturating_sub(1).min(chars.len());
    let from = if chars.len() <= WINDOW { 0 } else { at.saturating_sub(WINDOW / 2) };
    let to = (from + WINDOW).min(chars.len());
    // A tab or an escape sequence would move the caret away from its character.
    let clean = |c: &char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => *c,
    };
    let mut shown = String::new();
    let mut caret = at - from;
    if from > 0 {
        shown.push_str("...");
        caret += 3;
    }
    shown.extend(chars[from..to].iter().map(clean));
    if to < chars.len() {
        shown.push_str("...");
    }
    (shown, caret)
}

/// The candidate with the fewest edits to `word`, if they are few for its length.
///
/// A dotted candidate is also compared by its last part alone, so `lambda_prm` finds `loss.lambda_prim`.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > 200 {
        return None;
    }
    let word = &word.to_lowercase();
    candidates
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            let last = lower.rsplit('.').next().unwrap_or(&lower);
            let whole = strsim::damerau_levenshtein(word, &lower);
            let tail = strsim::damerau_levenshtein(word, last);
            (whole.min(tail), whole, name)
        })
        .filter(|(edits, _, _)| *edits <= (word.chars().count() / 3).max(1))
        .min()
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_where_and_why_and_what_to_do() {
        let error = SpecError {
            file: "x.yaml".into(),
            line: 12,
            column: 14,
            text: "  no_prim: { loss.lambda_prm: 0 }".into(),
            message: "unknown setting `loss.lambda_prm`".into(),
            hint: None,
        }
        .did_you_mean("loss.lambda_prm", ["loss.lambda_img", "loss.lambda_prim"]);
        assert_eq!(
            error.to_string(),
            "x.yaml:12:14: unknown setting `loss.lambda_prm`\n   12 |   no_prim: { loss.lambda_prm: 0 }\n      |              ^\n  hint: did you mean `loss.lambda_prim`?"
        );
    }

    #[test]
    fn long_lines_and_tabs_keep_the_caret_under_its_character() {
        let line = format!("{}\t!{}", "a".repeat(300), "b".repeat(300));
        let (shown, caret) = excerpt(&line, 302);
        assert!(shown.len() < 120);
        assert_eq!(shown.chars().nth(caret), Some('!'));
    }

    #[test]
    fn suggests_only_what_is_close() {
        assert_eq!(
            closest("lambda_prm", ["train.steps", "loss.lambda_prim"]),
            Some("loss.lambda_prim")
        );
        assert_eq!(closest("banana", ["train.steps", "loss.lambda_prim"]), None);
    }
}
