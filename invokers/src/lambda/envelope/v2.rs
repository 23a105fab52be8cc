//! Version 2.0: HTTP APIs of API Gateway, and function URLs.

use std::{borrow::Cow, net::IpAddr};

use serde::Serialize;

use super::parts::{Joined, Map, Parts};

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: Joined<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_string_parameters: Option<Map<String>>,
    request_context: Context<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    is_base64_encoded: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'static str,
    api_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<Cow<'a, str>>,
    http: Http<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
}

/// Makes it.
pub(super) fn of<'a>(parts: &'a Parts<'a>) -> Document<'a> {
    let decoded = parts.decoded();
    let (body, is_base64_encoded) = parts.body.written();
    Document {
        version: "2.0",
        route_key: "$default",
        raw_path: parts.path,
        raw_query_string: parts.query,
        cookies: parts.cookies(),
        headers: parts.headers.without_cookies().joined(),
        query_string_parameters: (!decoded.is_empty()).then(|| decoded.joined()),
        request_context: Context {
            account_id: "anonymous",
            api_id: "gusset",
            domain_name: parts.host(),
            http: Http {
                method: parts.method.as_str(),
                path: parts.path,
                protocol: "HTTP/1.1",
                source_ip: parts.client,
                user_agent: parts.user_agent(),
            },
            request_id: parts.request_id(),
            route_key: "$default",
            stage: "$default",
            time: parts.time(),
            time_epoch: parts.now,
        },
        body,
        is_base64_encoded,
    }
}
