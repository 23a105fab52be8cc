//! The JSON Schema of a configuration, made from the types that read it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use schemas::Name;
use serde_json::{Map, Value};

use super::written::{Admin, Embedded, Listen, OutboxOnJetstream, Replicas, Route, Source};

/// A field at the top of a file.
pub(super) struct Section {
    pub(super) name: &'static str,
    about: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// The fields at the top of a file. The loader reads no others.
pub(super) const SECTIONS: [Section; 11] = [
    Section {
        name: "version",
        about: "The version of this dialect. Must be 1.",
        schema: |_| json_schema!({ "const": 1 }),
    },
    Section {
        name: "listen",
        about: "Where requests arrive: one address, or a list of named ones. Default: 127.0.0.1:8080.",
        schema: |schemas| Listen::json_schema(schemas),
    },
    Section {
        name: "admin",
        about: "Where the admin API, /metrics, /healthz and /readyz are: an address, or a mapping with a token, which any address but loopback needs. Default: 127.0.0.1:8081.",
        schema: |schemas| Admin::json_schema(schemas),
    },
    Section {
        name: "events_path",
        about: "Where event routes without a path of their own listen, for POST only. Default: /events.",
        schema: |_| json_schema!({ "type": "string", "pattern": "^/", "examples": ["/events"] }),
    },
    Section {
        name: "trusted_proxies",
        about: "Proxies that are believed about where a request comes from, as networks: X-Forwarded-*, Forwarded, X-Request-Id and trace headers of everybody else are replaced. Default: nobody, loopback included.",
        schema: |_| {
            json_schema!({
                "type": "array",
                "items": { "type": "string" },
                "examples": [["10.0.0.0/8", "2001:db8::/32"]]
            })
        },
    },
    Section {
        name: "upstreams",
        about: "The places that hold functions, by name.",
        schema: |schemas| BTreeMap::<Name, Upstream>::json_schema(schemas),
    },
    Section {
        name: "routes",
        about: "Which requests become calls of which functions. Their order never matters.",
        schema: |schemas| Vec::<Route>::json_schema(schemas),
    },
    Section {
        name: "sources",
        about: "What consumes topics and gives their events to routes (`match.source`), by name.",
        schema: |schemas| BTreeMap::<Name, Source>::json_schema(schemas),
    },
    Section {
        name: "outbox",
        about: "Where events are kept that are accepted before they are delivered (`ack: stored`). Without it: in files in the folder data/outbox.",
        schema: |schemas| schemas.subschema_for::<Outbox>(),
    },
    Section {
        name: "replicas",
        about: "How many gateways run this configuration: `one` or `many`. With `many`, what holds only for one is refused. Default: one.",
        schema: |schemas| Replicas::json_schema(schemas),
    },
    Section {
        name: "policies",
        about: "Policies by name. `default` applies to every route, and its guards to every upstream; a route names others with `use`.",
        schema: policies,
    },
];

/// The JSON Schema (2020-12) of a configuration file.
#[must_use]
pub fn schema() -> Value {
    let mut schemas = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut properties = Map::new();
    for section in &SECTIONS {
        let mut schema = (section.schema)(&mut schemas);
        schema.insert("description".to_owned(), section.about.into());
        properties.insert(section.name.to_owned(), schema.into());
    }
    let mut root = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gusset configuration",
        "description": "A configuration of the gateway, or one file of several.",
        "type": "object",
    });
    root.insert("properties".to_owned(), properties.into());
    root.insert("additionalProperties".to_owned(), false.into());
    root.insert("$defs".to_owned(), schemas.take_definitions(true).into());
    without_null(root.into())
}

