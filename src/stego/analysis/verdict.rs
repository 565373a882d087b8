//! From four numbers to a sentence: which estimates are beyond what a clean picture gives.
//!
//! The limits were chosen on clean photographs (docs/DETECTABILITY.md has the set and what
//! they do to it). WS decides, because it alone knows its own error; sample pairs and RS,
//! which share fewer of its assumptions, must agree at least halfway.

use crate::api::analysis::{Estimates, Verdict};

/// WS beyond this is no accident of a clean picture, whatever its size.
const WS_MIN: f64 = 0.015;
/// The same in standard errors of the picture at hand, which small and noisy ones need.
const WS_ERRORS_MIN: f64 = 5.0;
/// Sample pairs and RS both beyond this, without WS, are worth a word and no more: one
/// clean photograph in thirty gives that much.
const OTHERS_MIN: f64 = 0.05;
/// A larger standard error says nothing of any payload that is not nearly full.
const ERROR_MAX: f64 = 0.05;

/// The verdict, and the part of samples that carry a bit where something was found.
pub(super) fn of(estimates: &Estimates) -> (Verdict, Option<f64>) {
    let ws = estimates.ws.rate;
    let [pairs, rs] = [estimates.sample_pairs.rate, estimates.rs.rate];
    if estimates.ws_from_top > 0.0 {
        return (Verdict::Found, Some(estimates.ws_from_top));
    }
    let least = WS_MIN.max(WS_ERRORS_MIN * estimates.ws_error);
    if ws > least && pairs.max(rs) > least / 2.0 {
        return (Verdict::Found, Some(ws.min(1.0)));
    }
    if estimates.ws_error > ERROR_MAX {
        return (Verdict::Unreadable, None);
    }
    if ws > least || pairs.min(rs) > OTHERS_MIN {
        return (Verdict::Doubtful, None);
    }
    (Verdict::Nothing, None)
}
