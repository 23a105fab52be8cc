//! The CloudEvents formats.
