//! The pickle machine: the instructions that protocols 2 to 5 use for dictionaries, lists, tuples,
//! plain values and tensors. Globals are names from a short list and never looked up; what may be
//! called is `calls`' business. Values live in one heap, so sharing and cycles cost nothing
//! and dropping never recurses.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::tensor::{Storage, View};
use super::{Dtype, Refusal, bytes_at, u16_at, u32_at, u64_at};

mod calls;

/// Bytes that a pickle may have; that of a network of a thousand tensors has 200 KB.
pub(super) const MAX_PICKLE: usize = 16 << 20;
/// Values on the stack at once; the pickler puts a thousand items of a dictionary there.
const MAX_STACK: usize = 1 << 16;
/// Values that the memo holds.
const MAX_MEMO: usize = 1 << 20;
/// Arguments of a call.
const MAX_ARGUMENTS: usize = 8;
/// Elements of all lists, tuples and dictionaries together.
const MAX_ELEMENTS: usize = 1 << 21;

/// A value; compound ones are places in the heap.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float,
    Text(Rc<str>),
    Sequence(usize),
    Dict(usize),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
}

impl Value {
    /// What it is, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float => "a float",
            Self::Text(_) => "a string",
            Self::Sequence(_) => "a list or tuple",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a function or class",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// The names that a pickle may mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(Dtype),
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", class) => Self::Storage(Dtype::of_storage(class)?),
            _ => return None,
        })
    }
}

/// What a pickle makes, with the heap that its values point into.
#[derive(Debug)]
pub(super) struct Program {
    pub value: Value,
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: BTreeMap<Rc<str>, Rc<Storage>>,
    /// Byte after the pickle.
    pub end: usize,
}

impl Program {
    pub fn sequence(&self, at: usize) -> &[Value] {
        self.sequences.get(at).map_or(&[], Vec::as_slice)
    }

    pub fn dict(&self, at: usize) -> &[(Value, Value)] {
        self.dicts.get(at).map_or(&[], Vec::as_slice)
    }

    /// Every storage that the pickle mentions, by key.
    pub fn storages(&self) -> &BTreeMap<Rc<str>, Rc<Storage>> {
        &self.storages
    }

    /// What stands under a text key of the value, a dictionary.
    pub fn entry(&self, name: &str) -> Option<&Value> {
        let Value::Dict(at) = self.value else { return None };
        let is = |key: &Value| matches!(key, Value::Text(text) if &**text == name);
        self.dict(at).iter().rev().find(|(key, _)| is(key)).map(|(_, value)| value)
    }
}

