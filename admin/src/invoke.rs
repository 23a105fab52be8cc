//! One call of one function by its address: what can be asked, what becomes of it, and what is
//! told. The command line makes the same calls without a gateway.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use ingress::{Table, Upstream};
use schemars::JsonSchema;
use schemas::{
    Ack, Address, Body, BodyError, Call, Class, Context, Event, Fault, Format, Grammar, Head,
    Identity, Job, Mode, Reply, Values, Verdict, cloudevents, template::Source, units::Span,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{sync::oneshot, time::timeout_at};

use crate::{
    Live, Problem,
    data::{self, BASE64, Data, NotBoth},
};

/// How long a call may take unless it is asked otherwise.
const WITHIN: Duration = Duration::from_secs(15);
/// How long one may ask for.
const WITHIN_MAX: Duration = Duration::from_secs(600);
/// The core keeps the deadline; this is for a core that does not answer at all.
const GRACE: Duration = Duration::from_secs(1);
const REPLY_BYTES_MAX: usize = 16 << 20;
const REPLY_WITHIN: Duration = Duration::from_secs(60);

/// A call that is asked for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InvokeRequest", transform = NotBoth)]
pub struct Asked {
    /// Whom to call: `upstream/function`, without placeholders.
    pub address: String,
    /// The method, for an upstream that takes requests. Default: POST if there is data, else GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path and query, for an upstream that takes requests. Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Headers that go along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data::headers")]
    pub headers: Vec<(String, String)>,
    /// A CloudEvent in the JSON format, instead of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub event: Option<Box<RawValue>>,
    /// The data, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The data in base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = BASE64))]
    pub data_base64: Option<String>,
    /// What to be told. Default: the first that the kind can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<Ack>,
    /// How long to wait for it. Default 15s, at most 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// What a call came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Whether the function did what it was called for.
    pub ok: bool,
    /// The status of its answer, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The headers of its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data::headers")]
    pub headers: Vec<(String, String)>,
    /// What a broker has confirmed, if one took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<serde_json::Value>,
    /// The body of its answer.
    #[serde(flatten)]
    pub data: Data,
}

/// A call that is ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    /// Whom to call.
    pub upstream: Arc<Upstream>,
    /// The same as an address.
    pub address: Arc<Address>,
    /// What to send.
    pub call: Call,
}

/// Checks what is asked and makes the call of it. Opens nothing.
///
/// # Errors
/// If the address is none of the table's, or what is to be sent does not fit it.
pub fn prepare(table: &Table, asked: &Asked) -> Result<Prepared, Problem> {
    let bad = |what: String| Problem::new(Class::BadRequest, what);
    let (address, upstream, function) = function(table, &asked.address)?;
    let within = asked.timeout.map_or(WITHIN, |span| span.0).min(WITHIN_MAX);
    if within.is_zero() {
        return Err(bad("a timeout of 0 leaves no time for the call; write 1s".to_owned()));
    }
    let event = event(asked)?;
    let mut call = Call::new(&*function, Body::empty(), Instant::now() + within);
    call.head = head(asked, &event)?;
    call.ack = ack(asked, &upstream, &function)?;
    call.format = match (&event.context, upstream.target.default_format(&function)) {
        // Data alone stays data alone: no attributes are made up for it.
        (Context::Plain, Format::Binary | Format::Structured) => Format::Plain,
        // There are no headers to pass on that an event could have come with.
        (Context::Event(..), Format::Auto) => Format::Binary,
        (_, default) => default,
    };
    call.identity =
        event.attributes().map(|event| Identity::of("", None, &event.source, &event.id));
    call.event = event;
    Ok(Prepared { upstream, address: Arc::new(address), call })
}

/// The one function that an address names in a table.
///
/// # Errors
/// If it names none, or one that a request would have to say more of.
pub(crate) fn function(
    table: &Table,
    written: &str,
) -> Result<(Address, Arc<Upstream>, String), Problem> {
    let bad = |what: String| Problem::new(Class::BadRequest, what);
    let address: Address = written.parse().map_err(|error| bad(format!("{error}")))?;
    let upstream = upstream(table, &address.upstream)?;
    let grammar = upstream.target.grammar();
    let function = address
        .function
        .fill(&Nothing, grammar)
        .map_err(|_| bad(format!("`{address}` must name one function, without placeholders")))?;
    match (grammar, function.is_empty()) {
        (Grammar::Path, false) => {
            return Err(bad(format!(
                "`{0}` is one function; write `{0}` alone, and the path beside it",
                upstream.name
            )));
        }
        (Grammar::Subject | Grammar::Topic, true) => {
            return Err(bad(format!("`{0}` needs a subject; write {0}/SUBJECT", upstream.name)));
        }
        (Grammar::RoutingKey, _) if !function.contains('/') => {
            return Err(bad(format!(
                "`{0}` needs an exchange and a key; write {0}/EXCHANGE/KEY or {0}//QUEUE",
                upstream.name
            )));
        }
        _ => {}
    }
    let named = upstream.target.names(&address.function);
    named.map_err(|(message, remedy)| {
        bad(format!("{message}; {}", remedy.replace("UPSTREAM", &upstream.name)))
    })?;
    Ok((address, upstream, function))
}

