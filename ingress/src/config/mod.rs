//! The configuration: one dialect, read from files into a [`Table`](crate::Table).
