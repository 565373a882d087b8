//! Embed, extract, verify, capacity, commit, and the built-in pictures.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::multipart::FormData;
use warp::reply::Response;

use super::body::Upload;
use super::error::HttpError;
use super::multipart::{Fields, Kind, UNDECLARED_BYTES};
use super::{Answer, Context, multipart, reply};
use crate::api::codec::{
    Consistency, DURABILITY, EmbedResponse, IDEMPOTENCY_KEY, RecordView, VerifyResponse,
};
use crate::clock;
use crate::ident::RecordId;
use crate::limits::BODY_BYTES_MAX;
use crate::record::{Durability, Method};
use crate::service::{Committed, EmbedRequest, Embedded, Permit, ServiceError};
use crate::stego::{Metadata, Passphrase, sniff_mime};

const EMBED_FIELDS: &[(&str, Kind)] = &[
    ("file", Kind::File),
    ("cover", Kind::File),
    ("passphrase", Kind::Text),
    ("method", Kind::Text),
    ("bits", Kind::Text),
    ("keep_metadata", Kind::Text),
    ("report", Kind::Text),
];
const EXTRACT_FIELDS: &[(&str, Kind)] = &[("file", Kind::File), ("passphrase", Kind::Text)];
const VERIFY_FIELDS: &[(&str, Kind)] = &[("file", Kind::File)];
const COMPARE_FIELDS: &[(&str, Kind)] = &[("file", Kind::File), ("cover", Kind::File)];
const CAPACITY_FIELDS: &[(&str, Kind)] = &[
    ("cover", Kind::File),
    ("method", Kind::Text),
    ("bits", Kind::Text),
    ("encrypted", Kind::Text),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapacityQuery {
    method: Option<Method>,
    bits: Option<u8>,
    encrypted: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    consistency: Option<Consistency>,
}

/// What [`crate::api::codec::ExtractResponse`] has beside the secret.
#[derive(Serialize)]
struct Recovered {
    request_id: RecordId,
    recovered_size_bytes: u64,
    recovered_mime: &'static str,
}

/// A record on its way to the ledger.
const COMMIT_BYTES: u64 = 4096;

/// Answer to `POST /api/commit`.
#[derive(Serialize)]
struct CommitResponse {
    #[serde(flatten)]
    record: RecordView,
    replayed: bool,
}

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let form = || warp::multipart::form().max_length(None);
    let upload = warp::ext::get::<Upload>;
    let embed = warp::path!("api" / "embed")
        .and(warp::post())
        .and(with.clone())
        .and(warp::header::headers_cloned())
        .and(upload())
        .and(form())
        .then(|context: Context, headers, upload, form| {
            context.clone().measured("api_embed", embed(context, headers, upload, form))
        });
    let extract = warp::path!("api" / "extract")
        .and(warp::post())
        .and(with.clone())
        .and(warp::header::headers_cloned())
        .and(upload())
        .and(form())
        .then(|context: Context, headers, upload, form| {
            context.clone().measured("api_extract", extract(context, headers, upload, form))
        });
    let verify_form = warp::path!("api" / "verify")
        .and(warp::post())
        .and(with.clone())
        .and(warp::query())
        .and(upload())
        .and(form())
        .then(|context: Context, query, upload: Upload, form| {
            context.clone().measured("api_verify", async move {
                let mut permit = context.service.admit(declared(&upload)?)?;
                let mut fields = Fields::read(form, &upload, &mut permit, VERIFY_FIELDS).await?;
                verify(context, query, fields.required("file")?, permit).await
            })
        });
    let verify_raw = warp::path!("api" / "verify")
        .and(warp::post())
        .and(with.clone())
        .and(warp::query())
        .and(upload())
        .and(warp::body::stream())
        .then(|context: Context, query, upload: Upload, body| {
            context.clone().measured("api_verify", async move {
                let mut permit = context.service.admit(declared(&upload)?)?;
                let held = Some(&mut permit);
                let picture = multipart::whole(body, &upload, held, BODY_BYTES_MAX).await?;
                verify(context, query, picture, permit).await
            })
        });
    let capacity_own =
        warp::path!("api" / "capacity").and(warp::get()).and(with.clone()).and(warp::query()).then(
            |context: Context, query| {
                context.clone().measured("api_capacity", capacity_own(context, query))
            },
        );
    let capacity_of = warp::path!("api" / "capacity")
        .and(warp::post())
        .and(with.clone())
        .and(upload())
        .and(form())
        .then(|context: Context, upload, form| {
            context.clone().measured("api_capacity", capacity_of(context, upload, form))
        });
    let commit = warp::path!("api" / "commit")
        .and(warp::post())
        .and(with.clone())
        .and(warp::header::headers_cloned())
        .then(|context: Context, headers| {
            context.clone().measured("api_commit", commit(context, headers))
        });
    let dataset = warp::path!("api" / "dataset" / String).and(warp::get()).and(with.clone()).then(
        |index, context: Context| context.clone().measured("api_dataset", dataset(context, index)),
    );
    let cover =
        warp::path!("api" / "cover").and(warp::get()).and(with.clone()).then(|context: Context| {
            context.clone().measured("api_cover", async move { Ok(cover(&context)) })
        });
    let compare = warp::path!("api" / "compare")
        .and(warp::post())
        .and(with.clone())
        .and(upload())
        .and(form())
        .then(|context: Context, upload, form| {
            context.clone().measured("api_compare", compare(context, upload, form))
        });
    let uploads = embed.or(extract).unify().or(verify_form).unify().or(verify_raw).unify().boxed();
    let others = capacity_own
        .or(capacity_of)
        .unify()
        .or(commit)
        .unify()
        .or(dataset)
        .unify()
        .or(cover)
        .unify()
        .or(compare)
        .unify();
    uploads.or(others).unify().boxed()
}

