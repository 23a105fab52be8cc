//! What would become of a request: how it is asked. What is told is
//! [`ingress::explain::Explained`].

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use ingress::explain::Question;
use schemars::JsonSchema;
use schemas::Class;
use serde::{Deserialize, Serialize};

use crate::{
    Problem,
    data::{self, BASE64, Data, NotBoth},
};

/// A request that is only asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplainRequest", transform = NotBoth)]
pub struct Asked {
    /// Its method.
    #[schemars(regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    pub method: String,
    /// A whole URL, or path and query; then the host is the Host header's, or localhost.
    #[schemars(regex(pattern = "^(/|[Hh][Tt][Tt][Pp][Ss]?://)"))]
    pub url: String,
    /// Its headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data::headers")]
    pub headers: Vec<(String, String)>,
    /// Its body, where that is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Its body in base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = BASE64))]
    pub data_base64: Option<String>,
    /// The listener on which it arrives. Default: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// Makes the question of what was asked.
///
/// # Errors
/// If this could be no request.
pub fn question(asked: &Asked) -> Result<Question, Problem> {
    let bad = |what: String| Problem::new(Class::BadRequest, what);
    let method: Method =
        asked.method.parse().map_err(|_| bad(format!("{:?} is no method", asked.method)))?;
    let uri: Uri =
        asked.url.parse().ok().filter(|uri: &Uri| uri.path().starts_with('/')).ok_or_else(
            || bad(format!("{:?} is no URL; write /path or http://host/path", asked.url)),
        )?;
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        let key: HeaderName = name.parse().map_err(|_| bad(format!("{name:?} is no header")))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| bad(format!("the value of the header {name} is no text on one line")))?;
        headers.append(key, value);
    }
    if uri.authority().is_none() && !headers.contains_key(header::HOST) {
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let data = Data { data: asked.data.clone(), data_base64: asked.data_base64.clone() };
    let body = data.bytes().map_err(bad)?;
    Ok(Question { method, uri, headers, body, listener: asked.listener.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, url: &str) -> Result<Question, Problem> {
        question(&Asked { method: method.into(), url: url.into(), ..Asked::default() })
    }

    #[test]
    fn a_path_alone_is_asked_of_localhost() {
        assert_eq!(check("GET", "/a?b").unwrap().headers[header::HOST], "localhost");
        let whole = check("GET", "http://shop.example.com/a").unwrap();
        assert_eq!(whole.uri.authority().unwrap().as_str(), "shop.example.com");
        assert!(whole.headers.is_empty());
    }

    #[test]
    fn what_could_be_no_request_is_refused() {
        for (method, url) in [("GET", "a"), ("GE T", "/"), ("GET", "shop.example.com:80")] {
            assert!(check(method, url).is_err(), "{method} {url}");
        }
    }
}
