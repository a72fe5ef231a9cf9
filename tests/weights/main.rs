//! Networks and the files their weights come in.

mod bundled;
mod fingerprint;
mod network;
mod plan;
mod reading;
mod refused;
mod state_dict;
mod support;
mod writing;
