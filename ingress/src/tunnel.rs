//! A connection that has changed protocol: bytes both ways until either side ends.

use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::recorder::Trace;

/// Joins the caller's half and the upstream's half. The trace lives as long as the tunnel.
pub(crate) fn join(caller: OnUpgrade, upstream: OnUpgrade, idle: Duration, mut trace: Box<Trace>) {
    drop(tokio::task::spawn_local(async move {
        let Ok((caller, upstream)) = futures_util::future::try_join(caller, upstream).await else {
            return;
        };
        let mut caller = TokioIo::new(caller);
        let mut upstream = TokioIo::new(upstream);
        let (up, down) = policy::join(&mut caller, &mut upstream, idle).await;
        trace.record.bytes_in += up;
        trace.record.bytes_out += down;
    }));
}
