//! A request body that is counted as it streams, whatever its headers say, and read to
//! its end before the answer.
//!
//! A form's reader counts what is in the fields; this counts everything, so that a part
//! head or a preamble without end cannot fill the memory. And most clients send all of
//! a body before they read: one that is refused half-way would see a reset connection
//! instead of the reason, if the rest were not read and dropped.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};

type Cause = Box<dyn Error + Send + Sync>;

/// How much of a body is read.
#[derive(Debug, Clone, Copy)]
pub struct BodyBounds {
    /// By the call, everything counted. As much again may be read and dropped.
    pub bytes_max: u64,
    /// How long reading and dropping may take.
    pub discard_max: Duration,
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
}

/// The server's hand on a body while a call reads it.
#[derive(Clone)]
pub struct Upload {
    source: Arc<Mutex<Source>>,
    bounds: BodyBounds,
    /// The client waits for `100 Continue` before it sends (RFC 9110, section 10.1.1).
    expects_continue: bool,
}

/// The body as the call reads it.
pub struct UploadBody(Upload);

/// Reading stopped before the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    #[error("the body is too large")]
    TooLarge,
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
        let source = Source {
            body: body.map_err(Into::into).boxed_unsync(),
            left_bytes: bounds.bytes_max,
            progress: if ended { Progress::Whole } else { Progress::Untouched },
        };
        let upload = Self { source: Arc::new(Mutex::new(source)), bounds, expects_continue };
        (Request::from_parts(parts, UploadBody(upload.clone())), upload)
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
        let mut source = self.lock();
        match source.progress {
            Progress::Untouched => source.progress = Progress::Reading,
            Progress::Reading => {}
            Progress::Whole => return Poll::Ready(None),
            Progress::TooLarge => return Poll::Ready(Some(Err(UploadError::TooLarge))),
            Progress::Broken => return Poll::Ready(Some(Err(UploadError::Broken))),
        }
        let frame = match std::task::ready!(Pin::new(&mut source.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                source.progress = Progress::Broken;
                return Poll::Ready(Some(Err(UploadError::Broken)));
            }
            None => {
                source.progress = Progress::Whole;
                return Poll::Ready(None);
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left_bytes) = source.left_bytes.checked_sub(bytes) else {
            source.progress = Progress::TooLarge;
            return Poll::Ready(Some(Err(UploadError::TooLarge)));
        };
        source.left_bytes = left_bytes;
        Poll::Ready(Some(Ok(frame)))
    }

    /// Held for one poll, by one reader at a time.
    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Whether `error`, or what caused it, is that the body was too large.
pub fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<UploadError>() == Some(&UploadError::TooLarge) {
            return true;
        }
        // An `io::Error` names as its source the source of what it wraps, not that itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}
