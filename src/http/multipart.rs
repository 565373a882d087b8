//! Uploads: the fields of a multipart form (RFC 7578), counted against their limits as
//! they stream. No length that the client declares is trusted.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use warp::filters::multipart::{FormData, Part};

use super::body::is_too_large;
use super::error::HttpError;
use crate::limits::{BODY_BYTES_MAX, BODY_READ_MAX, FIELD_BYTES_MAX, FIELDS_MAX};

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Text,
}

/// The fields of one form.
#[derive(Debug, Default)]
pub struct Fields {
    fields: BTreeMap<&'static str, Bytes>,
}

impl Fields {
    /// Reads all of `form`; `known` lists the fields that it may have.
    ///
    /// # Errors
    /// A field that is not known, given twice or too long; a body too large or too slow;
    /// no form at all.
    pub async fn read(
        form: FormData,
        known: &'static [(&'static str, Kind)],
    ) -> Result<Self, HttpError> {
        match tokio::time::timeout(BODY_READ_MAX, read_all(form, known)).await {
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

async fn read_all(
    mut form: FormData,
    known: &'static [(&'static str, Kind)],
) -> Result<Fields, HttpError> {
    let mut fields = Fields::default();
    let mut budget = BODY_BYTES_MAX;
    let mut count = 0;
    while let Some(part) = form.next().await {
        let part = part.map_err(|error| malformed(&error))?;
        count += 1;
        if count > FIELDS_MAX {
            return Err(HttpError::BadRequest(format!("a form may have {FIELDS_MAX} fields")));
        }
        let Some((name, kind)) = known.iter().find(|(name, _)| *name == part.name()) else {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            let unknown: String = part.name().chars().take(64).collect();
            return Err(HttpError::BadRequest(format!(
                "there is no field {unknown:?} here; known: {}",
                names.join(", ")
            )));
        };
        let value = read_part(part, *kind, &mut budget).await?;
        if fields.fields.insert(name, value).is_some() {
            return Err(HttpError::BadRequest(format!("the field `{name}` was given twice")));
        }
    }
    Ok(fields)
}

async fn read_part(part: Part, kind: Kind, budget: &mut u64) -> Result<Bytes, HttpError> {
    let name: String = part.name().to_owned();
    let mut value = BytesMut::new();
    let mut chunks = std::pin::pin!(part.stream());
    while let Some(mut chunk) = chunks.try_next().await.map_err(|error| malformed(&error))? {
        let length = chunk.remaining();
        *budget = budget.checked_sub(length as u64).ok_or(HttpError::BodyTooLarge)?;
        if kind == Kind::Text && value.len() + length > FIELD_BYTES_MAX {
            return Err(HttpError::BadRequest(format!(
                "the field `{name}` is longer than {FIELD_BYTES_MAX} bytes"
            )));
        }
        value.extend_from_slice(&chunk.copy_to_bytes(length));
    }
    Ok(value.freeze())
}

/// A body that is not a form, up to `bytes_max`.
///
/// # Errors
/// Too large, too slow, or cut short.
pub async fn whole(
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    bytes_max: u64,
) -> Result<Bytes, HttpError> {
    let reading = async {
        let mut body = std::pin::pin!(body);
        let mut bytes = BytesMut::new();
        let broken = |error: warp::Error| match is_too_large(&error) {
            true => HttpError::BodyTooLarge,
            false => HttpError::BadRequest(format!("the body: {error}")),
        };
        while let Some(mut chunk) = body.try_next().await.map_err(broken)? {
            let length = chunk.remaining();
            if (bytes.len() + length) as u64 > bytes_max {
                return Err(HttpError::BodyTooLarge);
            }
            bytes.extend_from_slice(&chunk.copy_to_bytes(length));
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(BODY_READ_MAX, reading).await.map_err(|_| HttpError::BodyTooSlow)?
}

fn malformed(error: &warp::Error) -> HttpError {
    if is_too_large(error) {
        return HttpError::BodyTooLarge;
    }
    HttpError::BadRequest(format!("the form is malformed or was cut short: {error}"))
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
        let filter = warp::multipart::form().max_length(None).then(move |form| {
            let sender = sender.clone();
            async move {
                sender.send(Fields::read(form, KNOWN).await).await.unwrap();
                warp::reply()
            }
        });
        let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
        let request = Request::builder()
            .header("content-type", "multipart/form-data; boundary=B")
            .body(StreamBody::new(Box::pin(frames)))
            .unwrap();
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
    async fn a_raw_body_is_bounded_too() {
        let body = |length: usize| {
            stream::iter([Ok(Bytes::from(vec![0; length])), Ok(Bytes::from_static(b"end"))])
        };
        assert_eq!(whole(body(5), 8).await.unwrap(), b"\0\0\0\0\0end"[..]);
        assert!(matches!(whole(body(6), 8).await, Err(HttpError::BodyTooLarge)));
    }
}