/// Has a data-plane core make the call, and waits for what it came to.
///
/// # Errors
/// If the call brought no reply.
pub async fn run(live: &dyn Live, prepared: Prepared) -> Result<Outcome, Fault> {
    let patience = prepared.call.deadline + GRACE;
    let (reply, told) = oneshot::channel();
    live.run(Job { address: prepared.address, call: prepared.call, reply })
        .map_err(|_| Fault::new(Class::Overloaded, "no core has room for the call; try again"))?;
    let reply = timeout_at(patience.into(), told)
        .await
        .map_err(|_| Fault::new(Class::Timeout, "the call took too long").maybe())?
        .map_err(|_| {
            Fault::new(Class::Unavailable, "the gateway stopped before the answer").maybe()
        })?;
    outcome(reply?).await
}

/// Reads a reply whole and says what it is.
///
/// # Errors
/// If its body is too large or breaks off. The function has run by then.
pub async fn outcome(reply: Reply) -> Result<Outcome, Fault> {
    // A function that refuses has given its answer, but it did not do what it was called for.
    let ok = reply.verdict == Verdict::Ok && !reply.head.status.is_client_error();
    if let Some(receipt) = reply.receipt {
        let receipt = serde_json::to_value(&*receipt).ok();
        return Ok(Outcome { ok, receipt, ..Outcome::default() });
    }
    let broken = |what: &'static str| Fault::new(Class::UpstreamProtocol, what).maybe();
    let data = tokio::time::timeout(REPLY_WITHIN, reply.data.collect(REPLY_BYTES_MAX))
        .await
        .map_err(|_| broken("the body of the answer took too long"))?
        .map_err(|error| match error {
            BodyError::TooLarge { .. } => broken("the answer is larger than 16MiB"),
            error => broken("the answer broke off").because(error),
        })?;
    let headers = reply.head.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Outcome {
        ok,
        status: Some(reply.head.status.as_u16()),
        headers: headers.collect(),
        receipt: None,
        data: Data::from(&*data),
    })
}

/// The upstream of this name.
///
/// # Errors
/// If there is none; says which there are.
pub fn upstream(table: &Table, name: &str) -> Result<Arc<Upstream>, Problem> {
    table.upstreams.iter().find(|upstream| &*upstream.name == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = table.upstreams.iter().map(|one| one.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Problem::new(Class::BadRequest, format!("there is no upstream `{name}`; there is: {known}"))
    })
}

/// No request, so no values.
struct Nothing;

impl Values for Nothing {
    fn value(&self, _: &Source) -> Option<Cow<'_, str>> {
        None
    }
}

fn event(asked: &Asked) -> Result<Event, Problem> {
    let bad = |what: String| Problem::new(Class::BadRequest, what);
    let data = Data { data: asked.data.clone(), data_base64: asked.data_base64.clone() };
    let bytes = data.bytes().map_err(bad)?;
    let Some(event) = &asked.event else {
        return Ok(Event { context: Context::Plain, data: Body::from(bytes) });
    };
    if !bytes.is_empty() {
        return Err(bad("both an event and data; an event brings its own data".to_owned()));
    }
    let mut event = cloudevents::read_structured(&Bytes::copy_from_slice(event.get().as_bytes()))
        .map_err(|malformed| bad(format!("event: {}", malformed.what)))?;
    // As it would have arrived over HTTP with its attributes in headers: no target is handed a
    // document that it did not ask for.
    if let Context::Event(_, mode) = &mut event.context {
        *mode = Mode::Binary;
    }
    Ok(event)
}

fn head(asked: &Asked, event: &Event) -> Result<Head, Problem> {
    let bad = |what: String| Problem::new(Class::BadRequest, what);
    let empty = event.data.whole().is_some_and(|bytes| bytes.is_empty());
    let method = match &asked.method {
        Some(method) => method.parse().map_err(|_| bad(format!("{method:?} is no method")))?,
        None if empty && event.attributes().is_none() => Method::GET,
        None => Method::POST,
    };
    let path = asked.path.as_deref().unwrap_or("/");
    let uri: Uri = path
        .parse()
        .ok()
        .filter(|uri: &Uri| path.starts_with('/') && uri.authority().is_none())
        .ok_or_else(|| bad(format!("{path:?} is no path; write /path?query")))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        let key: HeaderName = name.parse().map_err(|_| bad(format!("{name:?} is no header")))?;
        if [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION]
            .contains(&key)
        {
            return Err(bad(format!("the gateway itself writes the header {name}; leave it out")));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| bad(format!("the value of the header {name} is no text on one line")))?;
        headers.append(key, value);
    }
    Ok(Head { method, uri, headers })
}

fn ack(asked: &Asked, upstream: &Upstream, function: &str) -> Result<Ack, Problem> {
    let can = upstream.target.acks(function);
    match asked.ack {
        None => Ok(*can.first().expect("every kind can tell something")),
        Some(ack) if can.contains(&ack) => Ok(ack),
        Some(ack) => {
            let can: Vec<&str> = can.iter().map(|ack| ack.name()).collect();
            Err(Problem::new(
                Class::BadRequest,
                format!(
                    "`{}` cannot answer `{}`; it can answer: {}",
                    upstream.name,
                    ack.name(),
                    can.join(", ")
                ),
            ))
        }
    }
}
