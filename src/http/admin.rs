//! Faults on purpose, their end, and the hand-over of leadership. Who may ask for them is
//! `guard`'s.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::body::Upload;
use super::error::HttpError;
use super::{Answer, Context, multipart, reply};
use crate::api::cluster::{
    AdminResponse, FailRequest, MembersRequest, RestoreRequest, TransferRequest,
};
use crate::limits::RECORDS_PAGE_MAX;
use crate::record::Record;
use crate::service::ServiceError;
use crate::service::operate::{OperateError, Operation};

/// Largest body of an admin call, in bytes.
pub(super) const BODY_BYTES_MAX: u64 = 16 * 1024;
/// Of one with records: each takes some 500 bytes.
const RECORDS_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub fn routes(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    let call = |name: &'static str, operation: fn(&Bytes) -> Result<Operation, HttpError>| {
        warp::path("admin")
            .and(warp::path(name))
            .and(warp::path::end())
            .and(warp::post())
            .and(with.clone())
            .and(warp::ext::get::<Upload>())
            .and(warp::body::stream())
            .then(move |context: Context, upload: Upload, body| {
                context.clone().measured("admin", async move {
                    let body = multipart::whole(body, &upload, None, BODY_BYTES_MAX).await?;
                    operate(&context, name, operation(&body)?).await
                })
            })
            .boxed()
    };
    call("fail", |body| Ok(Operation::Fail(decode::<FailRequest>(body)?)))
        .or(call("restore", |body| Ok(Operation::Restore(or_default::<RestoreRequest>(body)?))))
        .unify()
        .or(call("transfer-leader", |body| {
            Ok(Operation::TransferLeader(or_default::<TransferRequest>(body)?))
        }))
        .unify()
        .or(call("members", |body| Ok(Operation::Members(decode::<MembersRequest>(body)?))))
        .unify()
        .or(records(with))
        .unify()
        .boxed()
}

/// Records of a backup, one a line.
fn records(with: &BoxedFilter<(Context,)>) -> BoxedFilter<(Response,)> {
    warp::path!("admin" / "records")
        .and(warp::post())
        .and(with.clone())
        .and(warp::ext::get::<Upload>())
        .and(warp::body::stream())
        .then(|context: Context, upload: Upload, body| {
            context.clone().measured("admin", async move {
                let mut permit = context.service.admit(RECORDS_BYTES_MAX)?;
                let held = Some(&mut permit);
                let body = multipart::whole(body, &upload, held, RECORDS_BYTES_MAX).await?;
                let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let parse = |(number, line): (usize, &[u8])| {
                    serde_json::from_slice::<Record>(line).map_err(|error| {
                        HttpError::BadRequest(format!("line {}: {error}", number + 1))
                    })
                };
                let records = lines.enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
                if records.len() > RECORDS_PAGE_MAX {
                    let most = format!("{RECORDS_PAGE_MAX} records at the most");
                    return Err(HttpError::BadRequest(most));
                }
                Ok(reply::ok(&context.service.restore(records).await?))
            })
        })
        .boxed()
}

fn or_default<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, HttpError> {
    if body.is_empty() { Ok(T::default()) } else { decode(body) }
}

pub(super) fn decode<T: DeserializeOwned>(body: &Bytes) -> Result<T, HttpError> {
    serde_json::from_slice(body).map_err(|error| HttpError::BadRequest(format!("body: {error}")))
}

async fn operate(context: &Context, name: &str, operation: Operation) -> Answer {
    match context.service.operate(operation).await {
        Ok(done) => Ok(reply::ok(&AdminResponse {
            node: done.by.unwrap_or_else(|| context.service.node().clone()),
            done: done.sentence,
            transfer: done.transfer,
        })),
        Err(ServiceError::Operate(OperateError::NotLeader)) => {
            let status = context.service.status();
            // A node that just lost the leadership must not send anyone to itself.
            let elsewhere = status.leader_id.as_ref() != Some(context.service.node());
            let address = status.leader_address.clone().filter(|_| elsewhere);
            Err(HttpError::NotLeader {
                leader: status.leader_id.clone(),
                // By the same scheme as this request (RFC 3986 section 4.2).
                redirect: address.as_ref().map(|address| format!("//{address}/admin/{name}")),
                address,
            })
        }
        Err(error) => Err(error.into()),
    }
}
