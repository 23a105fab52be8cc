//! The outbox and the delivery as a configuration writes them, and as they are lived by.

use std::{path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use schemas::{
    OrNone,
    units::{Percent, Size, Span},
};
use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, OnMaybe, OnPoison, Waits};

/// Where events are kept that were accepted and not yet delivered: in files of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Outbox")]
pub struct Written {
    /// `embedded`: in files of this machine. Default.
    pub kind: Option<Kind>,
    /// The folder, which no other gateway uses. A relative path starts at the folder of the
    /// configuration file. Default `data/outbox`. Changing it needs a restart.
    pub path: Option<PathBuf>,
    /// How much it may take on the disk, dead letters not counted. Default 1GiB.
    pub max_size: Option<Size>,
    /// How much of that one target may take, so that one that is down leaves room for the others.
    /// Default 50%.
    pub per_target: Option<Percent>,
    /// How much of what was given up is kept.
    pub dead_letters: Option<DeadLettersWritten>,
}

/// Where an outbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In files of this machine.
    Embedded,
}

/// How much of what was given up is kept. Over it the oldest go, and are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetters")]
pub struct DeadLettersWritten {
    /// How much they may take on the disk. Default 1GiB.
    pub max_size: Option<Size>,
    /// How long they are kept. Default 14d.
    pub keep: Option<Span>,
}

/// How stored events are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Delivery")]
pub struct DeliveryWritten {
    /// How long an event is tried, from when it was accepted. Default 24h.
    pub max_age: Option<Span>,
    /// How many tries there are, the first included; `none`: as many as `max_age` allows. Default.
    pub max_attempts: Option<OrNone<u32>>,
    /// How long it is until the next try: a random time up to `base` doubled with every try, at most
    /// `max`.
    pub backoff: Option<BackoffWritten>,
    /// How long it is until each next try, instead of `backoff`; after the last there is none.
    pub delays: Option<Vec<Span>>,
    /// What becomes of an event that may have arrived: it is sent again (`resend`), or given up for
    /// a person to look at (`dead_letter`). Default `resend`.
    pub on_maybe: Option<OnMaybeWritten>,
    /// With `order_by`, what becomes of the events behind one that was given up: they are delivered
    /// and marked (`continue`), or they wait until somebody has replayed or dropped it (`park`).
    /// Default `continue`.
    pub on_poison: Option<OnPoisonWritten>,
}

/// How long it is until the next try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeliveryBackoff")]
pub struct BackoffWritten {
    /// The bound of the first wait. Default 200ms.
    pub base: Option<Span>,
    /// The bound of every wait. Default 5m.
    pub max: Option<Span>,
}

/// What becomes of an event that may have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OnMaybe")]
pub enum OnMaybeWritten {
    /// It is sent again.
    Resend,
    /// It is given up.
    DeadLetter,
}

/// What becomes of the events behind one that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "OnPoison")]
pub enum OnPoisonWritten {
    /// They are delivered and marked.
    Continue,
    /// They wait.
    Park,
}

/// An outbox as it is lived by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder.
    pub path: PathBuf,
    /// How much it may take on the disk, in bytes.
    pub max_size: u64,
    /// How much of that one target may take, in percent.
    pub per_target: u32,
    /// How much dead letters may take, in bytes.
    pub dead_max_size: u64,
    /// How long dead letters are kept.
    pub dead_keep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "data/outbox".into(),
            max_size: 1 << 30,
            per_target: 50,
            dead_max_size: 1 << 30,
            dead_keep: Duration::from_secs(14 * 24 * 3600),
        }
    }
}

/// An outbox on JetStream: what its server has to know beside the sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The stream of pending events; the names of the others begin with it.
    pub stream: String,
    /// On how many servers each stream is kept.
    pub replicas: u8,
}

/// The stream where nothing else is written.
pub const STREAM: &str = "GUSSET_OUTBOX";

/// On how many servers JetStream keeps a stream at most.
pub const REPLICAS_MAX: u8 = 5;

impl Server {
    /// Checks what is written and fills in the rest.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn new(stream: Option<&str>, replicas: Option<u8>) -> Result<Self, Vec<Complaint>> {
        let server =
            Self { stream: stream.unwrap_or(STREAM).to_owned(), replicas: replicas.unwrap_or(1) };
        let mut wrong = Vec::new();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if !(1..=64).contains(&server.stream.len()) || !server.stream.chars().all(fits) {
            let said = format!("{:?} is no name of a stream", server.stream);
            wrong.push(("stream", said, "write up to 64 letters, digits, - and _"));
        }
        if !(1..=REPLICAS_MAX).contains(&server.replicas) {
            let said = format!("{} is no number of servers that fits", server.replicas);
            wrong.push(("replicas", said, "write 1 to 5"));
        }
        if wrong.is_empty() { Ok(server) } else { Err(wrong) }
    }
}

