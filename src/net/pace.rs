//! A connection whose writes must get on: a client that asks for megabytes and reads them a
//! byte at a time, or not at all, would hold them here for as long as it likes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::limits::Pace;

/// Bytes that passed in the present window, while somebody is waited for. A pause of our own
/// is no fault of the other side's: the window begins with a wait.
#[derive(Debug, Default)]
pub struct Progress {
    window: Option<Pin<Box<Sleep>>>,
    bytes: u64,
}

impl Progress {
    /// `bytes` passed, and the other side kept up: nobody waits.
    pub fn rests(&mut self) {
        self.window = None;
        self.bytes = 0;
    }

    /// `bytes` passed, and more is to come.
    pub fn passed(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// To be asked when nothing passes now. Ready when too little passed for a whole window.
    pub fn poll_too_slow(&mut self, pace: &Pace, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.window.is_none() {
                self.bytes = 0;
            }
            let window =
                self.window.get_or_insert_with(|| Box::pin(tokio::time::sleep(pace.window)));
            ready!(window.as_mut().poll(context));
            if self.bytes < pace.bytes_min {
                return Poll::Ready(());
            }
            self.window = None;
        }
    }
}

/// `S`, with a least pace of what is written. Reading is as it was.
#[derive(Debug)]
pub struct Paced<S> {
    inner: S,
    pace: Option<Pace>,
    progress: Progress,
}

impl<S> Paced<S> {
    /// Without a pace it is as slow as the other side likes.
    pub fn new(inner: S, pace: Option<Pace>) -> Self {
        Self { inner, pace, progress: Progress::default() }
    }

    /// What became of an attempt to write `wanted` bytes.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Some(pace) = &self.pace else { return written };
        match written {
            Poll::Ready(Ok(bytes)) if bytes >= wanted => self.progress.rests(),
            Poll::Ready(Ok(bytes)) => self.progress.passed(bytes as u64),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.progress.poll_too_slow(pace, context));
                let cause = "the answer was read too slowly";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, cause)));
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judge(context, wanted, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PACE: Pace = Pace { window: Duration::from_secs(10), bytes_min: 1000 };

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_after_a_window() {
        let (near, far) = tokio::io::duplex(64);
        let mut near = Paced::new(near, Some(PACE));
        let started = tokio::time::Instant::now();
        let error = near.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 10);
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_that_gets_on_is_waited_for_and_a_slower_one_is_not() {
        for (each_s, patient) in [(0.5, true), (5.0, false)] {
            let (near, mut far) = tokio::io::duplex(100);
            let mut near = Paced::new(near, Some(PACE));
            let reading = async move {
                let mut buffer = [0; 100];
                while far.read_exact(&mut buffer).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs_f64(each_s)).await;
                }
            };
            // Half a minute and more at 200 bytes a second. Then the reader is at the end.
            let writing = async move { near.write_all(&[0; 8000]).await };
            let (written, ()) = tokio::join!(writing, reading);
            assert_eq!(written.is_ok(), patient, "{each_s}: {written:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_is_written_does_not_count() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Paced::new(near, Some(PACE));
        for _ in 0..3 {
            near.write_all(&[0; 64]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            far.read_exact(&mut [0; 64]).await.unwrap();
        }
    }
}
