//! A connection that has changed protocol: bytes both ways until either side ends.

use std::time::Duration;

use schemas::Tunnel;
use tokio::sync::oneshot;

use crate::recorder::Trace;

/// Joins the caller's half and the upstream's half. The trace lives as long as the tunnel.
pub(crate) fn join(
    caller: oneshot::Receiver<Tunnel>,
    mut upstream: Tunnel,
    idle: Duration,
    mut trace: Box<Trace>,
) {
    drop(tokio::task::spawn_local(async move {
        // The caller's half comes once the answer that opens the tunnel has been written.
        let Ok(mut caller) = caller.await else { return };
        let (up, down) = policy::join(&mut caller, &mut upstream, idle).await;
        trace.record.bytes_in += up;
        trace.record.bytes_out += down;
    }));
}
