//! Uploads: the fields of a multipart form (RFC 7578), counted against their limits as
//! they stream. No length that the client declares is trusted.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use warp::filters::multipart::{FormData, Part};

use super::body::{Upload, UploadError};
use super::error::HttpError;
use crate::limits::{
    BODY_BYTES_MAX, BODY_READ_MAX, FIELD_BYTES_MAX, FIELDS_MAX, PART_HEAD_BYTES_MAX,
};
use crate::service::Permit;

/// Of the memory of a request whose head does not say how much comes: at first, and more as it
/// comes.
pub const UNDECLARED_BYTES: u64 = 64 * 1024;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Text,
}

/// The fields of one form. `Debug` shows their names alone.
#[derive(Default)]
pub struct Fields {
    fields: BTreeMap<&'static str, Bytes>,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

impl Fields {
    /// Reads all of `form`, the body of `upload`, into memory that `permit` holds; `known` lists
    /// the fields that it may have.
    ///
    /// # Errors
    /// A field that is not known, given twice or too long; a body too large or too slow, or one
    /// that comes in chunks and finds no memory; no form at all.
    pub async fn read(
        form: FormData,
        upload: &Upload,
        permit: &mut Permit,
        known: &'static [(&'static str, Kind)],
    ) -> Result<Self, HttpError> {
        let mut reading = Reading { upload, permit, known, bytes: 0 };
        match tokio::time::timeout(BODY_READ_MAX, reading.all(form)).await {
            Ok(fields) => fields,
            Err(_) => Err(HttpError::BodyTooSlow),
        }
    }

    pub fn take(&mut self, name: &str) -> Option<Bytes> {
        self.fields.remove(name)
    }

    /// # Errors
    /// The field is not there.
    pub fn required(&mut self, name: &str) -> Result<Bytes, HttpError> {
        self.take(name)
            .ok_or_else(|| HttpError::BadRequest(format!("the field `{name}` is missing")))
    }

    /// # Errors
    /// The field is no UTF-8.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, HttpError> {
        let Some(bytes) = self.take(name) else { return Ok(None) };
        String::from_utf8(bytes.into())
            .map(Some)
            .map_err(|_| HttpError::BadRequest(format!("the field `{name}` is no UTF-8 text")))
    }

    /// A field in its own type; an empty one counts as absent.
    ///
    /// # Errors
    /// The field does not parse.
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, HttpError>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|error| HttpError::BadRequest(format!("the field `{name}`: {error}")))
    }
}

/// A form on its way in.
struct Reading<'a> {
    upload: &'a Upload,
    permit: &'a mut Permit,
    known: &'static [(&'static str, Kind)],
    /// In fields, so far.
    bytes: u64,
}

impl Reading<'_> {
    async fn all(&mut self, mut form: FormData) -> Result<Fields, HttpError> {
        let mut fields = Fields::default();
        let mut count = 0;
        loop {
            self.upload.is_in_head(true);
            let Some(part) = form.next().await else { return Ok(fields) };
            self.upload.is_in_head(false);
            let part = part.map_err(|error| malformed(self.upload, &error))?;
            count += 1;
            if count > FIELDS_MAX {
                return Err(HttpError::BadRequest(format!("a form may have {FIELDS_MAX} fields")));
            }
            let Some((name, kind)) = self.known.iter().find(|(name, _)| *name == part.name())
            else {
                let names: Vec<_> = self.known.iter().map(|(name, _)| *name).collect();
                let unknown: String = part.name().chars().take(64).collect();
                return Err(HttpError::BadRequest(format!(
                    "there is no field {unknown:?} here; known: {}",
                    names.join(", ")
                )));
            };
            let value = self.part(part, *kind).await?;
            if fields.fields.insert(name, value).is_some() {
                return Err(HttpError::BadRequest(format!("the field `{name}` was given twice")));
            }
        }
    }

    async fn part(&mut self, part: Part, kind: Kind) -> Result<Bytes, HttpError> {
        let name: String = part.name().to_owned();
        let mut value = match kind {
            // It can be no longer than what is still to come, and pages that nothing is written
            // to take no memory.
            Kind::File => BytesMut::with_capacity(self.to_come()?),
            // A passphrase stays where it is put first: a buffer that grows leaves copies behind,
            // which nobody wipes.
            Kind::Text => BytesMut::with_capacity(FIELD_BYTES_MAX),
        };
        let mut chunks = std::pin::pin!(part.stream());
        let broken = |error| malformed(self.upload, &error);
        while let Some(mut chunk) = chunks.try_next().await.map_err(broken)? {
            let length = chunk.remaining();
            self.bytes += length as u64;
            if self.bytes > BODY_BYTES_MAX {
                return Err(HttpError::BodyTooLarge);
            }
            if kind == Kind::Text && value.len() + length > FIELD_BYTES_MAX {
                return Err(HttpError::BadRequest(format!(
                    "the field `{name}` is longer than {FIELD_BYTES_MAX} bytes"
                )));
            }
            make_room(self.permit, self.bytes)?;
            value.extend_from_slice(&chunk.copy_to_bytes(length));
        }
        Ok(value.freeze())
    }

    fn to_come(&self) -> Result<usize, HttpError> {
        let declared = self.upload.declared_bytes()?.unwrap_or_default();
        Ok(usize::try_from(declared.saturating_sub(self.bytes)).unwrap_or_default())
    }
}

