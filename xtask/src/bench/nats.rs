//! HTTP to NATS beside a raw client: what the gateway adds to a publish.

use anyhow::Result;

use super::peers::Lab;

pub(crate) fn run(_lab: &Lab, _secs: u64, _rounds: usize) -> Result<()> {
    Ok(())
}
