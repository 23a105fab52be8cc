//! The configuration over the admin API: which is live, why a newer one is not, and how the owner
//! of a state folder changes it.

use ingress::config::Problem as Mistake;
use schemars::JsonSchema;
use schemas::{Class, Fault};
use serde::{Deserialize, Serialize};

use crate::Problem;

/// The configuration that is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// Its version, a digest of its text. In quotes it is the entity tag.
    pub version: String,
    /// Since when it has been live (RFC 3339).
    pub since: String,
    /// How many configurations have been live since the gateway started, this one included.
    pub generation: u64,
    /// What made it live.
    pub by: By,
    /// Where configurations come from.
    pub source: Source,
    /// Whether the source holds another configuration, which was refused.
    pub stale: bool,
    /// How many routes it has.
    pub routes: usize,
    /// How many upstreams it has.
    pub upstreams: usize,
    /// What can be meant so, but probably is not.
    pub warnings: Vec<Mistake>,
    /// The newest that was refused since it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The versions that are kept, the oldest first, where the API owns the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Kept>,
}

/// What brought a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The start of the gateway.
    Start,
    /// A change of the file or the folder.
    File,
    /// SIGHUP.
    Signal,
    /// The admin API.
    Api,
    /// The admin API, back to the version before.
    Rollback,
    /// A start whose own configuration was broken: the last that was good.
    LastGood,
}

/// Where configurations come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Who owns the configuration.
    pub kind: SourceKind,
    /// The file or folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Who owns the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A file or a folder of files, which the gateway follows.
    File,
    /// This API, in the folder of `--state`.
    Api,
    /// The program itself: `gusset dev` without a file.
    BuiltIn,
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// When (RFC 3339).
    pub at: String,
    /// What brought it.
    pub by: By,
    /// Its version.
    pub version: String,
    /// All that is wrong with it.
    pub problems: Vec<Mistake>,
}

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// Its number; each new one is one more.
    pub number: u64,
    /// Its digest.
    pub version: String,
    /// When it was kept (RFC 3339).
    pub at: String,
    /// What brought it.
    pub by: By,
    /// Whether it is live.
    pub live: bool,
}

/// A file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    /// Its name.
    pub name: String,
    /// What is in it, as it was written.
    pub text: String,
}

/// What a rollback takes: nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {}

/// Which version a change is meant for (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Whichever is live.
    Any,
    /// One of these.
    These(Vec<String>),
}

impl IfMatch {
    /// Reads the header: `*`, or entity tags in quotes.
    #[must_use]
    pub fn read(header: &str) -> Option<Self> {
        if header.trim() == "*" {
            return Some(Self::Any);
        }
        let tag = |tag: &str| {
            let tag = tag.trim();
            // A weak tag is well formed and matches nothing.
            let strong = tag.strip_prefix("W/").map_or(tag, |weak| weak);
            let inner = strong.strip_prefix('"')?.strip_suffix('"')?;
            (!inner.contains('"'))
                .then(|| if tag == strong { inner.to_owned() } else { String::new() })
        };
        header.split(',').map(tag).collect::<Option<_>>().map(Self::These)
    }

    /// Whether this version is meant.
    #[must_use]
    pub fn fits(&self, version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag == version),
        }
    }
}

/// Why the configuration was not changed.
#[derive(Debug)]
pub enum NotChanged {
    /// It is a file's.
    NotOurs,
    /// Another version is live than the caller thinks.
    Another {
        /// The version that is live.
        live: String,
    },
    /// It is wrong.
    Wrong(Vec<Mistake>),
    /// No version before the live one is kept.
    NoneBefore,
    /// The folder cannot be written.
    Storage(String),
    /// The gateway is stopping.
    Stopping,
}

impl From<NotChanged> for Problem {
    fn from(why: NotChanged) -> Self {
        match why {
            NotChanged::NotOurs => Fault::new(
                Class::Conflict,
                "the configuration is a file's: change the file, or run the gateway with --state",
            )
            .code("configuration_is_file")
            .into(),
            NotChanged::Another { live } => Self::new(
                Class::PreconditionFailed,
                format!("version {live} is live, not the one of If-Match; look at what it changed"),
            ),
            NotChanged::Wrong(problems) => Self::new(
                Class::Unprocessable,
                format!(
                    "the configuration is wrong in {} places; nothing was changed",
                    problems.len()
                ),
            )
            .with("problems", serde_json::to_value(problems).unwrap_or_default()),
            NotChanged::NoneBefore => Fault::new(
                Class::Conflict,
                "no version before the live one is kept; put the one you want",
            )
            .code("no_previous_version")
            .into(),
            NotChanged::Storage(why) => Self::new(
                Class::Unavailable,
                format!("the state folder cannot be written, so nothing was changed: {why}"),
            ),
            NotChanged::Stopping => Self::new(Class::Unavailable, "the gateway is stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_star_or_strong_tags() {
        let check = |header: &str| IfMatch::read(header).map(|tags| tags.fits("a1"));
        assert_eq!(check("*"), Some(true));
        assert_eq!(check("\"a1\""), Some(true));
        assert_eq!(check("\"b\", \"a1\""), Some(true));
        assert_eq!(check("\"b\""), Some(false));
        assert_eq!(check("W/\"a1\""), Some(false), "a weak tag promises too little");
        for bad in ["a1", "\"a1", "", "\"a\"b\"", "\"a1\","] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }
}
