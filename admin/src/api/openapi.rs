//! The OpenAPI document, made of the types that cross the wire and of the list below. The
//! committed one is compared with it, and with what the router does.

use std::collections::BTreeSet;

use http::Method;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use tower_service::Service as _;

use super::{tests::Fake, *};
use crate::{OPENAPI, stored};

const YAML: &str = "application/yaml";
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain";

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    says: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    /// What it answers when all is well.
    ok: Value,
    /// Statuses of problems that are its own.
    problems: &'static [u16],
}

struct Schemas {
    asked: SchemaGenerator,
    told: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            asked: settings().for_deserialize().into_generator(),
            told: settings().for_serialize().into_generator(),
        }
    }

    fn asked<T: JsonSchema>(&mut self) -> Value {
        let schema = self.asked.subschema_for::<T>();
        let schema = with_media(JSON, schema.into());
        json!({ "required": true, "content": schema })
    }

    fn told<T: JsonSchema>(&mut self, says: &str) -> Value {
        let schema = self.told.subschema_for::<T>();
        json!({ "description": says, "content": with_media(JSON, schema.into()) })
    }
}

fn with_media(media: &str, schema: Value) -> Value {
    Value::Object(Map::from_iter([(media.to_owned(), json!({ "schema": schema }))]))
}

fn text(media: &str, says: &str) -> Value {
    json!({ "description": says, "content": with_media(media, json!({ "type": "string" })) })
}

fn parameter(place: &str, name: &str, says: &str, schema: Value) -> Value {
    json!({ "in": place, "name": name, "required": true, "description": says, "schema": schema })
}

/// The fields of a shape as parameters of a query. None of them must be there.
fn query<T: JsonSchema>(schemas: &mut Schemas) -> Vec<Value> {
    let reference = Value::from(schemas.asked.subschema_for::<T>());
    let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let fields = schemas.asked.definitions()[&name]["properties"].as_object().unwrap().clone();
    let parameters = fields.into_iter().map(|(name, mut schema)| {
        let says = schema.as_object_mut().unwrap().remove("description").unwrap();
        // What is not said is left out, and not null.
        if let Some(first) = schema.pointer("/anyOf/0").cloned() {
            schema = first;
        } else if let Some(first) = schema.pointer("/type/0").cloned() {
            schema["type"] = first;
        }
        let mut parameter = parameter("query", &name, says.as_str().unwrap(), schema);
        parameter["required"] = false.into();
        parameter
    });
    parameters.collect()
}

fn number() -> Vec<Value> {
    let schema = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    vec![parameter("path", "number", "The record's number.", schema)]
}

