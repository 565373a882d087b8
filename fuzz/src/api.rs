//! What of the product's API the codec speaks.

#[path = "../../src/api/analysis.rs"]
pub mod analysis;
#[path = "../../src/api/codec.rs"]
pub mod codec;
#[path = "../../src/api/cluster.rs"]
pub mod cluster;
