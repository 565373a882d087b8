//! What each target does with its input. What reads bytes from outside is here as modules, not
//! as a dependency, so that a target reaches what the product keeps to itself.

// A target uses a part of the codec, and the part's tests are not compiled here.
#![allow(dead_code, unused_imports)]

#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/ident.rs"]
pub mod ident;
#[path = "../../src/limits.rs"]
pub mod limits;
#[path = "../../src/record.rs"]
pub mod record;
#[path = "../../src/stego/mod.rs"]
pub mod stego;
#[path = "../../src/view.rs"]
pub mod view;

pub mod api;
pub mod form;
pub mod formation;
pub mod http;
pub mod ledger;
pub mod net;
pub mod observe;
pub mod payload;
pub mod peer;
pub mod raft;
pub mod service;
pub mod targets;
pub mod trust;

pub mod yaml;
