//! The head of a FLAC stream whose writer counted the short last block as the smallest (flacenc and others do).
//!
//! RFC 9639 leaves the last block out of the smallest size, so that two equal sizes mean blocks of one size. The decoder
//! takes two different sizes for a stream of variable blocks and then refuses every frame that says it is of fixed size.
//! The frames are right and the header is not: such a file is read as if its smallest block were its largest.

/// Length of the marker, a block header and STREAMINFO's two block sizes.
pub(super) const HEAD: usize = 12;

/// The first bytes of the stream as the decoder should see them, if they contradict its first frame.
pub(super) fn mended(bytes: &[u8]) -> Option<[u8; HEAD]> {
    let mut head = *bytes.first_chunk::<HEAD>()?;
    let [b'f', b'L', b'a', b'C', kind, _, _, _, min @ .., max_high, max_low] = head else {
        return None;
    };
    let max = [max_high, max_low];
    if kind & 0x7f != 0 || min == max || !has_fixed_blocks(bytes)? {
        return None;
    }
    head[8..10].copy_from_slice(&max);
    Some(head)
}

/// What the first frame says about the size of blocks; `None` if there is none.
fn has_fixed_blocks(bytes: &[u8]) -> Option<bool> {
    let mut at = 4;
    loop {
        let [kind, len @ ..] = *bytes.get(at..)?.first_chunk::<4>()?;
        at += 4 + u32::from_be_bytes([0, len[0], len[1], len[2]]) as usize;
        if kind & 0x80 != 0 {
            break; // the last block of metadata
        }
    }
    match bytes.get(at..at + 2)? {
        [0xff, 0xf8] => Some(true),
        [0xff, 0xf9] => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marker, STREAMINFO with two block sizes, a comment, the beginning of a frame.
    fn stream(min: u16, max: u16, frame: u8) -> Vec<u8> {
        let mut bytes = b"fLaC\x00\x00\x00\x22".to_vec();
        bytes.extend(min.to_be_bytes());
        bytes.extend(max.to_be_bytes());
        bytes.extend([7; 30]);
        bytes.extend([0x84, 0, 0, 3, 1, 2, 3, 0xff, frame, 0xc9]);
        bytes
    }

    #[test]
    fn the_smallest_block_becomes_the_largest_where_frames_are_of_fixed_size() {
        let mended = mended(&stream(1000, 4096, 0xf8));
        assert_eq!(mended.as_ref().map(|m| &m[..]), Some(&stream(4096, 4096, 0xf8)[..HEAD]));
    }

    #[test]
    fn headers_that_agree_with_their_frames_stay_as_they_are() {
        for fine in [
            stream(4096, 4096, 0xf8),
            stream(1000, 4096, 0xf9),
            stream(1000, 4096, 0x00),
            stream(1000, 4096, 0xf8)[..46].to_vec(),
            b"RIFF".to_vec(),
        ] {
            assert_eq!(mended(&fine), None, "{fine:?}");
        }
    }
}
