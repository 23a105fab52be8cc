//! A NATS upstream as it is written, and checked.

use std::time::Duration;

use schemars::JsonSchema;
use schemas::{FileRef, Name, Secret, template::is_token, units::Span};
use serde::{Deserialize, Serialize};

use super::{auth::Credential, sync::Monitor};
use crate::{
    tls::Tls,
    urls::{Urls, is_loopback},
};

/// A NATS upstream as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The server, or a list of servers of one cluster: `nats://host:4222` or `tls://host:4222`.
    pub url: Urls,
    /// Publish to JetStream and wait for its acknowledgement: `true`, or the stream that must take it.
    pub jetstream: Option<JetStream>,
    /// With `jetstream`, the monitoring port of each server, such as `http://127.0.0.1:8222`: it says
    /// when the server syncs what it has acknowledged, which receipts then tell. Asked once a minute,
    /// in the background.
    pub monitor: Option<Urls>,
    /// The user name; with `password`.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// The seed of an nkey (`SU…`).
    pub nkey: Option<Secret>,
    /// A credentials file (`.creds`) with a JWT and a seed.
    pub credentials: Option<FileRef>,
    /// TLS settings. A `tls://` URL asks for TLS by itself.
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Lets a credential go over plain text to an address that is not loopback.
    pub allow_plaintext_credentials: Option<bool>,
}

/// Whether and how JetStream is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JetStream {
    /// `true`: the stream is found by the subject.
    On(bool),
    /// The stream that must take the message, else it is refused.
    Stream {
        /// Its name.
        stream: String,
    },
}

/// A NATS upstream, checked.
#[derive(Debug)]
pub struct Target {
    /// The upstream's name.
    pub(super) name: Name,
    /// `nats://host:port` or `tls://host:port`; never empty.
    pub(super) servers: Vec<String>,
    /// Whether messages go to JetStream.
    pub(super) jetstream: bool,
    /// The stream that must take them.
    pub(super) stream: Option<String>,
    /// Who says when its servers sync.
    pub(super) monitor: Option<Monitor>,
    /// Who the gateway is.
    pub(super) credential: Credential,
    /// How the `tls://` servers are reached.
    pub(super) tls: Tls,
    /// How long connecting to one server may take.
    pub(super) connect_timeout: Duration,
}

/// One server's URL, taken apart.
struct Server {
    tls: bool,
    host: String,
    port: u16,
}

type Wrong = Vec<(String, String)>;

