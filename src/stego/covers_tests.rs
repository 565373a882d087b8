//! What must hold of the cache of covers.

use std::sync::Barrier;

use super::*;
use crate::stego::cover::Picture;
use crate::stego::png;

/// A grey picture that is like no other number's, and takes about as much memory.
fn file(number: u8) -> Vec<u8> {
    let shape = Shape { width: 64, height: 64, colours: 1, alpha: false, sample_bytes: 1 };
    let raster = (0..64 * 64_u32).map(|at| ((at * at) >> 3) as u8 / 4 + number).collect();
    png::encode(Picture { shape, raster }).to_bytes().to_vec()
}

/// More than all of them differ by, and far less than one takes.
const SLACK_BYTES: u64 = 10_000;

fn bytes_of_one() -> u64 {
    Prepared::open(&file(0)).unwrap().bytes() as u64
}

/// Asks for a cover; true where it was held.
fn ask(covers: &Covers, file: &[u8]) -> bool {
    covers.report();
    covers.prepared(&CoverFile::new(file)).unwrap();
    let report = covers.report();
    assert_eq!(report.hits + report.misses, 1);
    report.hits == 1
}

#[test]
fn the_second_time_it_is_held() {
    let covers = Covers::new(100 << 20);
    let file = file(1);
    assert!(!ask(&covers, &file));
    assert!(ask(&covers, &file));
    let report = covers.report();
    let bytes = Prepared::open(&file).unwrap().bytes() as u64;
    assert_eq!((report.covers, report.bytes), (1, bytes));
    // The file is not looked at any more.
    let named = CoverFile { bytes: b"", ..CoverFile::new(&file) };
    assert_eq!(covers.shape(&named).unwrap().width, 64);
    assert!(covers.prepared(&named).is_ok());
}

#[test]
fn a_cache_without_room_still_serves() {
    let covers = Covers::new(0);
    assert!(!ask(&covers, &file(1)));
    assert!(!ask(&covers, &file(1)));
    assert_eq!(covers.report(), CoversReport::default());
}

#[test]
fn the_one_unused_for_longest_makes_room() {
    let covers = Covers::new(3 * bytes_of_one() + SLACK_BYTES);
    for number in [1, 2, 3, 4] {
        assert!(!ask(&covers, &file(number)));
    }
    let report = covers.report();
    assert_eq!(report.covers, 3);
    assert!(report.bytes.abs_diff(3 * bytes_of_one()) < SLACK_BYTES);
    for number in [2, 3, 4] {
        assert!(ask(&covers, &file(number)), "{number}");
    }
    assert!(!ask(&covers, &file(1)));
}

#[test]
fn a_flood_of_new_covers_spares_those_in_use() {
    let covers = Covers::new(4 * bytes_of_one() + SLACK_BYTES);
    let wanted = [1, 2, 3];
    for _ in 0..2 {
        for number in wanted {
            ask(&covers, &file(number));
        }
    }
    for number in 10..40 {
        assert!(!ask(&covers, &file(number)));
    }
    for number in wanted {
        assert!(ask(&covers, &file(number)), "{number}");
    }
    // Those no longer wanted give way to others that are.
    for number in [50, 51, 52] {
        ask(&covers, &file(number));
        ask(&covers, &file(number));
    }
    for number in 60..70 {
        ask(&covers, &file(number));
    }
    for number in [50, 51, 52] {
        assert!(ask(&covers, &file(number)), "{number}");
    }
}

#[test]
fn an_unreadable_cover_is_not_remembered() {
    let covers = Covers::new(100 << 20);
    let broken = CoverFile { bytes: b"no picture", ..CoverFile::new(&file(1)) };
    assert!(matches!(covers.prepared(&broken), Err(StegoError::NotAPicture { .. })));
    assert!(matches!(covers.shape(&broken), Err(StegoError::NotAPicture { .. })));
    assert_eq!(covers.report().covers, 0);
    assert!(covers.prepared(&CoverFile::new(&file(1))).is_ok());
}

#[test]
fn whoever_comes_at_once_shares_one_preparation() {
    let covers = Covers::new(100 << 20);
    let file = file(1);
    let barrier = Barrier::new(4);
    let all = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            scope.spawn(|| {
                barrier.wait();
                covers.prepared(&CoverFile::new(&file)).unwrap()
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(all.iter().all(|one| Arc::ptr_eq(one, &all[0])));
    assert_eq!(covers.report().covers, 1);
}

#[test]
fn a_cost_map_counts() {
    let covers = Covers::new(100 << 20);
    let file = file(1);
    let cover = covers.prepared(&CoverFile::new(&file)).unwrap();
    let before = covers.report().bytes;
    cover.costs().set(Arc::new(vec![0; 1000])).unwrap();
    ask(&covers, &file);
    assert_eq!(covers.report().bytes, before + 2000);
}
