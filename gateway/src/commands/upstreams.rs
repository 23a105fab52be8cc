//! `gusset upstreams`: the places that hold functions.

use admin::views::{self, UpstreamView};
use invokers::grpc::catalog::Known;

use super::list;
use crate::cli::{Done, arguments::List};

const EXAMPLES: &str = "\
Examples:
  gusset upstreams                       of the running gateway
  gusset upstreams -c gateway.yaml       of a file
  gusset upstreams -o yaml               with all that is written of them

`gusset check -c FILE --live` connects to each of them.";

/// List the upstreams
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    list: List,
}

/// Lists the upstreams.
pub(crate) fn run(args: &Args) -> Done {
    let head = ["upstream", "kind", "at", "answers", "methods"];
    list::list(&args.list, "/api/v1/upstreams", views::upstreams, head, |one: &UpstreamView| {
        let acks: Vec<&str> = one.acks.iter().map(|ack| ack.name()).collect();
        let methods = one.descriptors.as_ref().map_or_else(|| "–".to_owned(), methods);
        [one.name.clone(), one.kind.clone(), one.at.clone(), acks.join(", "), methods]
    })
}

/// What is known of a service's methods, in a few words.
fn methods(known: &Known) -> String {
    let mut said = match &known.from {
        Some(from) => format!("{} by {from}", known.methods),
        None => "not known yet".to_owned(),
    };
    if let Some(problem) = &known.problem {
        said = format!("{said}; {problem}");
    }
    match known.refused.as_slice() {
        [] => said,
        [rule] => format!("{said}; left out: {rule}"),
        [rule, rest @ ..] => format!("{said}; left out: {rule}, and {} more", rest.len()),
    }
}
