//! `gusset replay`: send dead letters again, to one named target.

use std::time::Duration;

use admin::stored::{Replay, Replayed};
use http::Method;
use schemas::units::Rate;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use super::outbox::filters::{Filters, Of};
use crate::{
    cli::{Done, Stop, arguments, print, words},
    client::{Admin, Refusal, block_on},
};

const EXAMPLES: &str = "\
Examples:
  gusset replay --since 1h --target web --to web --dry-run     how many, and how much
  gusset replay --since 1h --target web --to web
  gusset replay --type 'com.acme.order.*' --to bus/orders.retried --rate 10/s
  gusset replay --where \"subject = 'order-7'\" --to web
  gusset replay --state parked --target old --to new           what waits for a target that is gone

The events are stored once more, as they came, for the target of --to, which delivers them as its
kind does by default; they carry the extension gussetreplay. What has been replayed is not replayed
again: whatever stops a replay, the same command goes on with the rest. Exit code 1: it stopped
before the end; 130: Ctrl-C stopped it.";

/// How long an outbox that is full is waited for, with nothing moving.
const PATIENCE: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// How many records one request replays.
const AT_ONCE: u32 = 100;
/// Not much more often than this is the gateway asked.
const STEP: Duration = Duration::from_millis(200);
const INTERRUPTED: u8 = 130;

/// Send dead letters again
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Events in this state: dead, or parked
    #[arg(long, value_name = "STATE", default_value = "dead", help_heading = "Which")]
    state: Of,
    #[command(flatten)]
    filters: Filters,
    /// Where to: an address of the live configuration, without placeholders
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// How fast at most
    #[arg(long, value_name = "RATE", default_value = "50/s", value_parser = rate)]
    rate: Rate,
    /// Say how many and how much, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: arguments::Admin,
}

/// How far a replay has come.
#[derive(Debug, Default)]
struct Progress {
    done: u64,
    of: u64,
    /// The number up to which all is done.
    up_to: Option<u64>,
}

/// Why a replay ends before its end.
enum Ended {
    Interrupted,
    Failed(String),
}

/// Replays them.
pub(crate) fn run(args: &Args) -> Done {
    let admin = Admin::new(&args.admin)?;
    let records = args.filters.which(Some(args.state));
    let asked = Replay { to: args.to.clone(), records, dry_run: false };
    block_on(async {
        let found = count(&admin, asked.clone()).await?;
        let what = if args.state == Of::Dead { "dead letter" } else { "event" };
        let (count, bytes) = (words::count(found.replayed, what), words::bytes(found.bytes));
        print::line(&format!("{count} with {bytes} of data for {}", args.to))?;
        if args.dry_run || found.replayed == 0 {
            return Ok(());
        }
        let mut progress = Progress { of: found.replayed, ..Progress::default() };
        // What becomes a dead letter from now on is not meant: this replay's own, above all.
        let mut asked = asked;
        asked.records.up_to = found.last;
        let ended = go(&admin, asked, args.rate, &mut progress).await;
        print::end_of_progress();
        match ended {
            Ok(()) => print::line(&format!("replayed {}", words::count(progress.done, what))),
            Err(Ended::Interrupted) => {
                print::error(&format!("gusset: {}", progress.stopped()));
                Err(Stop::Said(INTERRUPTED))
            }
            Err(Ended::Failed(why)) => Err(Stop::failed(format!("{why}; {}", progress.stopped()))),
        }
    })?
}

/// How many there are. The address is checked by the way.
async fn count(admin: &Admin, mut asked: Replay) -> Result<Replayed, Stop> {
    asked.dry_run = true;
    let mut sum = Replayed::default();
    loop {
        let some: Replayed =
            post(admin, &asked).await?.map_err(|refused| Stop::failed(refused.detail))?;
        sum.replayed += some.replayed;
        sum.bytes += some.bytes;
        sum.last = some.last.or(sum.last);
        if some.next.is_none() {
            return Ok(sum);
        }
        asked.records.after = some.next;
    }
}

