//! What all envelopes are made of: the request, looked over once.

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{self, GetAll},
};
use http1::hop;
use schemas::Call;
use serde::{Serialize, Serializer, ser::SerializeMap};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: Headers<'a>,
    pub(super) client: Option<IpAddr>,
    pub(super) body: Payload<'a>,
    /// Milliseconds since 1970.
    pub(super) now: i64,
}

/// The body as a string of JSON.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Empty,
    Text(&'a str),
    Base64(String),
}

impl Payload<'_> {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Text(text) => text.len(),
            Self::Base64(text) => text.len(),
        }
    }

    /// The string, if there is one, and whether it is base64.
    pub(super) fn written(&self) -> (Option<&str>, bool) {
        match self {
            Self::Empty => (None, false),
            Self::Text(text) => (Some(text), false),
            Self::Base64(text) => (Some(text), true),
        }
    }
}

/// The headers that a function gets: those of the request, without what concerns a connection, and
/// `host` as the caller wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'a> {
    all: &'a HeaderMap,
    media: Option<&'a HeaderValue>,
    /// Whether cookies are among them.
    cookies: bool,
}

impl<'a> Parts<'a> {
    pub(super) fn of(
        call: &'a Call,
        media: Option<&'a HeaderValue>,
        data: &'a [u8],
        now: i64,
    ) -> Self {
        let body = match std::str::from_utf8(data) {
            Ok("") => Payload::Empty,
            Ok(text) => Payload::Text(text),
            Err(_) => Payload::Base64(STANDARD.encode(data)),
        };
        Self {
            method: &call.head.method,
            path: call.head.uri.path(),
            query: call.head.uri.query().unwrap_or_default(),
            headers: Headers { all: &call.head.headers, media, cookies: true },
            client: call.client,
            body,
            now,
        }
    }

    /// The first value of a header, for a field of its own.
    pub(super) fn header(&self, name: &HeaderName) -> Option<Cow<'a, str>> {
        self.headers.all.get(name).map(text)
    }

    pub(super) fn user_agent(&self) -> Option<Cow<'a, str>> {
        self.header(&header::USER_AGENT)
    }

    pub(super) fn request_id(&self) -> Option<Cow<'a, str>> {
        self.header(&REQUEST_ID)
    }

    /// The host that the caller asked for.
    pub(super) fn host(&self) -> Option<Cow<'a, str>> {
        self.headers.host().map(text)
    }

    /// The time as in the common log format.
    pub(super) fn time(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.now).unwrap_or_default();
        now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
    }

    /// The pairs of the query, percent-decoded, `+` as a blank.
    pub(super) fn decoded(&self) -> Pairs<'a> {
        Pairs(form_urlencoded::parse(self.query.as_bytes()).collect())
    }

    /// The pairs of the query as they came.
    pub(super) fn raw(&self) -> Pairs<'a> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &'a str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (Cow::Borrowed(name), Cow::Borrowed(value))
        };
        Pairs(pairs.map(pair).collect())
    }

    /// Each cookie as it came (RFC 6265, section 5.4).
    pub(super) fn cookies(&self) -> Vec<Cow<'a, str>> {
        let mut all = Vec::new();
        for value in self.headers.all.get_all(header::COOKIE) {
            match text(value) {
                Cow::Borrowed(value) => all.extend(crumbs(value).map(Cow::Borrowed)),
                Cow::Owned(value) => all.extend(crumbs(&value).map(|one| one.to_owned().into())),
            }
        }
        all
    }
}

fn crumbs(value: &str) -> impl Iterator<Item = &str> {
    value.split(';').map(str::trim).filter(|one| !one.is_empty())
}

impl<'a> Headers<'a> {
    /// Without cookies, which have a place of their own.
    pub(super) fn without_cookies(self) -> Self {
        Self { cookies: false, ..self }
    }

