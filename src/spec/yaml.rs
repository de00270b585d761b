//! YAML with positions: text -> a tree in which every key and value knows its file, line and column.
//! Scalars resolve by the YAML 1.2 core schema. Knows nothing of settings; anchors, aliases, tags and a
//! second document are refused, so a small file cannot unfold into a big tree.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::error::SpecError;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Deepest nesting; settings need four levels.
const MAX_DEPTH: usize = 32;

/// A text that positions refer to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The file as the user would name it, or a whole `--set` argument.
    pub name: String,
    /// Folder that relative paths in it refer to.
    pub dir: PathBuf,
    /// Its text.
    pub text: String,
    /// Whether lines of it mean something to the user; not so for an argument.
    pub has_lines: bool,
}

/// A position in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub source: Arc<Source>,
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The beginning of a text.
    pub fn start(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), line: 1, column: 1 }
    }

    /// `file:line`, or the argument that states it.
    pub fn short(&self) -> String {
        if self.source.has_lines {
            format!("{}:{}", self.source.name, self.line)
        } else {
            self.source.name.clone()
        }
    }

    /// An error at this position.
    pub fn error(&self, message: impl Into<String>) -> SpecError {
        let mut error = SpecError::without_line(self.source.name.clone(), message);
        if self.source.has_lines {
            let line = self.source.text.split('\n').nth(self.line.saturating_sub(1)).unwrap_or("");
            line.trim_end_matches('\r').clone_into(&mut error.text);
            error.line = self.line;
            error.column = self.column;
        }
        error
    }
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub value: Value,
    pub at: Place,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    /// The second field: written without quotes.
    Text(String, bool),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub at: Place,
    pub node: Node,
}

impl fmt::Display for Value {
    /// What was found, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Bool(value) => write!(f, "`{value}`"),
            Self::Integer(value) => write!(f, "`{value}`"),
            Self::Number(value) => write!(f, "`{value}`"),
            Self::Text(value, _) => write!(f, "`{}`", shortened(value)),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a map"),
        }
    }
}

/// A text cut to a length that fits into a message, on one line.
pub(crate) fn shortened(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= 60 {
        text.chars().map(clean).collect()
    } else {
        text.chars().take(57).map(clean).chain("...".chars()).collect()
    }
}

