//! Data to standard output, talk to standard error, and what both look like.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use unicode_width::UnicodeWidthStr;

/// Writes data. A reader that has seen enough (`| head`) is no error.
pub fn data(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says something to the person at the terminal; nobody there is no error.
pub fn talk(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A plain table, one line a row: columns named in `right` stand to the right. Line ends and control
/// characters become spaces, so that no text of a study can move a terminal's cursor.
pub fn table(columns: &[&str], right: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<Cow<'_, str>> = columns.iter().map(|name| in_a_line(name)).collect();
    let rows = rows.iter().map(|row| row.iter().map(|cell| in_a_line(cell)).collect());
    let lines: Vec<Vec<Cow<'_, str>>> = std::iter::once(header).chain(rows).collect();
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.width().max(*width);
        }
    }
    let is_right: Vec<bool> = columns.iter().map(|name| right.contains(name)).collect();
    let mut text = String::new();
    for line in &lines {
        let start = text.len();
        for ((cell, width), is_right) in line.iter().zip(&widths).zip(&is_right) {
            let (room, gap) = (width - cell.width(), 2);
            let (before, after) = if *is_right { (room, gap) } else { (0, room + gap) };
            text.extend(std::iter::repeat_n(' ', before));
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', after));
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}

fn in_a_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, " "))
    } else {
        Cow::Borrowed(text)
    }
}

/// The first line of a text that may be long.
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_space() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bbb".to_owned(), "20".to_owned()]];
        assert_eq!(table(&["arm", "n"], &["n"], &rows), "arm   n\na     1\nbbb  20\n");
        assert_eq!(table(&["arm", "n"], &["n"], &[]), "arm  n\n");
    }

    #[test]
    fn a_row_is_a_line_whatever_its_text() {
        let rows = [vec!["\u{1b}[2Ja\r\nb".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["arm", "y"], &[], &rows), "arm       y\n [2Ja  b  x\n");
        let wide = [vec!["\u{732b}".to_owned(), "1".to_owned()], vec!["cat".into(), "2".into()]];
        assert_eq!(table(&["a", "n"], &[], &wide), "a    n\n\u{732b}   1\ncat  2\n");
    }
}
