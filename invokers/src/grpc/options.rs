//! How JSON is read and printed, as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How JSON is read and printed, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JsonMapping")]
pub struct Json {
    /// How fields are named in what is printed; both are read. Default `json`.
    pub names: Option<Names>,
    /// How enum values are printed; both are read. Default `names`.
    pub enums: Option<Enums>,
    /// Whether fields are printed that have their default value. Default false.
    pub defaults: Option<bool>,
    /// What is done with fields that the method does not know. Default `refuse`.
    pub unknown: Option<Unknown>,
}

/// How fields are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// As in the .proto file.
    Original,
    /// In lowerCamelCase, or as `json_name` says.
    Json,
}

/// How enum values are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enums {
    /// By name.
    Names,
    /// By number.
    Numbers,
}

/// What is done with what the method does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// The request is refused.
    Refuse,
    /// It is left out.
    Ignore,
}

impl Json {
    /// The same for whoever transcodes.
    pub(super) fn options(&self, max_message: usize) -> transcoding::Options {
        let default = transcoding::Options::default();
        transcoding::Options {
            names: match self.names {
                Some(Names::Original) => transcoding::Names::Original,
                Some(Names::Json) | None => transcoding::Names::Json,
            },
            enums: match self.enums {
                Some(Enums::Numbers) => transcoding::Enums::Numbers,
                Some(Enums::Names) | None => transcoding::Enums::Names,
            },
            defaults: self.defaults == Some(true),
            unknown: match self.unknown {
                Some(Unknown::Ignore) => transcoding::Unknown::Ignore,
                Some(Unknown::Refuse) | None => transcoding::Unknown::Refuse,
            },
            limits: transcoding::Limits { message_bytes: max_message, ..default.limits },
        }
    }
}
