//! Counts the scans of a JPEG without decoding it. A progressive picture may have any number
//! of them (ITU T.81, section B.2.1), and one that says "nothing changes" for 32,767 blocks at
//! a time takes a few bytes of the file and a walk over all of the picture.

use crate::limits::JPEG_SCANS_MAX;

const MARKER: u8 = 0xff;
/// Start of scan.
const SOS: u8 = 0xda;
/// End of the picture.
const EOI: u8 = 0xd9;

/// False where there are more scans than [`JPEG_SCANS_MAX`]. What is wrong with a file
/// otherwise is for its decoder to say: it is looked at as far as it makes sense.
pub(crate) fn are_few(file: &[u8]) -> bool {
    let mut rest = file.get(2..).unwrap_or_default();
    let mut scans = 0;
    while let Some(at) = next_marker(rest) {
        let kind = rest[at + 1];
        rest = &rest[at + 2..];
        match kind {
            EOI => break,
            SOS => {
                scans += 1;
                if scans > JPEG_SCANS_MAX {
                    return false;
                }
            }
            _ => {}
        }
        // A segment has its length in front (what is within it is no marker), but for those
        // that stand alone; the samples behind a scan's have none, and escape their markers.
        let is_alone = matches!(kind, 0x01 | 0xd0..=0xd8);
        if !is_alone {
            let Some(&[high, low]) = rest.first_chunk() else { break };
            let Some(behind) = rest.get(usize::from(u16::from_be_bytes([high, low]))..) else {
                break;
            };
            rest = behind;
        }
    }
    true
}

/// Where the next marker is that is neither an escaped byte nor a fill.
fn next_marker(bytes: &[u8]) -> Option<usize> {
    let pairs = bytes.windows(2);
    pairs.into_iter().position(|pair| pair[0] == MARKER && !matches!(pair[1], 0x00 | MARKER))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG of `scans` scans, as far as its markers go; a thumbnail has others.
    fn jpeg(scans: usize) -> Vec<u8> {
        let mut file = b"\xff\xd8".to_vec();
        let thumbnail = [b"\xff\xda".repeat(500), vec![0; 4]].concat();
        file.extend_from_slice(b"\xff\xe1");
        file.extend_from_slice(&(thumbnail.len() as u16 + 2).to_be_bytes());
        file.extend_from_slice(&thumbnail);
        for _ in 0..scans {
            file.extend_from_slice(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0");
            // Samples, an escaped byte, a restart.
            file.extend_from_slice(b"\x12\x34\xff\0\x56\xff\xd0\x78");
        }
        file.extend_from_slice(b"\xff\xd9");
        // Behind the end there may be anything.
        file.extend_from_slice(&b"\xff\xda\0\x02".repeat(1000));
        file
    }

    #[test]
    fn scans_are_counted_and_no_more_than_they() {
        for (scans, few) in
            [(0, true), (1, true), (JPEG_SCANS_MAX, true), (JPEG_SCANS_MAX + 1, false)]
        {
            assert_eq!(are_few(&jpeg(scans)), few, "{scans}");
        }
        let cut = jpeg(JPEG_SCANS_MAX);
        for end in 0..cut.len() {
            assert!(are_few(&cut[..end]));
        }
    }

    /// Many times as many as the allowed, in a picture that is all blocks: refused at once.
    #[test]
    fn a_bomb_of_scans_is_refused_before_it_is_decoded() {
        let mut bomb = b"\xff\xd8".to_vec();
        bomb.extend_from_slice(b"\xff\xc2\0\x0b\x08\x1f\xff\x1f\xff\x01\x01\x11\0");
        bomb.extend_from_slice(&b"\xff\xda\0\x08\x01\x01\0\x01\x01\0\0".repeat(100_000));
        let verdict = super::super::cover::Source::open(&bomb).map(drop);
        assert!(
            matches!(verdict, Err(super::super::StegoError::NotAPicture { cause }) if cause.contains("scans"))
        );
    }
}
