//! Pictures through any node, and what the ledger says about them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use stegcluster::api::codec::{EmbedResponse, ExtractResponse, RecordView, VerifyResponse};
use stegcluster::api::problem::{Code, Problem};
use stegcluster::record::Durability;

use crate::support::{Client, Cluster, Reply};

const SECRET: &[u8] = b"the ledger forgets nothing that it acknowledged";

fn embed(client: &Client, key: &str, secret: &[u8]) -> Reply {
    let fields: [(&str, &[u8]); 2] = [("file", secret), ("passphrase", b"correct horse")];
    client.form("/api/embed", &[("idempotency-key", key)], &fields).expect("an answer")
}

fn png(embedded: &EmbedResponse) -> Vec<u8> {
    let b64 = embedded.stego_image_b64.as_ref().expect("JSON answers carry the picture");
    BASE64_STANDARD.decode(b64).expect("standard base64")
}

#[test]
fn what_one_node_hides_any_other_finds_and_knows() {
    let cluster = Cluster::formed(3, &[]);
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let embedded: EmbedResponse = embed(&first.client, "picture-1", SECRET).ok();
    assert_eq!(embedded.durability, Durability::Quorum);
    assert_eq!(embedded.secret_size_bytes, SECRET.len() as u64);

    // At once: an acknowledged record is visible to every linearizable read.
    let record: RecordView = third.client.get("/api/records/picture-1").expect("an answer").ok();
    assert_eq!(record.record.stego_sha256, embedded.sha256);
    assert_eq!(record.record.node.as_str(), "n1");

    let picture = png(&embedded);
    let fields: [(&str, &[u8]); 2] = [("file", &picture), ("passphrase", b"correct horse")];
    let found: ExtractResponse =
        second.client.form("/api/extract", &[], &fields).expect("an answer").ok();
    assert_eq!(BASE64_STANDARD.decode(found.recovered_b64).as_deref(), Ok(SECRET));

    let fields: [(&str, &[u8]); 2] = [("file", &picture), ("passphrase", b"wrong horse")];
    let refused = second.client.form("/api/extract", &[], &fields).expect("an answer");
    assert_eq!(refused.status, 422, "{}", refused.text());

    let known: VerifyResponse =
        second.client.form("/api/verify", &[], &[("file", &picture)]).expect("an answer").ok();
    assert!(known.known);
    assert_eq!(known.record.map(|view| view.record.id.to_string()), Some("picture-1".to_owned()));
}

#[test]
fn a_repeated_embed_is_one_record_and_one_picture_on_every_node() {
    let cluster = Cluster::formed(3, &[]);
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let embedded: EmbedResponse = embed(&first.client, "once", SECRET).ok();
    let repeated: EmbedResponse = embed(&second.client, "once", SECRET).ok();
    assert!(!embedded.replayed && repeated.replayed);
    assert_eq!(embedded.sha256, repeated.sha256);
    assert!(png(&embedded) == png(&repeated), "the pictures differ");
    assert_eq!(cluster.caught_up(2).len(), 1);

    let refused = embed(&third.client, "once", b"something else");
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(refused.json::<Problem>().code, Code::IdempotencyConflict);
    assert_eq!(cluster.caught_up(0).len(), 1);
}