fn if_match() -> Value {
    let says = "The version that is meant: the ETag of /api/v1/config, or *.";
    let schema = json!({ "type": "string", "pattern": r#"^(\*|"[0-9a-f]{12}")$"# });
    parameter("header", "If-Match", says, schema)
}

fn tagged(mut answer: Value) -> Value {
    answer["headers"] = json!({ "ETag": {
        "description": "The version, in quotes.", "schema": { "type": "string" },
    }});
    answer
}

fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let get = |path, id, says, ok| Operation {
        method: "get",
        path,
        id,
        says,
        parameters: Vec::new(),
        body: None,
        ok,
        problems: &[],
    };
    let config = tagged(schemas.told::<config::Config>("The configuration that is live."));
    let put_body = json!({ "required": true, "content": {
        YAML: { "schema": { "type": "object" } },
        JSON: { "schema": { "type": "object" } },
    }});
    vec![
        get("/healthz", "health", "Whether the process lives.", text(PLAIN, "It does.")),
        Operation {
            problems: &[503],
            ..get(
                "/readyz",
                "ready",
                "Whether requests are taken; 503 from the start of a drain.",
                schemas.told::<Ready>("They are."),
            )
        },
        get(
            "/metrics",
            "metrics",
            "All metrics, in the Prometheus text format 0.0.4.",
            text(PLAIN, "They."),
        ),
        get(
            "/api/v1/routes",
            "routes",
            "The routes, in the order of the file.",
            schemas.told::<Vec<views::RouteView>>("They."),
        ),
        get(
            "/api/v1/upstreams",
            "upstreams",
            "The upstreams, sorted by name.",
            schemas.told::<Vec<views::UpstreamView>>("They."),
        ),
        Operation {
            parameters: vec![parameter(
                "path",
                "upstream",
                "The upstream's name.",
                json!({ "type": "string", "minLength": 1 }),
            )],
            problems: &[400, 404, 502, 503, 504],
            ..get(
                "/api/v1/upstreams/{upstream}/functions",
                "listed",
                "The functions that the platform of an upstream has, sorted by address.",
                schemas.told::<Vec<views::ListedView>>("They."),
            )
        },
        Operation {
            parameters: vec![parameter(
                "path",
                "upstream",
                "The name of an upstream of kind grpc.",
                json!({ "type": "string", "minLength": 1 }),
            )],
            problems: &[404, 503],
            ..get(
                "/api/v1/upstreams/{upstream}/openapi.json",
                "upstream_openapi",
                "An OpenAPI 3.1 document of the services of an upstream of kind grpc, by their HTTP rules.",
                json!({
                    "description": "It.",
                    "content": with_media(JSON, json!({ "type": "object" })),
                }),
            )
        },
        get(
            "/api/v1/functions",
            "functions",
            "The functions that routes name, sorted by address.",
            schemas.told::<Vec<views::FunctionView>>("They."),
        ),
        Operation {
            method: "post",
            path: "/api/v1/functions/{address}/breaker",
            id: "force_breaker",
            says: "Holds a function's circuit breaker open or closed, or leaves it to itself.",
            parameters: vec![parameter(
                "path",
                "address",
                "The function's address as written, percent-encoded: bus%2Forders.created.",
                json!({ "type": "string", "minLength": 1 }),
            )],
            body: Some(schemas.asked::<Force>()),
            ok: schemas.told::<views::FunctionView>("The function, its breaker as it is now."),
            problems: &[400, 404, 408, 413, 415],
        },
        get(
            "/api/v1/records",
            "records",
            "The newest requests, the newest last. Under load a sample; failures are always kept.",
            schemas.told::<Vec<views::RecordView>>("They."),
        ),
        get(
            "/api/v1/config",
            "config",
            "Which configuration is live, and why a newer one is not.",
            config.clone(),
        ),
        Operation {
            method: "put",
            path: "/api/v1/config",
            id: "put_config",
            says: "Makes another configuration live, where the gateway runs with --state.",
            parameters: vec![if_match()],
            body: Some(put_body),
            ok: config.clone(),
            problems: &[400, 408, 409, 412, 413, 415, 422, 428, 503],
        },
        get(
            "/api/v1/config/files",
            "config_files",
            "The files of the configuration that is live, as they were written.",
            schemas.told::<Vec<config::Text>>("They."),
        ),
        Operation {
            method: "post",
            path: "/api/v1/config/rollback",
            id: "roll_back",
            says: "Makes the version live that was live before the live one was put.",
            parameters: vec![if_match()],
            body: Some(schemas.asked::<config::RollBack>()),
            ok: config,
            problems: &[400, 408, 409, 412, 413, 415, 422, 428, 503],
        },
        get(
            "/api/v1/outbox",
            "outbox",
            "What the outbox holds, by target and in all.",
            schemas.told::<stored::Sums>("It."),
        ),
        Operation {
            problems: &[503],
            ..get(
                "/api/v1/outbox/dead",
                "newest_dead_letters",
                "The newest dead letters that were not replayed, the newest first.",
                schemas.told::<Vec<stored::Latest>>("They."),
            )
        },
        Operation {
            parameters: query::<stored::Which>(schemas),
            problems: &[404, 503],
            ..get(
                "/api/v1/outbox/records",
                "outbox_records",
                "Records of the outbox, by rising number.",
                schemas.told::<stored::Listed>("They."),
            )
        },
        Operation {
            parameters: number(),
            problems: &[404, 503],
            ..get(
                "/api/v1/outbox/records/{number}",
                "outbox_record",
                "One record with its event, its tries, and when it is tried next.",
                schemas.told::<stored::Letter>("It."),
            )
        },
        Operation {
            method: "delete",
            parameters: number(),
            problems: &[404, 409, 503],
            ..get(
                "/api/v1/outbox/records/{number}",
                "drop_record",
                "Drops one record, unless it is being delivered.",
                schemas.told::<stored::Latest>("What was dropped."),
            )
        },
        Operation {
            method: "post",
            path: "/api/v1/outbox/count",
            id: "count_records",
            says: "Counts records. Of very many it says where to go on.",
            parameters: Vec::new(),
            body: Some(schemas.asked::<stored::Which>()),
            ok: schemas.told::<stored::Counted>("How many."),
            problems: &[400, 404, 408, 413, 415, 503],
        },
        Operation {
            method: "post",
            path: "/api/v1/outbox/drop",
            id: "drop_records",
            says: "Drops some of the records that are asked for, and says where to go on. Those that \
                   are being delivered stay.",
            parameters: Vec::new(),
            body: Some(schemas.asked::<stored::Which>()),
            ok: schemas.told::<stored::Dropped>("How many."),
            problems: &[400, 404, 408, 413, 415, 503],
        },
        Operation {
            method: "post",
            path: "/api/v1/outbox/replay",
            id: "replay",
            says: "Stores some of the dead letters once more, for a target of the live \
                   configuration, marks them as replayed, and says where to go on.",
            parameters: Vec::new(),
            body: Some(schemas.asked::<stored::Replay>()),
            ok: schemas.told::<stored::Replayed>("How many."),
            problems: &[400, 404, 408, 413, 415, 503, 507],
        },
        Operation {
            method: "post",
            path: "/api/v1/explain",
            id: "explain",
            says: "What would become of a request, and why. Sends nothing.",
            parameters: Vec::new(),
            body: Some(schemas.asked::<explain::Asked>()),
            ok: schemas.told::<ingress::explain::Explained>("The account."),
            problems: &[400, 408, 413, 415],
        },
        Operation {
            method: "post",
            path: "/api/v1/invoke",
            id: "invoke",
            says: "Calls one function by its address.",
            parameters: Vec::new(),
            body: Some(schemas.asked::<invoke::Asked>()),
            ok: schemas.told::<invoke::Outcome>("What it came to."),
            problems: &[400, 408, 413, 415, 502, 503, 504],
        },
        Operation {
            parameters: vec![
                parameter(
                    "path",
                    "topic",
                    "The topic.",
                    json!({ "type": "string", "minLength": 1 }),
                ),
                parameter("query", "upstream", "The upstream.", json!({ "type": "string" })),
            ],
            problems: &[400, 502, 503, 504],
            ..get(
                "/api/v1/topics/{topic}/events",
                "events",
                "What arrives on a topic, as server-sent events, until the caller leaves.",
                text("text/event-stream", "`message`, `missed` and `problem`."),
            )
        },
        get(
            "/api/v1/openapi.json",
            "openapi",
            "This document.",
            json!({ "description": "It.", "content": with_media(JSON, json!({ "type": "object" })) }),
        ),
    ]
}

/// The document.
fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    let mut statuses = BTreeSet::new();
    for operation in operations(&mut schemas) {
        let open = matches!(operation.path, "/healthz" | "/readyz");
        let mut responses = Map::from_iter([("200".to_owned(), operation.ok.clone())]);
        let mut problems: BTreeSet<u16> = operation.problems.iter().copied().collect();
        // A Host or Origin that is none, or another's.
        problems.extend([400, 403]);
        if !open {
            problems.insert(401);
        }
        for status in problems {
            let response = if operation.path == "/readyz" && status == 503 {
                operation.ok.clone()
            } else {
                statuses.insert(status);
                json!({ "$ref": format!("#/components/responses/{status}") })
            };
            responses.insert(status.to_string(), response);
        }
        let mut said = json!({
            "operationId": operation.id,
            "summary": operation.says,
            "responses": responses,
        });
        if open {
            said["security"] = json!([]);
        }
        if !operation.parameters.is_empty() {
            said["parameters"] = operation.parameters.into();
        }
        if let Some(body) = operation.body {
            said["requestBody"] = body;
        }
        paths.entry(operation.path).or_insert_with(|| json!({}))[operation.method] = said;
    }
    let mut all = schemas.told.take_definitions(true);
    all.extend(schemas.asked.take_definitions(true));
    all.insert("Problem".to_owned(), problem());
    let responses: Map<String, Value> = statuses
        .into_iter()
        .map(|status| {
            let says = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            let content = with_media("application/problem+json", schema);
            (status.to_string(), json!({ "description": says, "content": content }))
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gusset admin API",
            "version": "1",
            "description": "What a gateway serves, and how it is doing. Errors are problem documents (RFC 9457).",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        // A gateway on loopback without a token asks for none.
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": responses,
            "schemas": all,
        },
    })
}

