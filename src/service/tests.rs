//! The use cases over a ledger in memory.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::submit::SubmitError;
use super::testing::{Bench, MemoryLedger};
use super::{EmbedRequest, ServiceError};
use crate::api::codec::Consistency;
use crate::record::{Digest, Durability, Method};
use crate::stego::{Metadata, Passphrase, StegoError};

fn request(id: Option<&str>, secret: &'static [u8]) -> EmbedRequest {
    EmbedRequest {
        id: id.map(|id| id.parse().unwrap()),
        secret: Bytes::from_static(secret),
        cover: None,
        passphrase: None,
        method: Some(Method::Lsb),
        bits: Some(1),
        least: Durability::Local,
        metadata: Metadata::Drop,
        report: false,
        as_json: false,
    }
}

#[tokio::test]
async fn an_embed_is_in_the_ledger_and_comes_back_out_of_the_picture() {
    let bench = Bench::new();
    let service = &bench.service;
    let mut with_passphrase = request(None, b"attack at dawn");
    with_passphrase.passphrase = Some(Passphrase::new("open".into()).unwrap());
    let embedded = service.embed(with_passphrase, service.admit(0).unwrap()).await.unwrap();
    assert_eq!(embedded.record.durability, Durability::Quorum);
    let png = embedded.png.to_bytes();
    assert_eq!(embedded.record.stego_sha256, Digest::of(&png));
    assert_eq!(bench.ledger.records(), std::slice::from_ref(&embedded.record));

    let passphrase = Passphrase::new("open".into()).unwrap();
    let permit = service.admit(0).unwrap();
    let found = service.extract(png.clone(), Some(passphrase), permit).await.unwrap();
    assert_eq!(found.secret, "attack at dawn");
    let wrong = service.extract(png.clone(), None, service.admit(0).unwrap()).await;
    assert!(matches!(wrong, Err(ServiceError::Stego(StegoError::NoPayload))));

    let permit = service.admit(0).unwrap();
    let verified = service.verify(png, Consistency::Linearizable, permit).await.unwrap();
    assert_eq!(verified.record, Some(embedded.record));
}

#[tokio::test]
async fn a_report_comes_where_it_was_asked_for() {
    let bench = Bench::new();
    let service = &bench.service;
    let embed = |report| {
        let request = EmbedRequest { report, ..request(None, b"attack at dawn") };
        service.embed(request, service.admit(0).unwrap())
    };
    assert_eq!(embed(false).await.unwrap().quality, None);
    let embedded = embed(true).await.unwrap();
    let quality = embedded.quality.unwrap();
    // 16 bytes of header and 14 of secret; half of the bits are what they should be already.
    assert!((60..180).contains(&quality.changed_samples), "{quality:?}");
    assert!(quality.psnr_db.unwrap() > 80.0, "{quality:?}");
    let pixels = embedded.cover_info.width * embedded.cover_info.height;
    assert_eq!(quality.bits_per_pixel, 14.0 * 8.0 / f64::from(pixels));
}

#[tokio::test]
async fn the_same_id_gives_one_record_and_the_same_picture() {
    let bench = Bench::new();
    let service = &bench.service;
    let embed = |secret| service.embed(request(Some("key-1"), secret), service.admit(0).unwrap());
    let first = embed(b"secret").await.unwrap();
    let again = embed(b"secret").await.unwrap();
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!((&first.png, &first.record), (&again.png, &again.record));
    // The second was made from the cover as it was held.
    let lookups = &service.metrics().cover_lookups_total;
    let counted = ["miss", "hit"].map(|outcome| lookups.with_label_values(&[outcome]).get());
    assert_eq!(counted, [1, 1]);
    assert!(service.metrics().covers_bytes.get() > 0);
    let other = embed(b"another secret").await;
    assert!(matches!(other, Err(ServiceError::IdempotencyConflict { .. })));
    let commit = service
        .commit(Some("key-1".parse().unwrap()), Durability::Local, service.admit(0).unwrap())
        .await;
    assert!(matches!(commit, Err(ServiceError::IdempotencyConflict { .. })));
    assert_eq!(bench.ledger.records().len(), 1);
}