/// Reads a file; `named_at` is the value that names it, where it is not the user's own argument.
pub(crate) fn read(path: &Path, named_at: Option<&Place>) -> Result<Arc<Source>, SpecError> {
    let name = path.display().to_string();
    let refuse = |why: String| match named_at {
        Some(place) => place.error(format!("cannot read `{name}`: {why}")),
        None => SpecError::without_line(name.clone(), why),
    };
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(suggest_file(refuse("no such file".to_owned()), path));
        }
        Err(error) => return Err(refuse(error.to_string())),
    };
    if !meta.is_file() {
        return Err(refuse("not a file".to_owned()));
    }
    if meta.len() > MAX_BYTES {
        return Err(refuse(format!("{} bytes, more than the limit of {MAX_BYTES}", meta.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let source = |text: String| Arc::new(Source { name: name.clone(), dir, text, has_lines: true });
    match String::from_utf8(bytes) {
        // A byte-order mark is not part of the text.
        Ok(text) => Ok(source(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let valid = String::from_utf8_lossy(&error.as_bytes()[..offset]).into_owned();
            let line = valid.matches('\n').count() + 1;
            let column = valid.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let place = Place { source: source(text), line, column };
            Err(place
                .error(format!("not UTF-8 text: first bad byte at offset {offset}"))
                .hint("save the file as UTF-8"))
        }
    }
}

/// Adds the closest YAML file of the same folder as a hint.
fn suggest_file(error: SpecError, path: &Path) -> SpecError {
    let Some(wanted) = path.file_name().and_then(|name| name.to_str()) else { return error };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(dir) else { return error };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml" || end == "yml"))
        .take(1_000)
        .collect();
    names.sort();
    let best = names.iter().min_by_key(|name| strsim::damerau_levenshtein(wanted, name));
    match best {
        Some(best) if strsim::damerau_levenshtein(wanted, best) <= wanted.len() / 3 => {
            error.hint(format!("did you mean `{}`?", path.with_file_name(best).display()))
        }
        _ => error,
    }
}

/// A collection that is still open.
enum Open {
    List(Place, Vec<Node>),
    Map {
        at: Place,
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
        seen: BTreeMap<String, usize>,
    },
}

/// Parses one document; an empty one is `Null`.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Node, SpecError> {
    let place = |span: Span| Place {
        source: Arc::clone(source),
        line: span.start.line(),
        column: span.start.col() + 1,
    };
    let mut stack: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| syntax_error(source, &error))?;
        let at = place(span);
        refuse_extras(&event, &at)?;
        let done = match event {
            Event::DocumentStart(_) if root.is_some() => {
                return Err(at.error("a second YAML document begins here; a file holds one"));
            }
            Event::Scalar(text, style, _, _) => {
                if let Some(Open::Map { key: key @ None, seen, .. }) = stack.last_mut() {
                    open_key(&text, at, key, seen)?;
                    continue;
                }
                Node { value: scalar(&text, style), at }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if matches!(stack.last(), Some(Open::Map { key: None, .. })) {
                    return Err(at.error("a key must be a word, found a list or a map"));
                }
                if stack.len() >= MAX_DEPTH {
                    return Err(at.error(format!("nested more than {MAX_DEPTH} levels deep")));
                }
                stack.push(if matches!(event, Event::SequenceStart(..)) {
                    Open::List(at, Vec::new())
                } else {
                    Open::Map { at, entries: Vec::new(), key: None, seen: BTreeMap::new() }
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::List(at, items)) => Node { value: Value::List(items), at },
                Some(Open::Map { at, entries, .. }) => Node { value: Value::Map(entries), at },
                None => continue,
            },
            _ => continue,
        };
        match stack.last_mut() {
            Some(Open::List(_, items)) => items.push(done),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, at)) = key.take() {
                    entries.push(Entry { key, at, node: done });
                }
            }
            None => root = Some(done),
        }
    }
    Ok(root.unwrap_or_else(|| Node { value: Value::Null, at: Place::start(source) }))
}

/// Takes a key, unless the map has it already.
fn open_key(
    text: &str,
    at: Place,
    key: &mut Option<(String, Place)>,
    seen: &mut BTreeMap<String, usize>,
) -> Result<(), SpecError> {
    if let Some(first) = seen.get(text) {
        let message = format!("duplicate key `{}`; it is on line {first} already", shortened(text));
        return Err(at.error(message));
    }
    seen.insert(text.to_owned(), at.line);
    *key = Some((text.to_owned(), at));
    Ok(())
}

/// Refuses anchors, aliases and tags.
fn refuse_extras(event: &Event<'_>, at: &Place) -> Result<(), SpecError> {
    let (anchor, tagged) = match event {
        Event::Alias(_) => (true, false),
        Event::Scalar(_, _, anchor, tag)
        | Event::SequenceStart(anchor, tag)
        | Event::MappingStart(anchor, tag) => (*anchor != 0, tag.is_some()),
        _ => (false, false),
    };
    if anchor {
        return Err(at
            .error("anchors and aliases (`&name`, `*name`) are not supported")
            .hint("share settings through `extends`, or write the value out"));
    }
    if tagged {
        return Err(at.error("tags (`!name`) are not supported").hint("write the plain value"));
    }
    Ok(())
}