/// Takes `null` out of what may stand in a field: to leave a field out is to leave its name out.
fn without_null(schema: Value) -> Value {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|word| word == "null");
    match schema {
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        Value::Object(mut fields) => {
            if let Some(Value::Array(words)) = fields.get_mut("type") {
                words.retain(|word| word != "null");
                if let [only] = words.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(forms)) = fields.get_mut("anyOf") {
                forms.retain(|form| !is_null(form));
                if let [only] = forms.as_mut_slice()
                    && let Value::Object(only) = only.take()
                {
                    fields.remove("anyOf");
                    for (name, value) in only {
                        fields.entry(name).or_insert(value);
                    }
                }
            }
            fields.into_iter().map(|(name, value)| (name, without_null(value))).collect()
        }
        other => other,
    }
}

/// An upstream: what its kind takes, and the word for the kind.
struct Upstream;

impl JsonSchema for Upstream {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Upstream".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let kinds = [
            ("http", invokers::http::Written::json_schema(schemas)),
            ("grpc", invokers::grpc::Written::json_schema(schemas)),
            ("nats", invokers::nats::Written::json_schema(schemas)),
            ("amqp", invokers::amqp::Written::json_schema(schemas)),
            ("embedded", Embedded::json_schema(schemas)),
            ("lambda", invokers::lambda::Written::json_schema(schemas)),
            ("openfaas", invokers::openfaas::Written::json_schema(schemas)),
            ("azure-functions", invokers::azure::Written::json_schema(schemas)),
            ("google-functions", invokers::google::Written::json_schema(schemas)),
            ("knative", invokers::knative::Written::json_schema(schemas)),
        ];
        let branches: Vec<Schema> = kinds
            .into_iter()
            .map(|(kind, schema)| with_guards(branch(kind, schema), schemas))
            .collect();
        json_schema!({ "description": "A place that holds functions.", "oneOf": branches })
    }
}

/// An outbox: in files, or on JetStream.
struct Outbox;

impl JsonSchema for Outbox {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Outbox".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let kinds = [
            outbox::config::Written::json_schema(schemas),
            branch("jetstream", OutboxOnJetstream::json_schema(schemas)),
        ];
        json_schema!({
            "description": "Where events are kept that were accepted and not yet delivered.",
            "oneOf": kinds
        })
    }
}

/// Policies by name, of which `default` may say more than the others.
fn policies(schemas: &mut SchemaGenerator) -> Schema {
    let mut all = BTreeMap::<Name, policy::Written>::json_schema(schemas);
    let default = with_guards(policy::Written::json_schema(schemas), schemas);
    let object = all.ensure_object();
    // Any name but that one, which the pattern would fit too.
    if let Some(Value::Object(by_name)) = object.get_mut("patternProperties") {
        *by_name = std::mem::take(by_name)
            .into_iter()
            .map(|(pattern, policy)| (pattern.replacen('^', "^(?!default$)", 1), policy))
            .collect();
    }
    object.insert("properties".to_owned(), serde_json::json!({ "default": default }));
    all
}

/// The same, with what guards an upstream.
fn with_guards(mut schema: Schema, schemas: &mut SchemaGenerator) -> Schema {
    let mut guards = policy::GuardsWritten::json_schema(schemas);
    if let Some(Value::Object(guards)) = guards.ensure_object().remove("properties")
        && let Some(Value::Object(own)) = schema.ensure_object().get_mut("properties")
    {
        own.extend(guards);
    }
    schema
}

/// What one kind takes, with `kind` in front.
fn branch(kind: &str, mut schema: Schema) -> Schema {
    let object = schema.ensure_object();
    let mut properties = Map::from_iter([(
        "kind".to_owned(),
        serde_json::json!({ "const": kind, "description": "Its kind." }),
    )]);
    if let Some(Value::Object(own)) = object.remove("properties") {
        properties.extend(own);
    }
    let mut required = vec![Value::from("kind")];
    if let Some(Value::Array(own)) = object.remove("required") {
        required.extend(own);
    }
    object.insert("properties".to_owned(), properties.into());
    object.insert("required".to_owned(), required.into());
    schema
}
