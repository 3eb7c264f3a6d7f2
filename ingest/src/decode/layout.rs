//! Where a file's bytes belong: chunks of a WAV file, packets of an elementary stream, tags at its end.
//!
//! Decoders step over bytes they cannot use without a word; what nobody used is found here.

/// The data chunk of a WAV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WavData {
    /// Bytes the chunk declares; `None` for the placeholder of a streaming writer.
    pub declared: Option<u32>,
    /// Bytes after the chunk that are not chunks themselves, and bytes in it that make no whole block of samples.
    pub trailing: u64,
}

/// Finds the data chunk of a RIFF file.
pub(super) fn wav_data(bytes: &[u8]) -> Option<WavData> {
    let (mut at, mut align) = (12, 1);
    loop {
        let (id, len) = riff_chunk(bytes, at)?;
        let end = at + 8 + len as usize;
        if id == *b"fmt " {
            let block = bytes.get(at + 20..at + 22)?;
            align = u32::from(u16::from_le_bytes([block[0], block[1]])).max(1);
        }
        if id == *b"data" {
            let declared = (len != u32::MAX).then_some(len);
            let rest = declared.map_or(0, |len| u64::from(len % align));
            let after = beyond_chunks(bytes, end + len as usize % 2);
            return Some(WavData { declared, trailing: rest + after });
        }
        at = end + len as usize % 2;
    }
}

/// Bytes from `at` on that do not form whole chunks with printable names.
fn beyond_chunks(bytes: &[u8], mut at: usize) -> u64 {
    while let Some((id, len)) = riff_chunk(bytes, at) {
        let end = at + 8 + len as usize;
        if !id.iter().all(|c| (b' '..=b'~').contains(c)) || end > bytes.len() {
            break;
        }
        at = end + len as usize % 2;
    }
    bytes.len().saturating_sub(at) as u64
}

fn riff_chunk(bytes: &[u8], at: usize) -> Option<([u8; 4], u32)> {
    let header = bytes.get(at..at + 8)?;
    let (id, len) = header.split_first_chunk::<4>()?;
    Some((*id, u32::from_le_bytes(*len.first_chunk()?)))
}

/// Follows the packets of an elementary stream (MPEG audio, FLAC) through the file.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Offset after the last packet that was found; 0 before the first.
    at: usize,
    /// Offset of the first packet.
    pub first: Option<usize>,
    /// Bytes between packets that no packet used.
    pub skipped: u64,
}

impl Trail {
    /// Takes note of the next packet and returns how many bytes were skipped before it. Ends at a packet that is not in
    /// the file as it stands.
    pub fn follow(&mut self, bytes: &[u8], packet: &[u8]) -> u64 {
        let Some(head) = packet.first_chunk::<4>() else { return 0 };
        let rest = &bytes[self.at..];
        let mut from = 0;
        while let Some(hit) = rest[from..].windows(4).position(|w| w == head) {
            let start = from + hit;
            if rest[start..].starts_with(packet) {
                let skipped = if self.first.is_none() { 0 } else { start as u64 };
                self.first.get_or_insert(start);
                self.skipped += skipped;
                self.at += start + packet.len();
                return skipped;
            }
            from = start + 1;
        }
        self.at = bytes.len();
        0
    }

    /// Bytes after the last packet that belong to no tag. 0 if no packet was found.
    pub fn trailing(&self, bytes: &[u8]) -> u64 {
        match self.first {
            Some(_) => without_tags(&bytes[self.at..]).len() as u64,
            None => 0,
        }
    }
}

/// What is left of the end of a file without its ID3v1, APEv2 and Lyrics3 tags.
fn without_tags(mut tail: &[u8]) -> &[u8] {
    loop {
        let n = tail.len();
        let tag = if n >= 128 && tail[n - 128..].starts_with(b"TAG") {
            128
        } else if n >= 32 && tail[n - 32..].starts_with(b"APETAGEX") {
            ape_len(&tail[n - 32..])
        } else if n >= 15 && tail.ends_with(b"LYRICS200") {
            let digits = std::str::from_utf8(&tail[n - 15..n - 9]).ok();
            digits.and_then(|d| d.parse::<usize>().ok()).map_or(0, |len| len + 15)
        } else {
            0
        };
        if tag == 0 || tag > n {
            return tail;
        }
        tail = &tail[..n - tag];
    }
}

