//! gRPC services (gRPC over HTTP/2). Native callers and those of gRPC-Web pass through
//! (`native.rs`, `web.rs`); everybody else speaks JSON (`json.rs`), by descriptors that are kept fresh
//! in the background (`catalog.rs`).
//!
//! A server is spoken to over a few HTTP/2 connections for each core (`client.rs`), one stream for
//! each call (`exchange.rs`). The status of a call comes at the end of its answer: where the end is
//! not here yet when the head goes on, the reply's verdict comes later.

pub mod catalog;
mod client;
mod connection;
mod event;
mod exchange;
mod frame;
mod json;
mod lines;
mod list;
mod looks;
mod metadata;
mod native;
mod options;
mod reflection;
mod source;
mod status;
mod told;
mod web;
mod wire;

use std::{borrow::Cow, mem, sync::Arc};

use futures_util::future::LocalBoxFuture;
use http::{
    HeaderValue, Method, Request, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use schemars::JsonSchema;
use schemas::{
    Body, BodyError, Call, Class, Fault, Invoker, Name, Reply, Reveal, Template,
    units::{Size, Span},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::list::list;
pub use self::status::{Code, refuse};
use self::{
    catalog::{Catalog, Catalogs, Loaded},
    client::{Client, Line},
    frame::{Bad, Meter},
    options::Json,
    source::Source,
    web::Dialect,
};
use crate::{
    Tools, client::body_failed, http as service, platform::with_stand_ins, probe::Probed, tls::Tls,
};

/// Bytes of a message, unless an upstream says otherwise: what gRPC's own libraries take.
const MAX_MESSAGE: u64 = 4 << 20;
/// No more than this can be asked for.
const MAX_MESSAGE_MAX: u64 = 1 << 30;

/// A gRPC upstream as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The server's URL, without a path: http for HTTP/2 with prior knowledge, https for TLS.
    pub url: Option<String>,
    /// Several URLs of one service, used in turn, instead of `url`.
    pub endpoints: Option<Vec<String>>,
    /// TLS settings for `https` URLs.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Bytes that one message may have, in either direction. Default 4MiB.
    pub max_message: Option<Size>,
    /// Where the descriptors of the services come from: `reflection`, which is the default, or files.
    pub descriptors: Option<Source>,
    /// How JSON is read and printed.
    pub json: Option<Json>,
}

/// A gRPC upstream, checked.
#[derive(Debug)]
pub struct Target {
    service: service::Target,
    /// What stands in front of each endpoint's paths, by its place in the list.
    places: Vec<(Scheme, Authority)>,
    max_message: usize,
    options: transcoding::Options,
    catalog: Arc<Catalog>,
    /// What its files say, where they were read to check a configuration by them.
    read: Option<Arc<Loaded>>,
}

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(
        name: &Name,
        written: Written,
        catalogs: &Catalogs,
    ) -> Result<Self, Vec<(String, String)>> {
        // What is known of the same upstream is known still.
        let key = format!("{name} {written:?}");
        let Written { url, endpoints, tls, connect_timeout, max_message, descriptors, json } =
            written;
        let source = descriptors.unwrap_or_default();
        let mut wrong = source.check();
        let one = url.is_some();
        let written = service::Written { url, endpoints, tls, connect_timeout };
        let service = service::Target::build(name, written).map_err(|mut all| {
            wrong.append(&mut all);
        });
        let mut places = Vec::new();
        for (at, origin) in service.iter().flat_map(|service| &service.origins).enumerate() {
            let path = if one { "url".to_owned() } else { format!("endpoints[{at}]") };
            if !origin.base.is_empty() {
                let what = "has a path, and gRPC's paths are /package.Service/Method; leave it out";
                wrong.push((path.clone(), what.to_owned()));
            }
            let scheme = if origin.https() { Scheme::HTTPS } else { Scheme::HTTP };
            match Authority::try_from(origin.authority.as_bytes()) {
                Ok(authority) => places.push((scheme, authority)),
                Err(_) => wrong.push((path, "has no valid host".to_owned())),
            }
        }
        let max_message = max_message.map_or(MAX_MESSAGE, |size| size.0);
        if !(1..=MAX_MESSAGE_MAX).contains(&max_message) {
            let what = "is out of range; write 1 to 1GiB, such as 4MiB";
            wrong.push(("max_message".to_owned(), what.to_owned()));
        }
        match (service, usize::try_from(max_message)) {
            (Ok(service), Ok(max_message)) if wrong.is_empty() => {
                let options = json.unwrap_or_default().options(max_message);
                let catalog = catalogs.of(key, source);
                Ok(Self { service, places, max_message, options, catalog, read: None })
            }
            _ => Err(wrong),
        }
    }
}

