//! The program: settings, wiring and the command line. The only crate that joins roles to adapters.

pub mod exit;
pub mod output;
pub mod payments;
pub mod secrets;
pub mod settings;
pub mod words;
