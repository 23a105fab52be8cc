//! `gusset outbox show`.

use admin::stored::Letter;

use super::list;
use crate::{
    cli::{
        Done,
        arguments::{self, Format},
        print, words,
    },
    client::{Admin, block_on},
};

const EXAMPLES: &str = "\
Examples:
  gusset outbox show 17
  gusset outbox show 17 -o json | jq -r .data          its data alone";

/// Show one stored event: what it is, how it was tried, and when it is tried next
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Its number
    number: u64,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    admin: arguments::Admin,
}

/// Shows it.
pub(super) fn run(args: &Args) -> Done {
    let path = format!("/api/v1/outbox/records/{}", args.number);
    let letter: Letter = block_on(Admin::new(&args.admin)?.get(&path))??;
    print::line(&match args.output {
        Format::Json => format!("{:#}", serde_json::to_value(&letter).unwrap_or_default()),
        Format::Text => in_words(&letter),
    })
}

fn in_words(letter: &Letter) -> String {
    let short = &letter.short;
    let mut facts = vec![
        ("number", short.number.to_string()),
        ("state", list::state(short)),
        ("route", short.route.clone()),
        ("target", short.target.clone()),
        ("accepted", short.accepted.clone()),
    ];
    facts.extend(short.why.iter().map(|why| ("why", why.clone())));
    facts.extend(short.next.iter().map(|next| ("next try", next.clone())));
    facts.extend(letter.key.iter().map(|key| ("key", key.clone())));
    if short.replay > 0 {
        facts.push(("replayed", words::count(short.replay.into(), "time")));
    }
    facts.push(("request", format!("{} {}", letter.method, letter.path)));
    let mut lines = words::pairs(&facts);
    let attributes: Vec<(&str, String)> =
        short.event.iter().map(|(name, value)| (name.as_str(), words::value(value))).collect();
    let headers: Vec<(&str, String)> =
        letter.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    for (title, pairs) in [("event", attributes), ("headers", headers)] {
        if !pairs.is_empty() {
            lines.push(format!("\n{title}"));
            lines.extend(words::pairs(&pairs).iter().map(|line| format!("  {line}")));
        }
    }
    let tries = if short.attempts == 1 { "try" } else { "tries" };
    lines.push(format!("\n{} failed {tries}", short.attempts));
    lines.extend(letter.tries.iter().map(|tried| {
        let ran = if tried.ran == schemas::Ran::Maybe { "may have run" } else { "has not run" };
        format!("  {}  {} ({ran}): {}", tried.at, tried.class, words::cell(&tried.reason))
    }));
    lines.push(words::data(&letter.data));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_shown_with_its_event_its_tries_and_its_data() {
        let letter: Letter = serde_json::from_value(serde_json::json!({
            "number": 7, "state": "dead", "route": "in", "target": "web", "bytes": 2,
            "accepted": "2026-01-31T12:00:00.000Z", "attempts": 1, "replay": 0,
            "why": "the target refused it for good", "event": {"id": "1", "type": "a.b"},
            "tries": [{"at": "2026-01-31T12:00:01.000Z", "class": "function_failed",
                       "ran": "maybe", "reason": "the target answered 400"}],
            "function": "", "ack": "replied", "format": "auto", "method": "POST", "path": "/in",
            "after_poison": false, "headers": [["x-a", "b"]], "data": "h\u{1b}i",
        }))
        .unwrap();
        assert_eq!(
            in_words(&letter),
            "number    7\nstate     dead\nroute     in\ntarget    web\n\
             accepted  2026-01-31T12:00:00.000Z\nwhy       the target refused it for good\n\
             request   POST /in\n\nevent\n  id    1\n  type  a.b\n\nheaders\n  x-a  b\n\n\
             1 failed try\n  2026-01-31T12:00:01.000Z  function_failed (may have run): the target \
             answered 400\n\nh·i"
        );
    }
}
