//! The language of `--where`: conditions `COLUMN OPERATOR VALUE`, joined by `and` and `or`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::iter::Peekable;

use super::columns::{Column, Columns, Kind};
use crate::cli::failure::BadInput;
use crate::store::query::Cell;

/// Longer operators first, so that `<=` is not read as `<`.
const OPERATORS: [&str; 8] = ["<=", ">=", "!=", "==", "=", "<", ">", "~"];
const AN_OPERATOR: &str = "one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `~`";
const EXAMPLE: &str =
    "for example `arm=full and mAP>0.5`; values with spaces or operators are quoted";

/// `arm=full and mAP>0.5 or state=failed` as SQL; `and` binds tighter. Values become parameters.
pub fn condition_sql(
    condition: &str,
    columns: &Columns,
    values: &mut BTreeMap<String, Cell>,
) -> Result<String, BadInput> {
    let tokens = tokens(condition)?.into_iter().peekable();
    let mut reader = Reader { condition, tokens };
    let mut sql = String::new();
    loop {
        sql.push_str(&reader.test(columns, values)?);
        if reader.tokens.peek().is_none() {
            return Ok(sql);
        }
        let joiner = reader.take("`and` or `or`", Token::is_joiner)?;
        let _ = write!(sql, " {} ", joiner.text.to_ascii_uppercase());
    }
}

/// Takes a condition apart from its beginning on.
struct Reader<'a> {
    condition: &'a str,
    tokens: Peekable<std::vec::IntoIter<Token<'a>>>,
}

impl<'a> Reader<'a> {
    /// `COLUMN OPERATOR VALUE`.
    fn test(
        &mut self,
        columns: &Columns,
        values: &mut BTreeMap<String, Cell>,
    ) -> Result<String, BadInput> {
        let name = self.take("a column", Token::is_word)?.word();
        if name.eq_ignore_ascii_case("not") || name.starts_with('(') {
            return Err(BadInput(format!(
                "--where: `{name}`: conditions are joined by `and` and `or` alone, and `and` binds tighter\n  \
                 hint: `!=` says not; with parentheses it is SQL: `dgnet query \"select * from runs where ...\"`"
            )));
        }
        let column = columns.find(&name)?;
        let operator = self.take(AN_OPERATOR, Token::is_operator)?.text;
        let value = self.value(operator)?;
        let cell = cell(column, operator, &value)?;
        let (name, parameter) = (column.quoted(), format!("v{}", values.len()));
        values.insert(parameter.clone(), cell);
        Ok(match operator {
            "~" => format!("instr(lower({name}), lower(:{parameter})) > 0"),
            // what nobody has said is no text at all
            operator if value.is_empty() => format!("coalesce({name}, '') {operator} :{parameter}"),
            operator => format!("{name} {operator} :{parameter}"),
        })
    }

    /// What stands behind an operator: only `=` and `!=` make sense of nothing.
    fn value(&mut self, operator: &str) -> Result<String, BadInput> {
        let may_be_empty = matches!(operator, "=" | "==" | "!=");
        if may_be_empty && self.tokens.peek().is_none_or(Token::is_joiner) {
            return Ok(String::new());
        }
        let fits =
            |token: &Token<'_>| token.is_word() && (may_be_empty || !token.word().is_empty());
        Ok(self.take("a value", fits)?.word())
    }

    /// The next token, if it is what is expected.
    fn take(
        &mut self,
        what: &str,
        fits: impl Fn(&Token<'a>) -> bool,
    ) -> Result<Token<'a>, BadInput> {
        if let Some(token) = self.tokens.next_if(fits) {
            return Ok(token);
        }
        let (end, found) = match self.tokens.peek() {
            Some(token) => (token.at, format!("`{}`", token.text)),
            None => (self.condition.len(), "nothing".to_owned()),
        };
        let place = match self.condition[..end].trim() {
            "" => "at the beginning".to_owned(),
            before => format!("after `{before}`"),
        };
        Err(refused(&format!("expected {what} {place}, found {found}")))
    }
}

