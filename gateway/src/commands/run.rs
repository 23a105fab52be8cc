//! `gusset run`: serve a configuration.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ingress::{RecordFormat, config::Offer};
use invokers::Tools;

use crate::{
    cli::{Done, arguments},
    files,
    secrets::Secrets,
    serve::{self, Service},
};

const EXAMPLES: &str = "\
Examples:
  gusset run -c gateway.yaml
  gusset run -c conf.d/ --records json        every *.yaml of a folder
  gusset run -c gateway.yaml --cores 4 --drain 10s

SIGTERM and SIGINT stop accepting, let what is under way finish, and end with exit code 0; a second
signal ends at once with 130. Exit code 1: the configuration is wrong or an address is taken;
2: there is no configuration to read.";

/// Serve a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration: a file, or a folder whose *.yaml and *.yml are read in order
    #[arg(short, long, value_name = "FILE|FOLDER")]
    config: PathBuf,
    #[command(flatten)]
    running: Running,
}

/// How a gateway runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Running {
    /// How each request is written to standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    records: Records,
    /// Data-plane threads; 0: one for each core of the machine
    #[arg(long, value_name = "N", default_value_t = 0)]
    cores: usize,
    /// How long what is under way may take to finish after a signal
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = arguments::duration)]
    drain: Duration,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Records {
    /// One readable line a request
    Text,
    /// One JSON object a line
    Json,
    /// Not at all
    Off,
}

/// Serves until a signal says to stop.
pub(crate) fn run(args: &Args) -> Done {
    let (loaded, folder) = files::load(&args.config, &Offer::default())?;
    let tools = Tools { secrets: Arc::new(Secrets::new(folder)) };
    serve::serve(serve::control()?, args.running.service(loaded.table, tools), |_| Ok(()))
}

impl Running {
    /// A service of this table that runs so.
    pub(crate) fn service(&self, table: ingress::Table, tools: Tools) -> Service {
        let records = match self.records {
            Records::Text => RecordFormat::Text,
            Records::Json => RecordFormat::Json,
            Records::Off => RecordFormat::Off,
        };
        Service { table, tools, cores: self.cores, records, drain: self.drain }
    }
}
