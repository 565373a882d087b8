//! Payload bits at keyed positions all over the picture, by LSB matching: a sample whose
//! low bit is wrong goes up or down by one, as the key says (Sharp 2001), instead of
//! having its bit replaced. The pairs of values that replacement evens out stay as they
//! are, which is what the classical detectors look for.
//!
//! The positions ascend, one drawn from each of as many equal parts of the picture as
//! there are bits. So they are found in one pass without a table, and cost is in
//! proportion to the payload.

use super::envelope::{HEAD_BYTES, Nonce};
use super::field::{Field, with_low_bit};
use super::keys::{Draws, Key, Master};

const HEAD_BITS: u32 = HEAD_BYTES as u32 * 8;

/// Carriers that the head takes.
pub(crate) const HEAD_CARRIERS: usize = HEAD_BITS as usize;

/// One of the carriers that were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    carrier: u32,
    /// Which way a sample goes that has to change and can go both ways.
    up: bool,
}

/// One carrier drawn from each of `count` parts of `carriers`, in ascending order. The
/// parts are as equal as can be: part `i` begins at `floor(i * carriers / count)`.
struct Parts {
    draws: Draws,
    count: u32,
    left: u32,
    /// Carriers of each part, and how many of `count` parts have one more.
    whole: u32,
    rest: u32,
    begin: u32,
    /// What of `begin` is behind the point, in units of `1 / count`.
    behind: u32,
}

impl Parts {
    /// `count` must not be above `carriers`.
    fn new(key: &Key, carriers: u32, count: u32) -> Self {
        let (whole, rest) = (carriers / count.max(1), carriers % count.max(1));
        Self { draws: Draws::new(key), count, left: count, whole, rest, begin: 0, behind: 0 }
    }
}

impl Iterator for Parts {
    type Item = Place;

    #[inline]
    fn next(&mut self) -> Option<Place> {
        self.left = self.left.checked_sub(1)?;
        let begin = self.begin;
        // A division for each bit would take as long as all the rest.
        self.begin += self.whole;
        self.behind += self.rest;
        let one_more = u32::from(self.behind >= self.count);
        self.behind -= self.count * one_more;
        self.begin += one_more;
        let draw = u64::from(self.draws.next());
        let within = ((draw >> 1) * u64::from(self.begin - begin)) >> 31;
        Some(Place { carrier: begin + within as u32, up: draw & 1 == 1 })
    }
}

/// Where the head is.
fn head_places(master: &Master, carriers: u32) -> Vec<Place> {
    Parts::new(&master.expand(b"spread head", b""), carriers, HEAD_BITS).collect()
}

/// Where the body is: drawn from the carriers that the head leaves over, with a key that
/// differs from picture to picture. Both ascend: each place of the head that is passed moves
/// all further ones by one.
struct BodyPlaces<'a> {
    parts: Parts,
    /// Places of the head that are still ahead.
    head: &'a [Place],
    passed: u32,
    /// From this place on, as it was drawn, another one of the head is passed.
    next_passes: u32,
}

impl<'a> BodyPlaces<'a> {
    fn new(master: &Master, nonce: &Nonce, carriers: u32, head: &'a [Place], bits: u32) -> Self {
        let parts = Parts::new(&master.expand(b"spread body", nonce), carriers - HEAD_BITS, bits);
        let mut places = Self { parts, head, passed: 0, next_passes: 0 };
        places.look_ahead();
        places
    }

    fn look_ahead(&mut self) {
        self.next_passes = self.head.first().map_or(u32::MAX, |head| head.carrier - self.passed);
    }
}

impl Iterator for BodyPlaces<'_> {
    type Item = Place;

    #[inline]
    fn next(&mut self) -> Option<Place> {
        let drawn = self.parts.next()?;
        while drawn.carrier >= self.next_passes {
            self.head = &self.head[1..];
            self.passed += 1;
            self.look_ahead();
        }
        Some(Place { carrier: drawn.carrier + self.passed, up: drawn.up })
    }
}

/// Writes head and body.
///
/// # Panics
/// Where the field has too few carriers: callers check capacity first.
pub(crate) fn write(
    raster: &mut [u8],
    field: &Field,
    master: &Master,
    nonce: &Nonce,
    head: &[u8; HEAD_BYTES],
    body: &[u8],
) {
    let head_places = head_places(master, field.carriers);
    write_bits(raster, field, head_places.iter().copied(), head);
    let bits = u32::try_from(body.len() * 8).expect("callers check capacity first");
    let places = BodyPlaces::new(master, nonce, field.carriers, &head_places, bits);
    write_bits(raster, field, places, body);
}

