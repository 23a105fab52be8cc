//! `gusset outbox drop`.

use admin::stored::{Counted, Dropped, Latest, Which};
use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;

use super::filters::{Filters, Of};
use crate::{
    cli::{
        Done, Stop, arguments, print,
        words::{self, cell},
    },
    client::{Admin, block_on},
};

/// How many are dropped with one request.
const AT_ONCE: u32 = 500;

const EXAMPLES: &str = "\
Examples:
  gusset outbox drop 17 18
  gusset outbox drop --state dead --until 7d           says how many, and drops none
  gusset outbox drop --state dead --until 7d --yes
  gusset outbox drop --target web --type 'com.acme.test.*' --yes

What is dropped is not delivered any more and cannot be had back. What is being delivered stays.
Where other events of the same key wait for a dead letter, they are delivered once it is dropped.
Exit code 1: something stays that was named, or --yes is missing.";

/// Drop stored events
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Their numbers
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Events in this state
    #[arg(long, value_name = "STATE", help_heading = "Which")]
    state: Option<Of>,
    #[command(flatten)]
    filters: Filters,
    /// Drop all that the filters find
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    admin: arguments::Admin,
}

/// Drops them.
pub(super) fn run(args: &Args) -> Done {
    let which = args.filters.which(args.state);
    match (args.numbers.is_empty(), which.is_all()) {
        (true, true) => {
            return Err(Stop::unusable("say which: numbers, or filters such as --state dead"));
        }
        (false, false) => {
            return Err(Stop::unusable("write numbers, or filters, and not both"));
        }
        _ => {}
    }
    let admin = Admin::new(&args.admin)?;
    block_on(async {
        if args.numbers.is_empty() {
            all(&admin, which, args.yes).await
        } else {
            these(&admin, &args.numbers).await
        }
    })?
}

async fn these(admin: &Admin, numbers: &[u64]) -> Done {
    let mut failed = false;
    for number in numbers {
        let path = format!("/api/v1/outbox/records/{number}");
        let answer = admin.ask(Method::DELETE, &path, Bytes::new()).await?;
        match answer.document::<Latest>() {
            Ok(dropped) => {
                let kind = dropped.event.get("type").map_or("a request".to_owned(), words::value);
                let target = cell(&dropped.target);
                print::line(&format!("dropped {number}: {} for {target}", cell(&kind)))?;
            }
            Err(Stop::Failed(_, said)) => {
                print::error(&format!("gusset: {said}"));
                failed = true;
            }
            Err(stop) => return Err(stop),
        }
    }
    if failed { Err(Stop::Said(1)) } else { Ok(()) }
}

async fn all(admin: &Admin, mut which: Which, yes: bool) -> Done {
    let (mut count, mut bytes, mut last) = (0, 0, None);
    loop {
        let counted: Counted = post(admin, "/api/v1/outbox/count", &which).await?;
        count += counted.count;
        bytes += counted.bytes;
        last = counted.last.or(last);
        which.after = counted.next;
        if which.after.is_none() {
            break;
        }
    }
    let said = format!("{} with {} of data", words::count(count, "event"), words::bytes(bytes));
    if count == 0 {
        return print::line("nothing of this kind is stored");
    }
    if !yes {
        return Err(Stop::failed(format!("this would drop {said}; add --yes to drop them")));
    }
    print::error(&format!("dropping {said}"));
    // What comes in from now on is not meant.
    which.up_to = last;
    which.limit = Some(AT_ONCE);
    let mut sum = Dropped::default();
    loop {
        let dropped: Dropped = post(admin, "/api/v1/outbox/drop", &which).await?;
        sum.dropped += dropped.dropped;
        sum.left += dropped.left;
        which.after = dropped.next;
        if which.after.is_none() {
            break;
        }
    }
    let left = match sum.left {
        0 => String::new(),
        left => format!("; {left} stay or went by themselves, for they were being delivered"),
    };
    print::line(&format!("dropped {}{left}", words::count(sum.dropped, "event")))
}

async fn post<T: DeserializeOwned>(admin: &Admin, path: &str, which: &Which) -> Result<T, Stop> {
    let body = serde_json::to_vec(which).map_err(|error| Stop::failed(error.to_string()))?;
    admin.ask(Method::POST, path, body.into()).await?.document()
}
