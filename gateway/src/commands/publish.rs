//! `gusset publish`: make CloudEvents and send them to an address.

use admin::invoke::{Asked, Outcome};
use bytes::Bytes;
use schemas::{Attributes, cloudevents};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    caller::{Caller, Failed},
    cli::{
        Done, Stop,
        arguments::{self, Format, Source},
        print,
    },
    client::block_on,
};

const EXAMPLES: &str = "\
Examples:
  gusset publish bus/hello -d '{\"hello\":\"world\"}'
  gusset publish bus/orders.created -d @order.json --type com.acme.order.created --source /shop
  gusset publish js/orders.created --id 42 -n 2         the second is known as a duplicate
  gusset publish bus/load -d x -n 1000
  gusset publish bus/hello -d hi -c gateway.yaml        from here, without a gateway

Prints a receipt for each event. Exit code 0: all were taken; 1: one was refused; 3: nobody knows
whether one was taken. It ends with the first event that was not taken.";

/// Make CloudEvents and send them to an address
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to: upstream/function, such as bus/orders.created
    address: String,
    /// The data: a text, @FILE, or - for standard input
    #[arg(short, long, value_name = "TEXT|@FILE|-", default_value = "")]
    data: String,
    /// The events' type
    #[arg(long = "type", value_name = "TYPE", default_value = "gusset.published")]
    kind: String,
    /// The events' source
    #[arg(long, value_name = "URI", default_value = "/gusset/publish")]
    source: String,
    /// The events' id; with -n the same for all, as if one were sent again [default: new ones]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The events' subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// What the data is [default: told from the data]
    #[arg(long, value_name = "MEDIA-TYPE")]
    content_type: Option<String>,
    /// How many
    #[arg(short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    n: u64,
    /// How to print the receipts
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    from: Source,
}

/// Makes the events and sends them, one after the other.
pub(crate) fn run(args: &Args) -> Done {
    let data = Bytes::from(arguments::data(&args.data)?);
    let caller = Caller::new(&args.from)?;
    block_on(async {
        for _ in 0..args.n {
            let event = args.event(&data);
            event.check().map_err(|malformed| Stop::unusable(malformed.to_string()))?;
            let asked = args.asked(&event, &data)?;
            let outcome = caller.call(&asked).await?.map_err(Failed::stop)?;
            args.tell(&event, &outcome)?;
        }
        Ok(())
    })?
}

impl Args {
    fn event(&self, data: &[u8]) -> Attributes {
        let media = match &self.content_type {
            Some(media) => Some(media.clone()),
            None => media_type(data).map(str::to_owned),
        };
        Attributes {
            id: self.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
            source: self.source.clone(),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            time: Some(jiff::Timestamp::now().to_string()),
            datacontenttype: media,
            ..Attributes::default()
        }
    }

    fn asked(&self, event: &Attributes, data: &Bytes) -> Result<Asked, Stop> {
        let document = cloudevents::write_structured(event, data);
        let event: Box<RawValue> = serde_json::from_slice(&document)
            .map_err(|error| Stop::failed(format!("the event cannot be written: {error}")))?;
        Ok(Asked { address: self.address.clone(), event: Some(event), ..Asked::default() })
    }

    fn tell(&self, event: &Attributes, outcome: &Outcome) -> Done {
        if self.output == Format::Json {
            let said = serde_json::json!({
                "id": event.id, "source": event.source, "outcome": outcome
            });
            print::line(&said.to_string())?;
        } else {
            print::line(&format!("{} {}", event.id, self.in_words(outcome)))?;
        }
        if outcome.ok { Ok(()) } else { Err(Stop::Said(1)) }
    }

    fn in_words(&self, outcome: &Outcome) -> String {
        let Some(receipt) = &outcome.receipt else {
            let status = outcome.status.unwrap_or_default();
            return format!("answered by {}: status {status}", self.address);
        };
        let word = |field: &str| receipt[field].as_str().unwrap_or_default().to_owned();
        let again = if receipt["duplicate"] == true { ", known already" } else { "" };
        let details: Vec<String> = receipt["receipt"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| match value.as_str() {
                Some(text) => format!("{name} {text}"),
                None => format!("{name} {value}"),
            })
            .collect();
        format!(
            "{} to {}, guarantee {}{again}: {}",
            word("ack"),
            self.address,
            word("guarantee"),
            details.join(", ")
        )
    }
}

/// What data is, told from itself.
fn media_type(data: &[u8]) -> Option<&'static str> {
    if data.is_empty() {
        None
    } else if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() {
        Some("application/json")
    } else if std::str::from_utf8(data).is_ok() {
        Some("text/plain; charset=utf-8")
    } else {
        Some("application/octet-stream")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::commands::{Command, Gusset};

    fn args(line: &str) -> Args {
        match Gusset::parse_from(line.split(' ')).command {
            Command::Publish(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn data_tells_what_it_is() {
        assert_eq!(media_type(b""), None);
        assert_eq!(media_type(b"{\"a\":1}"), Some("application/json"));
        assert_eq!(media_type(b"hello"), Some("text/plain; charset=utf-8"));
        assert_eq!(media_type(b"\xff"), Some("application/octet-stream"));
    }

    #[test]
    fn every_event_has_an_id_of_its_own_unless_one_is_given() {
        let new = args("gusset publish bus/x");
        assert_ne!(new.event(b"").id, new.event(b"").id);
        assert_eq!(Uuid::parse_str(&new.event(b"").id).unwrap().get_version_num(), 7);
        let given = args("gusset publish bus/x --id 42 --type t --source /s --subject u");
        let event = given.event(b"");
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("42", "t"));
        assert!(event.check().is_ok());
    }

    #[test]
    fn a_receipt_is_one_line() {
        let outcome = Outcome {
            ok: true,
            receipt: Some(serde_json::json!({
                "ack": "published", "guarantee": "broker-disk", "duplicate": true,
                "receipt": {"stream": "ORDERS", "sequence": 7}
            })),
            ..Outcome::default()
        };
        assert_eq!(
            args("gusset publish js/orders").in_words(&outcome),
            "published to js/orders, guarantee broker-disk, known already: stream ORDERS, sequence 7"
        );
    }
}
