//! Stateless random numbers: a key from BLAKE3, then a mixing function (the finaliser of SplitMix64, Steele et al. 2014).
//! Everything random in a loader is a pure function, so that any sample can be made again without the ones before it.

/// A key from whatever identifies a stream of numbers.
pub(crate) fn key(context: &str, text: &str, numbers: &[u64]) -> u64 {
    let mut hash = blake3::Hasher::new_derive_key(context);
    hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    for n in numbers {
        hash.update(&n.to_le_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// 64 bits in, 64 unrelated bits out; a bijection.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Random bits to a number below `n`; 0 for `n` = 0.
pub(crate) fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}
