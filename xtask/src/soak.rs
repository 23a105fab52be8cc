//! `cargo xtask soak`: random input, outside CI's path.

use anyhow::Result;

use crate::{
    options::Options,
    process::{self, built},
    test,
};

/// Builds the soak with overflow checks on and runs it for as long as was asked for.
pub(crate) fn run(mut options: Options) -> Result<()> {
    let seconds: u64 = options.number("seconds", 60)?;
    let seed: u64 = options.number("seed", 0)?;
    options.done()?;
    // With the tests, whose dependencies it shares: alone it would build them once more.
    test::build()?;
    let mut soak = std::process::Command::new(built("debug", "soak")?);
    process::run(soak.args([seconds.to_string(), seed.to_string()]))
}
