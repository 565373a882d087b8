//! Messages one behind the other in a body that stays open, for exchanges in which a message does
//! not wait for the answer to the one before.
//!
//! A frame is one line: the CRC-32 of the JSON in eight hexadecimal digits, a space, the JSON. JSON
//! as it is written here has no line breaks.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde::Serialize;

use crate::limits::PEER_BODY_BYTES_MAX;

/// The checksum and the space behind it, in bytes.
const PREFIX_BYTES: usize = 9;

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("a message broke off")]
    CutShort,
    #[error("a message has more than {PEER_BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the checksum of a message is wrong")]
    Checksum,
}

/// `message` as a frame.
///
/// # Errors
/// It is nothing that JSON can say.
pub fn frame(message: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut line = vec![b' '; PREFIX_BYTES];
    serde_json::to_writer(&mut line, message)?;
    let crc = crc32fast::hash(&line[PREFIX_BYTES..]);
    line[..PREFIX_BYTES - 1].copy_from_slice(format!("{crc:08x}").as_bytes());
    line.push(b'\n');
    Ok(line.into())
}

/// Reads a body frame by frame.
#[derive(Debug)]
pub struct Frames<B = Incoming> {
    body: B,
    buffer: BytesMut,
    /// Bytes in front of `buffer` that hold no line break.
    searched: usize,
}

impl<B> Frames<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    pub fn new(body: B) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The JSON of the next message; `None` where the body ended behind one.
    ///
    /// # Errors
    /// See [`FrameError`]. Nothing that follows can be read then.
    ///
    /// # Cancel safety
    /// Safe: what was read stays for the next call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(at) = found {
                let line = self.buffer.split_to(self.searched + at).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                return checked(line).map(Some);
            }
            self.searched = self.buffer.len();
            if self.searched > PEER_BODY_BYTES_MAX + PREFIX_BYTES {
                return Err(FrameError::TooLong);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(FrameError::Broken(error.to_string())),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(FrameError::CutShort),
            }
        }
    }
}

/// The JSON of a frame without its line break.
fn checked(mut line: Bytes) -> Result<Bytes, FrameError> {
    if line.len() < PREFIX_BYTES {
        return Err(FrameError::Checksum);
    }
    let json = line.split_off(PREFIX_BYTES);
    let said = std::str::from_utf8(&line[..PREFIX_BYTES - 1]).ok();
    let said = said.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if line.last() != Some(&b' ') || said != Some(crc32fast::hash(&json)) {
        return Err(FrameError::Checksum);
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    /// The frames of a body that comes in pieces of `size` bytes.
    fn in_pieces(
        bytes: &[u8],
        size: usize,
    ) -> Frames<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
        let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
        let pieces = futures_util::stream::iter(pieces.into_iter().map(|p| Ok(Frame::data(p))));
        Frames::new(StreamBody::new(pieces))
    }

    fn frames(messages: &[&str]) -> Vec<u8> {
        messages.iter().flat_map(|message| frame(message).unwrap()).collect()
    }

    #[tokio::test]
    async fn messages_come_whole_however_the_body_is_cut() {
        let messages = ["", "a", "line\nbreak", &"long ".repeat(999)];
        let bytes = frames(&messages);
        for size in [1, 2, 7, 64, bytes.len()] {
            let mut reader = in_pieces(&bytes, size);
            for message in messages {
                let json = reader.next().await.unwrap().unwrap();
                assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), message);
            }
            assert_eq!(reader.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn what_was_damaged_or_broke_off_is_no_message() {
        let whole = frames(&["abc"]);
        for at in 0..whole.len() - 1 {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                // A damaged digit may be the same digit in the other case.
                let same = damaged.eq_ignore_ascii_case(&whole) && at < PREFIX_BYTES;
                let read = in_pieces(&damaged, 5).next().await;
                assert!(same || read.is_err(), "byte {at}, bit {bit}: {read:?}");
            }
            let cut = in_pieces(&whole[..at], 5).next().await;
            assert!(if at == 0 { matches!(cut, Ok(None)) } else { cut.is_err() }, "{at}: {cut:?}");
        }
        assert!(matches!(in_pieces(b"\n", 1).next().await, Err(FrameError::Checksum)));
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_held_for_ever() {
        let endless = vec![b'x'; PEER_BODY_BYTES_MAX + PREFIX_BYTES + 2];
        let read = in_pieces(&endless, 1 << 20).next().await;
        assert!(matches!(read, Err(FrameError::TooLong)), "{read:?}");
    }
}
