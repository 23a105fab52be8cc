//! `gusset run`: serve a configuration.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ingress::{RecordFormat, config::Offer};
use invokers::Tools;

use crate::{
    cli::{Done, Stop, arguments},
    configuration::{LastGood, Start},
    outbox::Kept,
    secrets::Secrets,
    serve::{self, Service},
};

const EXAMPLES: &str = "\
Examples:
  gusset run -c gateway.yaml
  gusset run -c conf.d/ --records json        every *.yaml of a folder
  gusset run -c gateway.yaml --cores 4 --drain 10s
  gusset run -c gateway.yaml --last-good data/
  gusset run --state data/ -c first.yaml      from then on `gusset apply` changes it

The file or folder is followed: a change that is right is served within two seconds, one that is
wrong changes nothing and is said with its place. SIGHUP reads it at once.
SIGTERM and SIGINT stop accepting, let what is under way finish, and end with exit code 0; a second
signal ends at once with 130. Exit code 1: the configuration is wrong or an address is taken;
2: there is no configuration to read.";

/// Serve a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration: a file, or a folder whose *.yaml and *.yml are read in order
    #[arg(short, long, value_name = "FILE|FOLDER", required_unless_present = "state")]
    config: Option<PathBuf>,
    /// Let the admin API own the configuration and keep its versions here; -c is only for an empty
    /// folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "last_good")]
    state: Option<PathBuf>,
    /// Keep the last good configuration here, and start with it if the file is broken
    #[arg(long, value_name = "FOLDER")]
    last_good: Option<PathBuf>,
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
    let offer = Offer::default();
    let start = match (&args.state, &args.config) {
        (Some(state), seed) => Start::state(state, seed.as_deref(), &offer)?,
        (None, Some(path)) => {
            let last_good = args.last_good.clone().map(LastGood::new).transpose()?;
            Start::files(path, &offer, last_good)?
        }
        (None, None) => return Err(Stop::unusable("which configuration? write -c FILE")),
    };
    let service = args.running.service(start, offer, Kept::AsWritten);
    serve::serve(serve::control()?, service, |_| Ok(()))
}

impl Running {
    /// A service that starts and runs so.
    pub(crate) fn service(&self, start: Start, offer: Offer, kept: Kept) -> Service {
        let tools = Tools {
            secrets: Arc::new(Secrets::new(start.folder.clone())),
            outbox: Default::default(),
        };
        let records = match self.records {
            Records::Text => RecordFormat::Text,
            Records::Json => RecordFormat::Json,
            Records::Off => RecordFormat::Off,
        };
        Service { start, tools, offer, cores: self.cores, records, drain: self.drain, kept }
    }
}
