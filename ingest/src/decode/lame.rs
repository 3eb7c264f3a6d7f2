//! The checksum a LAME tag keeps of its file's audio: the one way to see flipped bits in an MP3.
//!
//! The tag sits in a silent first frame: header, side information, `Xing` or `Info` with its optional fields, then 36
//! bytes of which 28 to 31 are the length of the music (that frame included) and 32 to 33 the CRC of all that follows
//! that frame. CRC-16 with the polynomial 0x8005, bits reflected, from 0.

use super::mpeg;

/// Longest MPEG audio frame, bytes: layer III, 320 kb/s at 32 kHz, with padding.
const MAX_FRAME: usize = 1441;
/// Optional fields between the tag's name and its LAME part: flag and length.
const FIELDS: [(u32, usize); 4] = [(1, 4), (2, 4), (4, 100), (8, 4)];

/// Whether the bytes from `first`, the offset of the first audio frame, have the checksum in the tag before them.
/// `None`: there is no such tag, or it holds none.
pub(super) fn music_intact(bytes: &[u8], first: usize) -> Option<bool> {
    let earliest = first.saturating_sub(MAX_FRAME);
    let start = (earliest..first).find(|&at| tag(&bytes[at..first]).is_some())?;
    let (music_len, crc) = tag(&bytes[start..first])?;
    let music = bytes.get(first..start + music_len);
    Some(music.is_some_and(|music| crc16(music) == crc))
}

/// Length of the music and its checksum, if `frame` is a frame with a LAME tag.
fn tag(frame: &[u8]) -> Option<(usize, u16)> {
    let at = 4 + mpeg::side_len(frame)?;
    let (name, rest) = frame.get(at..)?.split_first_chunk::<4>()?;
    let (flags, rest) = rest.split_first_chunk::<4>()?;
    if name != b"Xing" && name != b"Info" {
        return None;
    }
    let flags = u32::from_be_bytes(*flags);
    let skip: usize = FIELDS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, len)| len).sum();
    let ext = rest.get(skip..skip + 36)?;
    if ![&b"LAME"[..], b"Lavf", b"Lavc"].contains(&&ext[..4]) {
        return None;
    }
    let music_len = u32::from_be_bytes([ext[28], ext[29], ext[30], ext[31]]);
    let crc = u16::from_be_bytes([ext[32], ext[33]]);
    (music_len > 0 && crc != 0).then_some((music_len as usize, crc))
}

/// Eight bytes a step: table `k` holds what a byte does to the checksum `k` bytes later.
fn crc16(bytes: &[u8]) -> u16 {
    let (steps, rest) = bytes.as_chunks::<8>();
    let crc = steps.iter().fold(0, |crc: u16, b| {
        let [low, high] = crc.to_le_bytes();
        TABLES[7][usize::from(b[0] ^ low)]
            ^ TABLES[6][usize::from(b[1] ^ high)]
            ^ TABLES[5][usize::from(b[2])]
            ^ TABLES[4][usize::from(b[3])]
            ^ TABLES[3][usize::from(b[4])]
            ^ TABLES[2][usize::from(b[5])]
            ^ TABLES[1][usize::from(b[6])]
            ^ TABLES[0][usize::from(b[7])]
    });
    rest.iter().fold(crc, |crc, &b| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ b)])
}

static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut t = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 };
            bit += 1;
        }
        t[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = t[k - 1][byte];
            t[k][byte] = before >> 8 ^ t[0][(before & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit_by_bit(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0u16, |crc, &b| {
            (0..8)
                .fold(crc ^ u16::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xa001 } else { c >> 1 })
        })
    }

    #[test]
    fn the_tables_give_the_checksum_of_the_bits_at_every_length() {
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * i % 251) as u8).collect();
        assert_eq!(crc16(b"123456789"), 0xbb3d); // the check value of CRC-16/ARC
        for n in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..n]), bit_by_bit(&bytes[..n]), "{n} bytes");
        }
    }

    /// An MPEG-1 stereo frame with a tag over `music`.
    fn file(music: &[u8]) -> (Vec<u8>, usize) {
        let mut out = vec![0xff, 0xfb, 0x90, 0x64];
        out.extend_from_slice(&[0; 32]);
        out.extend_from_slice(b"Info\0\0\0\x01\0\0\0\x02");
        let mut ext = [0u8; 36];
        ext[..9].copy_from_slice(b"LAME3.100");
        let first = out.len() + ext.len();
        ext[28..32].copy_from_slice(&((first + music.len()) as u32).to_be_bytes());
        ext[32..34].copy_from_slice(&bit_by_bit(music).to_be_bytes());
        out.extend_from_slice(&ext);
        out.extend_from_slice(music);
        (out, first)
    }

    #[test]
    fn one_flipped_bit_is_seen_and_bytes_after_the_music_do_not_count() {
        let (mut bytes, first) = file(b"some frames of music");
        assert_eq!(music_intact(&bytes, first), Some(true));
        bytes.extend_from_slice(b"TAG");
        assert_eq!(music_intact(&bytes, first), Some(true));
        bytes[first + 3] ^= 0x10;
        assert_eq!(music_intact(&bytes, first), Some(false));
    }

    #[test]
    fn a_file_cut_short_is_not_intact_and_one_without_tag_says_nothing() {
        let (bytes, first) = file(b"some frames of music");
        assert_eq!(music_intact(&bytes[..bytes.len() - 1], first), Some(false));
        assert_eq!(music_intact(&[0xff; 3000], 2000), None);
        assert_eq!(music_intact(b"", 0), None);
    }
}