impl Target {
    /// Checks what is written. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path below the upstream, and what to write.
    pub fn build(name: &Name, written: Written) -> Result<Self, Vec<(String, String)>> {
        let mut wrong = Wrong::new();
        let servers = servers(&written.url, &mut wrong);
        let (jetstream, stream) = jetstream(written.jetstream.clone(), &mut wrong);
        let monitor = monitor(&written, jetstream, &mut wrong);
        let (field, credential) = credential(&written, &mut wrong);
        check_tls(written.tls.as_ref(), &mut wrong);
        let plain =
            |server: &&Server| !server.tls && written.tls.is_none() && !is_loopback(&server.host);
        if written.allow_plaintext_credentials != Some(true)
            && credential != Credential::None
            && let Some(server) = servers.iter().find(plain)
        {
            let host = &server.host;
            wrong.push((
                field.to_owned(),
                format!(
                    "would go over plain text to {host}; write tls://{host} in url, or \
                     allow_plaintext_credentials: true"
                ),
            ));
        }
        if written.connect_timeout.is_some_and(|span| span.0.is_zero()) {
            wrong.push(("connect_timeout".to_owned(), "is 0; write such as 5s".to_owned()));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let all_tls = written.tls.is_some();
        Ok(Self {
            name: name.clone(),
            servers: servers.iter().map(|server| server.url(all_tls)).collect(),
            jetstream,
            stream,
            monitor,
            credential,
            tls: written.tls.unwrap_or_default(),
            connect_timeout: written.connect_timeout.map_or(Duration::from_secs(5), |span| span.0),
        })
    }

    /// Its servers, as they are shown.
    #[must_use]
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Whether messages go to JetStream.
    #[must_use]
    pub fn jetstream(&self) -> bool {
        self.jetstream
    }
}

impl Server {
    fn url(&self, all_tls: bool) -> String {
        let scheme = if self.tls || all_tls { "tls" } else { "nats" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

fn servers(urls: &Urls, wrong: &mut Wrong) -> Vec<Server> {
    let urls = urls.each();
    if urls.is_empty() {
        wrong.push(("url".to_owned(), "is empty; write nats://host:4222".to_owned()));
    }
    let mut servers = Vec::new();
    for (field, url) in urls {
        match server(url) {
            Ok(server) => servers.push(server),
            Err(message) => wrong.push((field, message)),
        }
    }
    servers
}

/// Takes a URL apart. What is wrong is never shown with the URL itself, which may hold a password.
fn server(url: &str) -> Result<Server, String> {
    let (scheme, rest) =
        url.split_once("://").ok_or("is not a URL; write nats://host:4222 or tls://host:4222")?;
    let tls = match scheme {
        "nats" => false,
        "tls" => true,
        "ws" | "wss" => {
            return Err(format!("{scheme}:// is not built yet; write nats:// or tls://"));
        }
        _ => return Err("has an unknown scheme; write nats:// or tls://".to_owned()),
    };
    if rest.contains('@') {
        return Err("holds a user; write username and password, or token, as fields".to_owned());
    }
    let uri: http::Uri =
        format!("http://{rest}").parse().map_err(|_| "is not a URL; write nats://host:4222")?;
    if uri.path() != "/" || uri.query().is_some() {
        return Err("has a path; write the host and the port alone".to_owned());
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("has no host")?.to_owned();
    if uri.port().is_some() && uri.port_u16().is_none_or(|port| port == 0) {
        return Err("has no valid port; write such as :4222".to_owned());
    }
    Ok(Server { tls, host, port: uri.port_u16().unwrap_or(4222) })
}

fn jetstream(written: Option<JetStream>, wrong: &mut Wrong) -> (bool, Option<String>) {
    match written {
        None => (false, None),
        Some(JetStream::On(on)) => (on, None),
        Some(JetStream::Stream { stream }) => {
            let good = is_token(&stream) && !stream.contains(['/', '\\']) && stream.len() <= 255;
            if !good {
                wrong.push((
                    "jetstream.stream".to_owned(),
                    "is not the name of a stream; write one without blanks, . * > / and \\"
                        .to_owned(),
                ));
            }
            (true, Some(stream))
        }
    }
}

fn monitor(written: &Written, jetstream: bool, wrong: &mut Wrong) -> Option<Monitor> {
    let urls = written.monitor.as_ref()?;
    if !jetstream {
        let message = "tells nothing of core NATS, which keeps no message; leave it out";
        wrong.push(("monitor".to_owned(), message.to_owned()));
        return None;
    }
    Monitor::build(urls, written.tls.as_ref()).map_err(|said| wrong.extend(said)).ok()
}

/// The one way in which the gateway says who it is, and the field that it stands in.
fn credential(written: &Written, wrong: &mut Wrong) -> (&'static str, Credential) {
    let user = match (&written.username, &written.password) {
        (Some(username), Some(password)) => {
            Some(Credential::Password { username: username.clone(), password: password.clone() })
        }
        (Some(_), None) => {
            wrong.push(("password".to_owned(), "is missing beside username".to_owned()));
            None
        }
        (None, Some(_)) => {
            wrong.push(("username".to_owned(), "is missing beside password".to_owned()));
            None
        }
        (None, None) => None,
    };
    let ways = [
        ("password", user),
        ("token", written.token.clone().map(Credential::Token)),
        ("nkey", written.nkey.clone().map(Credential::Nkey)),
        ("credentials", written.credentials.clone().map(Credential::File)),
    ];
    let mut ways = ways.into_iter().filter_map(|(field, way)| Some((field, way?)));
    let first = ways.next().unwrap_or(("", Credential::None));
    for (field, _) in ways {
        let other = first.0;
        wrong.push((field.to_owned(), format!("stands beside {other}; write only one of the two")));
    }
    first
}

fn check_tls(tls: Option<&Tls>, wrong: &mut Wrong) {
    let Some(tls) = tls else { return };
    if tls.server_name.is_some() {
        wrong.push((
            "tls.server_name".to_owned(),
            "is not built yet for nats; write that name as the host in url".to_owned(),
        ));
    }
    wrong.extend(tls.check());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(json: serde_json::Value) -> Result<Target, Vec<(String, String)>> {
        Target::build(&"bus".parse().unwrap(), serde_json::from_value(json).unwrap())
    }

    fn check(json: serde_json::Value, field: &str, said: &str) {
        let wrong = build(json.clone()).unwrap_err();
        assert!(
            wrong.iter().any(|(at, message)| at == field && message.contains(said)),
            "{json}: {wrong:?}"
        );
    }

    #[test]
    fn what_is_right_is_built() {
        let target = build(serde_json::json!({
            "url": ["nats://127.0.0.1", "tls://nats.example.com:5222"],
            "jetstream": {"stream": "ORDERS"}, "username": "u", "password": {"env": "P"}
        }))
        .unwrap();
        assert_eq!(target.servers, ["nats://127.0.0.1:4222", "tls://nats.example.com:5222"]);
        assert!(target.jetstream());
        let target = build(serde_json::json!({"url": "nats://a", "tls": {}})).unwrap();
        assert_eq!(target.servers, ["tls://a:4222"]);
        assert!(!build(serde_json::json!({"url": "nats://[::1]:4222"})).unwrap().jetstream());
        assert!(
            build(serde_json::json!({
                "url": "nats://nats.example.com", "token": {"env": "T"},
                "allow_plaintext_credentials": true
            }))
            .is_ok()
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field_and_what_to_write() {
        use serde_json::json;
        check(json!({"url": []}), "url", "write nats://");
        check(json!({"url": "127.0.0.1:4222"}), "url", "not a URL");
        check(json!({"url": "http://x"}), "url", "write nats://");
        check(json!({"url": "wss://x"}), "url", "not built yet");
        check(json!({"url": ["nats://a", "nats://"]}), "url[1]", "not a URL");
        check(json!({"url": "nats://a/b"}), "url", "has a path");
        check(json!({"url": "nats://a:0"}), "url", "port");
        check(json!({"url": "nats://a", "username": "u"}), "password", "missing");
        check(json!({"url": "nats://a", "password": {"env": "P"}}), "username", "missing");
        check(
            json!({"url": "tls://a", "token": {"env": "T"}, "nkey": {"env": "N"}}),
            "nkey",
            "beside token",
        );
        check(json!({"url": "nats://a", "token": {"env": "T"}}), "token", "plain text to a;");
        check(
            json!({"url": "nats://a", "jetstream": {"stream": "a b"}}),
            "jetstream.stream",
            "not",
        );
        check(
            json!({"url": "tls://a", "tls": {"server_name": "b"}}),
            "tls.server_name",
            "not built",
        );
        check(
            json!({"url": "tls://a", "tls": {"key": {"env": "K"}}}),
            "tls.key",
            "has no certificate",
        );
        check(json!({"url": "nats://a", "connect_timeout": "0s"}), "connect_timeout", "is 0");
        check(json!({"url": "nats://a", "monitor": "http://a:8222"}), "monitor", "core NATS");
        check(
            json!({"url": "nats://a", "jetstream": true, "monitor": ["http://a", "a"]}),
            "monitor[1]",
            "write one such as http://",
        );
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_being_shown() {
        let wrong = build(serde_json::json!({"url": "nats://u:hunter2@a"})).unwrap_err();
        assert!(wrong[0].1.contains("write username and password"), "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }
}