/// The value that a text stands for beside a column.
fn cell(column: &Column, operator: &str, value: &str) -> Result<Cell, BadInput> {
    let text = || Cell::Text(value.to_owned());
    match column.kind {
        _ if operator == "~" || value.is_empty() => Ok(text()),
        Kind::Text => Ok(text()),
        Kind::Unknown => Ok(Cell::given(value)),
        Kind::Number => number(value).ok_or_else(|| {
            refused(&format!("`{}` holds numbers, and `{value}` is none", column.name))
        }),
    }
}

fn number(value: &str) -> Option<Cell> {
    let whole = value.parse().ok().map(Cell::Integer);
    whole.or_else(|| value.parse().ok().filter(|value: &f64| value.is_finite()).map(Cell::Real))
}

fn refused(reason: &str) -> BadInput {
    BadInput(format!("--where: {reason}\n  hint: {EXAMPLE}"))
}

/// A word, a quoted text or an operator.
struct Token<'a> {
    /// Where it begins.
    at: usize,
    /// As it is written.
    text: &'a str,
}

impl Token<'_> {
    fn is_operator(&self) -> bool {
        OPERATORS.contains(&self.text)
    }

    fn is_joiner(&self) -> bool {
        ["and", "or"].iter().any(|joiner| self.text.eq_ignore_ascii_case(joiner))
    }

    fn is_word(&self) -> bool {
        !self.text.starts_with(of_operator) && !self.is_joiner()
    }

    /// Without its quotes.
    fn word(&self) -> String {
        match self.text.chars().next().filter(|first| is_quote(*first)) {
            Some(quote) => {
                let inner = &self.text[1..self.text.len() - 1];
                inner.replace(&format!("{quote}{quote}"), &quote.to_string())
            }
            None => self.text.to_owned(),
        }
    }
}

fn of_operator(c: char) -> bool {
    matches!(c, '<' | '>' | '=' | '!' | '~')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

fn tokens(condition: &str) -> Result<Vec<Token<'_>>, BadInput> {
    let mut found = Vec::new();
    let mut rest = condition.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_quote(first) {
            closed(rest, first)
                .ok_or_else(|| refused(&format!("a quote is left open: `{rest}`")))?
        } else if of_operator(first) {
            let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator));
            operator.map_or(1, |operator| operator.len())
        } else {
            rest.find(|c: char| c.is_whitespace() || of_operator(c)).unwrap_or(rest.len())
        };
        let (text, after) = rest.split_at(length);
        found.push(Token { at: condition.len() - rest.len(), text });
        rest = after.trim_start();
    }
    Ok(found)
}

