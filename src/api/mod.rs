//! The JSON that clients see, shared by the server (`http`) and our own client
//! commands (`client`), so that neither can drift from the other. Types only.

pub mod analysis;
pub mod bench;
pub mod cluster;
pub mod codec;
pub mod problem;
