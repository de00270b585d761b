//! Where the elements of a tensor lie in its storage. Everything is checked before a byte is allocated.

use std::rc::Rc;

use super::{Dtype, Refusal, TorchTensor};

/// Dimensions that a tensor may have.
pub(super) const MAX_DIMS: usize = 16;

/// A storage as the pickle declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub key: Rc<str>,
    pub dtype: Dtype,
    pub elements: usize,
}

impl Storage {
    /// Its size in bytes, if that is a number.
    pub fn bytes(&self) -> Option<usize> {
        self.elements.checked_mul(self.dtype.bytes())
    }
}

/// A tensor as a view of a storage; all its elements lie inside the storage's declared size.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub storage: Rc<Storage>,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
    pub elements: usize,
}

impl View {
    /// # Errors
    /// `Refusal` for negative or too many sizes, elements outside the storage, or more elements than
    /// the storage has.
    pub fn new(
        storage: Rc<Storage>,
        offset: i128,
        shape: &[i128],
        stride: &[i128],
    ) -> Result<Self, Refusal> {
        let refused = |what: &str| {
            let shape: Vec<String> = shape.iter().take(MAX_DIMS).map(ToString::to_string).collect();
            Refusal::damaged(format!("a tensor of shape [{}] {what}", shape.join(", ")))
        };
        if shape.len() != stride.len() || shape.len() > MAX_DIMS {
            return Err(refused("has too many sizes, or not one stride for each"));
        }
        let natural = |number: i128| usize::try_from(number);
        let all =
            |numbers: &[i128]| numbers.iter().map(|&n| natural(n)).collect::<Result<Vec<_>, _>>();
        let (Ok(start), Ok(shape), Ok(stride)) = (natural(offset), all(shape), all(stride)) else {
            return Err(refused("has a negative size, stride or offset"));
        };
        let product = |total: usize, &size: &usize| total.checked_mul(size);
        let elements = if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1, product) };
        let elements = elements.filter(|&elements| elements <= storage.elements);
        let elements = elements.ok_or_else(|| refused("has more elements than its storage"))?;
        if elements > 0 {
            let farther = |last: usize, (&size, &step): (&usize, &usize)| {
                (size - 1).checked_mul(step).and_then(|way| last.checked_add(way))
            };
            let last = shape.iter().zip(&stride).try_fold(start, farther);
            if last.is_none_or(|last| last >= storage.elements) {
                return Err(refused("reaches beyond its storage"));
            }
        }
        Ok(Self { storage, offset: start, shape, stride, elements })
    }

    /// The tensor by value.
    ///
    /// # Errors
    /// `Refusal` when the storage is not of its declared size.
    pub fn gather(&self, storage: &[u8], big_endian: bool) -> Result<TorchTensor, Refusal> {
        let dtype = self.storage.dtype;
        if self.storage.bytes() != Some(storage.len()) {
            return Err(Refusal::damaged(format!(
                "its storage has {} bytes, declared are {} elements of {}",
                storage.len(),
                self.storage.elements,
                dtype.bytes()
            )));
        }
        let width = dtype.bytes();
        let mut bytes = Vec::with_capacity(self.elements * width);
        if self.elements > 0 && self.is_contiguous() {
            bytes.extend(&storage[self.offset * width..(self.offset + self.elements) * width]);
        } else {
            let mut index = vec![0; self.shape.len()];
            for _ in 0..self.elements {
                let way: usize = index.iter().zip(&self.stride).map(|(i, step)| i * step).sum();
                let at = (self.offset + way) * width;
                bytes.extend(&storage[at..at + width]);
                for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                    *i += 1;
                    if *i < size {
                        break;
                    }
                    *i = 0;
                }
            }
        }
        if big_endian {
            bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        if dtype == Dtype::Bool {
            for byte in &mut bytes {
                *byte = u8::from(*byte != 0);
            }
        }
        Ok(TorchTensor { dtype, shape: self.shape.clone(), bytes })
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.stride).rev().all(|(&size, &step)| {
            let fits = size == 1 || step == expected;
            expected *= size;
            fits
        })
    }
}
