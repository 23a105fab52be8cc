//! When a JetStream server syncs to its disk what it has acknowledged: by default not at once but
//! every two minutes, so that a power cut loses what was acknowledged in between.
//!
//! The setting stands in the server's configuration. It is told by the monitoring port (`/jsz`) and
//! by the system account (`$SYS.REQ.SERVER.PING.JSZ`), where an account may import that. In a
//! cluster the weakest server counts, and one that says nothing makes the whole unknown.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::units::Span;
use serde::Deserialize;

use super::config::Target;
use crate::{
    Tools,
    client::{Origin, fetch},
    tls::Tls,
    urls::Urls,
};

/// How long one server may take to say it.
const WITHIN: Duration = Duration::from_secs(2);

/// How long is waited for further servers of a cluster once one has answered.
const QUIET: Duration = Duration::from_millis(300);

/// How large an answer may be.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How many servers are listened to.
const SERVERS_MAX: usize = 64;

/// When what was acknowledged is synced; a weaker one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sync {
    /// Before it is acknowledged.
    Always,
    /// Every so often.
    Every(Duration),
    /// Nobody says it.
    Unknown,
}

/// In a word: `always`, a time such as `2m`, or `unknown`.
impl fmt::Display for Sync {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => out.write_str("always"),
            Self::Every(span) => Span(*span).fmt(out),
            Self::Unknown => out.write_str("unknown"),
        }
    }
}

/// The monitoring ports of the servers.
#[derive(Clone, Debug)]
pub struct Monitor {
    origins: Vec<Arc<Origin>>,
    tls: Option<Tls>,
}

impl Monitor {
    /// Checks the URLs, which stand in the field `monitor`. Opens nothing.
    ///
    /// # Errors
    /// Each thing that is wrong: the field's path, and what to write.
    pub fn build(urls: &Urls, tls: Option<&Tls>) -> Result<Self, Vec<(String, String)>> {
        const EXAMPLE: &str = "write one such as http://127.0.0.1:8222";
        let mut wrong = Vec::new();
        let mut origins = Vec::new();
        for (field, url) in urls.each_of("monitor") {
            if url.contains('@') {
                wrong.push((field, "holds a user, which a monitoring port never asks for".into()));
                continue;
            }
            match Origin::parse(url, None) {
                Ok(origin) => origins.push(Arc::new(origin)),
                Err(_) => wrong.push((field, format!("is no http:// or https:// URL; {EXAMPLE}"))),
            }
        }
        if origins.is_empty() && wrong.is_empty() {
            wrong.push(("monitor".to_owned(), format!("is empty; {EXAMPLE}")));
        }
        if wrong.is_empty() { Ok(Self { origins, tls: tls.cloned() }) } else { Err(wrong) }
    }

    async fn read(&self, tools: &Tools) -> Sync {
        let mut heard = Heard::default();
        for origin in &self.origins {
            let tls = self.tls.as_ref();
            let fetched = fetch(origin, "/jsz", tls, tools, WITHIN, ANSWER_BYTES_MAX).await;
            match fetched.ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                Some(said) => heard.note(said),
                None => return Sync::Unknown,
            }
        }
        heard.weakest()
    }
}

/// What the monitors of an upstream say.
pub async fn monitored(target: &Target, tools: &Tools) -> Sync {
    read(target.monitor.as_ref(), None, tools).await
}

/// Reads the setting: from the monitoring ports if there are any, else over a connection whose
/// account may ask. Takes some seconds at most.
pub async fn read(monitor: Option<&Monitor>, client: Option<&Client>, tools: &Tools) -> Sync {
    match (monitor, client) {
        (Some(monitor), _) => monitor.read(tools).await,
        (None, Some(client)) => ask(client).await.unwrap_or(Sync::Unknown),
        (None, None) => Sync::Unknown,
    }
}

/// Asks every server that this one knows. An account that may not is told so at once.
async fn ask(client: &Client) -> Option<Sync> {
    #[derive(Deserialize)]
    struct Answer {
        data: Jsz,
    }
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.ok()?;
    let subject = "$SYS.REQ.SERVER.PING.JSZ";
    client.publish_with_reply(subject, inbox, Bytes::new()).await.ok()?;
    let mut heard = Heard::default();
    let mut wait = WITHIN;
    while let Ok(Some(message)) = tokio::time::timeout(wait, answers.next()).await {
        let Ok(answer) = serde_json::from_slice::<Answer>(&message.payload) else { break };
        heard.note(answer.data);
        if heard.is_whole() || heard.by_server.len() >= SERVERS_MAX {
            break;
        }
        wait = QUIET;
    }
    Some(heard.weakest())
}

