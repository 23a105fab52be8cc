//! The streams of an outbox: made if they are missing, and refused if they are there in another
//! shape. Nothing that somebody has made is ever changed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Settings,
    api::{Amount, Api, Refused},
    names::PARTITIONS,
};

/// The version of what the streams hold.
const FORMAT: &str = "1";

/// Where a stream's metadata says the format and the partitions.
const FORMAT_KEY: &str = "gusset.outbox.format";
const PARTITIONS_KEY: &str = "gusset.outbox.partitions";

/// The oldest server that has all that is needed: messages with a time to live (2.11) and atomic
/// batches (2.12).
const SERVER: (i64, i64, i64) = (2, 12, 0);

/// What those who were seen may take on the disk, in bytes. The oldest are forgotten.
const SEEN_BYTES: u64 = 256 << 20;

/// What leases and progress may take, in bytes.
const STATE_BYTES: u64 = 256 << 20;

/// How much longer somebody is remembered than the window for duplicates says, so that the stream
/// never knows a message again that was forgotten here.
const MARGIN: Duration = Duration::from_secs(60);

/// Why an outbox cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Unreachable(String),
    #[error(
        "the NATS server is version {0}; an outbox needs 2.12 or newer (times to live, atomic batches)"
    )]
    Server(String),
    #[error(
        "the stream {stream} has {field}: {is}, and this outbox needs {wants}; change the configuration, \
         edit the stream, or name another with `outbox.stream`"
    )]
    Shape { stream: String, field: &'static str, is: String, wants: String },
}

impl From<Refused> for Unfit {
    fn from(refused: Refused) -> Self {
        Self::Unreachable(refused.to_string())
    }
}

/// What is compared with a stream that is there.
const COMPARED: [&str; 14] = [
    "subjects",
    "retention",
    "storage",
    "discard",
    "num_replicas",
    "max_bytes",
    "max_age",
    "max_msgs",
    "max_msgs_per_subject",
    "duplicate_window",
    "allow_direct",
    "allow_atomic",
    "allow_msg_ttl",
    "deny_delete",
];

/// Makes the streams that are missing, and compares the others.
pub(super) async fn open(api: &Api, settings: &Settings) -> Result<(), Unfit> {
    fits(api)?;
    for wants in configs(api, settings) {
        let name = wants["name"].as_str().unwrap_or_default();
        let is = match find(api, name).await? {
            Some(is) => is,
            None => match api.call::<Value>(&format!("STREAM.CREATE.{name}"), &wants).await {
                // Another gateway was faster.
                Err(Refused::Said { err_code: 10_058, .. }) => {
                    find(api, name).await?.unwrap_or_default()
                }
                made => made?,
            },
        };
        compare(name, &wants, &is["config"])?;
    }
    Ok(())
}

/// Compares the streams that are there, and makes none. Returns how much waits, if anything is
/// there.
pub(super) async fn look(api: &Api, settings: &Settings) -> Result<Option<Amount>, Unfit> {
    fits(api)?;
    let mut amount = None;
    for wants in configs(api, settings) {
        let name = wants["name"].as_str().unwrap_or_default();
        let Some(is) = find(api, name).await? else { continue };
        compare(name, &wants, &is["config"])?;
        if name == api.names.work() {
            amount = serde_json::from_value(is["state"].clone()).ok();
        }
    }
    Ok(amount)
}

fn fits(api: &Api) -> Result<(), Unfit> {
    let info = api.client.try_server_info().ok_or(Refused::Away)?;
    let (major, minor, patch) = SERVER;
    if api.client.is_server_compatible(major, minor, patch) {
        return Ok(());
    }
    Err(Unfit::Server(info.version))
}

async fn find(api: &Api, name: &str) -> Result<Option<Value>, Refused> {
    match api.call::<Value>(&format!("STREAM.INFO.{name}"), &json!({})).await {
        Ok(is) => Ok(Some(is)),
        Err(Refused::Said { err_code: 10_059, .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

fn compare(stream: &str, wants: &Value, is: &Value) -> Result<(), Unfit> {
    let unfit = |field, is: &Value, wants: &Value| Unfit::Shape {
        stream: stream.to_owned(),
        field,
        is: if is.is_null() { "none".to_owned() } else { is.to_string() },
        wants: wants.to_string(),
    };
    for field in COMPARED {
        let (has, wanted) = (&is[field], &wants[field]);
        let nothing = |value: &Value| value.is_null() || value == &json!(false);
        if has != wanted && !(nothing(has) && nothing(wanted)) {
            return Err(unfit(field, has, wanted));
        }
    }
    for key in [FORMAT_KEY, PARTITIONS_KEY] {
        let (has, wanted) = (&is["metadata"][key], &wants["metadata"][key]);
        if has != wanted {
            return Err(unfit(key, has, wanted));
        }
    }
    Ok(())
}

/// The streams as they are made.
fn configs(api: &Api, settings: &Settings) -> [Value; 5] {
    let names = &api.names;
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let stream = |name: &str, about: &str, subjects: String, own: Value| {
        let mut config = json!({
            "name": name,
            "description": about,
            "subjects": [subjects],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "num_replicas": settings.replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": 1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msg_size": -1,
            "duplicate_window": nanos(MARGIN),
            "allow_direct": true,
            "allow_msg_ttl": true,
            "metadata": {
                FORMAT_KEY: FORMAT,
                PARTITIONS_KEY: PARTITIONS.to_string(),
            },
        });
        if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
            config.extend(own);
        }
        config
    };
    let letters = |name: String, about, kind| {
        let own = json!({
            "max_bytes": settings.dead_max_size,
            "max_age": nanos(settings.dead_keep),
            "duplicate_window": nanos(MARGIN.min(settings.dead_keep)),
        });
        stream(&name, about, names.all(kind), own)
    };
    [
        stream(
            names.work(),
            "gusset: events that wait for their delivery",
            names.records(),
            json!({
                "retention": "workqueue",
                "discard": "new",
                "max_bytes": settings.max_size,
                "max_msgs_per_subject": -1,
                "duplicate_window": nanos(settings.dedupe),
                "allow_atomic": true,
            }),
        ),
        letters(names.dead(), "gusset: events that were given up", "dead"),
        letters(names.replayed(), "gusset: dead letters that were replayed", "replayed"),
        stream(
            &names.state(),
            "gusset: who has which part of the work, and how far it has come",
            names.all("state"),
            json!({ "max_bytes": STATE_BYTES }),
        ),
        stream(
            &names.seen(),
            "gusset: events that were seen, so that they are stored once",
            names.all("seen"),
            json!({
                "max_bytes": SEEN_BYTES,
                "max_age": nanos(settings.dedupe + MARGIN),
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_in_another_shape_is_told_with_what_it_has_and_what_it_should() {
        let wants = json!({
            "retention": "workqueue", "max_bytes": 7, "deny_delete": null,
            "metadata": { FORMAT_KEY: "1", PARTITIONS_KEY: "8" },
        });
        let mut is = wants.clone();
        is["deny_delete"] = json!(false);
        assert_eq!(compare("S", &wants, &is), Ok(()));
        is["max_bytes"] = json!(8);
        let said = compare("S", &wants, &is).unwrap_err().to_string();
        assert!(
            said.starts_with("the stream S has max_bytes: 8, and this outbox needs 7;"),
            "{said}"
        );
        is["max_bytes"] = json!(7);
        is["metadata"] = json!(null);
        let said = compare("S", &wants, &is).unwrap_err().to_string();
        assert!(said.contains("gusset.outbox.format: none"), "{said}");
    }
}
