//! `gusset routes`: what is served, and where it goes.

use admin::views::{self, RouteView};

use super::list;
use crate::cli::{Done, arguments::List};

const EXAMPLES: &str = "\
Examples:
  gusset routes                          of the running gateway
  gusset routes -c gateway.yaml          of a file
  gusset routes -o json | jq '.[].to'";

/// List the routes
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    list: List,
}

/// Lists the routes.
pub(crate) fn run(args: &Args) -> Done {
    let head = ["route", "serves", "goes to", "written at"];
    list::list(&args.list, "/api/v1/routes", views::routes, head, |route: &RouteView| {
        [&route.name, &route.serves, &route.goes_to, &route.place].map(Clone::clone)
    })
}
