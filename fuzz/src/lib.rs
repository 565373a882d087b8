//! What each target does with its input. The codec is here as modules, not as a
//! dependency, so that a target reaches what the product keeps to itself.

// A target uses a part of the codec, and the part's tests are not compiled here.
#![allow(dead_code, unused_imports)]

#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/ident.rs"]
pub mod ident;
#[path = "../../src/limits.rs"]
pub mod limits;
#[path = "../../src/record.rs"]
pub mod record;
#[path = "../../src/stego/mod.rs"]
pub mod stego;

pub mod api;
pub mod payload;
pub mod targets;
