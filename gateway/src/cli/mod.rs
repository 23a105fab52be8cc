//! The ground that all commands stand on: how one ends, what several take and say, and the only
//! place that prints. The commands themselves are in `../commands/`.

pub(crate) mod arguments;
pub(crate) mod print;
pub(crate) mod table;
pub(crate) mod words;
pub(crate) mod yaml;

use std::io;

/// What a command comes to.
pub(crate) type Done = Result<(), Stop>;

/// Why a command ends before it has done what it was asked for.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed: the exit code, and what to say.
    Failed(u8, String),
    /// Everything has been said already: the exit code.
    Said(u8),
    /// Nobody reads what it prints any more, which is no failure: `gusset routes | head`.
    Unread,
}

impl Stop {
    /// It failed, with exit code 1.
    pub(crate) fn failed(said: impl Into<String>) -> Self {
        Self::Failed(1, said.into())
    }

    /// What it was given cannot be used, with exit code 2.
    pub(crate) fn unusable(said: impl Into<String>) -> Self {
        Self::Failed(2, said.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::failed(error.to_string()),
        }
    }
}
