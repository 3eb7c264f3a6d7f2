//! The four bytes that open an MPEG audio frame, as far as ingest needs them: rate, channels, side information.
//! ISO/IEC 11172-3 §2.4.2.3, 13818-3 for the lower rates, and the unofficial 2.5 for the lowest.

/// Rate and channels that a frame header states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub rate: u32,
    pub channels: u16,
}

/// Reads the header at the start of `frame`; `None` if it is not one.
pub(super) fn spec(frame: &[u8]) -> Option<Spec> {
    let [a, b, c, d, ..] = *frame else { return None };
    if a != 0xff || b & 0xe0 != 0xe0 {
        return None;
    }
    let halvings = match b >> 3 & 3 {
        3 => 0, // MPEG-1
        2 => 1, // MPEG-2
        0 => 2, // MPEG-2.5
        _ => return None,
    };
    let rate: u32 = match c >> 2 & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return None,
    };
    Some(Spec { rate: rate >> halvings, channels: if d >> 6 == 3 { 1 } else { 2 } })
}

/// Bytes of side information after the header of a layer III frame; `None` if it is not one.
pub(super) fn side_len(frame: &[u8]) -> Option<usize> {
    let spec = spec(frame)?;
    let layer_3 = frame[1] >> 1 & 3 == 1;
    let mpeg_1 = frame[1] >> 3 & 3 == 3;
    layer_3.then_some(match (mpeg_1, spec.channels) {
        (true, 2) => 32,
        (true, _) | (false, 2) => 17,
        (false, _) => 9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_halve_from_mpeg_1_to_2_to_2_5() {
        assert_eq!(spec(&[0xff, 0xfb, 0x90, 0x64]), Some(Spec { rate: 44_100, channels: 2 }));
        assert_eq!(spec(&[0xff, 0xf3, 0x48, 0xc4]), Some(Spec { rate: 16_000, channels: 1 }));
        assert_eq!(spec(&[0xff, 0xe3, 0x28, 0xc4]), Some(Spec { rate: 8_000, channels: 1 }));
    }

    #[test]
    fn side_information_shrinks_with_channels_and_version() {
        assert_eq!(side_len(&[0xff, 0xfb, 0x90, 0x64]), Some(32));
        assert_eq!(side_len(&[0xff, 0xfb, 0x90, 0xc4]), Some(17));
        assert_eq!(side_len(&[0xff, 0xf3, 0x48, 0xc4]), Some(9));
        assert_eq!(side_len(&[0xff, 0xfd, 0x90, 0x64]), None); // layer II
    }

    #[test]
    fn bytes_without_sync_word_are_no_header() {
        assert_eq!(spec(b"ID3\x04"), None);
        assert_eq!(spec(&[0xff, 0xfb]), None);
    }
}
