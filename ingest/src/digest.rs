//! Digests: of a file's bytes, of its samples, and the one its publisher gives.

use etude_shards::to_s16;
use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Whether `published` (`sha256:…`, `sha1:…`, `md5:…`, or the bare hex of one of them) is the digest of `bytes`.
/// `None`: it is none of these.
pub(crate) fn matches(published: &str, bytes: &[u8], sha256: &[u8; 32]) -> Option<bool> {
    let (kind, hex) = match published.split_once(':') {
        Some((kind, hex)) => (kind, hex),
        None => match published.trim().len() {
            64 => ("sha256", published),
            40 => ("sha1", published),
            32 => ("md5", published),
            _ => return None,
        },
    };
    let want = from_hex(hex.trim())?;
    match kind.trim().to_ascii_lowercase().as_str() {
        "sha256" => Some(want == sha256),
        "sha1" => Some(want == sha1::Sha1::digest(bytes).as_slice()),
        "md5" => Some(want == md5::Md5::digest(bytes).as_slice()),
        _ => None,
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// SHA-256 of samples as 16-bit little endian: finds files with other tags around the same audio.
#[derive(Debug, Default)]
pub(crate) struct PcmDigest {
    hash: Sha256,
    bytes: Vec<u8>,
}

impl PcmDigest {
    /// Adds samples: times 32768, rounded half to even, clamped.
    pub fn push(&mut self, samples: &[f32]) {
        self.bytes.resize(samples.len() * 2, 0);
        to_s16(samples, &mut self.bytes);
        self.hash.update(&self.bytes);
    }

    /// The digest of everything pushed.
    pub fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn all_three_kinds_of_published_digest_are_compared() {
        let bytes = b"abc";
        let own = sha256(bytes);
        for good in [
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
            "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "900150983cd24fb0d6963f7d28e17f72",
        ] {
            assert_eq!(matches(good, bytes, &own), Some(true), "{good}");
            assert_eq!(matches(good, b"abd", &sha256(b"abd")), Some(false), "{good}");
        }
    }

    #[test]
    fn text_that_is_no_digest_is_not_compared() {
        for odd in ["", "sha256", "crc32:00000000", "md5:xyz", "12345"] {
            assert_eq!(matches(odd, b"abc", &sha256(b"abc")), None, "{odd}");
        }
    }

    #[test]
    fn the_sample_digest_does_not_depend_on_the_pieces() {
        let x: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.01).sin()).collect();
        let whole = {
            let mut d = PcmDigest::default();
            d.push(&x);
            d.finish()
        };
        let mut parts = PcmDigest::default();
        x.chunks(1152).for_each(|c| parts.push(c));
        assert_eq!(parts.finish(), whole);
    }
}
