//! Connecting to each broker once, for `gusset check --live`.

use std::sync::Arc;

use super::{config::Target, session::Session};
use crate::{Tools, probe::Probed};

/// Opens a session on each server, as a lane does: with TLS, the credential and what is declared.
pub async fn probe(target: &Arc<Target>, tools: &Tools) -> Vec<Probed> {
    let mut all = Vec::new();
    for server in &target.servers {
        let outcome = match Session::open(target, tools, server).await {
            Ok(_) => Ok(()),
            Err(why) => Err(why.fault()),
        };
        all.push(Probed { at: server.url(), outcome });
    }
    all
}