    fn host(&self) -> Option<&'a HeaderValue> {
        self.all.get(header::HOST).or_else(|| self.all.get(FORWARDED_HOST))
    }

    /// Each name with its values.
    fn each(self) -> impl Iterator<Item = (&'a str, Values<'a>)> {
        let Self { all, media, cookies } = self;
        let host = self.host().map(|host| ("host", Values::One(host)));
        let written = media.map(|media| ("content-type", Values::One(media)));
        let kept = move |name: &&HeaderName| {
            let ours = **name == header::HOST
                || **name == header::EXPECT
                || (media.is_some() && **name == header::CONTENT_TYPE)
                || (!cookies && **name == header::COOKIE);
            !ours && !hop::is_hop_by_hop(name.as_str())
        };
        let others = all.keys().filter(kept);
        let others = others.map(move |name| (name.as_str(), Values::All(all.get_all(name))));
        host.into_iter().chain(written).chain(others)
    }

    /// One value a name: all of them with commas between.
    pub(super) fn joined(self) -> Joined<'a> {
        Joined(self)
    }

    /// One value a name: the last.
    pub(super) fn last(self) -> Map<Cow<'a, str>> {
        let last = |values: Values<'a>| values.texts().pop().unwrap_or_default();
        Map(self.each().map(|(name, values)| (name.to_owned(), last(values))).collect())
    }

    /// Every value of every name.
    pub(super) fn multi(self) -> Map<Vec<Cow<'a, str>>> {
        Map(self.each().map(|(name, values)| (name.to_owned(), values.texts())).collect())
    }
}

/// The values of one name.
enum Values<'a> {
    One(&'a HeaderValue),
    All(GetAll<'a, HeaderValue>),
}

impl<'a> Values<'a> {
    fn texts(&self) -> Vec<Cow<'a, str>> {
        match self {
            Self::One(value) => vec![text(value)],
            Self::All(values) => values.iter().map(text).collect(),
        }
    }

    /// All of them with commas between; nearly always there is one.
    fn joined(&self) -> Cow<'a, str> {
        match self {
            Self::One(value) => text(value),
            Self::All(values) => {
                let mut values = values.iter().map(text);
                let first = values.next().unwrap_or_default();
                values.fold(first, |all, more| Cow::Owned(format!("{all},{more}")))
            }
        }
    }
}

/// Headers with one value a name.
#[derive(Debug)]
pub(super) struct Joined<'a>(Headers<'a>);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, values) in self.0.each() {
            map.serialize_entry(name, &values.joined())?;
        }
        map.end()
    }
}

/// A header's value as text: UTF-8 where it is that, else each byte as a character (RFC 9110,
/// section 5.5, speaks of ISO-8859-1).
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.as_bytes().iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Names and values in their order; a name may stand in it several times.
#[derive(Debug)]
pub(super) struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Pairs<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each name once, with all of its values.
    fn each(&self) -> Vec<(&str, Vec<&str>)> {
        let mut places = HashMap::new();
        let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, value) in &self.0 {
            let place = *places.entry(name.as_ref()).or_insert(all.len());
            match all.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => all.push((name, vec![value])),
            }
        }
        all
    }

    /// One value a name: all of them with commas between.
    pub(super) fn joined(&self) -> Map<String> {
        self.map(|values| values.join(","))
    }

    /// One value a name: the last.
    pub(super) fn last(&self) -> Map<String> {
        self.map(|values| values.last().copied().unwrap_or_default().to_owned())
    }

    /// Every value of every name.
    pub(super) fn multi(&self) -> Map<Vec<String>> {
        self.map(|values| values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn map<T>(&self, of: impl Fn(&[&str]) -> T) -> Map<T> {
        let each = self.each().into_iter();
        Map(each.map(|(name, values)| (name.to_owned(), of(&values))).collect())
    }
}

/// Names and what is said of each, as a JSON object.
#[derive(Debug)]
pub(super) struct Map<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Map<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
