//! Reading the ledger: linearizable unless the client asks for less.

use super::submit::SubmitError;
use super::{Service, ServiceError};
use crate::api::codec::Consistency;
use crate::ident::RecordId;
use crate::limits;
use crate::record::{Digest, Record};
use crate::solo::Books;
use crate::store::StoreError;

/// Records that a search reads at a time.
const SCAN_PAGE: usize = 1000;

/// One page of the ledger, in order of id.
#[derive(Debug, Clone)]
pub struct RecordsPage {
    pub records: Vec<Record>,
    /// The next page's `after`; `None` on the last page.
    pub next: Option<RecordId>,
    /// Records in all, at the moment of the read.
    pub total: u64,
}

impl Service {
    /// # Errors
    /// [`ServiceError::RecordNotFound`], and those of the barrier and the store.
    pub async fn record(
        &self,
        id: RecordId,
        consistency: Consistency,
    ) -> Result<Record, ServiceError> {
        let wanted = id.clone();
        let found = self.read(consistency, move |books| books.get(&wanted)).await?;
        found.ok_or(ServiceError::RecordNotFound { id })
    }

    /// Records with ids greater than `after`; `limit` is brought within
    /// [`limits::RECORDS_PAGE_MAX`].
    ///
    /// # Errors
    /// Those of the barrier and the store.
    pub async fn records(
        &self,
        after: Option<RecordId>,
        limit: usize,
        consistency: Consistency,
    ) -> Result<RecordsPage, ServiceError> {
        let limit = limit.clamp(1, limits::RECORDS_PAGE_MAX);
        // One more than asked for tells whether there is a next page.
        let read = move |books: &Books| books.page(after.as_ref(), limit + 1);
        let (mut records, total) = self.read(consistency, read).await?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = if more { records.last().map(|record| record.id.clone()) } else { None };
        Ok(RecordsPage { records, next, total })
    }

    /// Records with ids greater than `after` whose id, picture's digest or cover's digest begins
    /// with `wanted`, or whose node or method it is. It looks at
    /// [`limits::SEARCH_RECORDS_MAX`] records at the most: `next` says where to go on then, also
    /// where nothing was found. A whole id or picture's digest is found at once.
    ///
    /// # Errors
    /// Those of the barrier and the store.
    pub async fn search(
        &self,
        wanted: String,
        after: Option<RecordId>,
        limit: usize,
        consistency: Consistency,
    ) -> Result<RecordsPage, ServiceError> {
        let limit = limit.clamp(1, limits::RECORDS_PAGE_MAX);
        self.read(consistency, move |books| find(books, &wanted, after, limit)).await
    }

    /// Reads this node's copy, after the barrier where `consistency` asks for it, else together
    /// with what this node acknowledged alone, on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        consistency: Consistency,
        read: impl FnOnce(&Books) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        if consistency == Consistency::Linearizable {
            self.parts().ledger.barrier().await?;
        }
        let ledger = self.parts().ledger.ledger().ok_or(SubmitError::NotReady)?;
        let stale = consistency == Consistency::Stale;
        let journal = if stale { self.parts().ledger.journal() } else { None };
        let books = Books::new(ledger, journal);
        Ok(self.parts().rt.blocking(move || read(&books)).await?)
    }
}

/// See [`Service::search`].
fn find(
    books: &Books,
    wanted: &str,
    mut after: Option<RecordId>,
    limit: usize,
) -> Result<RecordsPage, StoreError> {
    let at_once = match (wanted.parse::<RecordId>(), wanted.parse::<Digest>()) {
        (_, Ok(digest)) => books.by_stego_digest(&digest)?,
        (Ok(id), _) => books.get(&id)?,
        _ => None,
    };
    if let Some(record) = at_once {
        let total = books.page(None, 1)?.1;
        let records = if after.is_none() { vec![record] } else { Vec::new() };
        return Ok(RecordsPage { records, next: None, total });
    }
    let prefix = wanted.to_ascii_lowercase();
    let mut found = Vec::new();
    for _ in 0..limits::SEARCH_RECORDS_MAX / SCAN_PAGE {
        let (page, total) = books.page(after.as_ref(), SCAN_PAGE)?;
        let whole = page.len() == SCAN_PAGE;
        for record in page {
            after = Some(record.id.clone());
            if matches(&record, wanted, &prefix) {
                found.push(record);
                if found.len() == limit {
                    return Ok(RecordsPage { records: found, next: after, total });
                }
            }
        }
        if !whole {
            return Ok(RecordsPage { records: found, next: None, total });
        }
    }
    let total = books.page(None, 1)?.1;
    Ok(RecordsPage { records: found, next: after, total })
}

/// `prefix` is `wanted` in lower case, in which digests are written.
fn matches(record: &Record, wanted: &str, prefix: &str) -> bool {
    record.id.as_str().starts_with(wanted)
        || record.node.as_str() == wanted
        || record.method.to_string() == prefix
        || record.stego_sha256.to_string().starts_with(prefix)
        || record.cover_sha256.to_string().starts_with(prefix)
}

#[cfg(test)]
#[cfg(not(sim))]
mod tests {
    use super::*;
    use crate::ident::NodeName;
    use crate::ledger::apply::tests::record;
    use crate::service::testing::Bench;

    /// Ids of what a search finds, and whether there is more to look at.
    async fn search(
        bench: &Bench,
        wanted: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (String, bool) {
        let after = after.map(|after| after.parse().unwrap());
        let stale = Consistency::Stale;
        let page = bench.service.search(wanted.into(), after, limit, stale).await.unwrap();
        let ids: Vec<&str> = page.records.iter().map(|record| record.id.as_str()).collect();
        (ids.join(" "), page.next.is_some())
    }

    #[tokio::test]
    async fn records_are_found_by_id_digest_node_and_method() {
        let bench = Bench::new();
        for (id, content, node) in [("a1", "x", "n1"), ("a2", "y", "n2"), ("b1", "z", "n1")] {
            let node: NodeName = node.parse().unwrap();
            let record = Record { node, ..record(id, content) };
            bench.ledger.enter(record).await;
        }
        let digest = record("a2", "y").stego_sha256.to_string();
        for (wanted, expected) in [
            ("a1", "a1"),
            ("a", "a1 a2"),
            ("n1", "a1 b1"),
            (&digest, "a2"),
            (&digest[..12], "a2"),
            (&digest[..12].to_uppercase(), "a2"),
            ("nothing", ""),
        ] {
            assert_eq!(
                search(&bench, wanted, None, 10).await,
                (expected.into(), false),
                "{wanted}"
            );
        }
        assert_eq!(search(&bench, "n1", None, 1).await, ("a1".into(), true));
        assert_eq!(search(&bench, "n1", Some("a1"), 10).await, ("b1".into(), false));
        let method = record("a1", "x").method.to_string();
        assert_eq!(search(&bench, &method, None, 10).await.0, "a1 a2 b1");
    }
}
