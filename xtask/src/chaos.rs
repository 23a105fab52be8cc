//! `cargo xtask chaos`: events from many senders while gateway and broker are killed, many times;
//! outside CI's path, which has a short run of it among its tests.

use anyhow::{Result, ensure};

use crate::{
    foreign,
    options::Options,
    process::{self, cargo},
    test,
    tools::{self, Tool},
};

/// Runs it and prints what came of it.
pub(crate) fn run(mut options: Options) -> Result<()> {
    let events: u32 = options.number("events", 200_000)?;
    let kills: u32 = options.number("kills", 100)?;
    let seed: u64 = options.number("seed", 1)?;
    let outbox = options.text("outbox")?.unwrap_or_else(|| "embedded".to_owned());
    ensure!(["embedded", "jetstream"].contains(&&*outbox), "--outbox is embedded or jetstream");
    options.done()?;
    test::build()?;
    tools::ensure(&[Tool { program: "nats-server", package: "nats-server" }])?;
    let test = ["test", "--workspace", "--test", "gateway", "--", "--ignored", "--nocapture"];
    let mut chaos = cargo(&test);
    chaos
        .arg("chaos::long")
        .env("GUSSET_CHAOS_EVENTS", events.to_string())
        .env("GUSSET_CHAOS_KILLS", kills.to_string())
        .env("GUSSET_CHAOS_SEED", seed.to_string())
        .env("GUSSET_CHAOS_OUTBOX", outbox);
    process::run(chaos.env("PATH", foreign::path()))
}