/// What one server says of JetStream.
#[derive(Deserialize)]
struct Jsz {
    #[serde(default)]
    server_id: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    config: Settings,
    meta_cluster: Option<Cluster>,
}

#[derive(Default, Deserialize)]
struct Settings {
    /// In nanoseconds.
    sync_interval: Option<u64>,
    #[serde(default)]
    sync_always: bool,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    cluster_size: usize,
}

impl Settings {
    fn sync(&self) -> Sync {
        match self.sync_interval {
            _ if self.sync_always => Sync::Always,
            Some(nanos) if nanos > 0 => Sync::Every(Duration::from_nanos(nanos)),
            _ => Sync::Unknown,
        }
    }
}

/// What the servers say.
#[derive(Default)]
struct Heard {
    by_server: BTreeMap<String, Sync>,
    /// How many servers with JetStream there are, as far as one says.
    servers: usize,
}

impl Heard {
    fn note(&mut self, said: Jsz) {
        if said.disabled {
            return;
        }
        self.servers = self.servers.max(said.meta_cluster.map_or(1, |one| one.cluster_size));
        self.by_server.insert(said.server_id, said.config.sync());
    }

    fn is_whole(&self) -> bool {
        self.by_server.len() >= self.servers.max(1)
    }

    fn weakest(&self) -> Sync {
        let weakest = self.by_server.values().max().copied();
        weakest.filter(|_| self.is_whole()).unwrap_or(Sync::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(answers: &[&str]) -> Sync {
        let mut heard = Heard::default();
        for answer in answers {
            heard.note(serde_json::from_str(answer).unwrap());
        }
        heard.weakest()
    }

    #[test]
    fn a_setting_is_shown_in_a_word() {
        for (sync, shown) in [
            (Sync::Always, "always"),
            (Sync::Every(Duration::from_secs(120)), "2m"),
            (Sync::Every(Duration::from_millis(500)), "500ms"),
            (Sync::Unknown, "unknown"),
        ] {
            assert_eq!(sync.to_string(), shown);
        }
    }

    #[test]
    fn the_weakest_server_counts_and_a_silent_one_makes_it_unknown() {
        let always =
            r#"{"server_id":"A","config":{"sync_interval":120000000000,"sync_always":true}}"#;
        let default = r#"{"server_id":"B","config":{"sync_interval":120000000000}}"#;
        let old = r#"{"server_id":"C","config":{"max_memory":1}}"#;
        let none = r#"{"server_id":"D","disabled":true,"config":{}}"#;
        let of_two =
            r#"{"server_id":"E","config":{"sync_always":true},"meta_cluster":{"cluster_size":2}}"#;
        let every = Sync::Every(Duration::from_secs(120));
        assert_eq!(heard(&[always]), Sync::Always);
        assert_eq!(heard(&[always, none]), Sync::Always);
        assert_eq!(heard(&[always, default]), every);
        assert_eq!(heard(&[default, old]), Sync::Unknown);
        assert_eq!(heard(&[of_two]), Sync::Unknown);
        assert_eq!(heard(&[of_two, of_two]), Sync::Unknown);
        assert_eq!(heard(&[of_two, always]), Sync::Always);
        assert_eq!(heard(&[none]), Sync::Unknown);
        assert_eq!(heard(&[]), Sync::Unknown);
    }

    #[test]
    fn what_is_no_monitoring_port_is_named_with_what_to_write() {
        let check = |urls, field: &str, said: &str| {
            let wrong = Monitor::build(&urls, None).unwrap_err();
            assert_eq!(wrong.len(), 1);
            assert!(wrong[0].0 == field && wrong[0].1.contains(said), "{wrong:?}");
        };
        check(Urls::One("nats://a".into()), "monitor", "write one such as http://");
        check(Urls::Many(vec!["http://a".into(), "x".into()]), "monitor[1]", "is no http://");
        check(Urls::One("http://u:p@a:8222".into()), "monitor", "holds a user");
        check(Urls::Many(Vec::new()), "monitor", "is empty");
        assert!(Monitor::build(&Urls::One("https://a:8222".into()), None).is_ok());
    }
}