/// The smallest outbox, in bytes.
pub const SIZE_MIN: u64 = 16 << 20;

/// What is wrong with something that was written: the path of its field, what is wrong, and what
/// to write instead.
pub type Complaint = (&'static str, String, &'static str);

impl Settings {
    /// Checks what is written and fills in the rest.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn new(written: &Written) -> Result<Self, Vec<Complaint>> {
        let default = Self::default();
        let dead = written.dead_letters.clone().unwrap_or_default();
        let settings = Self {
            path: written.path.clone().unwrap_or(default.path),
            max_size: written.max_size.map_or(default.max_size, |size| size.0),
            per_target: written.per_target.map_or(default.per_target, |share| share.0),
            dead_max_size: dead.max_size.map_or(default.dead_max_size, |size| size.0),
            dead_keep: dead.keep.map_or(default.dead_keep, |span| span.0),
        };
        let mut wrong = Vec::new();
        let small = |size: u64| format!("{} is too small", Size(size));
        if settings.max_size < SIZE_MIN {
            wrong.push(("max_size", small(settings.max_size), "write 16MiB or more"));
        }
        if settings.dead_max_size < SIZE_MIN {
            let at = "dead_letters.max_size";
            wrong.push((at, small(settings.dead_max_size), "write 16MiB or more"));
        }
        if !(1..=100).contains(&settings.per_target) {
            let said = format!("{} is no share that fits", Percent(settings.per_target));
            wrong.push(("per_target", said, "write 1% to 100%"));
        }
        if settings.dead_keep.is_zero() {
            wrong.push(("dead_letters.keep", "is no time at all".to_owned(), "write 1h or more"));
        }
        if settings.path.as_os_str().is_empty() {
            wrong.push(("path", "is empty".to_owned(), "write a folder such as data/outbox"));
        }
        if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
    }
}

impl Delivery {
    /// Checks what is written and fills in the rest. `ordered` says whether there is an `order_by`.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn new(written: &DeliveryWritten, ordered: bool) -> Result<Arc<Self>, Vec<Complaint>> {
        let default = Self::default();
        let mut wrong = Vec::new();
        let span = |span: &Option<Span>, default: Duration| span.map_or(default, |span| span.0);
        let max_age = span(&written.max_age, default.max_age);
        if max_age < Duration::from_secs(2) {
            wrong.push(("max_age", "is too short".to_owned(), "write 2s or more"));
        }
        let max_attempts = written.max_attempts.as_ref().and_then(OrNone::is).copied();
        if max_attempts == Some(0) {
            wrong.push(("max_attempts", "tries nothing".to_owned(), "write 1 or more, or none"));
        }
        let waits = match (&written.delays, &written.backoff) {
            (Some(_), Some(_)) => {
                let said = "`delays` stands beside `backoff`".to_owned();
                wrong.push(("delays", said, "write one of them"));
                default.waits
            }
            (Some(delays), None) => {
                if delays.is_empty() || delays.len() > 1000 {
                    let said = format!("has {} waits", delays.len());
                    wrong.push(("delays", said, "write 1 to 1000, such as [5s, 5m, 1h]"));
                }
                Waits::Delays(delays.iter().map(|span| span.0).collect())
            }
            (None, backoff) => {
                let backoff = backoff.clone().unwrap_or_default();
                let base = span(&backoff.base, Duration::from_millis(200));
                let max = span(&backoff.max, Duration::from_secs(300));
                if base.is_zero() {
                    let said = "is no time at all".to_owned();
                    wrong.push(("backoff.base", said, "write 1ms or more"));
                }
                if max < base {
                    let said = "is shorter than `base`".to_owned();
                    wrong.push(("backoff.max", said, "write at least `backoff.base`"));
                }
                Waits::Backoff { base, max }
            }
        };
        if written.on_poison.is_some() && !ordered {
            let said = "does nothing without `order_by`".to_owned();
            wrong.push(("on_poison", said, "write `order_by`, or leave it out"));
        }
        let on_maybe = match written.on_maybe {
            Some(OnMaybeWritten::DeadLetter) => OnMaybe::DeadLetter,
            Some(OnMaybeWritten::Resend) | None => OnMaybe::Resend,
        };
        let on_poison = match written.on_poison {
            Some(OnPoisonWritten::Park) => OnPoison::Park,
            Some(OnPoisonWritten::Continue) | None => OnPoison::Continue,
        };
        let delivery = Self { max_age, max_attempts, waits, on_maybe, on_poison };
        if wrong.is_empty() { Ok(Arc::new(delivery)) } else { Err(wrong) }
    }
}
