//! A request body that is counted as it streams, whatever its headers say, and read to
//! its end before the answer.
//!
//! A form's reader counts what is in the fields; this counts everything, so that a part
//! head or a preamble without end cannot fill the memory. And most clients send all of
//! a body before they read: one that is refused half-way would see a reset connection
//! instead of the reason, if the rest were not read and dropped.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};

use crate::limits::{PART_HEAD_BYTES_MAX, Pace};
use crate::net;

type Cause = Box<dyn Error + Send + Sync>;

/// How much of a body is read.
#[derive(Debug, Clone, Copy)]
pub struct BodyBounds {
    /// By the call, everything counted. As much again may be read and dropped.
    pub bytes_max: u64,
    /// How long reading and dropping may take.
    pub discard_max: Duration,
    /// How fast it must come.
    pub pace: Pace,
}

/// How a body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    Reading,
    Whole,
    TooLarge,
    /// The client sent nonsense or went away.
    Broken,
}

struct Source {
    body: UnsyncBoxBody<Bytes, Cause>,
    left_bytes: u64,
    progress: Progress,
    /// Of the client, in sending it.
    sent: net::pace::Progress,
    /// While the head of a form's part is read.
    head: Option<Head>,
    /// Kept beside, because a form's reader wraps what it hears in words of its own.
    failed: Option<UploadError>,
}

/// A form's reader takes all that is there before it looks at it, so what is refused is to ask
/// for more after it had enough to find the end of a head.
#[derive(Clone, Copy)]
struct Head {
    /// What it may still have.
    left_bytes: u64,
    /// It was made to look.
    looked: bool,
}

/// The server's hand on a body while a call reads it.
#[derive(Clone)]
pub struct Upload {
    source: Arc<Mutex<Source>>,
    bounds: BodyBounds,
    /// The client waits for `100 Continue` before it sends (RFC 9110, section 10.1.1).
    expects_continue: bool,
    declared_bytes: Option<u64>,
}

/// The body as the call reads it.
pub struct UploadBody(Upload);

/// Reading stopped before the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body comes too slowly")]
    TooSlow,
    #[error("the head of a part is too long")]
    HeadTooLong,
    #[error("the body broke off")]
    Broken,
}

impl Upload {
    /// Puts a counted body in place of the request's own.
    pub fn wrap<B>(request: Request<B>, bounds: BodyBounds) -> (Request<UploadBody>, Self)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Cause>,
    {
        let expects_continue = request.headers().contains_key(http::header::EXPECT);
        let (parts, body) = request.into_parts();
        let ended = body.is_end_stream();
        let declared_bytes = body.size_hint().exact();
        let source = Source {
            body: body.map_err(Into::into).boxed_unsync(),
            left_bytes: bounds.bytes_max,
            progress: if ended { Progress::Whole } else { Progress::Untouched },
            sent: net::pace::Progress::default(),
            head: None,
            failed: None,
        };
        let source = Arc::new(Mutex::new(source));
        let upload = Self { source, bounds, expects_continue, declared_bytes };
        (Request::from_parts(parts, UploadBody(upload.clone())), upload)
    }

    /// By the request's head; `None` for one that comes in chunks.
    ///
    /// # Errors
    /// More than a body may have.
    pub fn declared_bytes(&self) -> Result<Option<u64>, UploadError> {
        match self.declared_bytes {
            Some(bytes) if bytes > self.bounds.bytes_max => Err(UploadError::TooLarge),
            declared => Ok(declared),
        }
    }

    /// From here on the head of a form's part is read, or, where that is false, its content.
    pub fn is_in_head(&self, in_head: bool) {
        let head = Head { left_bytes: PART_HEAD_BYTES_MAX, looked: false };
        self.lock().head = in_head.then_some(head);
    }

    /// Why reading stopped before the body's end, whatever its reader made of it.
    pub fn failed(&self) -> Option<UploadError> {
        self.lock().failed
    }

    /// Reads and drops what the call left. True where the end was reached; otherwise
    /// the connection cannot be used again.
    pub async fn discard_rest(&self) -> bool {
        {
            let mut source = self.lock();
            match source.progress {
                Progress::Whole => return true,
                Progress::Broken => return false,
                // It was never asked to send, and now never will be.
                Progress::Untouched if self.expects_continue => return false,
                Progress::Untouched | Progress::Reading | Progress::TooLarge => {}
            }
            source.progress = Progress::Reading;
            source.left_bytes = self.bounds.bytes_max;
        }
        let discarding = async {
            loop {
                match std::future::poll_fn(|cx| self.poll_frame(cx)).await {
                    None => return true,
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return false,
                }
            }
        };
        tokio::time::timeout(self.bounds.discard_max, discarding).await.unwrap_or(false)
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let frame = std::task::ready!(self.lock().poll_frame(&self.bounds, cx));
        if let Some(Err(error)) = frame {
            self.lock().failed.get_or_insert(error);
        }
        Poll::Ready(frame)
    }

    /// Held for one poll, by one reader at a time.
    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn poll_frame(
        &mut self,
        bounds: &BodyBounds,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.progress {
            Progress::Untouched => self.progress = Progress::Reading,
            Progress::Reading => {}
            Progress::Whole => return Poll::Ready(None),
            Progress::TooLarge => return Poll::Ready(Some(Err(UploadError::TooLarge))),
            Progress::Broken => return Poll::Ready(Some(Err(UploadError::Broken))),
        }
        if let Some(head) = self.head.as_mut().filter(|head| head.left_bytes == 0) {
            if head.looked {
                return Poll::Ready(Some(Err(UploadError::HeadTooLong)));
            }
            head.looked = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(_))) => {
                self.progress = Progress::Broken;
                return Poll::Ready(Some(Err(UploadError::Broken)));
            }
            Poll::Ready(None) => {
                self.progress = Progress::Whole;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                std::task::ready!(self.sent.poll_too_slow(&bounds.pace, cx));
                self.progress = Progress::Broken;
                return Poll::Ready(Some(Err(UploadError::TooSlow)));
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.sent.passed(bytes);
        let Some(left_bytes) = self.left_bytes.checked_sub(bytes) else {
            self.progress = Progress::TooLarge;
            return Poll::Ready(Some(Err(UploadError::TooLarge)));
        };
        self.left_bytes = left_bytes;
        if let Some(head) = &mut self.head {
            head.left_bytes = head.left_bytes.saturating_sub(bytes);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        self.0.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().progress == Progress::Whole
    }
}
