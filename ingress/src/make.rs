//! Making the call: what one target gets of one request.

use std::{sync::Arc, time::Instant};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, header, request::Parts, uri::PathAndQuery,
};
use http1::hop;
use percent_encoding::percent_decode_str;
use schemas::{
    Ack, Attributes, Call, Class, Context, Event, Fault, Format, Grammar, Head, Mode, Template,
    template::Source,
};

use crate::{
    Destination, Route,
    answer::{About, REQUEST_ID},
    edge::{self, Origin},
    glance::Glance,
    normalise::{self, Plain},
    routes::{Captures, Chosen},
    table::HeaderChanges,
    values::{self, RequestValues},
};

/// A request's head, and what is known of its arrival.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) parts: Parts,
    pub(crate) request_id: &'a HeaderValue,
    pub(crate) arrived: Instant,
    /// What one look over the headers has shown.
    pub(crate) glance: Glance,
    /// Where it comes from; `origin.client` is who asks, for limits by address.
    pub(crate) origin: Origin<'a>,
}

impl<'a> Asked<'a> {
    /// A request that nobody has sent: an event of the gateway's own that is given to a route.
    pub(crate) fn of_ours(
        request: Request<()>,
        request_id: &'a HeaderValue,
        origin: Origin<'a>,
    ) -> Self {
        let (parts, ()) = request.into_parts();
        let glance = Glance::of(&parts.headers);
        Self { parts, request_id, arrived: Instant::now(), glance, origin }
    }
}

impl Asked<'_> {
    /// The host that is asked for: the request target's own if it has one, else the Host header's
    /// (RFC 9112, section 3.2).
    pub(crate) fn host(&self) -> Option<&str> {
        match self.parts.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => self.parts.headers.get(header::HOST)?.to_str().ok(),
        }
    }

    /// What the request brings to placeholders.
    pub(crate) fn values<'v>(
        &'v self,
        captures: &'v Captures,
        event: Option<&'v Attributes>,
    ) -> RequestValues<'v> {
        let query = self.parts.uri.query();
        RequestValues { captures, query, headers: &self.parts.headers, event }
    }
}

/// A call, ready to be attempted, and what is needed once it has come back.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) call: Call,
    /// The event that it is about, for the answer.
    pub(crate) about: Option<About>,
    /// What changes in the answer's headers; mostly nothing.
    pub(crate) response: Option<Box<Changes>>,
}

/// Whether a target needs the events that a body holds, so that the body must be read.
pub(crate) fn reads_events(target: &Destination) -> bool {
    // An envelope goes around whatever came. What is stored has a name, and is one event and not
    // several.
    target.upstream.target.reads_events(target.format)
        || target.ack == Ack::Stored
        || names_event(&target.address.function)
}

/// Whether a target takes messages, not requests.
pub(crate) fn takes_messages(target: &Destination) -> bool {
    target.takes_events
}

/// Whether a target speaks gRPC, whose messages are bounded by themselves.
pub(crate) fn speaks_grpc(target: &Destination) -> bool {
    matches!(target.upstream.target, invokers::Target::Grpc(_))
}

/// What the path and the target bring to the fields of a message. What a prefix leaves over is no
/// field, and nor is what names the method.
fn parameters(
    captures: &Captures,
    target: &Destination,
    values: &RequestValues<'_>,
) -> Result<Vec<(String, String)>, Fault> {
    let names = |name: &str| {
        let mut placeholders = target.address.function.placeholders();
        placeholders.any(|one| matches!(&one.source, Source::Path(named) if **named == *name))
    };
    let mut all = Vec::new();
    for (name, text) in captures.iter().filter(|(name, _)| *name != "rest" && !names(name)) {
        let text = percent_decode_str(text).decode_utf8().map_err(|error| {
            let what = format!("what the path brings for `{name}` is not UTF-8");
            Fault::new(Class::BadRequest, what).code("placeholder_invalid").because(error)
        })?;
        all.push((name.to_owned(), text.into_owned()));
    }
    for (path, template) in &target.fields {
        let filled = template.fill(values, Grammar::Text);
        let text = filled.map_err(|unfilled| values::refuse(&unfilled))?;
        all.retain(|(name, _)| name != path);
        all.push((path.clone(), text));
    }
    Ok(all)
}

fn names_event(template: &Template) -> bool {
    template.placeholders().any(|one| matches!(one.source, Source::Event(_)))
}

