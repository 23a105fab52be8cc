//! `gusset outbox list`.

use admin::stored::{Latest, Listed, Which};

use super::filters::{self, Filters, Of};
use crate::{
    cli::{
        Done, Stop,
        arguments::{self, Output},
        print,
        table::table,
        words::{cell, value},
        yaml::yaml,
    },
    client::{Admin, block_on},
};

/// How many are asked for at once.
const AT_ONCE: u32 = 500;

const EXAMPLES: &str = "\
Examples:
  gusset outbox list                                 the first hundred
  gusset outbox list --state dead --since 1h
  gusset outbox list --target bus/orders -n 1000 -o json
  gusset outbox list --type 'com.acme.*' --until 2026-01-31T12:00:00Z
  gusset outbox list --where \"subject LIKE 'order-%' AND priority > 3\"";

/// List stored events by rising number
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Events in this state [default: all]
    #[arg(long, value_name = "STATE", help_heading = "Which")]
    state: Option<Of>,
    #[command(flatten)]
    filters: Filters,
    /// How many at most
    #[arg(short, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
    /// Only those with a number above this one
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    #[command(flatten)]
    admin: arguments::Admin,
}

/// Lists them.
pub(super) fn run(args: &Args) -> Done {
    let admin = Admin::new(&args.admin)?;
    let which = Which { after: args.after, ..args.filters.which(args.state) };
    let (records, next) = block_on(ask(&admin, which, args.n))??;
    let document = || serde_json::to_value(&records).unwrap_or_default();
    print::line(&match args.output {
        Output::Json => format!("{:#}", document()),
        Output::Yaml => yaml(&document()),
        Output::Table if records.is_empty() => "nothing of this kind is stored".to_owned(),
        Output::Table => {
            let head =
                ["number", "state", "target", "route", "type", "id", "accepted", "tries", "why"];
            table(head, &records.iter().map(row).collect::<Vec<_>>())
        }
    })?;
    if let Some(next) = next {
        print::error(&format!("there may be more: write --after {next}, or a larger -n"));
    }
    Ok(())
}

/// So many that are asked for, and after which number there may be more.
async fn ask(
    admin: &Admin,
    mut which: Which,
    count: u32,
) -> Result<(Vec<Latest>, Option<u64>), Stop> {
    let mut records = Vec::new();
    loop {
        let left = count - u32::try_from(records.len()).unwrap_or(count).min(count);
        which.limit = Some(left.clamp(1, AT_ONCE));
        let path = format!("/api/v1/outbox/records?{}", filters::query(&which));
        let Listed { records: some, next } = admin.get(&path).await?;
        records.extend(some);
        if next.is_none() || records.len() >= count as usize {
            return Ok((records, next));
        }
        which.after = next;
    }
}

fn row(record: &Latest) -> [String; 9] {
    let attribute = |name| record.event.get(name).map_or_else(|| "–".to_owned(), value);
    let why = match (&record.why, &record.last, &record.next) {
        (Some(why), Some(last), _) => format!("{why} ({}: {})", last.class, last.reason),
        (Some(why), None, _) => why.clone(),
        (None, Some(last), Some(next)) => format!("{}; next {next}", last.reason),
        (None, Some(last), None) => last.reason.clone(),
        (None, None, _) => "–".to_owned(),
    };
    let route = if record.route.is_empty() { "–" } else { &record.route };
    [
        record.number.to_string(),
        state(record),
        cell(&record.target),
        route.to_owned(),
        cell(&attribute("type")),
        cell(&attribute("id")),
        record.accepted.clone(),
        record.attempts.to_string(),
        cell(&why),
    ]
}

/// The word for a record's state.
pub(super) fn state(record: &Latest) -> String {
    value(&serde_json::to_value(record.state).unwrap_or_default())
}