impl Target {
    /// Whether a function part is a method, or nothing, which is all methods.
    pub(crate) fn names(function: &Template) -> Result<(), (String, String)> {
        let word = |word: &str| {
            !word.is_empty()
                && !word.starts_with(|c: char| c.is_ascii_digit())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let text = with_stand_ins(function);
        let method = text.split_once('/');
        let fits = |(service, method): (&str, &str)| service.split('.').all(word) && word(method);
        if function.is_empty() || method.is_some_and(fits) {
            return Ok(());
        }
        let remedy = "write UPSTREAM/package.Service/Method, or `UPSTREAM` for all";
        Err((format!("`{function}` is no method"), remedy.to_owned()))
    }

    /// What is known of its methods.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Reads its descriptors now where they come from files, for who checks a configuration and serves
    /// nothing. Blocks.
    ///
    /// # Errors
    /// The field that names the files, and what is wrong with them.
    pub fn read_descriptors(
        &mut self,
        reader: &Arc<dyn Reveal>,
    ) -> Result<(), (&'static str, String)> {
        self.catalog.read(reader)?;
        self.read = self.catalog.loaded();
        Ok(())
    }

    /// The methods that its files have, by the names that addresses call them by; none where none
    /// have been read.
    #[must_use]
    pub fn methods_read(&self) -> Option<Vec<&str>> {
        self.read.as_deref().map(|loaded| loaded.names().collect())
    }

    /// Has its descriptors kept fresh from now on, by a task of this runtime.
    pub fn keep(&self, tools: &Tools) {
        self.catalog.keep(&self.service, tools);
    }
}

/// Connects to every endpoint of a service once, and calls nothing.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    Client::new(&target.service, tools).probe().await
}

/// One core's connections.
#[derive(Debug)]
pub struct Lane {
    target: Arc<Target>,
    client: Client,
    tools: Tools,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: &Tools) -> Self {
        Self { client: Client::new(&target.service, tools), target, tools: tools.clone() }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        match Dialect::of(&call.head.headers) {
            Some(dialect) => self.pass(dialect, call).await,
            None => json::call(self, call).await,
        }
    }

    /// Passes a call of a caller who speaks gRPC.
    async fn pass(&self, dialect: Dialect, mut call: Call) -> Result<Reply, Fault> {
        let path = native_path(&call)?;
        let max = self.target.max_message;
        if let Some(whole) = call.event.data.whole()
            && dialect != Dialect::WebText
        {
            Meter::new(max).look(&whole).map_err(|bad| of_bad(&bad))?;
        }
        let line = match self.client.open(call.avoid, call.deadline).await {
            Ok(line) => line,
            Err(fault) => return Err(fault.unsent(call)),
        };
        let id = line.id;
        let mut request = self.request(&line, path)?;
        *request.headers_mut() = mem::take(&mut call.head.headers);
        let headers = request.headers_mut();
        let body = web::request(dialect, headers, mem::take(&mut call.event.data));
        hop(headers);
        let body = if body.whole().is_some() { body } else { metered(body, max) };
        let answer = exchange::send(line, request, body).await?;
        let reply = native::reply(answer, id, max).await;
        Ok(match dialect {
            Dialect::Grpc => reply,
            Dialect::Web | Dialect::WebText => web::reply(dialect, reply),
        })
    }

    /// A request of one method.
    fn request(&self, line: &Line, path: PathAndQuery) -> Result<Request<()>, Fault> {
        let (scheme, authority) = &self.target.places[usize::from(line.id.0)];
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority.clone());
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|error| {
            Fault::new(Class::BadRequest, "the method's path is no path").because(error)
        })?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        Ok(request)
    }
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

fn metered(body: Body, max: usize) -> Body {
    Body::boxed(native::Metered::new(body, max))
}

/// The path of the method that a native caller gets: the one that the address names, or else the one
/// that it asks for.
fn native_path(call: &Call) -> Result<PathAndQuery, Fault> {
    let path: Cow<'_, str> = if call.function.is_empty() {
        call.head.uri.path().into()
    } else {
        format!("/{}", call.function).into()
    };
    let mut parts = path.split('/').skip(1);
    let whole = parts.next().is_some_and(|service| !service.is_empty())
        && parts.next().is_some_and(|method| !method.is_empty())
        && parts.next().is_none();
    match PathAndQuery::try_from(&*path) {
        Ok(path) if whole => Ok(path),
        _ => {
            let what = "the path of a gRPC request is /package.Service/Method";
            Err(Fault::new(Class::NotFound, what).code("no_method"))
        }
    }
}

/// Makes the headers those of this hop.
fn hop(headers: &mut http::HeaderMap) {
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

/// What is said of a request whose messages may not pass.
fn of_bad(bad: &Bad) -> Fault {
    match bad {
        Bad::TooLarge { .. } => Fault::new(Class::TooLarge, format!("{bad}; send a smaller one"))
            .code("message_too_large"),
        bad => Fault::new(Class::BadRequest, bad.to_string()),
    }
}

/// What is said where a request's body failed.
fn of_body(error: BodyError) -> Fault {
    let bad = match &error {
        BodyError::Broken(cause) => cause.downcast_ref::<Bad>().map(of_bad).or_else(|| {
            let violation = cause.downcast_ref::<transcoding::Violation>()?;
            Some(json::refused(violation))
        }),
        _ => None,
    };
    bad.unwrap_or_else(|| body_failed(error))
}

#[cfg(test)]
mod tests;
