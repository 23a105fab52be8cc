//! The option `google.api.http` of a method, read from the raw bytes of its options.
//!
//! An option that is an extension is dropped by types that were generated without it, and is
//! only known to a descriptor pool that has google/api/annotations.proto. The bytes always are there.

use std::fmt;

use prost::Message as _;

/// One way to reach a method by plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The HTTP method; `*` is any.
    pub method: String,
    /// The path template, as it is written.
    pub template: String,
    /// Which part of the message the body is.
    pub body: RuleBody,
    /// The field of the answer that the body of the response is; the whole if there is none.
    pub response_body: Option<String>,
}

/// Which part of the message the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleBody {
    /// The request has no body; what the path does not set is in the query.
    None,
    /// `*`: everything that the path does not set.
    Whole,
    /// One field; the rest is in the query.
    Field(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct MethodOptions {
    #[prost(message, optional, tag = "72295728")]
    http: Option<HttpRule>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpRule {
    #[prost(oneof = "Pattern", tags = "2, 3, 4, 5, 6, 8")]
    pattern: Option<Pattern>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(string, tag = "12")]
    response_body: String,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<HttpRule>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Pattern {
    #[prost(string, tag = "2")]
    Get(String),
    #[prost(string, tag = "3")]
    Put(String),
    #[prost(string, tag = "4")]
    Post(String),
    #[prost(string, tag = "5")]
    Delete(String),
    #[prost(string, tag = "6")]
    Patch(String),
    #[prost(message, tag = "8")]
    Custom(CustomHttpPattern),
}

#[derive(Clone, PartialEq, prost::Message)]
struct CustomHttpPattern {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

/// Reads the rules of a method from the bytes of its `google.protobuf.MethodOptions`.
pub(crate) fn rules(options: &[u8]) -> Result<Vec<Rule>, String> {
    let options = MethodOptions::decode(options)
        .map_err(|cause| format!("has a google.api.http that cannot be read: {cause}"))?;
    let Some(http) = options.http else { return Ok(Vec::new()) };
    if http.additional_bindings.iter().any(|rule| !rule.additional_bindings.is_empty()) {
        return Err("has additional_bindings within additional_bindings".to_owned());
    }
    let mut rules = vec![http.clone()];
    rules.extend(http.additional_bindings);
    rules.into_iter().map(rule).collect()
}

fn rule(http: HttpRule) -> Result<Rule, String> {
    let (method, template) = match http.pattern {
        Some(Pattern::Get(path)) => ("GET".to_owned(), path),
        Some(Pattern::Put(path)) => ("PUT".to_owned(), path),
        Some(Pattern::Post(path)) => ("POST".to_owned(), path),
        Some(Pattern::Delete(path)) => ("DELETE".to_owned(), path),
        Some(Pattern::Patch(path)) => ("PATCH".to_owned(), path),
        Some(Pattern::Custom(custom)) if custom.kind.is_empty() => {
            return Err(format!("has a custom method without a kind for `{}`", custom.path));
        }
        Some(Pattern::Custom(custom)) => (custom.kind, custom.path),
        None => return Err("has a google.api.http without a path".to_owned()),
    };
    let body = match http.body.as_str() {
        "" => RuleBody::None,
        "*" => RuleBody::Whole,
        _ => RuleBody::Field(http.body),
    };
    let response_body = Some(http.response_body).filter(|field| !field.is_empty());
    Ok(Rule { method, template, body, response_body })
}
