//! `gusset schema`: the JSON Schema of a configuration.

use crate::cli::{Done, print};

const EXAMPLES: &str = "\
Examples:
  gusset schema > config.schema.json

With this as the first line of a file, editors complete and check it:
  # yaml-language-server: $schema=./config.schema.json";

/// Print the JSON Schema of a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// Prints the schema.
pub(crate) fn run(_: &Args) -> Done {
    print::line(&format!("{:#}", ingress::config::schema()))
}