/// Sees to it that `permit` holds what was read of a body that comes in chunks: half as much
/// again, as buffers grow.
fn make_room(permit: &mut Permit, read_bytes: u64) -> Result<(), HttpError> {
    if read_bytes > permit.bytes() {
        permit.hold(read_bytes + read_bytes / 2)?;
    }
    Ok(())
}

/// A body that is not a form, up to `bytes_max`, in memory that `permit` holds.
///
/// # Errors
/// Too large, too slow, or cut short; in chunks and without memory for it.
pub async fn whole(
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    upload: &Upload,
    mut permit: Option<&mut Permit>,
    bytes_max: u64,
) -> Result<Bytes, HttpError> {
    let declared = upload.declared_bytes()?.unwrap_or_default();
    if declared > bytes_max {
        return Err(HttpError::BodyTooLarge);
    }
    let reading = async {
        let mut body = std::pin::pin!(body);
        let mut bytes = BytesMut::with_capacity(usize::try_from(declared).unwrap_or_default());
        let broken = |error: warp::Error| match upload.failed() {
            Some(cause) => cause.into(),
            None => HttpError::BadRequest(format!("the body: {error}")),
        };
        while let Some(mut chunk) = body.try_next().await.map_err(broken)? {
            let length = chunk.remaining();
            let read_bytes = (bytes.len() + length) as u64;
            if read_bytes > bytes_max {
                return Err(HttpError::BodyTooLarge);
            }
            if let Some(permit) = &mut permit {
                make_room(permit, read_bytes)?;
            }
            bytes.extend_from_slice(&chunk.copy_to_bytes(length));
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(BODY_READ_MAX, reading).await.map_err(|_| HttpError::BodyTooSlow)?
}

fn malformed(upload: &Upload, error: &warp::Error) -> HttpError {
    match upload.failed() {
        Some(UploadError::Broken) | None => {
            HttpError::BadRequest(format!("the form is malformed or was cut short: {error}"))
        }
        Some(cause) => cause.into(),
    }
}

impl From<UploadError> for HttpError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge => Self::BodyTooLarge,
            UploadError::TooSlow => Self::BodyTooSlow,
            UploadError::HeadTooLong => Self::BadRequest(format!(
                "the head of a form's part may have some {PART_HEAD_BYTES_MAX} bytes"
            )),
            UploadError::Broken => Self::BadRequest("the body was cut short".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::Request;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::sync::mpsc;
    use tower_service::Service as _;
    use warp::Filter;

    use super::*;
    use crate::service::testing::Bench;

    const KNOWN: &[(&str, Kind)] =
        &[("file", Kind::File), ("passphrase", Kind::Text), ("bits", Kind::Text)];

    /// Reads a form whose body arrives in `chunks`.
    async fn read(chunks: Vec<Bytes>) -> Result<Fields, HttpError> {
        read_stream(stream::iter(chunks)).await
    }

    async fn read_stream(
        chunks: impl Stream<Item = Bytes> + Send + Sync + 'static,
    ) -> Result<Fields, HttpError> {
        let (sender, mut receiver) = mpsc::channel(1);
        let bench = Bench::new();
        let service = bench.service.clone();
        let form = warp::multipart::form().max_length(None);
        let filter = warp::ext::get::<Upload>().and(form).then(move |upload: Upload, form| {
            let (sender, service) = (sender.clone(), service.clone());
            async move {
                let mut permit = service.admit(UNDECLARED_BYTES).unwrap();
                let fields = Fields::read(form, &upload, &mut permit, KNOWN).await;
                sender.send(fields).await.unwrap();
                warp::reply()
            }
        });
        let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
        let request = Request::builder()
            .header("content-type", "multipart/form-data; boundary=B")
            .body(StreamBody::new(Box::pin(frames)))
            .unwrap();
        let (mut request, upload) = Upload::wrap(request, super::super::body_bounds());
        request.extensions_mut().insert(upload);
        warp::service(filter).call(request).await.unwrap();
        receiver.recv().await.unwrap()
    }

    fn part(name: &str, value: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    async fn read_parts(parts: &[(&str, &str)]) -> Result<Fields, HttpError> {
        let mut body: String = parts.iter().map(|(name, value)| part(name, value)).collect();
        body.push_str("--B--\r\n");
        read(vec![body.into()]).await
    }

    /// The sentence of a 400.
    fn refusal<T: std::fmt::Debug>(outcome: Result<T, HttpError>) -> String {
        match outcome {
            Err(HttpError::BadRequest(sentence)) => sentence,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn fields_are_read_in_any_order_and_in_their_types() {
        let mut fields = read_parts(&[("bits", "2"), ("file", "abc")]).await.unwrap();
        assert_eq!(fields.required("file").unwrap(), "abc");
        assert_eq!(fields.parsed::<u8>("bits").unwrap(), Some(2));
        assert_eq!(fields.text("passphrase").unwrap(), None);
    }

    #[tokio::test]
    async fn an_unknown_field_is_refused_by_name() {
        let sentence = refusal(read_parts(&[("file", "abc"), ("pasphrase", "x")]).await);
        assert!(sentence.contains("pasphrase") && sentence.contains("passphrase, bits"));
    }

    #[tokio::test]
    async fn a_missing_field_is_named() {
        let mut fields = read_parts(&[("bits", "2")]).await.unwrap();
        assert!(refusal(fields.required("file")).contains("`file` is missing"));
    }

    #[tokio::test]
    async fn a_field_given_twice_is_refused() {
        let sentence = refusal(read_parts(&[("file", "abc"), ("file", "abc")]).await);
        assert!(sentence.contains("`file` was given twice"), "{sentence}");
    }

    #[tokio::test]
    async fn a_text_has_a_longest_length_and_a_file_has_not() {
        let longest = "x".repeat(FIELD_BYTES_MAX);
        let longer = "x".repeat(FIELD_BYTES_MAX + 1);
        assert!(read_parts(&[("passphrase", &longest), ("file", &longer)]).await.is_ok());
        assert!(refusal(read_parts(&[("passphrase", &longer)]).await).contains("longer than"));
    }

    #[tokio::test]
    async fn a_text_must_be_utf8_and_parse() {
        let mut fields = read_parts(&[("bits", "many")]).await.unwrap();
        assert!(refusal(fields.parsed::<u8>("bits")).contains("`bits`"));
        let mut body = BytesMut::from(part("passphrase", "").trim_end_matches("\r\n").as_bytes());
        body.extend_from_slice(b"\r\n\r\n\xff\xfe\r\n--B--\r\n");
        let mut fields = read(vec![body.freeze()]).await.unwrap();
        assert!(refusal(fields.text("passphrase")).contains("UTF-8"));
        let mut fields = read_parts(&[("bits", "")]).await.unwrap();
        assert_eq!(fields.parsed::<u8>("bits").unwrap(), None);
    }

    #[tokio::test]
    async fn a_form_cut_short_is_refused() {
        assert!(refusal(read(vec![part("file", "abc").into()]).await).contains("cut short"));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_before_it_is_whole() {
        let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
        let chunks = usize::try_from(BODY_BYTES_MAX).unwrap() / chunk.len() + 1;
        // The form never ends: the refusal cannot have waited for its end.
        let mut body = vec![Bytes::from(part("file", ""))];
        body.extend(std::iter::repeat_n(chunk, chunks));
        let endless = stream::iter(body).chain(stream::pending());
        assert!(matches!(read_stream(endless).await, Err(HttpError::BodyTooLarge)));
    }

    #[tokio::test]
    async fn a_part_head_without_end_is_refused_before_it_is_long() {
        let head = Bytes::from_static(b"--B\r\nContent-Disposition: form-data; x=\"");
        let filler = Bytes::from(vec![b'x'; 4096]);
        for begin in [head, Bytes::from_static(b"a preamble ")] {
            let endless =
                stream::iter([begin]).chain(stream::iter(std::iter::repeat_n(filler.clone(), 20)));
            let sentence = refusal(read_stream(endless.chain(stream::pending())).await);
            assert!(sentence.contains("head of a form's part"), "{sentence}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_refused() {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            Some((Bytes::from_static(b"x"), ()))
        });
        let trickle = stream::iter([Bytes::from(part("file", ""))]).chain(drops);
        let started = tokio::time::Instant::now();
        assert!(matches!(read_stream(Box::pin(trickle)).await, Err(HttpError::BodyTooSlow)));
        assert!(started.elapsed() < BODY_READ_MAX / 4, "{:?}", started.elapsed());
    }
}
