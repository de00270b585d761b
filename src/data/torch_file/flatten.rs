//! From the value of a pickle to tensors by dotted name.

use std::rc::Rc;

use super::Refusal;
use super::pickle::{Program, Value};
use super::tensor::View;

/// Dictionaries and lists inside one another.
const MAX_DEPTH: usize = 16;
/// Values looked at; sharing can make a small pickle an endless tree.
const MAX_VISITS: usize = 1 << 20;
/// Bytes of a name.
const MAX_NAME: usize = 512;

/// Every tensor below the program's value; what is no tensor is passed over. A key that is set twice
/// has its last value.
pub(super) fn tensors(program: &Program) -> Result<Vec<(String, Rc<View>)>, Refusal> {
    let mut walk = Walk { program, visits: 0, found: Vec::new() };
    walk.visit(&program.value, "", 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    program: &'a Program,
    visits: usize,
    found: Vec<(String, Rc<View>)>,
}

impl Walk<'_> {
    fn visit(&mut self, value: &Value, name: &str, depth: usize) -> Result<(), Refusal> {
        self.visits += 1;
        if self.visits > MAX_VISITS || depth > MAX_DEPTH {
            return Err(Refusal::not_plain("its dictionaries are nested or shared without end"));
        }
        let below = |key: &str| {
            let whole = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
            if whole.len() > MAX_NAME {
                return Err(Refusal::not_plain(format!("a name has more than {MAX_NAME} bytes")));
            }
            Ok(whole)
        };
        let program = self.program;
        match value {
            Value::Tensor(view) => self.found.push((name.to_owned(), Rc::clone(view))),
            Value::Dict(at) => {
                for (key, value) in program.dict(*at) {
                    match key {
                        Value::Text(key) if key.len() <= MAX_NAME => {
                            self.visit(value, &below(key)?, depth + 1)?;
                        }
                        Value::Text(key) => drop(below(key)?),
                        Value::Int(key) => {
                            self.visit(value, &below(&key.to_string())?, depth + 1)?;
                        }
                        // such a key names nothing that we look for
                        _ => {}
                    }
                }
            }
            Value::Sequence(at) => {
                for (place, value) in program.sequence(*at).iter().enumerate() {
                    self.visit(value, &below(&place.to_string())?, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
