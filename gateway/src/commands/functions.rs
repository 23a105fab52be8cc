//! `gusset functions`: the functions that routes name, or those that a platform has.

use std::sync::Arc;

use admin::{
    invoke,
    views::{self, FunctionView, ListedView},
};
use invokers::Tools;
use schemas::Name;

use super::list;
use crate::{
    cli::{Done, Stop, arguments::List},
    client::{Admin, block_on},
    files,
    secrets::Secrets,
};

const EXAMPLES: &str = "\
Examples:
  gusset functions                       of the running gateway
  gusset functions -c gateway.yaml       of a file
  gusset functions -o json
  gusset functions faas                  what the platform of the upstream `faas` has
  gusset functions faas -c gateway.yaml  the same, asked from here

Without an upstream these are the addresses that the routes name.";

/// List the functions that routes name, or that a platform has
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// An upstream whose platform is asked for what it has
    upstream: Option<Name>,
    #[command(flatten)]
    list: List,
}

/// Lists the functions.
pub(crate) fn run(args: &Args) -> Done {
    if let Some(upstream) = &args.upstream {
        return of_platform(upstream, &args.list);
    }
    let head = ["function", "kind", "breaker", "routes"];
    list::list(&args.list, "/api/v1/functions", views::functions, head, |one: &FunctionView| {
        let breaker = one.breaker.as_ref().and_then(|breaker| {
            let state = serde_json::to_value(breaker.state).ok()?;
            state.as_str().map(str::to_owned)
        });
        let breaker = breaker.unwrap_or_else(|| "–".to_owned());
        [one.address.clone(), one.kind.clone(), breaker, one.routes.join(", ")]
    })
}

fn of_platform(name: &Name, args: &List) -> Done {
    let all: Vec<ListedView> = match &args.source.config {
        Some(file) => {
            let (loaded, folder) = files::load_any(file)?;
            let upstream = invoke::upstream(&loaded.table, name)
                .map_err(|problem| Stop::failed(problem.detail()))?;
            let secrets = Arc::new(Secrets::new(folder));
            let tools = Tools { secrets, outbox: Default::default() };
            let all = block_on(invokers::list::list(&upstream.target, &tools))?
                .map_err(|fault| Stop::failed(fault.chain()))?;
            views::listed(&loaded.table, &upstream, all)
        }
        None => {
            let path = format!("/api/v1/upstreams/{name}/functions");
            block_on(Admin::new(&args.source.admin)?.get(&path))??
        }
    };
    list::print(args, &all, ["function", "state", "what it is", "routes"], |one| {
        [one.address.clone(), one.state.clone(), one.about.clone(), one.routes.join(", ")]
    })
}