/// The attributes by which a plain request is routed where a door routes by events.
pub(crate) fn provisional(asked: &Asked<'_>, route: &Route) -> Attributes {
    normalise::basic(&plain(asked, route))
}

/// The attributes that a plain request gets when it becomes an event of this route.
///
/// # Errors
/// If a placeholder cannot be filled with what the request brings.
pub(crate) fn to_be(chosen: &Chosen<'_>, asked: &Asked<'_>) -> Result<Attributes, Fault> {
    let values = asked.values(&chosen.captures, None);
    normalise::attributes(&plain(asked, chosen.route), &chosen.route.set_event, &values)
}

fn plain<'a>(asked: &'a Asked<'_>, route: &'a Route) -> Plain<'a> {
    Plain {
        route: &route.name,
        method: &asked.parts.method,
        host: asked.host(),
        path: asked.parts.uri.path(),
        headers: &asked.parts.headers,
    }
}

/// Makes the call.
///
/// # Errors
/// If a placeholder cannot be filled with what the request brings: then nothing is sent anywhere.
pub(crate) fn call(
    chosen: &Chosen<'_>,
    target: &Destination,
    mut event: Event,
    asked: Asked<'_>,
    upgrade: Option<&HeaderValue>,
) -> Result<Made, Fault> {
    let route = chosen.route;
    let becomes_event = matches!(target.format, Format::Binary | Format::Structured);
    let was_plain = matches!(event.context, Context::Plain);
    let made = if was_plain && (becomes_event || names_event(&target.address.function)) {
        let values = asked.values(&chosen.captures, None);
        Some(Box::new(normalise::attributes(&plain(&asked, route), &route.set_event, &values)?))
    } else {
        None
    };
    let identity = if target.ack == Ack::Stored || target.upstream.target.identifies() {
        normalise::identity(route, &event.context, made.as_deref(), &asked.parts.headers)
    } else {
        None
    };
    // An answer names the event; a plain request that stays one has no name to give.
    let stays_plain = target.format == Format::Auto || target.format.is_envelope();
    let about = if stays_plain && was_plain {
        None
    } else {
        made.as_deref().or(event.attributes()).map(About::of)
    };
    let (function, parameters, uri, request, response) = {
        let values = asked.values(&chosen.captures, made.as_deref().or(event.attributes()));
        let function = match &target.fixed {
            Some(fixed) => Arc::clone(fixed),
            None => filled(target, &values)?,
        };
        let uri = match &target.rewrite {
            None => None,
            Some(rewrite) => {
                let query = if rewrite.keep_query { values.query } else { None };
                Some(rewritten(&rewrite.path, query, &values)?)
            }
        };
        let request = Changes::of([&route.headers.request, &target.headers.request], &values)?;
        let response = Changes::of([&route.headers.response, &target.headers.response], &values)?;
        let parameters = if speaks_grpc(target) {
            parameters(&chosen.captures, target, &values)?
        } else {
            Vec::new()
        };
        (function, parameters, uri, request, response)
    };
    if let (Some(attributes), true) = (made, becomes_event) {
        event.context = Context::Event(attributes, Mode::Binary);
    }

    let Parts { method, uri: came, mut headers, .. } = asked.parts;
    // The authority of a request's target is the host that it asks for, whatever Host says beside it
    // (RFC 9112, section 3.2.2).
    let authority = came.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if takes_messages(target) {
        if !route.forward_headers.is_empty() {
            let host = authority.or_else(|| headers.get(header::HOST).cloned());
            asked.origin.write(&mut headers, host);
        }
        headers = travelling(route, &headers, &event.context);
    } else {
        if asked.glance.hop {
            hop::strip_request(&mut headers);
        }
        let host = headers.remove(header::HOST);
        let host = authority.or(host);
        if target.preserve_host
            && let Some(host) = &host
        {
            headers.insert(header::HOST, host.clone());
        }
        asked.origin.write(&mut headers, host);
        if !was_plain && event.context.mode() != Some(Mode::Binary) && event.attributes().is_some()
        {
            // The document is written anew, so that its old length says nothing.
            headers.remove(header::CONTENT_LENGTH);
        }
        headers.insert(REQUEST_ID, asked.request_id.clone());
        target.upstream.target.remove_reserved(&mut headers);
    }
    if let Some(changes) = request {
        if asked.glance.told.underscore {
            edge::remove_spellings(&mut headers, changes.names());
        }
        changes.apply(&mut headers);
    }
    let timeout = target.timeout.unwrap_or(route.policy.timeout).min(route.policy.timeout);
    let call = Call {
        event,
        head: Head { method, uri: uri.unwrap_or(came), headers },
        function,
        parameters,
        ack: target.asks,
        format: target.format,
        deadline: asked.arrived + timeout,
        attempt: 1,
        avoid: None,
        identity,
        upgrade: upgrade.filter(|_| target.ack == Ack::Replied && !takes_messages(target)).cloned(),
        reply_format: target.reply_format,
        client: Some(asked.origin.client),
    };
    Ok(Made { call, about, response })
}

