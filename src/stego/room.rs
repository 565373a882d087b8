//! What a cover of some size holds, by each method; and what to do where it is too little.

use super::adaptive;
use super::cover::Shape;
use super::envelope::{self, TAG_BYTES};
use super::error::StegoError;
use super::header_v1;
use super::lsb::Bits;
use super::spread;
use crate::api::codec::MethodCapacity;
use crate::limits;
use crate::record::Method;

/// Most pixels at the top of a picture that keyed payloads leave alone: the salt is made of
/// them.
const SALT_PIXELS_MAX: u64 = 256;

/// How something is hidden, as far as it decides what fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub method: Method,
    pub bits: Bits,
    pub encrypted: bool,
}

impl Plan {
    /// What a request asks for: by default the best hidden of the methods where there is a
    /// passphrase, and the fastest where there is none and so nothing to hide well.
    ///
    /// # Errors
    /// No such method, or one that cannot use so many bits.
    pub fn new(
        method: Option<Method>,
        bits: Option<u8>,
        encrypted: bool,
    ) -> Result<Self, StegoError> {
        let method = method.unwrap_or(super::usual_method(encrypted));
        let bits = Bits::new(bits.unwrap_or(1))?;
        match method {
            Method::Lsb => {}
            Method::Spread | Method::Adaptive if bits == Bits::ONE => {}
            Method::Spread | Method::Adaptive => {
                return Err(StegoError::OneBitOnly { method, bits: bits.get() });
            }
            // No form asks for it: it does not parse.
            Method::None => return Err(StegoError::UnsupportedMethod),
        }
        Ok(Self { method, bits, encrypted })
    }

    /// All that could be asked for, the best hidden first.
    fn all(encrypted: bool) -> impl Iterator<Item = Self> {
        let plan = move |method, bits| Self { method, bits, encrypted };
        [Method::Adaptive, Method::Spread]
            .into_iter()
            .map(move |method| plan(method, Bits::ONE))
            .chain(Bits::ALL.into_iter().map(move |bits| plan(Method::Lsb, bits)))
    }

    /// In the open, as format version 1 had it.
    pub fn is_plain(&self) -> bool {
        self.method == Method::Lsb && !self.encrypted
    }
}

/// The first pixels of a picture, that keyed payloads leave alone.
pub(crate) fn salt_pixels(pixels: u64) -> usize {
    // At most 256, so this loses nothing.
    SALT_PIXELS_MAX.min(pixels / 8) as usize
}

/// The bytes a cover offers, and those of them that are not for the secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    total_bytes: u64,
    overhead_bytes: u64,
}

impl Room {
    pub fn new(shape: &Shape, plan: &Plan) -> Self {
        Self::of_pixels(shape.pixels(), shape.colours, plan)
    }

    fn of_pixels(pixels: u64, colours: u8, plan: &Plan) -> Self {
        let carriers = pixels * u64::from(colours);
        if plan.is_plain() {
            let head = header_v1::HEADER_BYTES as u64;
            let total_bytes = in_order(carriers, header_v1::HEADER_CARRIERS as u64, plan.bits);
            return Self { total_bytes, overhead_bytes: head };
        }
        let field = carriers - salt_pixels(pixels) as u64 * u64::from(colours);
        let head = envelope::HEAD_BYTES as u64;
        let total_bytes = match plan.method {
            Method::Lsb => in_order(field, head * 8, plan.bits),
            Method::Spread => in_order(field, spread::HEAD_CARRIERS as u64, Bits::ONE),
            Method::Adaptive => u32::try_from(field)
                .ok()
                .and_then(adaptive::Layout::new)
                .map_or(0, |layout| head + layout.body_bytes_max()),
            Method::None => 0,
        };
        Self { total_bytes, overhead_bytes: head + TAG_BYTES as u64 }
    }

    /// Largest secret that fits, compressed where that helps. Zero where not even the
    /// overhead does.
    pub fn capacity_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.overhead_bytes)
    }

    /// Largest body, which is the secret and, where it is sealed, its tag.
    pub fn body_bytes_max(&self, head_bytes: usize) -> u64 {
        self.total_bytes.saturating_sub(head_bytes as u64)
    }

    /// # Errors
    /// [`StegoError::CoverTooSmall`], with what would fit.
    pub fn check(self, packed_bytes: usize, shape: &Shape, plan: &Plan) -> Result<(), StegoError> {
        let missing_overhead = self.overhead_bytes.saturating_sub(self.total_bytes);
        let needed_bytes = packed_bytes as u64 + missing_overhead;
        let available_bytes = self.capacity_bytes();
        if needed_bytes <= available_bytes {
            return Ok(());
        }
        let packed_bytes = packed_bytes as u64;
        let fits = capacities(shape, plan.encrypted)
            .filter(|other| other.capacity_bytes >= packed_bytes && other.capacity_bytes > 0)
            .collect();
        let pixels_needed = pixels_needed(packed_bytes, shape.colours, plan);
        let (width, height) = (shape.width, shape.height);
        let larger = pixels_needed.map(|pixels| scaled(width, height, pixels));
        Err(StegoError::CoverTooSmall { needed_bytes, available_bytes, fits, larger })
    }
}

/// Bytes of a head at one bit per carrier and of what follows at `bits`.
fn in_order(carriers: u64, head_carriers: u64, bits: Bits) -> u64 {
    match carriers.checked_sub(head_carriers) {
        Some(rest) => head_carriers / 8 + rest * u64::from(bits.get()) / 8,
        None => carriers / 8,
    }
}

