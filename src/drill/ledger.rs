//! Reads the whole ledger from every node.

use super::check::Listing;
use crate::api::codec::{Consistency, RecordsResponse};
use crate::client::{Client, Server};
use crate::ident::RecordId;
use crate::limits::RECORDS_PAGE_MAX;

/// Every node's own copy. One linearizable read first makes sure that the copy has everything
/// that was acknowledged; the pages are then read stale, which is what this node itself holds.
///
/// # Errors
/// A sentence that names the node.
pub(super) fn read_all(client: &Client) -> Result<Vec<Listing>, String> {
    // A node that served alone gives what it acknowledged to the ledger before it answers, and
    // the others may be listed before it.
    client.servers().iter().try_for_each(|server| settle(client, server))?;
    client.servers().iter().map(|server| read(client, server)).collect()
}

fn settle(client: &Client, server: &Server) -> Result<(), String> {
    page(client, server, None, 1, Consistency::Linearizable).map(drop)
}

fn page(
    client: &Client,
    server: &Server,
    after: Option<&RecordId>,
    limit: usize,
    consistency: Consistency,
) -> Result<RecordsResponse, String> {
    let read = || client.records_of(server, after, limit, consistency);
    // Once more: a connection kept alive across the node's restart fails at first use.
    read().or_else(|_| read()).map_err(|error| error.to_string())
}

fn read(client: &Client, server: &Server) -> Result<Listing, String> {
    settle(client, server)?;
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let answer = page(client, server, after.as_ref(), RECORDS_PAGE_MAX, Consistency::Stale)?;
        let found = answer.records.into_iter().map(|view| view.record);
        entries.extend(found.map(|record| (record.id, record.stego_sha256)));
        match answer.next {
            // A next page that does not move on would be read for ever.
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => break,
        }
    }
    Ok(Listing { node: server.address().to_owned(), entries })
}
