//! The pure heart of Ledgerline: what events are, how they are verified, read, ordered and folded.
//!
//! No async runtime, no clock, no files, no network in here. What the roles need of the world is
//! named in [`ports`].

pub mod document;
pub mod envelope;
pub mod error;
pub mod fact;
pub mod fold;
pub mod ids;
pub mod interpret;
pub mod lease;
pub mod money;
pub mod order;
pub mod payment;
pub mod ports;
pub mod provider;
pub mod quarantine;
pub mod record;
pub mod request;
pub mod segment;
pub mod signature;
pub mod text;
pub mod time;
pub mod trace;
mod view;

pub use error::{Error, ErrorKind, Result};