/// What a cover holds by each method, the best hidden first.
pub(crate) fn capacities(shape: &Shape, encrypted: bool) -> impl Iterator<Item = MethodCapacity> {
    let (pixels, colours) = (shape.pixels(), shape.colours);
    Plan::all(encrypted).map(move |plan| MethodCapacity {
        method: plan.method,
        bits: plan.bits.get(),
        capacity_bytes: Room::of_pixels(pixels, colours, &plan)
            .capacity_bytes()
            .min(limits::SECRET_BYTES_MAX),
    })
}

/// The least number of pixels that hold so much; `None` where none that is allowed does.
fn pixels_needed(packed_bytes: u64, colours: u8, plan: &Plan) -> Option<u64> {
    let holds = |pixels| {
        let room = Room::of_pixels(pixels, colours, plan);
        room.total_bytes >= room.overhead_bytes + packed_bytes
    };
    // Steps of the layout make a cover of a few pixels more hold a few bytes less, so this
    // may miss the least by as much; what it finds holds the secret.
    let (mut short, mut enough) = (0, limits::COVER_PIXELS_MAX);
    if !holds(enough) {
        return None;
    }
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if holds(middle) { enough = middle } else { short = middle }
    }
    Some(enough)
}

/// The least sides in the same proportion that have so many pixels.
fn scaled(width: u32, height: u32, pixels: u64) -> (u32, u32) {
    let factor = (pixels as f64 / (f64::from(width) * f64::from(height))).sqrt();
    let wide = (f64::from(width) * factor).ceil().max(1.0) as u32;
    let high = pixels.div_ceil(u64::from(wide)) as u32;
    (wide, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(width: u32, height: u32) -> Shape {
        Shape { width, height, colours: 3, alpha: false, sample_bytes: 1 }
    }

    fn plan(method: Method, bits: u8, encrypted: bool) -> Plan {
        Plan::new(Some(method), Some(bits), encrypted).unwrap()
    }

    #[test]
    fn the_default_is_adaptive_with_a_passphrase_and_lsb_without() {
        assert_eq!(Plan::new(None, None, true).unwrap(), plan(Method::Adaptive, 1, true));
        assert_eq!(Plan::new(None, None, false).unwrap(), plan(Method::Lsb, 1, false));
        let refused = Plan::new(Some(Method::Spread), Some(2), true);
        assert_eq!(refused, Err(StegoError::OneBitOnly { method: Method::Spread, bits: 2 }));
        assert_eq!(Plan::new(None, Some(0), true), Err(StegoError::UnsupportedBits { bits: 0 }));
        assert_eq!(Plan::new(Some(Method::None), None, true), Err(StegoError::UnsupportedMethod));
    }

    #[test]
    fn capacities_are_what_the_document_says() {
        let found: Vec<_> = capacities(&shape(1920, 1080), true)
            .map(|held| (held.method, held.bits, held.capacity_bytes))
            .collect();
        let field = 1920 * 1080 * 3 - 256 * 3;
        assert_eq!(
            found,
            [
                (Method::Adaptive, 1, (field / 32 - 32 * 12) / 2 * 4 - 16),
                (Method::Spread, 1, (field - 384) / 8 - 16),
                (Method::Lsb, 1, (field - 384) / 8 - 16),
                (Method::Lsb, 2, (field - 384) * 2 / 8 - 16),
                (Method::Lsb, 3, (field - 384) * 3 / 8 - 16),
                (Method::Lsb, 4, (field - 384) * 4 / 8 - 16),
            ]
        );
        let plain = capacities(&shape(1920, 1080), false).nth(2).unwrap();
        assert_eq!(plain.capacity_bytes, (1920 * 1080 * 3 - 128) / 8);
    }

    #[test]
    fn what_is_too_small_says_what_would_fit() {
        let cover = shape(200, 100);
        let adaptive = plan(Method::Adaptive, 1, true);
        let refused = Room::new(&cover, &adaptive).check(9000, &cover, &adaptive);
        let Err(StegoError::CoverTooSmall { needed_bytes, available_bytes, fits, larger }) =
            refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(needed_bytes, 9000);
        assert!((3000..3800).contains(&available_bytes), "{available_bytes}");
        let fitting: Vec<_> = fits.iter().map(|fit| (fit.method, fit.bits)).collect();
        assert_eq!(fitting, [(Method::Lsb, 2), (Method::Lsb, 3), (Method::Lsb, 4)]);
        let (width, height) = larger.unwrap();
        assert!((310..340).contains(&width) && (150..170).contains(&height), "{width}x{height}");
        let room = Room::new(&shape(width, height), &adaptive);
        assert!(room.capacity_bytes() >= 9000);
        // Four rows and columns less do not hold it.
        let room = Room::new(&shape(width - 4, height - 4), &adaptive);
        assert!(room.capacity_bytes() < 9000);
    }

    #[test]
    fn what_fits_nowhere_names_no_cover() {
        let cover = shape(10, 10);
        let plan = plan(Method::Spread, 1, true);
        let secret = limits::SECRET_BYTES_MAX as usize;
        let refused = Room::new(&cover, &plan).check(secret, &cover, &plan);
        let Err(StegoError::CoverTooSmall { fits, larger, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(fits.is_empty() && larger.is_none());
    }
}