/// A syntax error in our words where the parser's are unclear.
fn syntax_error(source: &Arc<Source>, error: &ScanError) -> SpecError {
    let mark = error.marker();
    let place =
        Place { source: Arc::clone(source), line: mark.line().max(1), column: mark.col() + 1 };
    let refused = place.error(format!("not valid YAML: {}", error.info()));
    if error.info().contains("mapping values are not allowed") {
        return refused.hint("a text that holds `: ` needs quotes");
    }
    let nearby = source.text.split('\n').skip(place.line.saturating_sub(2)).take(2);
    if nearby.into_iter().any(|line| line.trim_start_matches(' ').starts_with('\t')) {
        return refused.hint("YAML is indented with spaces, never with tabs");
    }
    refused
}

/// Resolves a scalar by the YAML 1.2 core schema.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned(), false);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Number(f64::NAN),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Value::Number(sign * f64::INFINITY);
    }
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).map(Value::Integer).ok();
    let whole = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let resolved = if let Some(digits) = text.strip_prefix("0x") {
        radix(digits, 16).filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    } else if let Some(digits) = text.strip_prefix("0o") {
        radix(digits, 8).filter(|_| whole(digits))
    } else if whole(unsigned) {
        text.parse().map(Value::Integer).ok().or_else(|| text.parse().map(Value::Number).ok())
    } else if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
    {
        text.parse().map(Value::Number).ok()
    } else {
        None
    };
    resolved.unwrap_or_else(|| Value::Text(text.to_owned(), true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source {
            name: "t.yaml".into(),
            dir: PathBuf::new(),
            text: text.into(),
            has_lines: true,
        })
    }

    fn refused(text: &str) -> String {
        parse(&source(text)).unwrap_err().to_string()
    }

    #[test]
    fn scalars_resolve_by_the_core_schema() {
        let one = |text: &str| scalar(text, ScalarStyle::Plain);
        assert_eq!(one("0x1F"), Value::Integer(31));
        assert_eq!(one("0o17"), Value::Integer(15));
        assert_eq!(one("-12"), Value::Integer(-12));
        assert_eq!(one("1e-4"), Value::Number(1e-4));
        assert_eq!(one("1."), Value::Number(1.0));
        assert_eq!(one(".5"), Value::Number(0.5));
        assert_eq!(one("-.inf"), Value::Number(f64::NEG_INFINITY));
        for words in
            ["yes", "no", "on", "1_000", "1e", ".", "nan", "inf", "infinity", "0x", "+-1", "1.2.3"]
        {
            assert_eq!(one(words), Value::Text(words.into(), true), "{words}");
        }
        assert_eq!(scalar("1", ScalarStyle::DoubleQuoted), Value::Text("1".into(), false));
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let root = parse(&source("a: 1\nb:\n  λ_img:  [x, 2]\n")).unwrap();
        let Value::Map(top) = &root.value else { panic!() };
        assert_eq!((top[0].at.line, top[0].at.column), (1, 1));
        assert_eq!((top[0].node.at.line, top[0].node.at.column), (1, 4));
        let Value::Map(inner) = &top[1].node.value else { panic!() };
        assert_eq!((inner[0].at.line, inner[0].at.column), (3, 3));
        assert_eq!((inner[0].node.at.line, inner[0].node.at.column), (3, 11));
    }

    #[test]
    fn what_could_hide_a_mistake_or_unfold_is_refused() {
        assert_eq!(
            refused("a: 1\nb: 2\na: 3\n"),
            "t.yaml:3:1: duplicate key `a`; it is on line 1 already\n    3 | a: 3\n      | ^"
        );
        assert!(refused("a: &x 1\nb: *x\n").contains("anchors and aliases"));
        assert!(refused("a: !!str 1\n").contains("tags"));
        assert!(refused("a: 1\n---\nb: 1\n").contains("second YAML document"));
        assert!(refused("? [a]\n: 1\n").contains("a key must be a word"));
        assert!(refused(&"[".repeat(100)).contains("nested more than 32"));
        assert!(refused("a:\n\tb: 1\n").contains("never with tabs"));
    }

    #[test]
    fn an_empty_text_is_nothing() {
        assert_eq!(parse(&source("# only a comment\n")).unwrap().value, Value::Null);
    }
}
