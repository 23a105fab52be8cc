//! How a plain request becomes an event, where a target needs one, and who an event is when it
//! comes twice.

use http::{HeaderMap, Method, header};
use schemas::{Attributes, Context, Fault, Grammar, Identity, Template, Value};

use crate::{
    Route,
    values::{self, RequestValues},
};

/// The header that names a request so that a repetition is known as one.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a plain request is told apart by.
#[derive(Debug)]
pub(crate) struct Plain<'a> {
    pub(crate) route: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) host: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
}

/// Makes the attributes of a plain request: `id` from the Idempotency-Key header, else new;
/// `source` `//host/route`; `type` `http.request.<method>`; `subject` the path; `time` now.
pub(crate) fn basic(plain: &Plain<'_>) -> Attributes {
    let text = |name: &str| plain.headers.get(name).and_then(|value| value.to_str().ok());
    let method = plain.method.as_str().to_ascii_lowercase();
    let mut made = Attributes {
        id: match text(IDEMPOTENCY_KEY).map(key).filter(|key| !key.is_empty()) {
            Some(key) => key.to_owned(),
            None => uuid::Uuid::now_v7().to_string(),
        },
        source: format!("//{}/{}", plain.host.unwrap_or("localhost"), plain.route),
        kind: format!("http.request.{method}"),
        subject: Some(plain.path.to_owned()).filter(|path| !path.is_empty()),
        time: Some(jiff::Timestamp::now().to_string()),
        datacontenttype: text(header::CONTENT_TYPE.as_str()).map(str::to_owned),
        dataschema: None,
        extensions: Vec::new(),
    };
    for name in ["traceparent", "tracestate"] {
        if let Some(value) = text(name).filter(|value| !value.is_empty()) {
            made.extensions.push((name.to_owned(), Value::String(value.to_owned())));
        }
    }
    made
}

/// Makes the attributes of a plain request, with the changes of the route's `set_event`.
///
/// # Errors
/// If a placeholder of `set_event` cannot be filled, or what comes out is no valid event.
pub(crate) fn attributes(
    plain: &Plain<'_>,
    set_event: &[(String, Template)],
    values: &RequestValues<'_>,
) -> Result<Attributes, Fault> {
    let mut made = basic(plain);
    for (name, template) in set_event {
        let value =
            template.fill(values, Grammar::Text).map_err(|unfilled| values::refuse(&unfilled))?;
        set(&mut made, name, value);
    }
    made.check().map_err(|malformed| crate::decode::malformed(&malformed))?;
    Ok(made)
}

/// The key itself: the header's draft writes it as a quoted string, most callers do not.
fn key(written: &str) -> &str {
    let written = written.trim();
    written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(written)
}

fn set(attributes: &mut Attributes, name: &str, value: String) {
    match name {
        "id" => attributes.id = value,
        "source" => attributes.source = value,
        "type" => attributes.kind = value,
        "subject" => attributes.subject = Some(value),
        "time" => attributes.time = Some(value),
        "datacontenttype" => attributes.datacontenttype = Some(value),
        "dataschema" => attributes.dataschema = Some(value),
        _ => match attributes.extensions.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = Value::String(value),
            None => attributes.extensions.push((name.to_owned(), Value::String(value))),
        },
    }
}

/// Who the event is: only a CloudEvent's own id or an Idempotency-Key makes two requests one.
pub(crate) fn identity(
    route: &Route,
    came_as: &Context,
    event: Option<&Attributes>,
    headers: &HeaderMap,
) -> Option<Identity> {
    let (source, id) = match came_as {
        Context::Event(attributes, _) => (attributes.source.as_str(), attributes.id.as_str()),
        Context::Plain | Context::Opaque(_) => {
            let id = key(headers.get(IDEMPOTENCY_KEY)?.to_str().ok()?);
            (event.map_or("", |event| event.source.as_str()), id)
        }
    };
    if id.is_empty() {
        return None;
    }
    Some(Identity::of(&route.name, None, source, id))
}
