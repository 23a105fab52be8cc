mod connections;
mod messages;
mod peer;
mod streams;
mod tls;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use schemas::{Body, Call, Fault, FileRef, Invoker, Name, Reply, Reveal, Secret};

use super::{Lane, Target, Written};
use crate::Tools;

/// A lane to these endpoints.
fn lane(urls: &[&str]) -> Lane {
    let endpoints = urls.iter().map(|&url| url.to_owned()).collect();
    lane_of(Written { endpoints: Some(endpoints), ..Written::default() })
}

fn lane_of(written: Written) -> Lane {
    let target = Target::build(&name(), written).unwrap();
    Lane::new(&target, &Tools { secrets: std::sync::Arc::new(Files), outbox: Default::default() })
}

fn name() -> Name {
    "web".parse().unwrap()
}

/// A call of `uri` with these headers and a whole body.
fn call(method: Method, uri: &str, headers: &[(&str, &str)], body: &'static str) -> Call {
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut call = Call::new("", Body::from(Bytes::from_static(body.as_bytes())), deadline);
    call.head.method = method;
    call.head.uri = uri.parse().unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        call.head.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    call
}

fn get(uri: &str) -> Call {
    call(Method::GET, uri, &[], "")
}

async fn text(reply: Reply) -> String {
    String::from_utf8(reply.data.collect(1 << 20).await.unwrap().to_vec()).unwrap()
}

/// Sends the call and reads the whole reply, so that its connection is free again.
async fn said(lane: &Lane, call: Call) -> String {
    text(lane.call(call).await.unwrap()).await
}

async fn fault(lane: &Lane, call: Call) -> Fault {
    lane.call(call).await.unwrap_err()
}

/// Reads files, and nothing else.
struct Files;

impl Reveal for Files {
    fn reveal(&self, secret: &Secret) -> Result<schemas::Revealed, schemas::secret::NoSecret> {
        match secret {
            Secret::File(path) => {
                let read = self.read(&FileRef { file: path.clone() })?;
                Ok(schemas::Revealed::new(String::from_utf8(read).unwrap()))
            }
            Secret::Env(name) => Err(schemas::secret::NoSecret(format!("{name} is not set"))),
        }
    }

    fn read(&self, file: &FileRef) -> Result<Vec<u8>, schemas::secret::NoSecret> {
        let missing = |_| schemas::secret::NoSecret(format!("{} is missing", file.file.display()));
        std::fs::read(&file.file).map_err(missing)
    }
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let tls = crate::tls::Tls {
        key: Some(Secret::Env("KEY".into())),
        server_name: Some("not a name".into()),
        ..Default::default()
    };
    let written = Written {
        endpoints: Some(vec!["http://a".into(), "https://user:secret@b".into(), "c".into()]),
        tls: Some(tls),
        connect_timeout: Some(schemas::units::Span(Duration::ZERO)),
        ..Written::default()
    };
    let wrong = Target::build(&name(), written).unwrap_err();
    let places: Vec<_> = wrong.iter().map(|(path, _)| path.as_str()).collect();
    let expected =
        ["endpoints[1]", "endpoints[2]", "tls", "tls.key", "tls.server_name", "connect_timeout"];
    assert_eq!(places, expected);
    assert!(!format!("{wrong:?}").contains("secret"));
}

#[test]
fn exactly_one_of_url_and_endpoints_is_written() {
    let build = |url: Option<&str>, endpoints: Option<&[&str]>| {
        let endpoints = endpoints.map(|list| list.iter().map(|&url| url.to_owned()).collect());
        let written = Written { url: url.map(str::to_owned), endpoints, ..Written::default() };
        Target::build(&name(), written).map(drop).map_err(|wrong| wrong.len())
    };
    assert_eq!(build(Some("http://a"), None), Ok(()));
    assert_eq!(build(None, Some(&["http://a", "http://b/c"])), Ok(()));
    assert_eq!(build(Some("http://a"), Some(&["http://b"])), Err(1));
    assert_eq!(build(None, None), Err(1));
    assert_eq!(build(None, Some(&[])), Err(1));
}
