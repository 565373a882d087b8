//! Forms, through the reader that the server has for them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tower_service::Service as _;
use warp::Filter as _;
use warp::filters::multipart::FormData;

use crate::http::body::{BodyBounds, Upload};
use crate::http::multipart::{Fields, Kind, UNDECLARED_BYTES};
use crate::limits;
use crate::service::admission::Admission;

const KNOWN: &[(&str, Kind)] = &[
    ("file", Kind::File),
    ("cover", Kind::File),
    ("passphrase", Kind::Text),
    ("bits", Kind::Text),
];

/// The first byte says in pieces of what size the rest arrives, the second how the boundary is
/// named: the fields are together no more than what arrived, or the form is refused; memory
/// that was held for it is given back.
pub fn form(input: &[u8]) {
    let Some((&[pieces, named], body)) = input.split_first_chunk() else { return };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(read(usize::from(pieces) + 1, named, Bytes::copy_from_slice(body)));
}

async fn read(piece: usize, named: u8, body: Bytes) {
    let admission = Admission::new(1, 1 << 20);
    let mut permit = admission.admit(UNDECLARED_BYTES).expect("nobody else is here");
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let sender = std::sync::Arc::new(sender);
    let form = warp::ext::get::<Upload>().and(warp::multipart::form().max_length(None)).map(
        move |upload: Upload, form: FormData| {
            let sender = sender.lock().ok().and_then(|mut sender| sender.take());
            drop(sender.map(|sender| sender.send((upload, form))));
            warp::reply()
        },
    );
    let content_type = match named % 4 {
        0 => "multipart/form-data; boundary=B",
        1 => "multipart/form-data; boundary=\"B\"",
        2 => "multipart/form-data; boundary=",
        _ => "multipart/form-data",
    };
    let length = body.len();
    let pieces: Vec<_> = (0..length)
        .step_by(piece)
        .map(|at| Ok::<_, Infallible>(Frame::data(body.slice(at..length.min(at + piece)))))
        .collect();
    let request = Request::builder().header("content-type", content_type);
    let request = request.body(StreamBody::new(stream::iter(pieces))).expect("a valid request");
    let bounds = BodyBounds {
        bytes_max: limits::BODY_BYTES_MAX,
        discard_max: Duration::from_secs(1),
        pace: limits::BODY_PACE,
    };
    let (mut request, upload) = Upload::wrap(request, bounds);
    request.extensions_mut().insert(upload);
    if warp::service(form).call(request).await.is_err() {
        return;
    }
    let Ok((upload, form)) = receiver.await else { return };
    if let Ok(mut fields) = Fields::read(form, &upload, &mut permit, KNOWN).await {
        let taken = KNOWN.iter().filter_map(|(name, _)| fields.take(name));
        assert!(taken.map(|field| field.len()).sum::<usize>() <= length);
    }
    drop(permit);
    assert_eq!(admission.held(), Default::default());
}
