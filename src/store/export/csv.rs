//! Answers as comma-separated values (RFC 4180 but for `\n` line ends): every bit of a float, empty for
//! no value, bytes in hexadecimal.

use crate::store::query::{Cell, Table};

/// The table with a header line.
#[must_use]
pub fn csv(table: &Table) -> String {
    let line = |fields: Vec<String>| format!("{}\n", fields.join(","));
    let field = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => value.to_string(),
        Cell::Text(value) => quoted(value),
        Cell::Blob(bytes) => hex(bytes),
    };
    let header = line(table.columns.iter().map(|name| quoted(name)).collect());
    let rows = table.rows.iter().map(|row| line(row.iter().map(field).collect()));
    std::iter::once(header).chain(rows).collect()
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Two hexadecimal digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
