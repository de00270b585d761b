//! PyTorch's `.pt` and `.pth` files, read as names and tensors and nothing else: the zip format of
//! `torch.save` and the legacy one before 1.6. Both hold a pickle, a program for a small machine; ours
//! (`pickle`) knows only what tensors in dictionaries need and refuses every other instruction by name.
//! Nothing is executed, nothing is written, and what is allocated is bounded by the size of the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

mod flatten;
mod legacy;
mod pickle;
mod tensor;
mod zip;

/// Bytes that a file may have.
const MAX_FILE: u64 = 8 << 30;
/// Tensors of one file together may have so many times the bytes of the file (views share storages).
const MAX_SHARED: usize = 4;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 16-bit float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    Bf16,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 8-bit unsigned integer.
    U8,
    /// Truth value, 0 or 1.
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// By the name of PyTorch's storage class.
    fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }
}

/// A tensor by value: row-major, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchTensor {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Sizes; none for a single number.
    pub shape: Vec<usize>,
    /// `product(shape) * dtype.bytes()` bytes.
    pub bytes: Vec<u8>,
}

/// Tensors by dotted name: keys of nested dictionaries, and positions in lists, joined by dots.
pub type Tensors = BTreeMap<String, TorchTensor>;

/// Why a file cannot be read as tensors.
#[derive(Debug, thiserror::Error)]
pub enum TorchFileError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Its content is refused.
    #[error("cannot read `{path}` as a PyTorch file: {refusal}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
}

/// Why the content of a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{place}\n  hint: {hint}", place = Self::place(*at))]
pub struct Refusal {
    /// What was found.
    pub reason: String,
    /// Byte of the file, or of the pickle in it, where it was found.
    pub at: Option<usize>,
    /// What to do.
    pub hint: &'static str,
}

const DAMAGED: &str = "the file is damaged or was not written by `torch.save`; get it again";
const PLAIN: &str = "save the tensors alone: `torch.save(model.state_dict(), path)`";

impl Refusal {
    fn place(at: Option<usize>) -> String {
        at.map_or_else(String::new, |at| format!(" (byte {at})"))
    }

    fn damaged(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), at: None, hint: DAMAGED }
    }

    fn not_plain(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), at: None, hint: PLAIN }
    }

    fn at(self, at: usize) -> Self {
        Self { at: Some(at), ..self }
    }
}

/// Whether a file that begins with these bytes claims to be PyTorch's; nine are enough. The length at
/// the beginning of a safetensors file can look like a pickle, but a brace follows it.
#[must_use]
pub fn is_torch(beginning: &[u8]) -> bool {
    zip::is_zip(beginning) || legacy::is_pickle(beginning) && beginning.get(8) != Some(&b'{')
}

/// Reads every tensor of a file.
///
/// # Errors
/// `Io` when it cannot be read, `Refused` for anything in it but tensors in dictionaries, lists and
/// tuples (other values are passed over), and for damage.
pub fn read(path: &Path) -> Result<Tensors, TorchFileError> {
    let failed = |source| TorchFileError::Io { path: path.to_owned(), source };
    let refused = |refusal| TorchFileError::Refused { path: path.to_owned(), refusal };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        let reason = format!("it is larger than {} GiB", MAX_FILE >> 30);
        return Err(refused(Refusal::not_plain(reason)));
    }
    parse(&bytes).map_err(refused)
}

/// Reads every tensor of a file's content.
///
/// # Errors
/// As for [`read`].
pub fn parse(bytes: &[u8]) -> Result<Tensors, Refusal> {
    let archive = if zip::is_zip(bytes) {
        zip::open(bytes)?
    } else if legacy::is_pickle(bytes) {
        legacy::open(bytes)?
    } else {
        return Err(Refusal::damaged("it is neither a zip archive nor a pickle"));
    };
    let named = flatten::tensors(&archive.program)?;
    let mut left = bytes.len().saturating_mul(MAX_SHARED);
    let mut tensors = Tensors::new();
    for (name, view) in named {
        let storage = archive.storages.get(&*view.storage.key).ok_or_else(|| {
            Refusal::damaged(format!(
                "`{name}` lies in storage `{}`, which is not there",
                view.storage.key
            ))
        })?;
        let size = view.elements.checked_mul(view.storage.dtype.bytes());
        left = size.and_then(|size| left.checked_sub(size)).ok_or_else(|| {
            Refusal::not_plain(
                "its tensors share storages until they are many times as large as the file",
            )
        })?;
        let tensor = view.gather(storage, archive.big_endian).map_err(|refusal| Refusal {
            reason: format!("`{name}`: {}", refusal.reason),
            ..refusal
        })?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// A file taken apart: the value that its pickle makes, and the bytes of its storages by key.
struct Archive<'a> {
    program: pickle::Program,
    storages: BTreeMap<String, &'a [u8]>,
    big_endian: bool,
}

/// Little-endian numbers at known places of a byte string; `None` beyond its end.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
