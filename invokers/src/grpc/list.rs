//! What a service has: its methods, how HTTP requests find them, and what they are given.

use std::{sync::Arc, time::Instant};

use schemas::Fault;
use transcoding::{Descriptors, Method};

use super::Target;
use crate::{Tools, list::Listed};

/// The methods that are known, once any are.
pub(crate) async fn list(
    target: &Target,
    tools: &Tools,
    deadline: Instant,
) -> Result<Vec<Listed>, Fault> {
    target.keep(tools);
    let loaded = target.catalog().get(deadline).await?;
    let methods = loaded.descriptors.services().iter().flat_map(|service| &service.methods);
    Ok(methods.map(|method| listed(&loaded.descriptors, method)).collect())
}

fn listed(descriptors: &Descriptors, method: &Arc<Method>) -> Listed {
    let state = match (method.client_streaming, method.server_streaming) {
        (false, false) => "unary",
        (false, true) => "server streaming",
        (true, false) => "client streaming",
        (true, true) => "bidirectional",
    };
    let rules: Vec<String> = method.rules.iter().map(ToString::to_string).collect();
    let fields = descriptors.fields(&method.input).unwrap_or_default();
    let fields: Vec<String> =
        fields.iter().map(|field| format!("{}: {}", field.json_name, field.kind)).collect();
    let takes =
        if fields.is_empty() { "{}".into() } else { format!("{{ {} }}", fields.join(", ")) };
    Listed {
        function: method.path.trim_start_matches('/').to_owned(),
        state: state.to_owned(),
        about: if rules.is_empty() { takes } else { format!("{} {takes}", rules.join(", ")) },
    }
}
