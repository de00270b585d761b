//! The text of a user's SQL: one statement, its parameters, its quoted parts. Knows nothing of databases.

use std::fmt::Write;

use crate::store::error::StoreError;

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
    match word.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "EXPLAIN" => Ok(sql.to_owned()),
        other => refuse(
            format!(
                "`{}` is refused: queries only read",
                if other.is_empty() { first } else { other }
            ),
            "begin with `select`, `with`, `values` or `explain`",
        ),
    }
}

/// The statement with its parameters `:name` numbered `?1`, `?2`, ..., and their names in that order.
pub fn numbered(sql: &str) -> (String, Vec<String>) {
    let (mut text, mut names) = (String::with_capacity(sql.len()), Vec::<String>::new());
    for (is_code, part) in parts(sql) {
        let mut pieces = part.split(if is_code { ':' } else { '\u{0}' });
        text.extend(pieces.next());
        for piece in pieces {
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, rest) = piece.split_at(end.unwrap_or(piece.len()));
            if name.is_empty() {
                text.push(':');
            } else {
                let known = names.iter().position(|other| other == name);
                let number = known.unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                let _ = write!(text, "?{}", number + 1);
            }
            text.push_str(rest);
        }
    }
    (text, names)
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
