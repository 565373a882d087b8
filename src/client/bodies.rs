//! What requests carry: their paths, forms and JSON.

use super::EmbedRequest;
use super::exchange::Outgoing;
use super::multipart::Form;
use crate::api::codec::{Consistency, IDEMPOTENCY_KEY};
use crate::ident::RecordId;

pub(super) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // These types hold numbers and names only, which JSON can always express.
    serde_json::to_vec(value).expect("request bodies are plain data")
}

pub(super) fn commit(id: &RecordId) -> Outgoing {
    Outgoing::post("/api/commit", "application/json", b"{}".to_vec())
        .header(IDEMPOTENCY_KEY, id.as_str())
}

pub(super) fn embed_form(id: &RecordId, request: &EmbedRequest<'_>) -> Outgoing {
    let mut form = Form::new();
    // Small fields first: a server that streams knows them before the files come.
    if let Some(method) = request.method {
        form = form.text("method", &method.to_string());
    }
    if let Some(bits) = request.bits {
        form = form.text("bits", &bits.to_string());
    }
    if request.keep_metadata {
        form = form.text("keep_metadata", "true");
    }
    if request.report {
        form = form.text("report", "true");
    }
    if let Some(passphrase) = request.passphrase {
        form = form.text("passphrase", passphrase);
    }
    if let Some(cover) = request.cover {
        form = form.file("cover", cover);
    }
    let (content_type, body) = form.file("file", request.secret).finish();
    Outgoing::post("/api/embed", &content_type, body).header(IDEMPOTENCY_KEY, id.as_str())
}

pub(super) fn picture_form(path: &str, picture: &[u8], passphrase: Option<&str>) -> Outgoing {
    let mut form = Form::new();
    if let Some(passphrase) = passphrase {
        form = form.text("passphrase", passphrase);
    }
    let (content_type, body) = form.file("file", picture).finish();
    Outgoing::post(path, &content_type, body)
}

pub(super) fn word(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Linearizable => "linearizable",
        Consistency::Stale => "stale",
    }
}

pub(super) fn records_path(
    after: Option<&RecordId>,
    limit: usize,
    consistency: Consistency,
) -> String {
    let consistency = word(consistency);
    let after = after.map(|id| format!("&after={}", percent_encode(id.as_str())));
    format!("/api/records?limit={limit}&consistency={consistency}{}", after.unwrap_or_default())
}

/// Everything but RFC 3986's unreserved characters, as `%XX`.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