/// The function part with what the request brings to it.
fn filled(target: &Destination, values: &RequestValues<'_>) -> Result<Arc<str>, Fault> {
    let grammar = target.upstream.target.grammar();
    let filled = target.address.function.fill(values, grammar);
    let function = filled.map_err(|unfilled| values::refuse(&unfilled))?;
    if target.allow.as_ref().is_some_and(|allow| !allow.permits(&function)) {
        let what = "the request names a function that this route does not call";
        return Err(Fault::new(Class::BadRequest, what).code("placeholder_invalid"));
    }
    Ok(function.into())
}

/// The headers that travel beside a message: those that the route names, and the content type.
fn travelling(route: &Route, came: &HeaderMap, context: &Context) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in &route.forward_headers {
        for value in came.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    // The type of a structured document or of a batch is not the type of an event's data.
    if matches!(context.mode(), None | Some(Mode::Binary))
        && let Some(media) = came.get(header::CONTENT_TYPE)
    {
        headers.insert(header::CONTENT_TYPE, media.clone());
    }
    headers
}

fn rewritten(
    path: &Template,
    query: Option<&str>,
    values: &RequestValues<'_>,
) -> Result<Uri, Fault> {
    let mut text =
        path.fill(values, Grammar::Path).map_err(|unfilled| values::refuse(&unfilled))?;
    // `/{rest}` with a rest of `/x`, or of nothing, is still one path.
    if !text.starts_with('/') {
        text.insert(0, '/');
    }
    while text.starts_with("//") {
        text.remove(0);
    }
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::try_from(text).map(Uri::from).map_err(|error| {
        Fault::new(Class::BadRequest, "the rewritten path is no path")
            .code("placeholder_invalid")
            .because(error)
    })
}

/// Where a redirect sends a caller.
///
/// # Errors
/// If a placeholder cannot be filled.
pub(crate) fn location(to: &Template, values: &RequestValues<'_>) -> Result<HeaderValue, Fault> {
    let text = to.fill(values, Grammar::Path).map_err(|unfilled| values::refuse(&unfilled))?;
    HeaderValue::try_from(text).map_err(|error| {
        Fault::new(Class::BadRequest, "the place to go to is no URL")
            .code("placeholder_invalid")
            .because(error)
    })
}

/// Changes of headers with their placeholders filled.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Changes {
    /// Fills the placeholders of the route's changes, then the target's. None if there are none.
    fn of(
        rules: [&HeaderChanges; 2],
        values: &RequestValues<'_>,
    ) -> Result<Option<Box<Self>>, Fault> {
        if rules.iter().all(|rule| rule.is_empty()) {
            return Ok(None);
        }
        let fill = |(name, template): &(HeaderName, Template)| {
            let text = template
                .fill(values, Grammar::Text)
                .map_err(|unfilled| values::refuse(&unfilled))?;
            let value = HeaderValue::try_from(text).map_err(|error| {
                Fault::new(Class::BadRequest, format!("the value for the header {name} is not fit"))
                    .code("placeholder_invalid")
                    .because(error)
            })?;
            Ok::<_, Fault>((name.clone(), value))
        };
        let mut all = Self::default();
        for rule in rules {
            all.remove.extend(rule.remove.iter().cloned());
            for change in &rule.set {
                all.set.push(fill(change)?);
            }
            for change in &rule.add {
                all.add.push(fill(change)?);
            }
        }
        Ok(Some(Box::new(all)))
    }

    /// The headers of which nothing is left of what came.
    fn names(&self) -> impl Iterator<Item = &HeaderName> + Clone {
        self.remove.iter().chain(self.set.iter().map(|(name, _)| name))
    }

    /// Makes the changes: remove, set, add.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        for name in self.remove {
            headers.remove(name);
        }
        for (name, value) in self.set {
            headers.insert(name, value);
        }
        for (name, value) in self.add {
            headers.append(name, value);
        }
    }
}
