//! The format of `torch.save` before 1.6: five pickles (a magic number, a version, the system, the
//! object, the storages' keys), then every storage as its number of elements and its bytes.

use std::collections::BTreeMap;

use super::pickle::{Program, Value, run};
use super::{Archive, Refusal, u64_at};

/// PyTorch's magic number.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Whether these bytes begin a binary pickle.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..])
}

/// Reads the pickles and finds the storages.
pub(super) fn open(bytes: &[u8]) -> Result<Archive<'_>, Refusal> {
    let magic = run(bytes, 0)?;
    if !is_int(&magic, MAGIC) {
        return Err(Refusal::not_plain("it is a pickle, but not one of `torch.save`"));
    }
    let version = run(bytes, magic.end)?;
    if !is_int(&version, VERSION) {
        return Err(Refusal::damaged("its protocol version is not 1001").at(magic.end));
    }
    let system = run(bytes, version.end)?;
    if matches!(system.entry("little_endian"), Some(Value::Bool(false))) {
        return Err(Refusal::not_plain("it was written on a big-endian machine in the old format"));
    }
    let program = run(bytes, system.end)?;
    let keys = run(bytes, program.end)?;
    let Value::Sequence(list) = keys.value else {
        return Err(Refusal::damaged("its list of storages is no list").at(program.end));
    };
    let declared = program.storages();
    let mut storages = BTreeMap::new();
    let mut at = keys.end;
    for key in keys.sequence(list) {
        let cut =
            || Refusal::damaged("a storage is cut off or has another size than declared").at(at);
        let Value::Text(key) = key else { return Err(cut()) };
        let storage = declared.get(&**key).ok_or_else(cut)?;
        let elements = u64_at(bytes, at).and_then(|count| usize::try_from(count).ok());
        let size =
            storage.bytes().filter(|_| elements == Some(storage.elements)).ok_or_else(cut)?;
        let from = at + 8;
        let content = from.checked_add(size).and_then(|to| bytes.get(from..to)).ok_or_else(cut)?;
        at = from + size;
        storages.insert(key.to_string(), content);
    }
    Ok(Archive { program, storages, big_endian: false })
}

fn is_int(program: &Program, wanted: i128) -> bool {
    matches!(program.value, Value::Int(value) if value == wanted)
}
