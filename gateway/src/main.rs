//! The binary `gusset`.
fn main() {}