/// Runs the pickle that begins at byte `from`.
///
/// # Errors
/// `Refusal` with the byte for every instruction, name or call that is not known, and for damage.
pub(super) fn run(bytes: &[u8], from: usize) -> Result<Program, Refusal> {
    let end = bytes.len().min(from.saturating_add(MAX_PICKLE));
    let bytes = bytes.get(..end).unwrap_or_default();
    let mut machine = Machine {
        bytes,
        at: from,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        sequences: Vec::new(),
        dicts: Vec::new(),
        storages: BTreeMap::new(),
        elements: 0,
    };
    loop {
        let opcode_at = machine.at;
        let done = machine.step().map_err(|refusal| match refusal.at {
            Some(_) => refusal,
            None => refusal.at(opcode_at),
        })?;
        if let Some(value) = done {
            let Machine { at: end, sequences, dicts, storages, .. } = machine;
            return Ok(Program { value, sequences, dicts, storages, end });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: BTreeMap<Rc<str>, Rc<Storage>>,
    elements: usize,
}

type Done<T = ()> = Result<T, Refusal>;

fn truncated() -> Refusal {
    Refusal::damaged("the pickle ends in the middle (or has more than 16 MiB)")
}

fn too_much(what: &str) -> Refusal {
    Refusal::not_plain(format!("the pickle holds more {what} than any network needs"))
}

impl<'a> Machine<'a> {
    /// Carries out one instruction; `Some` after the last.
    fn step(&mut self) -> Done<Option<Value>> {
        let opcode = self.take(1)?[0];
        match opcode {
            0x80 => self.protocol()?,
            // a frame is a hint for buffered reading
            0x95 => drop(self.take(8)?),
            b'.' => return self.pop().map(Some),
            b'(' => {
                self.marks.push(self.stack.len());
                if self.marks.len() > MAX_STACK {
                    return Err(too_much("open lists"));
                }
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?.clone();
                self.push(top)?;
            }
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool(opcode == 0x88))?,
            b'K' | b'M' | b'J' | 0x8a | 0x8b => self.integer(opcode)?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Float)?;
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' => self.text(opcode)?,
            b']' | b')' => self.push_sequence(Vec::new())?,
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.push_sequence(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let items = self.pop_many(count)?;
                self.push_sequence(items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b'}' => self.push_dict(Vec::new())?,
            b'd' => {
                let items = self.pop_mark()?;
                let entries = pairs(items)?;
                self.push_dict(entries)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set(items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }
            b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b'h' | b'j' => self.recall(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            other => return Err(calls::refused_opcode(other)),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Done<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn line(&mut self) -> Done<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().take(256).position(|&byte| byte == b'\n').ok_or_else(truncated)?;
        let line = self.take(length + 1)?;
        text_of(&line[..length])
    }

    fn push(&mut self, value: Value) -> Done {
        if self.stack.len() >= MAX_STACK {
            return Err(too_much("values at once"));
        }
        self.stack.push(value);
        Ok(())
    }

    /// The stack above the last mark may be taken from, what lies below it may not.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Done<Value> {
        let empty = self.stack.len() <= self.floor();
        let value = if empty { None } else { self.stack.pop() };
        value.ok_or_else(|| Refusal::damaged("the pickle takes a value that it never made"))
    }

    fn top(&self) -> Done<&Value> {
        let empty = self.stack.len() <= self.floor();
        let value = if empty { None } else { self.stack.last() };
        value.ok_or_else(|| Refusal::damaged("the pickle uses a value that it never made"))
    }

    fn pop_many(&mut self, count: usize) -> Done<Vec<Value>> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Done<Vec<_>>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_mark(&mut self) -> Done<Vec<Value>> {
        let missing = || Refusal::damaged("the pickle closes a list that it never opened");
        let mark = self.marks.pop().ok_or_else(missing)?;
        if mark > self.stack.len() {
            return Err(missing());
        }
        Ok(self.stack.split_off(mark))
    }

    fn count(&mut self, more: usize) -> Done {
        self.elements += more;
        if self.elements > MAX_ELEMENTS { Err(too_much("values")) } else { Ok(()) }
    }

    fn push_sequence(&mut self, items: Vec<Value>) -> Done {
        self.count(items.len() + 1)?;
        self.sequences.push(items);
        self.push(Value::Sequence(self.sequences.len() - 1))
    }

    fn push_dict(&mut self, entries: Vec<(Value, Value)>) -> Done {
        self.count(entries.len() + 1)?;
        self.dicts.push(entries);
        self.push(Value::Dict(self.dicts.len() - 1))
    }

    fn append(&mut self, items: Vec<Value>) -> Done {
        self.count(items.len())?;
        let Value::Sequence(at) = *self.top()? else {
            return Err(Refusal::damaged("the pickle appends to something that is no list"));
        };
        self.sequences[at].extend(items);
        Ok(())
    }

    fn set(&mut self, items: Vec<Value>) -> Done {
        self.count(items.len())?;
        let Value::Dict(at) = *self.top()? else {
            let reason = format!("the pickle sets an item of {}", self.top()?.kind());
            return Err(Refusal::not_plain(reason));
        };
        self.dicts[at].extend(pairs(items)?);
        Ok(())
    }

    fn protocol(&mut self) -> Done {
        match self.take(1)?[0] {
            2..=5 => Ok(()),
            other => Err(Refusal::damaged(format!("pickle protocol {other} is not known"))),
        }
    }

    fn integer(&mut self, opcode: u8) -> Done {
        let value = match opcode {
            b'K' => i128::from(self.take(1)?[0]),
            b'M' => i128::from(u16_at(self.take(2)?, 0).unwrap_or_default()),
            b'J' => i128::from(i32::from_le_bytes(bytes_at(self.take(4)?, 0).unwrap_or_default())),
            _ => {
                let length =
                    if opcode == 0x8a { usize::from(self.take(1)?[0]) } else { self.length(4)? };
                let digits = self.take(length)?;
                if length > 16 {
                    return Err(too_much("digits"));
                }
                let sign = digits.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xff });
                let mut wide = [sign; 16];
                wide[..length].copy_from_slice(digits);
                i128::from_le_bytes(wide)
            }
        };
        self.push(Value::Int(value))
    }

    /// A length of 1, 4 or 8 bytes.
    fn length(&mut self, bytes: usize) -> Done<usize> {
        let taken = self.take(bytes)?;
        let length = match bytes {
            1 => Some(u64::from(taken[0])),
            4 => u32_at(taken, 0).map(u64::from),
            _ => u64_at(taken, 0),
        };
        length.and_then(|length| usize::try_from(length).ok()).ok_or_else(truncated)
    }

    fn text(&mut self, opcode: u8) -> Done {
        let width = match opcode {
            0x8c | b'U' => 1,
            0x8d => 8,
            _ => 4,
        };
        let length = self.length(width)?;
        let text = text_of(self.take(length)?)?;
        self.push(Value::Text(text.into()))
    }

    fn remember(&mut self, opcode: u8) -> Done {
        let name = match opcode {
            b'q' => u32::from(self.take(1)?[0]),
            b'r' => u32_at(self.take(4)?, 0).unwrap_or_default(),
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        let value = self.top()?.clone();
        self.memo.insert(name, value);
        if self.memo.len() > MAX_MEMO { Err(too_much("remembered values")) } else { Ok(()) }
    }

    fn recall(&mut self, opcode: u8) -> Done {
        let name = match opcode {
            b'h' => u32::from(self.take(1)?[0]),
            _ => u32_at(self.take(4)?, 0).unwrap_or_default(),
        };
        let unknown = || Refusal::damaged("the pickle recalls a value that it never made");
        let value = self.memo.get(&name).cloned().ok_or_else(unknown)?;
        self.push(value)
    }

    fn global(&mut self, opcode: u8) -> Done {
        let (module, name): (Rc<str>, Rc<str>) = if opcode == b'c' {
            (self.line()?.into(), self.line()?.into())
        } else {
            match <[Value; 2]>::try_from(self.pop_many(2)?) {
                Ok([Value::Text(module), Value::Text(name)]) => (module, name),
                _ => {
                    return Err(Refusal::damaged(
                        "the pickle names a class by something else than text",
                    ));
                }
            }
        };
        let global = Global::named(&module, &name).ok_or_else(|| {
            let shown: String = format!("{module}.{name}").chars().take(120).collect();
            Refusal::not_plain(format!(
                "it asks for `{}`, which is not needed for tensors",
                shown.escape_debug()
            ))
        })?;
        self.push(Value::Global(global))
    }
}

fn text_of(bytes: &[u8]) -> Done<&str> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::damaged("a string in the pickle is not UTF-8"))
}

fn pairs(items: Vec<Value>) -> Done<Vec<(Value, Value)>> {
    if items.len() % 2 == 1 {
        return Err(Refusal::damaged("the pickle sets a key without a value"));
    }
    let mut entries = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        entries.push((key, value));
    }
    Ok(entries)
}
