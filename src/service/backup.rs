//! The whole ledger out, and records in again.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::submit::SubmitError;
use super::{Service, ServiceError};
use crate::api::cluster::RestoreResponse;
use crate::api::codec::Consistency;
use crate::record::{Durability, Record};

/// Pieces of an export on their way to a client; each is some 256 KiB. Beyond it the reading
/// waits.
const CHUNKS_MAX: usize = 4;
/// Records on their way to the ledger at once; they share its fsyncs.
const AT_ONCE: usize = 64;

/// A piece of an export.
pub type Chunk = io::Result<Bytes>;

impl Service {
    /// The ledger as of one moment, after the barrier where `consistency` asks for it, in the
    /// form of [`crate::ledger::transfer`]. It is read while it is taken; dropping the receiver
    /// ends that.
    ///
    /// # Errors
    /// Those of the barrier. What fails later ends the stream with an error.
    pub async fn export(
        &self,
        consistency: Consistency,
    ) -> Result<mpsc::Receiver<Chunk>, ServiceError> {
        if consistency == Consistency::Linearizable {
            self.parts().ledger.barrier().await?;
        }
        let ledger = self.parts().ledger.ledger().ok_or(SubmitError::NotReady)?;
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        let rt = self.parts().rt.clone();
        self.parts().rt.spawn("export", async move {
            rt.produce(sender, move |give| {
                if let Err(error) = ledger.export(&mut |chunk| give(Ok(chunk.into()))) {
                    tracing::error!(cause = %error, "the ledger could not be read to its end");
                    give(Err(error.into()));
                }
            })
            .await;
        });
        Ok(chunks)
    }

    /// Enters each of `records` unless its id is there already; what is there stays as it is.
    /// Runs to its end even if the caller goes away, and may be repeated.
    ///
    /// # Errors
    /// A quorum did not take one: some of the others may be in the ledger.
    pub async fn restore(&self, records: Vec<Record>) -> Result<RestoreResponse, ServiceError> {
        let service = self.clone();
        self.detached("restore", async move {
            let put = async |record: Record| {
                let put = service.parts().ledger.put(record.clone(), Durability::Quorum);
                Ok::<_, ServiceError>((put.await?, record))
            };
            let mut outcomes = stream::iter(records).map(put).buffer_unordered(AT_ONCE);
            let mut response = RestoreResponse::default();
            while let Some(outcome) = outcomes.next().await {
                let (submitted, record) = outcome?;
                if submitted.record != record {
                    response.conflicts.push(record.id);
                } else if submitted.replayed {
                    response.present += 1;
                } else {
                    response.added += 1;
                }
            }
            response.conflicts.sort();
            Ok(response)
        })
        .await
    }
}