/// Length of the quoted text that begins here; a doubled quote is part of it.
fn closed(text: &str, quote: char) -> Option<usize> {
    let mut from = 1;
    loop {
        let end = from + text[from..].find(quote)? + 1;
        if !text[end..].starts_with(quote) {
            return Some(end);
        }
        from = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let kinds = [
            ("study", Kind::Text),
            ("arm", Kind::Text),
            ("seed", Kind::Number),
            ("mAP", Kind::Number),
            ("swap_psnr", Kind::Number),
            ("failure", Kind::Text),
            ("note", Kind::Unknown),
        ];
        let list = kinds.map(|(name, kind)| Column { name: name.to_owned(), kind });
        Columns { list: list.to_vec(), metrics: vec!["fid".into(), "mAP".into()] }
    }

    fn sql(condition: &str) -> (String, Vec<Cell>) {
        let mut values = BTreeMap::new();
        let sql = condition_sql(condition, &columns(), &mut values);
        (sql.unwrap_or_else(|error| error.0), values.into_values().collect())
    }

    #[test]
    fn conditions_become_columns_and_parameters() {
        let (text, values) = sql("arm = full AND map >= 0.5 or failure ~ 'out of memory'");
        assert_eq!(
            text,
            "\"arm\" = :v0 AND \"mAP\" >= :v1 OR instr(lower(\"failure\"), lower(:v2)) > 0"
        );
        let text = |text: &str| Cell::Text(text.into());
        assert_eq!(values, [text("full"), Cell::Real(0.5), text("out of memory")]);
        for (condition, value) in [
            ("seed=007", Cell::Integer(7)),
            ("arm=007", text("007")),
            ("arm>5", text("5")),
            ("note=5", Cell::Integer(5)),
            ("note=nan", text("nan")),
            ("note~it's", text("it's")),
            ("note='it''s'", text("it's")),
            ("arm='and'", text("and")),
            ("arm=", text("")),
            ("arm!=''", text("")),
        ] {
            assert_eq!(sql(condition).1, [value], "{condition}");
        }
        assert_eq!(sql("arm= and seed!=1").0, "coalesce(\"arm\", '') = :v0 AND \"seed\" != :v1");
    }

    #[test]
    fn nothing_of_the_user_becomes_sql() {
        let (text, values) = sql("arm='x\" or 1=1 --'");
        assert_eq!(text, "\"arm\" = :v0");
        assert_eq!(values, [Cell::Text("x\" or 1=1 --".into())]);
        assert!(sql("1=1").0.contains("no column `1`"));
    }

    #[test]
    fn a_refusal_says_what_was_expected_where() {
        for (condition, reason) in [
            ("", "expected a column at the beginning, found nothing"),
            ("and", "expected a column at the beginning, found `and`"),
            (
                "arm",
                "expected one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `~` after `arm`, found nothing",
            ),
            (
                "arm like 'x'",
                "expected one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `~` after `arm`, found `like`",
            ),
            ("arm=full mAP>0.7", "expected `and` or `or` after `arm=full`, found `mAP`"),
            ("arm=full and", "expected a column after `arm=full and`, found nothing"),
            ("arm=full and or seed=1", "expected a column after `arm=full and`, found `or`"),
            ("arm=full, seed=1", "expected `and` or `or` after `arm=full,`, found `seed`"),
            ("arm=a=b", "expected `and` or `or` after `arm=a`, found `=`"),
            ("arm=!b", "expected a value after `arm=`, found `!`"),
            ("mAP>", "expected a value after `mAP>`, found nothing"),
            ("mAP> and arm=full", "expected a value after `mAP>`, found `and`"),
            ("failure~''", "expected a value after `failure~`, found `''`"),
            ("mAP>high", "`mAP` holds numbers, and `high` is none"),
            ("mAP<=nan", "`mAP` holds numbers, and `nan` is none"),
            ("seed=one", "`seed` holds numbers, and `one` is none"),
            ("arm='full and", "a quote is left open: `'full and`"),
        ] {
            let expected = format!("--where: {reason}\n  hint: for example `arm=full and mAP>0.5`");
            let text = sql(condition).0;
            assert!(text.starts_with(&expected), "{condition}: {text}");
        }
    }

    #[test]
    fn an_unknown_column_gets_a_near_one_or_none() {
        for (condition, hint) in [
            ("mapp>0.5", "runs have no column `mapp`\n  hint: did you mean `mAP`?"),
            ("banana>1", "runs have no column `banana`\n  hint: known columns: study, arm, "),
            ("fid<30", "runs have no column `fid`\n  hint: it is a metric: "),
            (
                "loss.lambda_id=1",
                "runs have no column `loss.lambda_id`\n  hint: settings are asked in",
            ),
            ("not arm=full", "--where: `not`: conditions are joined by `and` and `or` alone"),
            ("(arm=full)", "--where: `(arm`: conditions are joined by `and` and `or` alone"),
        ] {
            let text = sql(condition).0;
            assert!(text.starts_with(hint), "{condition}: {text}");
        }
    }
}