fn problem() -> Value {
    let mistake = json!({ "$ref": "#/components/schemas/Mistake" });
    json!({
        "description": "What went wrong (RFC 9457).",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "ran", "retry"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "A sentence that says what to do." },
            "code": { "type": "string", "description": "The same for every failure of its kind." },
            "ran": { "enum": ["no", "maybe"], "description": "Whether something may have been done." },
            "retry": { "enum": ["safe", "same-id-only", "no"] },
            "problems": {
                "type": "array", "items": mistake,
                "description": "All that is wrong with a configuration.",
            },
        },
    })
}

#[test]
fn the_committed_document_is_the_one_that_the_types_make() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/admin.openapi.json");
    let made = format!("{:#}\n", document());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(made == committed, "schemas/admin.openapi.json is old; BLESS=1 writes it anew");
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, whole: &Value) {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(whole.pointer(pointer).is_some(), "{reference}");
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| walk(value, whole)),
            Value::Array(items) => items.iter().for_each(|value| walk(value, whole)),
            _ => {}
        }
    }
    let whole: Value = serde_json::from_str(OPENAPI).unwrap();
    walk(&whole, &whole);
}

#[tokio::test]
async fn the_router_has_the_paths_and_methods_of_the_document_and_no_others() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let known: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let served: BTreeSet<&str> = endpoints().into_iter().map(|(path, _)| path).collect();
    assert_eq!(known, served);
    for (path, operations) in paths {
        let mut told: BTreeSet<String> =
            operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if told.contains("GET") {
            told.insert("HEAD".to_owned());
        }
        // What no endpoint has is answered with what it has.
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(path.replace("{topic}", "x").replace("{address}", "x").replace("{number}", "1"))
            .body(Received::empty())
            .unwrap();
        let live = Fake::new(true, None) as Arc<dyn Live>;
        let response = router(live).call(request).await.unwrap();
        assert_eq!(response.status(), 405, "{path}");
        let allow = response.headers()[header::ALLOW].to_str().unwrap();
        let allow: BTreeSet<String> = allow.split(',').map(|one| one.trim().to_owned()).collect();
        assert_eq!(allow, told, "{path}");
    }
}
