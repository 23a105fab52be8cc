//! `gusset check`: is a configuration right? And with --live: do its upstreams answer?

use std::{path::PathBuf, sync::Arc};

use ingress::{
    Table,
    config::{self, Loaded, Offer, Problem},
};
use invokers::Tools;
use schemas::Reveal;
use serde_json::json;

use crate::{
    cli::{Done, Stop, arguments::Format, print},
    client::block_on,
    files, outbox,
    probe::{self, Probed},
    secrets::Secrets,
};

const EXAMPLES: &str = "\
Examples:
  gusset check -c gateway.yaml
  gusset check -c conf.d/ --format json
  gusset check -c gateway.yaml --live         connects to every upstream and to the outbox, and calls
                                              nothing
  gusset check -c gateway.yaml --unauthenticated
                                              lists the routes that anybody may call

Every problem is a line: file:line:column: path: what is wrong; what to write. Exit code 0: it is
right; 1: it is not; 2: there is nothing to check, or with --live an upstream cannot be reached or
lacks what a route names.";

/// Check a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration: a file, or a folder whose *.yaml and *.yml are read in order
    #[arg(short, long, value_name = "FILE|FOLDER")]
    config: PathBuf,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Connect to every upstream and to the outbox too
    #[arg(long)]
    live: bool,
    /// List the routes that anybody may call
    #[arg(long)]
    unauthenticated: bool,
}

/// A route that anybody may call.
#[derive(serde::Serialize)]
struct Open<'a> {
    route: &'a str,
    /// File, line and column.
    place: &'a str,
    /// Where `auth: none, public: true` says that this is meant; none: nobody has said so.
    said_by: Option<&'a str>,
}

/// All of them: authentication is not built yet, so they are all of the routes.
fn open(table: &Table) -> Vec<Open<'_>> {
    table
        .routes
        .iter()
        .map(|route| Open {
            route: route.name.as_str(),
            place: &route.place,
            said_by: route.policy_from.get("public").map(String::as_str),
        })
        .collect()
}

/// Checks, and says what was found.
pub(crate) fn run(args: &Args) -> Done {
    let read = files::read(&args.config)?;
    let secrets: Arc<dyn Reveal> = Arc::new(Secrets::new(&read.folder));
    let offer = Offer { files: Some(Arc::clone(&secrets)), ..Offer::default() };
    let (loaded, problems) = match config::parse(&read.files, &offer) {
        Ok(loaded) => (Some(loaded), Vec::new()),
        Err(problems) => (None, problems),
    };
    let probed = match &loaded {
        Some(loaded) if args.live => {
            let tools = Tools { secrets, outbox: Default::default() };
            block_on(async {
                let mut all = probe::all(&loaded.table, &tools).await;
                all.extend(outbox::probe(&loaded.table, &tools).await);
                all
            })?
        }
        _ => Vec::new(),
    };
    match args.format {
        Format::Json => as_json(args, loaded.as_ref(), &problems, &probed)?,
        Format::Text => as_text(args, loaded.as_ref(), &problems, &probed)?,
    }
    if loaded.is_none() {
        return Err(Stop::Said(1));
    }
    if probed.iter().any(|one| one.outcome.is_err()) {
        return Err(Stop::Said(2));
    }
    Ok(())
}

fn as_text(args: &Args, loaded: Option<&Loaded>, problems: &[Problem], probed: &[Probed]) -> Done {
    for problem in problems {
        print::line(&problem.to_string())?;
    }
    let Some(loaded) = loaded else { return Ok(()) };
    for warning in &loaded.warnings {
        print::line(&format!("warning: {warning}"))?;
    }
    if args.unauthenticated {
        for one in open(&loaded.table) {
            let said = match one.said_by {
                Some(by) => format!("anybody may call it, as {by} says"),
                None => "anybody may call it, and nothing says that this is meant".to_owned(),
            };
            print::line(&format!("{}: `{}`: {said}", one.place, one.route))?;
        }
    }
    for one in probed {
        print::line(&match &one.outcome {
            Ok(said) => format!("{} ({}) {}: {said}", one.upstream, one.kind, one.at),
            Err(said) => format!("{} ({}) {}: failed: {said}", one.upstream, one.kind, one.at),
        })?;
    }
    let count = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    };
    print::line(&format!(
        "{}: right ({}, {})",
        args.config.display(),
        count(loaded.table.routes.len(), "route"),
        count(loaded.table.upstreams.len(), "upstream")
    ))
}

fn as_json(args: &Args, loaded: Option<&Loaded>, problems: &[Problem], probed: &[Probed]) -> Done {
    let mut said = json!({
        "valid": loaded.is_some(),
        "problems": problems,
        "warnings": loaded.map(|loaded| loaded.warnings.as_slice()).unwrap_or_default(),
    });
    if let (true, Some(loaded)) = (args.unauthenticated, loaded) {
        said["unauthenticated"] = json!(open(&loaded.table));
    }
    if args.live {
        let live = probed.iter().map(|one| {
            json!({
                "upstream": one.upstream,
                "kind": one.kind,
                "at": one.at,
                "ok": one.outcome.is_ok(),
                "said": match &one.outcome { Ok(said) | Err(said) => said },
            })
        });
        said["live"] = live.collect();
    }
    print::line(&format!("{said:#}"))
}
