//! An AMQP upstream as it is written, and checked.

use std::time::Duration;

use schemars::JsonSchema;
use schemas::{Name, Secret, units::Span};
use serde::{Deserialize, Serialize};

use super::declare::{Declare, Queue};
use crate::{
    tls::Tls,
    urls::{Urls, is_loopback},
};

/// An AMQP upstream as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The broker, or a list of the nodes of one cluster: `amqp://host:5672` or `amqps://host:5671`.
    pub url: Urls,
    /// The virtual host. Default `/`.
    pub vhost: Option<String>,
    /// The user name; with `password`.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// TLS settings of an `amqps://` URL. With a certificate and no `username` the gateway is who
    /// its certificate says (EXTERNAL).
    pub tls: Option<Tls>,
    /// How long connecting may take. Default 5s.
    pub connect_timeout: Option<Span>,
    /// Lets the password go over plain text to an address that is not loopback.
    pub allow_plaintext_credentials: Option<bool>,
    /// What the gateway declares on each connection. It declares nothing else.
    pub declare: Option<Declare>,
}

/// An AMQP upstream, checked.
#[derive(Debug)]
pub struct Target {
    /// The upstream's name.
    pub(super) name: Name,
    /// Never empty.
    pub(super) servers: Vec<Server>,
    /// The virtual host.
    pub(super) vhost: String,
    /// Who the gateway is.
    pub(super) credential: Credential,
    /// How the `amqps://` servers are reached.
    pub(super) tls: Tls,
    /// How long connecting to one server may take.
    pub(super) connect_timeout: Duration,
    /// What is declared on each connection.
    pub(super) declare: Declare,
}

/// One way of saying who one is. There is no default: RabbitMQ's `guest` is never tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// A user name and a password (PLAIN).
    Password { username: String, password: Secret },
    /// The certificate of the connection (EXTERNAL).
    Certificate,
}

/// One server's URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) tls: bool,
    /// An IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
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
        let credential = credential(&written, &mut wrong);
        let unsafely = |server: &&Server| !server.tls && !is_loopback(&server.host);
        if written.allow_plaintext_credentials != Some(true)
            && matches!(credential, Some(Credential::Password { .. }))
            && let Some(Server { host, .. }) = servers.iter().find(unsafely)
        {
            wrong.push((
                "password".to_owned(),
                format!(
                    "would go over plain text to {host}; write amqps://{host} in url, or \
                     allow_plaintext_credentials: true"
                ),
            ));
        }
        if let Some(tls) = &written.tls {
            if servers.iter().any(|server| !server.tls) {
                let message =
                    "stands beside a URL without TLS; write amqps:// in url, or leave it out";
                wrong.push(("tls".to_owned(), message.to_owned()));
            }
            wrong.extend(tls.check());
        }
        let vhost = written.vhost.unwrap_or_else(|| "/".to_owned());
        if vhost.is_empty() || vhost.len() > 255 {
            wrong.push(("vhost".to_owned(), "has no 1 to 255 bytes; write such as /".to_owned()));
        }
        if written.connect_timeout.is_some_and(|span| span.0.is_zero()) {
            wrong.push(("connect_timeout".to_owned(), "is 0; write such as 5s".to_owned()));
        }
        let declare = written.declare.unwrap_or_default();
        declare.check(&mut wrong);
        match credential {
            Some(credential) if wrong.is_empty() => Ok(Self {
                name: name.clone(),
                servers,
                vhost,
                credential,
                tls: written.tls.unwrap_or_default(),
                connect_timeout: written
                    .connect_timeout
                    .map_or(Duration::from_secs(5), |span| span.0),
                declare,
            }),
            _ => Err(wrong),
        }
    }
}

impl Target {
    /// The queue of a source as it is declared, if it is declared here.
    #[must_use]
    pub fn declared(&self, queue: &str) -> Option<&Queue> {
        self.declare.queues.iter().find(|known| known.name == queue)
    }
}

impl Server {
    /// As it may be shown to people.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn servers(urls: &Urls, wrong: &mut Wrong) -> Vec<Server> {
    let urls = urls.each();
    if urls.is_empty() {
        wrong.push(("url".to_owned(), "is empty; write amqp://host:5672".to_owned()));
    }
    let mut servers = Vec::new();
    for (field, url) in urls {
        match server(url) {
            Ok(server) => servers.push(server),
            Err(message) => wrong.push((field, message.to_owned())),
        }
    }
    servers
}

