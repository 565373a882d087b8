//! Who hides and finds: the cluster, or with `--offline` this process itself.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::output;
use super::servers::{ServersArgs, code_of};
use crate::api::analysis::Quality;
use crate::api::codec::CapacityResponse;
use crate::client::{CallError, Client, EmbedRequest};
use crate::ident::RecordId;
use crate::record::{Digest, Method};
use crate::stego::{self, Codec, CoverFile, Covers, EmbedParams, Metadata, Passphrase, StegoError};

/// Where the work is done.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Work in this process, without a server; nothing is entered in a ledger
    #[arg(long)]
    offline: bool,
}

impl WorkerArgs {
    /// # Errors
    /// Ctrl-C could not be caught, or the configuration file is wrong.
    pub fn worker(&self) -> anyhow::Result<Worker> {
        if self.offline {
            // Memory for one cover, which several secrets may share.
            return Ok(Worker::Offline(Codec::new(Covers::new(COVERS_BYTES))));
        }
        Ok(Worker::Cluster(self.servers.client(Duration::from_secs(60))?.0))
    }
}

const COVERS_BYTES: u64 = 256 * 1024 * 1024;

/// See the module.
pub enum Worker {
    Cluster(Client),
    Offline(Codec),
}

/// A piece of work was refused, or nobody could be asked.
#[derive(Debug)]
pub struct WorkError {
    /// To end with.
    pub code: u8,
    pub problem: String,
    /// A repetition under the same id is safe, one under another may double the record.
    pub outcome_unknown: bool,
}

impl From<CallError> for WorkError {
    fn from(error: CallError) -> Self {
        Self {
            code: code_of(&error),
            outcome_unknown: error.outcome_unknown,
            problem: error.to_string(),
        }
    }
}

impl From<StegoError> for WorkError {
    fn from(error: StegoError) -> Self {
        let code = super::exit::FAILED;
        Self { code, problem: error.to_string(), outcome_unknown: false }
    }
}

impl WorkError {
    /// Of an answer that makes no sense.
    fn bad(error: &anyhow::Error) -> Self {
        let code = super::exit::FAILED;
        Self { code, problem: format!("{error:#}"), outcome_unknown: false }
    }
}

/// A finished embed.
pub struct Embedded {
    pub png: Vec<u8>,
    pub method: Method,
    /// `record ID by NODE`, or that there is none.
    pub entered: String,
    pub quality: Option<Quality>,
    /// The answer without the picture.
    pub json: Value,
}

/// A secret found.
pub struct Found {
    pub secret: Vec<u8>,
    pub mime: String,
    pub json: Value,
}

impl Worker {
    /// Hides `request.secret`. The record's id is also the seed, so that the same picture comes
    /// out here and there.
    pub fn embed(&self, id: &RecordId, request: &EmbedRequest<'_>) -> Result<Embedded, WorkError> {
        let client = match self {
            Self::Cluster(client) => client,
            Self::Offline(codec) => return offline(codec, id, request),
        };
        let mut answer = client.embed(client.less_busy(0), id, request)?.value;
        let png = answer.stego_image_b64.take().context("the answer has no picture");
        let png = png.and_then(|png| decoded(&png)).map_err(|error| WorkError::bad(&error))?;
        let json = serde_json::to_value(&answer).map_err(|error| WorkError::bad(&error.into()))?;
        Ok(Embedded {
            png,
            method: answer.method,
            entered: format!("record {} by {}", answer.request_id, answer.node),
            quality: answer.quality,
            json,
        })
    }

    pub fn extract(&self, picture: &[u8], passphrase: Option<&str>) -> Result<Found, WorkError> {
        let (secret, mime, id) = match self {
            Self::Cluster(client) => {
                let answer = client.extract(client.less_busy(0), picture, passphrase)?.value;
                let secret = decoded(&answer.recovered_b64);
                let secret = secret.map_err(|error| WorkError::bad(&error))?;
                (secret, answer.recovered_mime, Some(answer.request_id))
            }
            Self::Offline(codec) => {
                let secret = codec.extract(picture, sealed(passphrase)?.as_ref())?;
                let mime = stego::sniff_mime(&secret).to_owned();
                (secret, mime, None)
            }
        };
        let json = json!({
            "request_id": id,
            "recovered_size_bytes": secret.len(),
            "recovered_mime": mime,
        });
        Ok(Found { secret, mime, json })
    }

    pub fn capacity(
        &self,
        cover: Option<&[u8]>,
        encrypted: bool,
    ) -> Result<CapacityResponse, WorkError> {
        match self {
            Self::Cluster(client) => Ok(client.capacity(0, cover, encrypted)?.value),
            Self::Offline(_) => {
                let cover = cover.unwrap_or_else(|| stego::default_cover());
                Ok(stego::capacity(cover, None, None, encrypted)?)
            }
        }
    }
}

/// Complains, and gives the code to go on or to end with.
pub fn complain(file: &str, error: &WorkError) -> u8 {
    output::complain(&format!("{file}: {}", error.problem));
    error.code
}

fn decoded(base64: &str) -> anyhow::Result<Vec<u8>> {
    STANDARD.decode(base64).context("the answer is no base64")
}

fn sealed(passphrase: Option<&str>) -> Result<Option<Passphrase>, WorkError> {
    Ok(passphrase.map(|text| Passphrase::new(text.to_owned())).transpose()?)
}

fn offline(
    codec: &Codec,
    id: &RecordId,
    request: &EmbedRequest<'_>,
) -> Result<Embedded, WorkError> {
    let cover = request.cover.unwrap_or_else(|| stego::default_cover());
    let passphrase = sealed(request.passphrase)?;
    let params = EmbedParams {
        cover: CoverFile { bytes: cover, sha256: Digest::of(cover) },
        secret: request.secret,
        passphrase: passphrase.as_ref(),
        method: request.method,
        bits: request.bits,
        seed: id.as_str().as_bytes(),
        metadata: if request.keep_metadata { Metadata::Keep } else { Metadata::Drop },
    };
    let made = codec.embed(&params)?;
    let png = made.png.to_bytes().to_vec();
    let payload_bits = request.secret.len() as u64 * 8;
    let quality = request.report.then(|| stego::compare(cover, &png, payload_bits)).transpose()?;
    let json = json!({
        "request_id": null,
        "method": made.method,
        "cover_info": made.cover_info,
        "secret_size_bytes": request.secret.len(),
        "payload_size_bytes": png.len(),
        "sha256": Digest::of(&png),
        "quality": quality,
    });
    let entered = "offline, so in no ledger".to_owned();
    Ok(Embedded { png, method: made.method, entered, quality, json })
}
