//! Hide a secret in a cover, and enter it in the ledger before it is acknowledged.

use std::sync::Arc;

use bytes::Bytes;

use super::{Permit, Service, ServiceError, cost};
use crate::api::analysis::Quality;
use crate::api::codec::CoverInfo;
use crate::clock;
use crate::ident::RecordId;
use crate::record::{Digest, Durability, Method, Record};
use crate::stego::{
    self, Codec, CoverFile, EmbedParams, Metadata, Passphrase, Png, Stego, StegoError,
};

/// What a client wants hidden.
pub struct EmbedRequest {
    /// The client's own id, if it brought one: the same id and input give the same
    /// picture and one record, however often it is sent.
    pub id: Option<RecordId>,
    pub secret: Bytes,
    /// `None`: the node's own.
    pub cover: Option<Bytes>,
    pub passphrase: Option<Passphrase>,
    /// `None`: the best hidden one with a passphrase, the fastest without.
    pub method: Option<Method>,
    /// Low bits of each colour sample to use; `None`: 1.
    pub bits: Option<u8>,
    /// The least durability to be acknowledged with.
    pub least: Durability,
    /// What goes into the stego image of the cover's notes on where it is from.
    pub metadata: Metadata,
    /// Also say what the embed changed, and what a steganalyst would find.
    pub report: bool,
    /// The picture will be sent as text in JSON.
    pub as_json: bool,
}

/// An acknowledged embed.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub record: Record,
    /// The stego image.
    pub png: Png,
    pub cover_info: CoverInfo,
    /// Where a report was asked for.
    pub quality: Option<Quality>,
    /// True where the ledger had the record before.
    pub replayed: bool,
    /// How far this acknowledgement reaches.
    pub durability: Durability,
    /// Holds the memory of the answer.
    pub permit: Arc<Permit>,
}

/// What the codec thread hands back.
struct Made {
    stego: Stego,
    stego_sha256: Digest,
    quality: Option<Quality>,
}

impl Service {
    /// Runs to its end even if the caller goes away, so that a client that hangs up
    /// leaves a whole record or none. `permit` is held until then.
    ///
    /// # Errors
    /// Of admission, of the codec and its pool, before anything was entered; of the ledger, with the
    /// outcome unknown: a retry under the same id is safe.
    pub async fn embed(
        &self,
        request: EmbedRequest,
        permit: Permit,
    ) -> Result<Embedded, ServiceError> {
        let service = self.clone();
        self.detached("embed", async move { service.embed_now(request, permit).await }).await
    }

    /// Tells the metrics what the cache of covers did.
    fn report_covers(&self) {
        let metrics = &self.parts().metrics;
        let stats = self.inner.codec.covers().report();
        let lookups = |outcome| metrics.cover_lookups_total.with_label_values(&[outcome]);
        lookups("hit").inc_by(stats.hits);
        lookups("miss").inc_by(stats.misses);
        metrics.covers_evicted_total.inc_by(stats.evictions);
        metrics.covers.set(stats.covers as i64);
        metrics.covers_bytes.set(stats.bytes as i64);
    }

    async fn embed_now(
        &self,
        request: EmbedRequest,
        mut permit: Permit,
    ) -> Result<Embedded, ServiceError> {
        let id = request.id.clone().unwrap_or_else(|| clock::fresh_time_ordered_uuid().into());
        let secret_bytes = request.secret.len() as u64;
        let as_json = request.as_json;
        let (cover, known) = match request.cover.clone() {
            Some(cover) => {
                let known = self.inner.digests.find(&cover);
                (cover, known)
            }
            None => (self.parts().default_cover.clone(), Some(self.inner.default_cover_sha256)),
        };
        let cover_bytes = cover.len() as u64;
        let codec = Arc::clone(&self.inner.codec);
        let looked_at = cover.clone();
        let look = move || {
            let sha256 = known.unwrap_or_else(|| Digest::of(&looked_at));
            let appraisal = codec.appraise(&CoverFile { bytes: &looked_at, sha256 })?;
            Ok::<_, StegoError>((sha256, appraisal))
        };
        let unread = if known.is_some() { 0 } else { cover.len() };
        let (cover_sha256, appraisal) = self.look(unread, look).await??;
        if known.is_none() {
            self.inner.digests.learn(&cover, cover_sha256);
        }
        let encrypted = request.passphrase.is_some();
        let method = request.method.unwrap_or(stego::usual_method(encrypted));
        let bits = request.bits.unwrap_or(1);
        let estimate =
            cost::of_embed(&appraisal, secret_bytes, method, bits, encrypted, request.report);
        let body_bytes = secret_bytes + request.cover.as_ref().map_or(0, |_| cover_bytes);
        let answer_bytes = cost::answer_bytes(appraisal.raster_bytes, as_json);
        let working_bytes = estimate.working_bytes.max(answer_bytes);
        self.inner.experience.learn(body_bytes, estimate.cost);
        self.hold(&mut permit, body_bytes + working_bytes)?;

        let (seed, least) = (id.clone(), request.least);
        let codec = Arc::clone(&self.inner.codec);
        let job = move || make(&codec, request, &cover, cover_sha256, &seed);
        let made = self.on_codec(estimate.cost, job).await;
        self.report_covers();
        let made = made??;
        permit.shrink(cost::answer_bytes(made.stego.png.len() as u64, as_json));
        let record = Record {
            id,
            time_ms: clock::unix_ms(),
            node: self.parts().node.clone(),
            method: made.stego.method,
            secret_bytes,
            cover_bytes,
            stego_bytes: made.stego.png.len() as u64,
            cover_sha256,
            stego_sha256: made.stego_sha256,
            durability: Durability::Quorum,
        };
        let submitted = self.parts().ledger.put(record, least).await?;
        let entered = submitted.record;
        if entered.stego_sha256 != made.stego_sha256 || entered.cover_sha256 != cover_sha256 {
            return Err(ServiceError::IdempotencyConflict { id: entered.id });
        }
        Ok(Embedded {
            record: entered,
            png: made.stego.png,
            cover_info: made.stego.cover_info,
            quality: made.quality,
            replayed: submitted.replayed,
            durability: submitted.durability,
            permit: Arc::new(permit),
        })
    }
}

fn make(
    codec: &Codec,
    request: EmbedRequest,
    cover: &[u8],
    cover_sha256: Digest,
    id: &RecordId,
) -> Result<Made, ServiceError> {
    let params = EmbedParams {
        cover: CoverFile { bytes: cover, sha256: cover_sha256 },
        secret: &request.secret,
        passphrase: request.passphrase.as_ref(),
        method: request.method,
        bits: request.bits,
        seed: id.as_str().as_bytes(),
        metadata: request.metadata,
    };
    let stego = codec.embed(&params)?;
    let stego_sha256 = Digest::of_parts(stego.png.slices());
    // From the two files, not from the embed's own idea of what it changed: the report is
    // about what is sent out.
    let quality = if request.report {
        let payload_bits = request.secret.len() as u64 * 8;
        Some(stego::compare(cover, &stego.png.to_bytes(), payload_bits)?)
    } else {
        None
    };
    Ok(Made { stego, stego_sha256, quality })
}
