//! Where a function can be reached: the endpoints of an upstream, and which of them is picked.