/// What a request's body takes, as its head says.
fn declared(upload: &Upload) -> Result<u64, HttpError> {
    Ok(upload.declared_bytes()?.unwrap_or(UNDECLARED_BYTES))
}

/// The client's own record id, if it brought one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<RecordId>, HttpError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let wrong = |cause: String| HttpError::BadRequest(format!("Idempotency-Key: {cause}"));
    let text = value.to_str().map_err(|error| wrong(error.to_string()))?;
    text.parse().map(Some).map_err(|error: crate::ident::IdentError| wrong(error.to_string()))
}

/// The least durability that the client wants to be acknowledged with.
fn least_durability(headers: &HeaderMap) -> Result<Durability, HttpError> {
    match headers.get(DURABILITY).map(|value| value.as_bytes()) {
        None | Some(b"local") => Ok(Durability::Local),
        Some(b"quorum") => Ok(Durability::Quorum),
        Some(_) => Err(HttpError::BadRequest("X-Durability is `quorum` or `local`".into())),
    }
}

fn passphrase(fields: &mut Fields) -> Result<Option<Passphrase>, HttpError> {
    let text = fields.text("passphrase")?.filter(|text| !text.is_empty());
    text.map(Passphrase::new)
        .transpose()
        .map_err(|error| HttpError::Service(ServiceError::Stego(error)))
}

async fn embed(context: Context, headers: HeaderMap, upload: Upload, form: FormData) -> Answer {
    let mut permit = context.service.admit_codec(declared(&upload)?)?;
    let id = idempotency_key(&headers)?;
    let least = least_durability(&headers)?;
    let mut fields = Fields::read(form, &upload, &mut permit, EMBED_FIELDS).await?;
    let as_png = reply::prefers(&headers, "image/png");
    let request = EmbedRequest {
        id,
        secret: fields.required("file")?,
        cover: fields.take("cover").filter(|cover| !cover.is_empty()),
        passphrase: passphrase(&mut fields)?,
        method: fields.parsed("method")?,
        bits: fields.parsed("bits")?,
        metadata: if fields.parsed("keep_metadata")?.unwrap_or(false) {
            Metadata::Keep
        } else {
            Metadata::Drop
        },
        least,
        report: fields.parsed("report")?.unwrap_or(false),
        as_json: !as_png,
    };
    if as_png && request.report {
        let cause = "a report comes as JSON: leave out `report`, or ask for application/json";
        return Err(HttpError::BadRequest(cause.into()));
    }
    let embedded = context.service.embed(request, permit).await?;
    if as_png {
        return Ok(embedded_png(&context, embedded));
    }
    let Embedded { record, png, cover_info, quality, replayed, durability, permit } = embedded;
    let answer = EmbedResponse {
        request_id: record.id,
        node: context.service.node().clone(),
        method: record.method,
        cover_info,
        secret_size_bytes: record.secret_bytes,
        payload_size_bytes: record.stego_bytes,
        stego_image_b64: None,
        durability,
        sha256: record.stego_sha256,
        replayed,
        quality,
    };
    let body = context
        .service
        .blocking(move || reply::json_with_base64(&answer, "stego_image_b64", png.slices()));
    Ok(reply::held_json(StatusCode::OK, body.await, permit))
}

fn embedded_png(context: &Context, embedded: Embedded) -> Response {
    let Embedded { record, png, cover_info, quality: _, replayed, durability, permit } = embedded;
    let slices = png.into_slices().into_iter().map(|slice| reply::held(slice, &permit)).collect();
    let mut response = reply::slices(StatusCode::OK, "image/png", slices);
    let durability = match durability {
        Durability::Quorum => "quorum",
        Durability::Local => "local",
    };
    reply::header(&mut response, "x-request-id", &record.id);
    reply::header(&mut response, "x-node", context.service.node());
    reply::header(&mut response, "x-durability", durability);
    reply::header(&mut response, "x-stego-sha256", record.stego_sha256);
    reply::header(&mut response, "x-secret-size-bytes", record.secret_bytes);
    reply::header(&mut response, "x-replayed", replayed);
    reply::header(&mut response, "x-cover-width", cover_info.width);
    reply::header(&mut response, "x-cover-height", cover_info.height);
    reply::header(&mut response, "x-cover-channels", cover_info.channels);
    reply::header(&mut response, "x-lsb-per-channel", cover_info.lsb_per_channel);
    reply::header(&mut response, "x-method", record.method);
    reply::header(&mut response, "x-capacity-bytes", cover_info.capacity_bytes);
    response
}

