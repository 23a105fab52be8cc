//! Bytes as JSON has them: the values of headers, and hashes.

use std::fmt::{self, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// The value of a header: text, or bytes that are no text in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes {
        /// In base64.
        base64: String,
    },
}

/// Bytes that are written as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hex(String);

impl Text {
    /// This value.
    pub(super) fn of(value: &HeaderValue) -> Self {
        match str::from_utf8(value.as_bytes()) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: BASE64_STANDARD.encode(value.as_bytes()) },
        }
    }

    /// The value again; none if no header can have it.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        match self {
            Self::Text(text) => HeaderValue::from_bytes(text.as_bytes()).ok(),
            Self::Bytes { base64 } => {
                HeaderValue::from_bytes(&BASE64_STANDARD.decode(base64).ok()?).ok()
            }
        }
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Hex {
    /// Writes bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            // Writing into a string cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        Self(text)
    }

    /// The 32 bytes of an identity.
    #[must_use]
    pub fn bytes(&self) -> Option<[u8; 32]> {
        let mut all = [0; 32];
        if self.0.len() != 64 || !self.0.is_ascii() {
            return None;
        }
        for (at, byte) in all.iter_mut().enumerate() {
            *byte = u8::from_str_radix(self.0.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(all)
    }
}