fn write_bits(
    raster: &mut [u8],
    field: &Field,
    places: impl Iterator<Item = Place>,
    payload: &[u8],
) {
    if let Some(dense) = field.dense() {
        let carriers = &mut raster[dense];
        each_bit(places, payload, |Place { carrier, up }, bit| {
            let sample = &mut carriers[carrier as usize];
            *sample = with_low_bit(*sample, bit, up);
        });
    } else {
        each_bit(places, payload, |place, bit| field.set(raster, place.carrier, bit, place.up));
    }
}

/// Gives every bit of `payload` its place.
#[inline]
fn each_bit(
    mut places: impl Iterator<Item = Place>,
    payload: &[u8],
    mut put: impl FnMut(Place, u8),
) {
    for &byte in payload {
        for shift in (0..8).rev() {
            let Some(place) = places.next() else { return };
            put(place, byte >> shift & 1);
        }
    }
}

/// Where a head was found, for [`read_body`].
pub(crate) struct HeadPlaces(Vec<Place>);

impl HeadPlaces {
    /// The first carrier of the head.
    pub fn first(&self) -> u32 {
        self.0.first().map_or(0, |place| place.carrier)
    }
}

/// The bytes where a head would be; `None` where the field has too few carriers.
pub(crate) fn read_head(
    raster: &[u8],
    field: &Field,
    master: &Master,
) -> Option<([u8; HEAD_BYTES], HeadPlaces)> {
    if field.carriers < HEAD_BITS {
        return None;
    }
    let places = head_places(master, field.carriers);
    let mut head = [0; HEAD_BYTES];
    read_bits(raster, field, places.iter().copied(), &mut head);
    Some((head, HeadPlaces(places)))
}

/// The body that belongs to a head.
///
/// # Panics
/// Where the field has too few carriers: callers check capacity first.
pub(crate) fn read_body(
    raster: &[u8],
    field: &Field,
    master: &Master,
    nonce: &Nonce,
    head: &HeadPlaces,
    bytes: usize,
) -> Vec<u8> {
    let bits = u32::try_from(bytes * 8).expect("callers check capacity first");
    let mut body = vec![0; bytes];
    let places = BodyPlaces::new(master, nonce, field.carriers, &head.0, bits);
    read_bits(raster, field, places, &mut body);
    body
}

fn read_bits(
    raster: &[u8],
    field: &Field,
    mut places: impl Iterator<Item = Place>,
    payload: &mut [u8],
) {
    for byte in payload {
        for (shift, place) in (0..8).rev().zip(places.by_ref()) {
            *byte |= (raster[field.offset(place.carrier)] & 1) << shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::stego::lsb::Lattice;

    fn field(carriers: u32) -> Field {
        let lattice = Lattice { pixel_bytes: 1, colours: 1, sample_bytes: 1 };
        Field { lattice, first: 0, carriers }
    }

    proptest! {
        #[test]
        fn places_ascend_and_are_as_many_as_asked_for(
            carriers in HEAD_BITS..5000_u32,
            share in 0.0..=1.0_f64,
            nonce: [u8; 24],
        ) {
            let master = Master::open();
            let bits = (f64::from(carriers - HEAD_BITS) * share) as u32;
            let head = head_places(&master, carriers);
            let body: Vec<_> = BodyPlaces::new(&master, &nonce, carriers, &head, bits).collect();
            prop_assert!(head.is_sorted_by(|a, b| a.carrier < b.carrier));
            prop_assert!(body.is_sorted_by(|a, b| a.carrier < b.carrier));
            let all: BTreeSet<u32> = head.iter().chain(&body).map(|place| place.carrier).collect();
            prop_assert_eq!(all.len(), (HEAD_BITS + bits) as usize);
            prop_assert!(all.last().is_none_or(|last| *last < carriers));
        }
    }

    #[test]
    fn each_part_gives_one_place_and_both_ways_are_as_frequent() {
        let places: Vec<_> = Parts::new(&Master::open().expand(b"x", b""), 100_003, 1000).collect();
        for (index, place) in places.iter().enumerate() {
            let begin = index * 100_003 / 1000;
            assert!((begin..begin + 101).contains(&(place.carrier as usize)), "{index}");
        }
        let ups = places.iter().filter(|place| place.up).count();
        assert!((420..580).contains(&ups), "{ups}");
    }

    #[test]
    fn what_is_written_is_read_also_where_nothing_is_left_over() {
        let master = Master::open();
        let carriers = HEAD_BITS + 800;
        let mut raster: Vec<u8> = (0..carriers).map(|at| (at * 7) as u8).collect();
        let (head, nonce) = ([0xa5; HEAD_BYTES], [9; 24]);
        let body: Vec<u8> = (0..100).collect();
        write(&mut raster, &field(carriers), &master, &nonce, &head, &body);
        let (found, places) = read_head(&raster, &field(carriers), &master).unwrap();
        assert_eq!(found, head);
        let found = read_body(&raster, &field(carriers), &master, &nonce, &places, 100);
        assert_eq!(found, body);
        assert!(read_head(&raster, &field(HEAD_BITS - 1), &master).is_none());
    }
}