#[tokio::test]
async fn nothing_is_no_picture_although_bare_records_have_its_digest() {
    let bench = Bench::new();
    let service = &bench.service;
    service.commit(None, Durability::Local, service.admit(0).unwrap()).await.unwrap();
    let permit = service.admit(0).unwrap();
    let verified = service.verify(Bytes::new(), Consistency::Linearizable, permit).await.unwrap();
    assert_eq!(verified.record, None);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_whole_record() {
    let mut ledger = MemoryLedger::default();
    ledger.held = Some(Semaphore::new(0));
    let bench = Bench::over(ledger);
    let service = &bench.service;
    let mut commit = Box::pin(service.commit(
        Some("key-1".parse().unwrap()),
        Durability::Local,
        service.admit(0).unwrap(),
    ));
    assert!(futures_util::poll!(&mut commit).is_pending());
    drop(commit);
    bench.ledger.held.as_ref().unwrap().add_permits(1);
    // Waits for every task of the service.
    bench.rt.stop().await;
    assert_eq!(bench.ledger.records().len(), 1);
}

#[tokio::test]
async fn without_a_quorum_only_stale_reads_are_answered() {
    let bench = Bench::new();
    let service = &bench.service;
    let id = "key-1".parse().unwrap();
    let entered = service
        .commit(Some(id), Durability::Local, service.admit(0).unwrap())
        .await
        .unwrap()
        .record;
    bench.ledger.without_quorum.store(true, Ordering::SeqCst);
    let refused = service.record(entered.id.clone(), Consistency::Linearizable).await;
    assert!(matches!(refused, Err(ServiceError::Submit(SubmitError::NoQuorum { .. }))));
    let stale = service.record(entered.id.clone(), Consistency::Stale).await.unwrap();
    assert_eq!(stale, entered);
    let refused = service.embed(request(None, b"x"), service.admit(0).unwrap()).await;
    assert!(matches!(refused, Err(ServiceError::Submit(SubmitError::NoQuorum { .. }))));
}

#[tokio::test]
async fn pages_end_exactly_at_the_last_record() {
    let bench = Bench::new();
    let service = &bench.service;
    for number in 0..4 {
        let id = format!("r{number}").parse().unwrap();
        service.commit(Some(id), Durability::Local, service.admit(0).unwrap()).await.unwrap();
    }
    let mut after = None;
    let mut sizes = Vec::new();
    loop {
        let page = service.records(after, 2, Consistency::Linearizable).await.unwrap();
        assert_eq!(page.total, 4);
        sizes.push(page.records.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2]);
}

#[tokio::test]
async fn dataset_pictures_are_kept_and_numbers_checked() {
    let bench = Bench::new();
    let first = bench.service.dataset("7").await.unwrap();
    let again = bench.service.dataset("7").await.unwrap();
    assert_eq!(first.as_ptr(), again.as_ptr(), "made once");
    for bad in ["50", "-1", "x", "300"] {
        let refused = bench.service.dataset(bad).await;
        assert!(matches!(refused, Err(ServiceError::NoSuchPicture { .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_cover_too_small_says_what_is_missing() {
    let bench = Bench::new();
    let service = &bench.service;
    let available = service.capacity(None, None, None, false).await.unwrap().cover.capacity_bytes;
    // Noise, which compression cannot make fit.
    let mut noise = 1_u64;
    let secret: Vec<u8> = (0..=available)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .collect();
    let mut request = request(None, b"");
    request.secret = secret.into();
    let refused = service.embed(request, service.admit(0).unwrap()).await;
    let Err(ServiceError::Stego(StegoError::CoverTooSmall {
        needed_bytes, available_bytes, ..
    })) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((needed_bytes, available_bytes), (available + 1, available));
    assert!(bench.ledger.records().is_empty());
}
