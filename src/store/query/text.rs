//! The text of a user's SQL: one statement, its parameters, its quoted parts. Knows nothing of databases.

use std::fmt::Write;

use super::near::did_you_mean;
use crate::store::error::StoreError;

/// First words of statements that can only read.
const READING: [&str; 4] = ["select", "with", "values", "explain"];
/// First words of statements that do something else.
const DOING: &str = "alter analyze attach begin commit create delete detach drop end grant insert merge \
    reindex release replace revoke rollback savepoint set truncate update vacuum";
/// First words by which people ask elsewhere what a database holds.
const LOOKING: [&str; 4] = ["desc", "describe", "pragma", "show"];

/// The one statement of a text, if it is one that can only read.
pub fn reading_statement(sql: &str) -> Result<String, StoreError> {
    let refuse =
        |reason: String, hint: &str| Err(StoreError::Query { reason, hint: Some(hint.to_owned()) });
    let body = skeleton(sql);
    let mut parts = body.split(';').map(str::trim).filter(|part| !part.is_empty());
    let Some(first) = parts.next() else {
        return refuse(
            "the query is empty".into(),
            "try `select arm, avg(mAP), count(*) from final group by arm`",
        );
    };
    if parts.next().is_some() {
        return refuse("the query holds more than one statement".into(), "ask one at a time");
    }
    let word: String = first.chars().take_while(char::is_ascii_alphabetic).collect();
    if READING.contains(&word.to_ascii_lowercase().as_str()) {
        return Ok(sql.to_owned());
    }
    let (reason, hint) = refusal(first);
    refuse(reason, &hint)
}

/// Why a statement is not asked, and what to write instead.
fn refusal(statement: &str) -> (String, String) {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let word: String = statement.chars().take_while(is_name).collect();
    let shown = match word.as_str() {
        "" => statement.split_whitespace().next().unwrap_or_default(),
        word => word,
    };
    let begin = "begin with `select`, `with`, `values` or `explain`".to_owned();
    let word = word.to_ascii_lowercase();
    if statement.starts_with('.') || LOOKING.contains(&word.as_str()) {
        let hint = "`dgnet schema --database` describes every table and view".to_owned();
        (format!("`{shown}` is refused: it is not SQL that reads rows"), hint)
    } else if DOING.split(' ').any(|known| known == word) {
        (format!("`{shown}` is refused: queries only read"), begin)
    } else {
        let hint = did_you_mean(&word, READING).unwrap_or(begin);
        (format!("`{shown}` is unknown as the beginning of a query"), hint)
    }
}

/// The statement with its parameters numbered `?1`, `?2`, ..., and their names in that order: `:name`,
/// `@name` and `$name` are the same one.
pub fn numbered(sql: &str) -> Result<(String, Vec<String>), StoreError> {
    let (mut text, mut names) = (String::with_capacity(sql.len()), Vec::<String>::new());
    for (is_code, part) in parts(sql) {
        let mut rest = part;
        while let Some(at) = sign(rest).filter(|_| is_code) {
            let (before, marked) = rest.split_at(at);
            text.push_str(before);
            let end = marked[1..].find(|c| !names_go_on(c)).map_or(marked.len(), |end| end + 1);
            let (parameter, after) = marked.split_at(end);
            let name = &parameter[1..];
            if parameter.starts_with('?') {
                return Err(unnamed(parameter));
            }
            if name.is_empty() {
                text.push_str(parameter);
            } else {
                let known = names.iter().position(|other| other == name);
                let number = known.unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                let _ = write!(text, "?{}", number + 1);
            }
            rest = after;
        }
        text.push_str(rest);
    }
    Ok((text, names))
}

/// Where the next parameter of a piece of code begins. A dollar sign may also be part of a name.
fn sign(code: &str) -> Option<usize> {
    let before = std::iter::once(' ').chain(code.chars());
    let mut places = before.zip(code.char_indices());
    let is_sign = |before, c| matches!(c, ':' | '@' | '?') || c == '$' && !names_go_on(before);
    places.find(|(before, (_, c))| is_sign(*before, *c)).map(|(_, (at, _))| at)
}

/// Whether a name does not end before such a character.
fn names_go_on(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

fn unnamed(parameter: &str) -> StoreError {
    StoreError::Query {
        reason: format!("a parameter needs a name, and `{parameter}` has none"),
        hint: Some("write `:name`, and add `--param name=VALUE`".to_owned()),
    }
}

/// The text with every comment and quoted part blanked out, so that `;` means an end.
fn skeleton(sql: &str) -> String {
    let blank = |part: &str| if part.starts_with(['-', '/']) { " " } else { "_" };
    let seen = |(is_code, part)| if is_code { part } else { blank(part) };
    parts(sql).into_iter().map(seen).collect()
}

/// The text cut where comments and quoted parts (`false`) begin and end.
pub fn parts(sql: &str) -> Vec<(bool, &str)> {
    let (mut found, mut rest) = (Vec::new(), sql);
    loop {
        let begin = rest.char_indices().find(|(at, c)| {
            matches!(c, '\'' | '"' | '`' | '[')
                || rest[*at..].starts_with("--")
                || rest[*at..].starts_with("/*")
        });
        let Some((at, c)) = begin else { break };
        let (code, other) = rest.split_at(at);
        let (opened, close) = match c {
            '-' => (2, "\n"),
            '/' => (2, "*/"),
            '[' => (1, "]"),
            // a doubled quote ends one part and begins the next, which comes to the same
            '"' => (1, "\""),
            '`' => (1, "`"),
            _ => (1, "'"),
        };
        let end = other[opened..].find(close).map_or(other.len(), |end| opened + end + close.len());
        found.push((true, code));
        found.push((false, &other[..end]));
        rest = &other[end..];
    }
    found.push((true, rest));
    found
}
