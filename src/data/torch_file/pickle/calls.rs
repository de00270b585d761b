//! What a pickle may call: four functions that make dictionaries, tensors, parameters and sizes, carried
//! out here, and references to storages. And how every other wish is refused.

use std::rc::Rc;

use super::{Done, Global, MAX_ARGUMENTS, Machine, Value};
use crate::data::torch_file::Refusal;
use crate::data::torch_file::tensor::{MAX_DIMS, Storage, View};

impl Machine<'_> {
    pub(super) fn call(&mut self) -> Done {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let (Value::Sequence(at), Value::Global(global)) = (arguments, called) else {
            return Err(Refusal::not_plain("it calls something that is no known function"));
        };
        if self.sequences[at].len() > MAX_ARGUMENTS {
            return Err(Refusal::damaged("it calls a function with too many arguments"));
        }
        let arguments = self.sequences[at].clone();
        match global {
            Global::OrderedDict => {
                let entries = self.ordered(&arguments)?;
                self.push_dict(entries)
            }
            Global::RebuildTensor => {
                let view = self.tensor(&arguments)?;
                self.push(Value::Tensor(Rc::new(view)))
            }
            Global::RebuildParameter => match arguments.first() {
                Some(tensor @ Value::Tensor(_)) if arguments.len() == 3 => {
                    self.push(tensor.clone())
                }
                _ => Err(Refusal::damaged("a parameter is made of something that is no tensor")),
            },
            Global::Size => match arguments.as_slice() {
                [sizes @ Value::Sequence(_)] => self.push(sizes.clone()),
                _ => Err(Refusal::damaged("a size is made of something that is no tuple")),
            },
            Global::Storage(_) => Err(Refusal::not_plain("it makes a storage by a call")),
        }
    }

    /// The entries of an `OrderedDict` from the arguments of its constructor: none, or a list of pairs.
    fn ordered(&self, arguments: &[Value]) -> Done<Vec<(Value, Value)>> {
        let wrong =
            || Refusal::damaged("an OrderedDict is made of something that is no list of pairs");
        let list = match arguments {
            [] => return Ok(Vec::new()),
            [Value::Sequence(list)] => &self.sequences[*list],
            _ => return Err(wrong()),
        };
        let pair = |item: &Value| match item {
            Value::Sequence(at) => match self.sequences[*at].as_slice() {
                [key, value] => Ok((key.clone(), value.clone())),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        };
        list.iter().map(pair).collect()
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])`.
    fn tensor(&self, arguments: &[Value]) -> Done<View> {
        let [
            Value::Storage(storage),
            Value::Int(offset),
            Value::Sequence(size),
            Value::Sequence(stride),
            _,
            _,
            ..,
        ] = arguments
        else {
            return Err(Refusal::damaged(
                "a tensor is made of other things than a storage and its sizes",
            ));
        };
        let numbers = |at: &usize| {
            let number = |value: &Value| match value {
                Value::Int(number) => Ok(*number),
                other => Err(Refusal::damaged(format!("a tensor's size is {}", other.kind()))),
            };
            let items = self.sequences[*at].iter();
            items.take(MAX_DIMS + 1).map(number).collect::<Done<Vec<i128>>>()
        };
        View::new(Rc::clone(storage), *offset, &numbers(size)?, &numbers(stride)?)
    }

    /// Attributes of a dictionary (`_metadata` of a state dict) are passed over; of anything else refused.
    pub(super) fn build(&mut self) -> Done {
        let state = self.pop()?;
        match (self.top()?, &state) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            (other, _) => {
                Err(Refusal::not_plain(format!("it sets attributes of {}", other.kind())))
            }
        }
    }

    /// `("storage", class, key, device, elements[, None])`.
    pub(super) fn persistent(&mut self) -> Done {
        let wrong =
            || Refusal::damaged("it refers to something outside the pickle that is no storage");
        let Value::Sequence(at) = self.pop()? else { return Err(wrong()) };
        let (parts, rest) = match self.sequences[at].as_slice() {
            [a, b, c, d, e, rest @ ..] => ([a, b, c, d, e], rest),
            _ => return Err(wrong()),
        };
        if !matches!(rest, [] | [Value::None]) {
            return Err(Refusal::not_plain("it holds views in the manner of PyTorch before 0.4"));
        }
        let [
            Value::Text(kind),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            _,
            Value::Int(elements),
        ] = parts
        else {
            return Err(wrong());
        };
        let elements = usize::try_from(*elements).map_err(|_| wrong())?;
        if &**kind != "storage" {
            return Err(wrong());
        }
        let storage = Rc::new(Storage { key: Rc::clone(key), dtype: *dtype, elements });
        let known = self.storages.entry(Rc::clone(key)).or_insert_with(|| Rc::clone(&storage));
        if **known != *storage {
            return Err(Refusal::damaged("a storage has two declarations"));
        }
        self.push(Value::Storage(storage))
    }
}

/// An instruction that is known and not needed, or not known.
pub(super) fn refused_opcode(opcode: u8) -> Refusal {
    let name = match opcode {
        0x81 | 0x92 => "makes an object of a class (NEWOBJ)",
        b'i' | b'o' => "makes an object of a class (INST, OBJ)",
        0x82..=0x84 => "uses an extension code (EXT)",
        b'P' => "refers to something outside by text (PERSID)",
        b'B' | b'C' | 0x8e | 0x96 => "holds raw bytes",
        0x8f..=0x91 => "holds a set",
        0x97 | 0x98 => "uses a buffer outside the pickle",
        _ => {
            return Refusal::damaged(format!(
                "the pickle has the unknown instruction 0x{opcode:02x}"
            ));
        }
    };
    Refusal::not_plain(format!("the pickle {name}"))
}
