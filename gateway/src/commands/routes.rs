//! `gusset routes`: what is served, and where it goes.

use admin::views::{self, RouteView};

use crate::{
    cli::{
        Done,
        arguments::{Output, Source},
        print,
        table::table,
        yaml::yaml,
    },
    client::{Admin, block_on},
    files,
};

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
    source: Source,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// Lists the routes.
pub(crate) fn run(args: &Args) -> Done {
    let routes: Vec<RouteView> = match &args.source.config {
        Some(path) => views::routes(&files::load_any(path)?.0.table),
        None => {
            let admin = Admin::new(&args.source.admin)?;
            block_on(admin.get("/api/v1/routes"))??
        }
    };
    let document = || serde_json::to_value(&routes).unwrap_or_default();
    print::line(&match args.output {
        Output::Json => format!("{:#}", document()),
        Output::Yaml => yaml(&document()),
        Output::Table => {
            let rows: Vec<_> = routes
                .iter()
                .map(|route| {
                    [&route.name, &route.serves, &route.goes_to, &route.place].map(Clone::clone)
                })
                .collect();
            table(["route", "serves", "goes to", "written at"], &rows)
        }
    })
}