/// Takes a URL apart. What is wrong is never shown with the URL itself, which may hold a password.
fn server(url: &str) -> Result<Server, &'static str> {
    let no_url = "is not a URL; write amqp://host:5672 or amqps://host:5671";
    let (scheme, rest) = url.split_once("://").ok_or(no_url)?;
    let tls = match scheme {
        "amqp" => false,
        "amqps" => true,
        _ => return Err("has an unknown scheme; write amqp:// or amqps://"),
    };
    if rest.contains('@') {
        return Err("holds a user; write username and password as fields");
    }
    let uri: http::Uri = format!("http://{rest}").parse().map_err(|_| no_url)?;
    if uri.path() != "/" || rest.ends_with('/') {
        return Err("has a path; write the virtual host as `vhost`");
    }
    if uri.query().is_some() {
        return Err("has a query; write the host and the port alone");
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("has no host")?;
    if uri.port().is_some() && uri.port_u16().is_none_or(|port| port == 0) {
        return Err("has no valid port; write such as :5672");
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { tls, host, port: uri.port_u16().unwrap_or(if tls { 5671 } else { 5672 }) })
}

fn credential(written: &Written, wrong: &mut Wrong) -> Option<Credential> {
    let certificate = written.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
    let (field, message) = match (&written.username, &written.password) {
        (Some(username), Some(password)) => {
            return Some(Credential::Password {
                username: username.clone(),
                password: password.clone(),
            });
        }
        (None, None) if certificate => return Some(Credential::Certificate),
        (Some(_), None) => ("password", "is missing beside username"),
        (None, Some(_)) => ("username", "is missing beside password"),
        (None, None) => (
            "username",
            "is missing, and a broker lets nobody in without it; write username and password, or a \
             tls.certificate that says who the gateway is",
        ),
    };
    wrong.push((field.to_owned(), message.to_owned()));
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn build(mut json: Value) -> Result<Target, Vec<(String, String)>> {
        let fields = json.as_object_mut().unwrap();
        fields.entry("url").or_insert(json!("amqp://127.0.0.1"));
        if !fields.contains_key("tls") && !fields.contains_key("nobody") {
            fields.entry("username").or_insert(json!("u"));
            fields.entry("password").or_insert(json!({"env": "P"}));
        }
        fields.remove("nobody");
        Target::build(&"rabbit".parse().unwrap(), serde_json::from_value(json).unwrap())
    }

    fn check(json: Value, field: &str, said: &str) {
        let wrong = build(json.clone()).unwrap_err();
        assert!(
            wrong.iter().any(|(at, message)| at == field && message.contains(said)),
            "{json}: {wrong:?}"
        );
    }

    #[test]
    fn what_is_right_is_built() {
        let target = build(json!({"url": ["amqp://127.0.0.1", "amqps://[::1]:1"]})).unwrap();
        let urls: Vec<_> = target.servers.iter().map(Server::url).collect();
        assert_eq!(urls, ["amqp://127.0.0.1:5672", "amqps://[::1]:1"]);
        assert_eq!(target.vhost, "/");
        let certificate = json!({"url": "amqps://a", "vhost": "shop", "tls": {
            "certificate": {"file": "c"}, "key": {"file": "k"}, "server_name": "b"}});
        let target = build(certificate).unwrap();
        assert_eq!(target.credential, Credential::Certificate);
        assert_eq!((target.servers[0].port, target.vhost.as_str()), (5671, "shop"));
        assert!(build(json!({"url": "amqp://a", "allow_plaintext_credentials": true})).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field_and_what_to_write() {
        check(json!({"url": []}), "url", "write amqp://");
        check(json!({"url": "127.0.0.1:5672"}), "url", "not a URL");
        check(json!({"url": "http://x"}), "url", "write amqp://");
        check(json!({"url": ["amqp://127.0.0.1", "amqp://"]}), "url[1]", "not a URL");
        check(json!({"url": "amqp://127.0.0.1/shop"}), "url", "vhost");
        check(json!({"url": "amqp://127.0.0.1/"}), "url", "vhost");
        check(json!({"url": "amqp://127.0.0.1?heartbeat=1"}), "url", "query");
        check(json!({"url": "amqp://a:0"}), "url", "port");
        check(json!({"url": "amqp://a"}), "password", "plain text to a;");
        check(json!({"nobody": 1}), "username", "lets nobody in");
        check(json!({"nobody": 1, "username": "u"}), "password", "missing");
        check(json!({"nobody": 1, "password": {"env": "P"}}), "username", "missing");
        check(json!({"url": "amqps://a", "tls": {}}), "username", "tls.certificate");
        check(json!({"username": "u", "password": {"env": "P"}, "tls": {}}), "tls", "amqps://");
        check(json!({"url": "amqps://a", "tls": {"key": {"env": "K"}}}), "tls.key", "certificate");
        check(json!({"vhost": ""}), "vhost", "write");
        check(json!({"connect_timeout": "0s"}), "connect_timeout", "is 0");
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_being_shown() {
        let wrong = build(json!({"url": "amqp://u:hunter2@a"})).unwrap_err();
        assert!(wrong[0].1.contains("write username and password"), "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }
}
