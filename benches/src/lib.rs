//! The programs that measure: bare peers and load.
