//! The ledger, one record or a page at a time.

use std::sync::Arc;

use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use warp::Filter;
use warp::Reply as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::error::HttpError;
use super::{Answer, ClientAddr, Context, reply};
use crate::api::codec::{Consistency, RecordView, RecordsResponse};
use crate::ident::{IdentError, RecordId};
use crate::limits::{RECORDS_PAGE, RECORDS_PAGE_MAX, SEARCH_BYTES_MAX};

/// A record and its JSON, some 500 bytes each.
const RECORD_BYTES: u64 = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
    consistency: Option<Consistency>,
    q: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordQuery {
    consistency: Option<Consistency>,
}

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let page =
        warp::path!("api" / "records").and(warp::get()).and(with.clone()).and(warp::query()).then(
            |context: Context, query| context.clone().measured("api_records", page(context, query)),
        );
    let record = warp::path!("api" / "records" / String)
        .and(warp::get())
        .and(with.clone())
        .and(warp::query())
        .then(|id, context: Context, query| {
            context.clone().measured("api_record", record(context, id, query))
        });
    let whole = warp::path!("api" / "ledger")
        .and(warp::get())
        .and(with.clone())
        .and(warp::ext::get::<ClientAddr>())
        .and(warp::query())
        .then(|context: Context, client, query| {
            context.clone().measured("ledger", whole(context, client, query))
        });
    page.or(record).unify().or(whole).unify().boxed()
}

fn parse(id: &str, what: &str) -> Result<RecordId, HttpError> {
    id.parse().map_err(|error: IdentError| HttpError::BadRequest(format!("{what}: {error}")))
}

async fn page(context: Context, query: PageQuery) -> Answer {
    let after = query.after.map(|after| parse(&after, "after")).transpose()?;
    let limit = query.limit.unwrap_or(RECORDS_PAGE);
    if !(1..=RECORDS_PAGE_MAX).contains(&limit) {
        return Err(HttpError::BadRequest(format!("limit is 1 to {RECORDS_PAGE_MAX}")));
    }
    let consistency = query.consistency.unwrap_or_default();
    let permit = context.service.admit(limit as u64 * RECORD_BYTES)?;
    let wanted = query.q.as_deref().map(str::trim).filter(|wanted| !wanted.is_empty());
    let page = match wanted {
        None => context.service.records(after, limit, consistency).await?,
        Some(wanted) if wanted.len() > SEARCH_BYTES_MAX => {
            return Err(HttpError::BadRequest(format!("q has {SEARCH_BYTES_MAX} bytes at most")));
        }
        Some(wanted) => {
            context.service.search(wanted.to_owned(), after, limit, consistency).await?
        }
    };
    let answer = serde_json::to_vec(&RecordsResponse {
        records: page.records.into_iter().map(RecordView::from).collect(),
        next: page.next,
        total: page.total,
        consistency,
    });
    Ok(reply::held_json(StatusCode::OK, answer, Arc::new(permit)))
}

/// The whole ledger as of one moment, in JSON lines. A body without its last line, which has
/// their checksum, was cut short.
async fn whole(context: Context, client: ClientAddr, query: RecordQuery) -> Answer {
    let place = context.stream_place(client)?;
    let mut chunks = context.service.export(query.consistency.unwrap_or_default()).await?;
    let chunks = stream::poll_fn(move |task| {
        let _held = &place;
        chunks.poll_recv(task)
    });
    let mut response = warp::reply::stream(chunks).into_response();
    let jsonl = HeaderValue::from_static("application/jsonl");
    response.headers_mut().insert(CONTENT_TYPE, jsonl);
    Ok(response)
}

async fn record(context: Context, id: String, query: RecordQuery) -> Answer {
    let id =
        percent_decoded(&id).ok_or_else(|| HttpError::BadRequest("id: malformed %XX".into()))?;
    let id = parse(&id, "id")?;
    let _permit = context.service.admit(RECORD_BYTES)?;
    let record = context.service.record(id, query.consistency.unwrap_or_default()).await?;
    Ok(reply::ok(&RecordView::from(record)))
}

/// A path segment with its `%XX` resolved; `None` where it is no UTF-8.
fn percent_decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (decoded, after) = match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                (u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, after)
            }
            (b'%', _) => return None,
            _ => (byte, after),
        };
        bytes.push(decoded);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_resolved_or_refused() {
        assert_eq!(percent_decoded("a%3Ab%20c").as_deref(), Some("a:b c"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
