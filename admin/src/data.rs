//! Bytes in JSON: as text where they are text, else as base64, so that they never change.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The two fields of [`Data`] do not stand together.
#[derive(Debug)]
pub(crate) struct NotBoth;

impl schemars::transform::Transform for NotBoth {
    fn transform(&mut self, schema: &mut schemars::Schema) {
        let text = serde_json::json!({ "type": "string" });
        schema.insert(
            "not".to_owned(),
            serde_json::json!({
                "required": ["data", "data_base64"],
                "properties": { "data": text, "data_base64": text },
            }),
        );
    }
}

/// What is base64 with padding (RFC 4648, section 4), to the last bit.
pub(crate) const BASE64: &str = "^([A-Za-z0-9+/]{4})*\
     ([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// Headers as pairs of name and value (RFC 9110, section 5).
pub(crate) fn headers(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let text = serde_json::json!({ "type": "string" });
    let pair = serde_json::json!({ "type": "array", "items": text, "minItems": 2, "maxItems": 2 });
    schemars::json_schema!({ "type": "array", "items": pair })
}

/// Bytes in a JSON document: exactly one of the two fields, or none for no bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Data {
    /// The bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The bytes in base64, where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

impl Data {
    /// The bytes themselves.
    ///
    /// # Errors
    /// A sentence, if both fields are there or the base64 is none.
    pub fn bytes(&self) -> Result<Bytes, String> {
        match (&self.data, &self.data_base64) {
            (Some(_), Some(_)) => Err("both data and data_base64; write one of them".to_owned()),
            (Some(text), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(coded)) => BASE64_STANDARD
                .decode(coded)
                .map(Bytes::from)
                .map_err(|_| "data_base64 is not base64; write it with padding".to_owned()),
            (None, None) => Ok(Bytes::new()),
        }
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok("") => Self::default(),
            Ok(text) => Self { data: Some(text.to_owned()), data_base64: None },
            Err(_) => Self { data: None, data_base64: Some(BASE64_STANDARD.encode(bytes)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        for bytes in [&b""[..], b"{\"a\": 1}", "grüße".as_bytes(), b"\xff\x00\xfe"] {
            assert_eq!(Data::from(bytes).bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn two_fields_or_bad_base64_are_refused() {
        let both = Data { data: Some("a".into()), data_base64: Some("YQ==".into()) };
        assert!(both.bytes().is_err());
        assert!(Data { data: None, data_base64: Some("?".into()) }.bytes().is_err());
    }
}
