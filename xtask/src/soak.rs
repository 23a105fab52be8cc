//! `cargo xtask soak`: random input, then minutes of mixed traffic; outside CI's path.

use anyhow::Result;

use crate::{
    foreign,
    options::Options,
    process::{self, built, cargo},
    test,
    tools::{self, Tool},
};

/// Builds the soak with overflow checks on, and runs random input and then mixed traffic, each for as
/// long as was asked for.
pub(crate) fn run(mut options: Options) -> Result<()> {
    let seconds: u64 = options.number("seconds", 60)?;
    let seed: u64 = options.number("seed", 0)?;
    let traffic: u64 = options.number("traffic", 600)?;
    options.done()?;
    // With the tests, whose dependencies it shares: alone it would build them once more.
    test::build()?;
    let mut soak = std::process::Command::new(built("debug", "soak")?);
    if seconds > 0 {
        process::run(soak.args([seconds.to_string(), seed.to_string()]))?;
    }
    if traffic > 0 {
        tools::ensure(&[Tool { program: "nats-server", package: "nats-server" }])?;
        let test = ["test", "--workspace", "--test", "gateway", "--", "--ignored", "--nocapture"];
        let mut mixed = cargo(&test);
        mixed.arg("soaking::").env("GUSSET_SOAK_SECONDS", traffic.to_string());
        process::run(mixed.env("PATH", foreign::path()))?;
    }
    Ok(())
}
