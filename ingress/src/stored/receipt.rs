//! What a caller is told of an event that was stored.

use outbox::{Outbox, Taken};
use schemas::{Ack, Receipt};
use serde_json::{Map, Value, json};

use crate::{Destination, table::Stored};

/// The receipt of an event: for each target the number of its record.
pub(crate) fn of(
    outbox: &Outbox,
    taken: &[Taken],
    targets: &[Destination],
    rules: &Stored,
) -> Receipt {
    let mut receipt = if rules.all {
        let each = taken.iter().zip(targets).map(|(taken, target)| {
            json!({ "to": &*target.label, "stored": taken.id.0, "duplicate": taken.duplicate })
        });
        Map::from_iter([("targets".to_owned(), each.collect::<Value>())])
    } else {
        let stored = taken.first().map(|taken| taken.id.0);
        Map::from_iter([("stored".to_owned(), stored.into())])
    };
    if let Some(sync) = outbox.sync() {
        receipt.insert("sync".to_owned(), (*sync).into());
    }
    Receipt {
        ack: Ack::Stored,
        guarantee: outbox.guarantee(),
        duplicate: !taken.is_empty() && taken.iter().all(|taken| taken.duplicate),
        receipt,
    }
}
