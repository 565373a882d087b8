//! `/admin/bench`: a load run by this node, and how it goes.

use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::HeaderMap;
use warp::Filter;
use warp::Reply;
use warp::filters::BoxedFilter;
use warp::filters::sse;
use warp::reply::Response;

use super::body::Upload;
use super::error::HttpError;
use super::{Answer, ClientAddr, Context, admin, guard, multipart, reply};
use crate::api::bench::{BenchRequest, BenchStarted};
use crate::net::crowd::Place;
use crate::service::{BenchNews, Service};

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let at = || warp::path!("admin" / "bench").and(with.clone());
    let start = at()
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Upload>())
        .and(warp::body::stream())
        .then(|context: Context, headers: HeaderMap, upload: Upload, body| {
            context.clone().measured("admin", async move {
                let most = admin::BODY_BYTES_MAX;
                let body = multipart::whole(body, &upload, None, most).await?;
                start(&context, &headers, admin::decode(&body)?)
            })
        });
    let show = at().and(warp::get()).then(|context: Context| {
        context
            .clone()
            .measured("admin", async move { Ok(reply::ok(&context.service.bench()?.status())) })
    });
    let cancel = at().and(warp::delete()).then(|context: Context| {
        context
            .clone()
            .measured("admin", async move { Ok(reply::ok(&context.service.cancel_bench().await?)) })
    });
    let follow = warp::path!("admin" / "bench" / "events")
        .and(warp::get())
        .and(with.clone())
        .and(warp::ext::get::<ClientAddr>())
        .then(|context: Context, client| {
            context.clone().measured("events", async move {
                events(&context.service, context.stream_place(client)?)
            })
        });
    start.or(show).unify().or(cancel).unify().or(follow).unify().boxed()
}

fn start(context: &Context, headers: &HeaderMap, request: BenchRequest) -> Answer {
    // This node's own token says nothing to the others, who ask for none either.
    let asked = context.access.asks_for_tokens();
    let token = if asked { guard::bearer(headers)? } else { None };
    let token = token.map(str::parse).transpose().map_err(|_| HttpError::UnknownToken)?;
    let id = context.service.start_bench(request, token)?;
    Ok(reply::json(StatusCode::CREATED, &BenchStarted { id }))
}

/// Every tick since the load began, then `end`.
fn events(service: &Service, place: Place) -> Answer {
    let bench = service.bench()?;
    let news = stream::unfold(Some((bench, 0)), |state| async move {
        let (bench, seen) = state?;
        match bench.after(seen).await {
            BenchNews::Tick(tick) => {
                let frame = sse::Event::default().event("tick").json_data(&tick);
                Some((frame, Some((bench, seen + 1))))
            }
            BenchNews::End(status) => {
                Some((sse::Event::default().event("end").json_data(&*status), None))
            }
        }
    });
    let news = news.take_until(service.stopping().clone().cancelled_owned());
    let news = news.inspect(move |_| {
        let _held = &place;
    });
    let mut response = sse::reply(sse::keep_alive().stream(news)).into_response();
    reply::header(&mut response, "cache-control", "no-store");
    Ok(response)
}
