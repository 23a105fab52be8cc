//! `gusset outbox`: what is stored and not delivered yet, and what was given up.

mod drop;
pub(crate) mod filters;
mod list;
mod show;

use admin::stored::Sums;

use crate::{
    cli::{
        Done, arguments, print,
        table::table,
        words::{self, bytes, cell},
    },
    client::{Admin, block_on},
};

const EXAMPLES: &str = "\
Examples:
  gusset outbox                                     how much is stored, by target
  gusset outbox list --state dead --since 1h
  gusset outbox show 17
  gusset outbox drop 17 18
  gusset outbox drop --state dead --type 'com.acme.test.*' --yes

A number is a record's, as `list` and receipts tell it. `gusset replay` sends dead letters again.";

/// Look at stored events, and drop them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    admin: arguments::Admin,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    List(list::Args),
    Show(show::Args),
    Drop(drop::Args),
}

/// Says what the outbox holds, or does what is asked of it.
pub(crate) fn run(args: &Args) -> Done {
    match &args.what {
        Some(What::List(args)) => list::run(args),
        Some(What::Show(args)) => show::run(args),
        Some(What::Drop(args)) => drop::run(args),
        None => sums(&args.admin),
    }
}

fn sums(admin: &arguments::Admin) -> Done {
    let sums: Sums = block_on(Admin::new(admin)?.get("/api/v1/outbox"))??;
    print::line(&in_words(&sums))
}

fn in_words(sums: &Sums) -> String {
    if !sums.open {
        return "this gateway stores nothing: no route says `ack: stored` or `to_all`, and no \
                upstream is of kind embedded"
            .to_owned();
    }
    let head = ["target", "pending", "delivering", "parked", "size", "oldest"];
    let rows: Vec<_> = sums
        .targets
        .iter()
        .map(|one| {
            [
                cell(&one.target),
                one.pending.to_string(),
                one.delivering.to_string(),
                one.parked.to_string(),
                bytes(one.bytes),
                one.oldest.clone().unwrap_or_else(|| "–".to_owned()),
            ]
        })
        .collect();
    let mut lines = Vec::new();
    lines.push(if rows.is_empty() { "nothing waits".to_owned() } else { table(head, &rows) });
    let dead = words::count(sums.dead, "dead letter");
    lines.push(format!("\n{dead} ({}), {} lost", bytes(sums.dead_bytes), sums.dead_lost));
    if sums.damaged > 0 {
        lines.push(format!("{} found damaged", words::count(sums.damaged, "record")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_told_in_columns_and_what_is_lost_is_told() {
        let sums: Sums = serde_json::from_value(serde_json::json!({
            "open": true, "guarantee": "disk-synced", "dead": 1, "dead_bytes": 2048,
            "dead_lost": 3, "damaged": 1, "disk_bytes": 9,
            "targets": [{"target": "web", "pending": 2, "delivering": 1, "parked": 0, "bytes": 10}],
        }))
        .unwrap();
        assert_eq!(
            in_words(&sums),
            "TARGET   PENDING   DELIVERING   PARKED   SIZE       OLDEST\n\
             web      2         1            0        10 bytes   –\n\n\
             1 dead letter (2.0 KiB), 3 lost\n1 record found damaged"
        );
    }
}
