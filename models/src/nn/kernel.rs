//! Which kernel computes attention. libtorch chooses at every call, by type, size, dropout and device; a fused kernel
//! never writes down the `[B, H, T, T]` weights, which is what attention costs otherwise.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use etude_aten::Autocast;
use tch::{Kind, Tensor};

use crate::error::Result;

/// One of libtorch's ways to compute scaled dot-product attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttentionKernel {
    /// Step by step, the weights in memory. The CPU has no other for attention with dropout.
    Math,
    /// FlashAttention; on the CPU a fused kernel of the same kind.
    Flash,
    /// Memory-efficient attention, for float32 on CUDA.
    Efficient,
    /// cuDNN's.
    CuDnn,
    /// One that a back end brought along.
    Other,
}

impl AttentionKernel {
    /// For `[B, H, T, E]` queries, keys and values as attention is about to compute with them.
    fn of([query, key, value]: [&Tensor; 3], dropout: f64) -> Result<Self> {
        let mixed = Autocast::is_on(query.device());
        let cast = |x: &Tensor| match (mixed, x.kind()) {
            (true, Kind::Float) => x.f_to_kind(Kind::BFloat16), // as autocast will
            _ => Ok(x.shallow_clone()),
        };
        let (query, key, value) = (cast(query)?, cast(key)?, cast(value)?);
        let choice = Tensor::f_internal_fused_sdp_choice(
            &query,
            &key,
            &value,
            None::<&Tensor>,
            dropout,
            false,
            None,
            false,
        )?;
        Ok(match choice {
            0 => Self::Math,
            1 => Self::Flash,
            2 => Self::Efficient,
            3 => Self::CuDnn,
            _ => Self::Other,
        })
    }
}

impl fmt::Display for AttentionKernel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Math => "math",
            Self::Flash => "flash",
            Self::Efficient => "memory-efficient",
            Self::CuDnn => "cuDNN",
            Self::Other => "of another back end",
        })
    }
}

thread_local! {
    /// The kernels of this thread since somebody began to watch.
    static SEEN: RefCell<Option<BTreeSet<AttentionKernel>>> = const { RefCell::new(None) };
}

/// What `f` gives, and the kernels that computed the attention of its forward passes on this thread.
pub fn watch_attention<R>(f: impl FnOnce() -> R) -> (R, BTreeSet<AttentionKernel>) {
    /// Puts back what was there, however `f` ends.
    struct Watch(Option<BTreeSet<AttentionKernel>>);

    impl Drop for Watch {
        fn drop(&mut self) {
            SEEN.set(self.0.take());
        }
    }

    let _watch = Watch(SEEN.replace(Some(BTreeSet::new())));
    let result = f();
    (result, SEEN.take().unwrap_or_default())
}

/// Notes the kernel of an attention that is about to be computed, if somebody watches.
pub(super) fn note(inputs: [&Tensor; 3], dropout: f64) -> Result<()> {
    if SEEN.with_borrow(Option::is_some) {
        let kernel = AttentionKernel::of(inputs, dropout)?;
        SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.insert(kernel)));
    }
    Ok(())
}
