//! Exit codes and the failure that carries one.
//!
//! Programs may rely on the codes; they are part of the command line's interface:
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done, and everything that was checked holds |
//! | 1 | failed: a file, the network or the program itself |
//! | 2 | arguments, settings or data directory cannot be used (another process holds it); the message names the fix |
//! | 3 | drift or damage was found: state, archive or a check does not hold |
//! | 4 | what was asked for does not exist |
//! | 5 | refused: it was understood, but cannot be done as things are (a release that is still unreadable, a request answered with an error, a signature that does not hold) |
//! | 6 | not now: the server did not answer, the store is busy, or nothing is archived yet; try again |

use std::fmt;
use std::process::ExitCode;

use ledgerline_domain::{Error, ErrorKind};

/// What the process answers to whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and everything that was checked holds.
    Ok = 0,
    /// A file, the network or the program itself.
    Failed = 1,
    /// Arguments or settings are wrong.
    Usage = 2,
    /// State, archive or a check does not hold.
    Drift = 3,
    /// What was asked for does not exist.
    NotFound = 4,
    /// It was understood but cannot be done as things are.
    Refused = 5,
    /// Try again later: the server or the store is busy, or there is nothing in the archive yet.
    Busy = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early. The message completes "failed to …".
#[derive(Debug)]
pub struct Failure {
    /// The code to end with.
    pub exit: Exit,
    /// Completes "failed to …"; empty when there is nothing to say (the reader closed the pipe).
    pub message: String,
}

/// What commands give: the code to end with, or why they ended early.
pub type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    /// A failure with its code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Arguments or settings are wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file, the network or the program itself.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// What was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Retry | ErrorKind::Conflict | ErrorKind::Fenced => Exit::Busy,
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::Data => Exit::Drift,
            ErrorKind::Internal => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_kinds_say_which_code() {
        for (error, exit) in [
            (Error::retry("x"), Exit::Busy),
            (Error::invalid("x"), Exit::Usage),
            (Error::data("x"), Exit::Drift),
            (Error::internal("x"), Exit::Failed),
        ] {
            assert_eq!(Failure::from(error).exit, exit);
        }
    }
}