/// Replays step by step, at a rate.
async fn go(
    admin: &Admin,
    mut asked: Replay,
    rate: Rate,
    progress: &mut Progress,
) -> Result<(), Ended> {
    let mut stop = interrupts().map_err(|error| Ended::Failed(error.to_string()))?;
    let (at_once, every) = step(rate);
    asked.records.limit = Some(at_once);
    let mut turn = interval_at(Instant::now(), every);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waited = 0;
    loop {
        // A request that is under way is waited for: half a step would be told wrongly.
        tokio::select! {
            biased;
            _ = stop.recv() => return Err(Ended::Interrupted),
            _ = turn.tick() => {}
        }
        match post(admin, &asked).await.map_err(|stop| Ended::Failed(said(stop)))? {
            Ok(some) => {
                waited = 0;
                progress.done += some.replayed;
                progress.up_to = some.last.or(progress.up_to);
                print::progress(&format!("replayed {} of {}", progress.done, progress.of));
                asked.records.after = some.next;
                if some.next.is_none() {
                    return Ok(());
                }
            }
            Err(refused) if is_full(&refused) && waited < PATIENCE => {
                waited += 1;
                print::progress(&format!(
                    "replayed {} of {}; waiting: {}",
                    progress.done, progress.of, refused.detail
                ));
                tokio::select! {
                    _ = stop.recv() => return Err(Ended::Interrupted),
                    () = sleep(PAUSE) => {}
                }
            }
            Err(refused) => return Err(Ended::Failed(refused.detail)),
        }
    }
}

/// How many are replayed at a time, and how long from one time to the next.
fn step(rate: Rate) -> (u32, Duration) {
    let one = rate.per / rate.count;
    let fit = STEP.as_nanos() / one.as_nanos().max(1);
    let at_once = u32::try_from(fit).unwrap_or(u32::MAX).clamp(1, AT_ONCE);
    (at_once, rate.per.saturating_mul(at_once) / rate.count)
}

async fn post(admin: &Admin, asked: &Replay) -> Result<Result<Replayed, Refusal>, Stop> {
    let body = serde_json::to_vec(asked).map_err(|error| Stop::failed(error.to_string()))?;
    let answer = admin.ask(Method::POST, "/api/v1/outbox/replay", body.into()).await?;
    match answer.ok {
        true => answer.document().map(Ok),
        // It says what to do about a token that is missing.
        false if answer.refusal().code == "unauthorized" => answer.document().map(Ok),
        false => Ok(Err(answer.refusal())),
    }
}

/// Whether there will be room once something has been delivered.
fn is_full(refused: &Refusal) -> bool {
    let codes = ["outbox_full", "outbox_target_full", "disk_full", "outbox_recovering"];
    codes.contains(&refused.code.as_str())
}

fn interrupts() -> std::io::Result<Signal> {
    signal(SignalKind::interrupt())
}

fn said(stop: Stop) -> String {
    match stop {
        Stop::Failed(_, said) => said,
        Stop::Said(_) | Stop::Unread => "it was stopped".to_owned(),
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    let rate: Rate = text.parse().map_err(|error: schemas::units::BadUnit| error.to_string())?;
    if rate.count == 0 {
        Err("nothing would ever be sent; write 1/h or more".to_owned())
    } else {
        Ok(rate)
    }
}

impl Progress {
    fn stopped(&self) -> String {
        let up_to = self.up_to.map_or(String::new(), |number| format!(", up to number {number}"));
        format!(
            "{} of {} were replayed{up_to}; the same command goes on with the rest",
            self.done, self.of
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_steps_that_are_neither_tiny_nor_large() {
        let check = |text: &str| step(rate(text).unwrap());
        assert_eq!(check("50/s"), (10, Duration::from_millis(200)));
        assert_eq!(check("1/s"), (1, Duration::from_secs(1)));
        assert_eq!(check("1/h"), (1, Duration::from_secs(3600)));
        assert_eq!(check("1000/s"), (100, Duration::from_millis(100)));
        assert!(rate("0/s").unwrap_err().contains("1/h or more"));
        assert!(rate("50").is_err());
    }
}
