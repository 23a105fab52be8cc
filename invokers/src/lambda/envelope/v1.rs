//! Version 1.0: REST APIs of API Gateway, and Application Load Balancers, whose document is a part of
//! it. Both name every value; a load balancer leaves the query as it came.

use std::{borrow::Cow, net::IpAddr};

use serde::Serialize;

use super::parts::{Map, Parts};

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    #[serde(flatten)]
    api: Option<Api<'a>>,
    http_method: &'a str,
    path: &'a str,
    headers: Map<Cow<'a, str>>,
    multi_value_headers: Map<Vec<Cow<'a, str>>>,
    query_string_parameters: Option<Map<String>>,
    multi_value_query_string_parameters: Option<Map<Vec<String>>>,
    request_context: Context<'a>,
    body: Option<&'a str>,
    is_base64_encoded: bool,
}

/// What only an API has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Api<'a> {
    version: &'static str,
    resource: &'static str,
    path_parameters: PathParameters<'a>,
    stage_variables: Option<()>,
}

#[derive(Debug, Serialize)]
struct PathParameters<'a> {
    proxy: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Context<'a> {
    Api(Box<ApiContext<'a>>),
    Balancer { elb: Balancer },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Balancer {
    target_group_arn: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiContext<'a> {
    account_id: &'static str,
    api_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<Cow<'a, str>>,
    http_method: &'a str,
    identity: Identity<'a>,
    path: &'a str,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    request_time: String,
    request_time_epoch: i64,
    resource_id: &'static str,
    resource_path: &'static str,
    stage: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    source_ip: Option<IpAddr>,
    user_agent: Option<Cow<'a, str>>,
}

/// Every path of the API is one resource.
const RESOURCE: &str = "/{proxy+}";

/// What a function in a target group is told of it; there is no group here.
const TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:local:000000000000:targetgroup/gusset/0000000000000000";

/// The document of a REST API.
pub(super) fn gateway<'a>(parts: &'a Parts<'a>) -> Document<'a> {
    let context = ApiContext {
        account_id: "anonymous",
        api_id: "gusset",
        domain_name: parts.host(),
        http_method: parts.method.as_str(),
        identity: Identity { source_ip: parts.client, user_agent: parts.user_agent() },
        path: parts.path,
        protocol: "HTTP/1.1",
        request_id: parts.request_id(),
        request_time: parts.time(),
        request_time_epoch: parts.now,
        resource_id: "gusset",
        resource_path: RESOURCE,
        stage: "$default",
    };
    let query = parts.decoded();
    let proxy = parts.path.strip_prefix('/').unwrap_or(parts.path);
    let some = !query.is_empty();
    Document {
        api: Some(Api {
            version: "1.0",
            resource: RESOURCE,
            path_parameters: PathParameters { proxy },
            stage_variables: None,
        }),
        query_string_parameters: some.then(|| query.last()),
        multi_value_query_string_parameters: some.then(|| query.multi()),
        request_context: Context::Api(Box::new(context)),
        ..common(parts)
    }
}

/// The document of a load balancer.
pub(super) fn balancer<'a>(parts: &'a Parts<'a>) -> Document<'a> {
    let query = parts.raw();
    let common = common(parts);
    Document {
        query_string_parameters: Some(query.last()),
        multi_value_query_string_parameters: Some(query.multi()),
        body: common.body.or(Some("")),
        ..common
    }
}

fn common<'a>(parts: &'a Parts<'a>) -> Document<'a> {
    let (body, is_base64_encoded) = parts.body.written();
    Document {
        api: None,
        http_method: parts.method.as_str(),
        path: parts.path,
        headers: parts.headers.last(),
        multi_value_headers: parts.headers.multi(),
        query_string_parameters: None,
        multi_value_query_string_parameters: None,
        request_context: Context::Balancer { elb: Balancer { target_group_arn: TARGET_GROUP } },
        body,
        is_base64_encoded,
    }
}
