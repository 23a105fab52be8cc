//! `gusset upstreams`: the places that hold functions.

use admin::views::{self, UpstreamView};

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
  gusset upstreams                       of the running gateway
  gusset upstreams -c gateway.yaml       of a file
  gusset upstreams -o yaml               with all that is written of them

`gusset check -c FILE --live` connects to each of them.";

/// List the upstreams
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// Lists the upstreams.
pub(crate) fn run(args: &Args) -> Done {
    let upstreams: Vec<UpstreamView> = match &args.source.config {
        Some(path) => views::upstreams(&files::load_any(path)?.0.table),
        None => {
            let admin = Admin::new(&args.source.admin)?;
            block_on(admin.get("/api/v1/upstreams"))??
        }
    };
    let document = || serde_json::to_value(&upstreams).unwrap_or_default();
    print::line(&match args.output {
        Output::Json => format!("{:#}", document()),
        Output::Yaml => yaml(&document()),
        Output::Table => {
            let rows: Vec<_> = upstreams
                .iter()
                .map(|one| {
                    let acks: Vec<&str> = one.acks.iter().map(|ack| ack.name()).collect();
                    [one.name.clone(), one.kind.clone(), one.at.clone(), acks.join(", ")]
                })
                .collect();
            table(["upstream", "kind", "at", "answers"], &rows)
        }
    })
}
