//! Where the numbers of a batch are: in a vector, or in memory from outside, such as one that a GPU copies from.
//!
//! A batch goes from a loader's thread to the consumer, back to the loader when it is recycled, and is filled anew by a
//! thread. Whoever still reads the memory by then, behind the consumer's back, is waited for: there is no way to the
//! numbers for writing but through [`Memory::numbers_mut`].

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A block of memory from outside, filled again and again.
pub trait Memory: Any + fmt::Debug + Send + Sync {
    /// All of it; the length never changes.
    fn numbers(&self) -> &[f32];

    /// All of it, to write to. Returns when nobody reads it any more; so does dropping it.
    fn numbers_mut(&mut self) -> &mut [f32];
}

/// Where a loader gets memory from; its threads ask.
pub trait Lender: fmt::Debug + Send + Sync {
    /// Memory for at least so many numbers, initialised to any; `None` if there is none, which makes it a vector.
    fn lend(&self, numbers: usize) -> Option<Box<dyn Memory>>;
}

/// The numbers of a batch, a slice of f32. Copies are vectors, and equal are those that hold equal numbers.
#[derive(Default)]
pub struct Buffer {
    place: Place,
    lender: Option<Arc<dyn Lender>>,
}

enum Place {
    Own(Vec<f32>),
    Lent { memory: Box<dyn Memory>, len: usize },
}

impl Buffer {
    /// Nothing yet; it will grow in memory of `lender`.
    pub(crate) fn lent_by(lender: Option<Arc<dyn Lender>>) -> Self {
        Self { lender, ..Self::default() }
    }

    /// The memory from outside that the numbers are in, from its first number on, if it is of this type.
    pub fn lent<M: Memory>(&self) -> Option<&M> {
        match &self.place {
            Place::Own(_) => None,
            Place::Lent { memory, .. } => (memory.as_ref() as &dyn Any).downcast_ref(),
        }
    }

    /// Numbers that fit in.
    pub(crate) fn capacity(&self) -> usize {
        match &self.place {
            Place::Own(numbers) => numbers.capacity(),
            Place::Lent { memory, .. } => memory.numbers().len(),
        }
    }

    /// New memory for `numbers` numbers. Nothing of the former is kept.
    pub(crate) fn grow(&mut self, numbers: usize) {
        self.place = Place::default(); // freed before the larger one is asked for
        let lent = self.lender.as_ref().and_then(|lender| lender.lend(numbers));
        self.place = match lent.filter(|memory| memory.numbers().len() >= numbers) {
            Some(memory) => Place::Lent { memory, len: numbers },
            None => {
                let mut own = vec![0.0; numbers];
                #[cfg(target_os = "linux")]
                in_huge_pages(&mut own);
                Place::Own(own)
            }
        };
    }

    /// The first `numbers` numbers of the memory, at most [`Buffer::capacity`], with what a former use left in them.
    pub(crate) fn set_len(&mut self, numbers: usize) {
        match &mut self.place {
            Place::Own(own) => own.resize(numbers, 0.0),
            Place::Lent { memory, len } => *len = numbers.min(memory.numbers().len()),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.place {
            Place::Own(numbers) => numbers,
            Place::Lent { memory, len } => &memory.numbers()[..*len],
        }
    }
}

impl DerefMut for Buffer {
    /// As [`Memory::numbers_mut`].
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.place {
            Place::Own(numbers) => numbers,
            Place::Lent { memory, len } => &mut memory.numbers_mut()[..*len],
        }
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(numbers: Vec<f32>) -> Self {
        Self { place: Place::Own(numbers), lender: None }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Asks for memory pages of 2 MiB: a fresh batch of 45 MB then costs 22 page faults, not 11 000.
#[cfg(target_os = "linux")]
fn in_huge_pages(data: &mut [f32]) {
    const PAGE: usize = 4096;
    let (begin, bytes) = (data.as_mut_ptr().cast::<u8>(), size_of_val(data));
    let skip = begin.align_offset(PAGE);
    let Some(len) = bytes.checked_sub(skip).map(|n| n / PAGE * PAGE).filter(|n| *n >= 4 << 20)
    else {
        return;
    };
    // SAFETY: the range is whole pages inside the vector, and this hint changes no contents. Without huge pages in the
    // kernel it is refused, which changes nothing either.
    let _ = unsafe {
        rustix::mm::madvise(begin.add(skip).cast(), len, rustix::mm::Advice::LinuxHugepage)
    };
}
