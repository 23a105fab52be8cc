//! The servers of a broker as they are written.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One URL or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Urls {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Urls {
    /// Each with the path of its field, where they are what `url` says.
    pub(crate) fn each(&self) -> Vec<(String, &str)> {
        self.each_of("url")
    }

    /// Each with the path of its field.
    pub(crate) fn each_of(&self, field: &str) -> Vec<(String, &str)> {
        match self {
            Self::One(url) => vec![(field.to_owned(), url)],
            Self::Many(urls) => {
                let named = urls.iter().enumerate();
                named.map(|(at, url)| (format!("{field}[{at}]"), url.as_str())).collect()
            }
        }
    }
}

/// Whether what is sent to this host stays on this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
