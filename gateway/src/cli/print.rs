//! The only place that prints.

use std::io::{self, IsTerminal as _, Write};

use super::Stop;

/// Prints to standard output, with a line break at the end.
///
/// # Errors
/// [`Stop::Unread`] if nobody reads it any more.
pub(crate) fn line(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints bytes to standard output as they are.
///
/// # Errors
/// [`Stop::Unread`] if nobody reads it any more.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Prints to standard error, with a line break at the end. There is nobody to tell if it fails.
pub(crate) fn error(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Says how far something has come, over what was said before; to a terminal alone.
pub(crate) fn progress(text: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        drop(write!(err, "\r{text}\x1b[K"));
        drop(err.flush());
    }
}

/// Takes away what was said of a progress.
pub(crate) fn end_of_progress() {
    progress("");
}
