//! HTTP in: receive, verify, split, append. The first room of the route.
//!
//! `POST /webhooks/{source}` is answered with 2xx only after every envelope of the request is
//! durable in the log (I1), and reaches the log only through [`ledgerline_domain::signature::verify`]
//! (I2). Everything has a bound, and past it a clear answer (I11); an append that was started runs to
//! its end whoever hangs up. Nothing here interprets an event: that happens behind the log.
//!
//! A library without settings files or command line: the program makes a [`Door`] and calls [`run`].

mod alarm;
mod answer;
mod body;
mod detached;
mod door;
mod gate;
mod handshake;
mod meters;
mod probes;
mod receive;
mod serve;
mod settings;
mod trail;

pub use door::{Door, Hooks, RateLimit, Source};
pub use serve::{router, run};
pub use settings::{ENVELOPE_OVERHEAD_BYTES_MAX, Settings};