async fn extract(context: Context, headers: HeaderMap, upload: Upload, form: FormData) -> Answer {
    let mut permit = context.service.admit_codec(declared(&upload)?)?;
    let mut fields = Fields::read(form, &upload, &mut permit, EXTRACT_FIELDS).await?;
    let picture = fields.required("file")?;
    let passphrase = passphrase(&mut fields)?;
    let found = context.service.extract(picture, passphrase, permit).await?;
    let (secret, mime, permit) = (found.secret, found.mime, Arc::new(found.permit));
    let request_id: RecordId = clock::fresh_time_ordered_uuid().into();
    if reply::prefers(&headers, "application/octet-stream") {
        let secret = reply::held(secret, &permit);
        let mut response = reply::bytes(StatusCode::OK, "application/octet-stream", secret);
        reply::header(&mut response, "x-request-id", request_id);
        reply::header(&mut response, "x-recovered-mime", mime);
        // What was hidden may be a web page: it is a download, never shown as ours.
        reply::header(&mut response, "content-disposition", "attachment");
        return Ok(response);
    }
    let answer =
        Recovered { request_id, recovered_size_bytes: secret.len() as u64, recovered_mime: mime };
    let body = context
        .service
        .blocking(move || reply::json_with_base64(&answer, "recovered_b64", [secret].iter()));
    Ok(reply::held_json(StatusCode::OK, body.await, permit))
}

async fn verify(context: Context, query: VerifyQuery, picture: Bytes, permit: Permit) -> Answer {
    let consistency = query.consistency.unwrap_or_default();
    let verified = context.service.verify(picture, consistency, permit).await?;
    Ok(reply::ok(&VerifyResponse {
        sha256: verified.sha256,
        known: verified.record.is_some(),
        record: verified.record.map(RecordView::from),
    }))
}

async fn capacity_own(context: Context, query: CapacityQuery) -> Answer {
    let CapacityQuery { method, bits, encrypted } = query;
    let encrypted = encrypted.unwrap_or(false);
    Ok(reply::ok(&context.service.capacity(None, method, bits, encrypted).await?))
}

async fn capacity_of(context: Context, upload: Upload, form: FormData) -> Answer {
    let mut permit = context.service.admit(declared(&upload)?)?;
    let mut fields = Fields::read(form, &upload, &mut permit, CAPACITY_FIELDS).await?;
    let cover = fields.required("cover")?;
    let (method, bits) = (fields.parsed("method")?, fields.parsed("bits")?);
    let encrypted = fields.parsed("encrypted")?.unwrap_or(false);
    Ok(reply::ok(&context.service.capacity(Some(cover), method, bits, encrypted).await?))
}

async fn compare(context: Context, upload: Upload, form: FormData) -> Answer {
    let mut permit = context.service.admit_codec(declared(&upload)?)?;
    let mut fields = Fields::read(form, &upload, &mut permit, COMPARE_FIELDS).await?;
    let picture = fields.required("file")?;
    let cover = fields.take("cover").filter(|cover| !cover.is_empty());
    let (changes, permit) = context.service.compare(cover, picture, permit).await?;
    let Some(changes) = changes else {
        let cause = "the picture has another size, or other channels, than the cover";
        return Err(HttpError::BadRequest(cause.into()));
    };
    let permit = Arc::new(permit);
    let slices = changes.map.into_slices().into_iter().map(|slice| reply::held(slice, &permit));
    let mut response = reply::slices(StatusCode::OK, "image/png", slices.collect());
    reply::header(&mut response, "x-changed-samples", changes.samples);
    if let Some(psnr_db) = changes.psnr_db {
        reply::header(&mut response, "x-psnr-db", format!("{psnr_db:.3}"));
    }
    Ok(response)
}

async fn commit(context: Context, headers: HeaderMap) -> Answer {
    let permit = context.service.admit(COMMIT_BYTES)?;
    let least = least_durability(&headers)?;
    let Committed { mut record, replayed, durability } =
        context.service.commit(idempotency_key(&headers)?, least, permit).await?;
    // The answer's: a record that one node acknowledged may be with a quorum by now.
    record.durability = durability;
    Ok(reply::ok(&CommitResponse { record: record.into(), replayed }))
}

fn cover(context: &Context) -> Response {
    let cover = context.service.default_cover();
    let media_type = sniff_mime(&cover);
    let mut response = reply::bytes(StatusCode::OK, media_type, cover);
    // The operator's own file: a picture at best, and never a page of ours.
    reply::header(&mut response, "content-security-policy", "sandbox");
    response
}

async fn dataset(context: Context, index: String) -> Answer {
    let png = context.service.dataset(&index).await?;
    Ok(reply::bytes(StatusCode::OK, "image/png", png))
}