/// Length of an APE tag from its footer: the size counts items and footer, a flag adds the header.
fn ape_len(footer: &[u8]) -> usize {
    let word = |at: usize| {
        u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]])
    };
    let header = if word(20) >> 31 == 1 { 32 } else { 0 };
    word(12) as usize + header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WAVE".to_vec();
        for (id, len, body) in chunks {
            out.extend_from_slice(*id);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(body);
        }
        out
    }

    #[test]
    fn a_chunk_after_the_data_is_no_trailing_junk_but_loose_bytes_are() {
        let list = wav(&[(b"fact", 2, b"xx"), (b"data", 4, b"abcd"), (b"LIST", 2, b"yy")]);
        assert_eq!(wav_data(&list), Some(WavData { declared: Some(4), trailing: 0 }));
        let loose = wav(&[(b"data", 4, b"abcdefghijklmnop")]);
        assert_eq!(wav_data(&loose), Some(WavData { declared: Some(4), trailing: 12 }));
    }

    #[test]
    fn an_odd_chunk_is_padded() {
        let odd = wav(&[(b"data", 3, b"abc\0"), (b"LIST", 2, b"yy")]);
        assert_eq!(wav_data(&odd), Some(WavData { declared: Some(3), trailing: 0 }));
    }

    #[test]
    fn half_a_sample_at_the_end_of_the_data_is_left_over() {
        let mut fmt = [0; 16];
        fmt[12] = 4;
        let half = wav(&[(b"fmt ", 16, &fmt), (b"data", 6, b"abcdef")]);
        assert_eq!(wav_data(&half), Some(WavData { declared: Some(6), trailing: 2 }));
    }

    #[test]
    fn a_placeholder_length_is_unknown_and_leaves_nothing_behind() {
        let open = wav(&[(b"data", u32::MAX, b"abcd")]);
        assert_eq!(wav_data(&open), Some(WavData { declared: None, trailing: 0 }));
    }

    #[test]
    fn a_file_that_ends_early_has_no_data_chunk() {
        assert_eq!(wav_data(b"RIFF\0\0\0\0WAVEfmt "), None);
        assert_eq!(wav_data(b""), None);
    }

    #[test]
    fn bytes_between_packets_are_counted_and_bytes_before_the_first_are_not() {
        let file = b"headerAAAAAjunkBBBBBCCCCCend";
        let mut trail = Trail::default();
        assert_eq!(trail.follow(file, b"AAAAA"), 0);
        assert_eq!(trail.follow(file, b"BBBBB"), 4);
        assert_eq!(trail.follow(file, b"CCCCC"), 0);
        assert_eq!((trail.skipped, trail.trailing(file)), (4, 3));
    }

    #[test]
    fn tags_at_the_end_are_not_trailing_bytes() {
        let mut file = b"AAAAA".to_vec();
        let mut ape = vec![b'i'; 10];
        ape.extend_from_slice(b"APETAGEX");
        ape.extend_from_slice(&2000u32.to_le_bytes());
        ape.extend_from_slice(&42u32.to_le_bytes()); // 10 bytes of items, 32 of footer
        ape.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&ape);
        file.extend_from_slice(b"LYRICSBEGIN000011LYRICS200");
        file.extend_from_slice(b"TAG");
        file.extend_from_slice(&[0; 125]);
        let mut trail = Trail::default();
        trail.follow(&file, b"AAAAA");
        assert_eq!(trail.trailing(&file), 0);
        file.insert(5, b'x');
        assert_eq!(trail.trailing(&file), 1);
    }
}
