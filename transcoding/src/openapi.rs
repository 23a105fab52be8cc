//! An OpenAPI 3.1 document of what the rules serve.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::annotation::RuleBody;
use crate::binding::Binding;
use crate::descriptors::{Descriptors, comment_of};
use crate::rules::Rules;
use crate::template::{Segment, Template, Variable};

/// Describes the rules as an OpenAPI 3.1 document, with the messages as the JSON mapping has them.
///
/// A custom method has no place in OpenAPI: it stands as `x-` and its name, and a rule for any
/// method as `x-any`.
pub fn openapi(descriptors: &Descriptors, rules: &Rules, title: &str) -> Value {
    let mut writer = Writer { descriptors, wanted: Vec::new(), named: BTreeSet::new() };
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (binding, rule) in rules.bindings().filter_map(|binding| Some((binding, binding.rule()?))) {
        let Ok(template) = Template::parse(&rule.template) else { continue };
        let method =
            match rule.method.to_lowercase().as_str() {
                "*" => "x-any".to_owned(),
                known @ ("get" | "put" | "post" | "delete" | "patch" | "head" | "options"
                | "trace") => known.to_owned(),
                custom => format!("x-{custom}"),
            };
        let operation = writer.operation(binding, &template);
        paths.entry(path_of(&template)).or_default().insert(method, operation);
    }
    let schemas = writer.schemas();
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": "1" },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// A template as OpenAPI writes it: a variable is a name in braces, whatever it captures.
fn path_of(template: &Template) -> String {
    let mut path = String::new();
    let mut at = 0;
    while at < template.segments.len() {
        path.push('/');
        if let Some(variable) = template.variables.iter().find(|variable| variable.start == at) {
            path.extend(["{", &variable.field, "}"]);
            at = variable.end;
            continue;
        }
        match &template.segments[at] {
            Segment::Literal(text) => path.push_str(text),
            Segment::One | Segment::Rest => path.push_str(&format!("{{{}}}", unnamed(at))),
        }
        at += 1;
    }
    if let Some(verb) = &template.verb {
        path.extend([":", verb]);
    }
    path
}

/// The name of a wildcard that no field takes.
fn unnamed(at: usize) -> String {
    format!("segment{}", at + 1)
}

/// What a variable captures of several segments, as a regular expression.
fn pattern(template: &Template, variable: &Variable) -> Option<String> {
    let segments = &template.segments[variable.start..variable.end];
    if segments == [Segment::One] {
        return None;
    }
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => regex_literal(text),
        Segment::One => "[^/]+".to_owned(),
        Segment::Rest => ".*".to_owned(),
    };
    Some(format!("^{}$", segments.iter().map(part).collect::<Vec<_>>().join("/")))
}

fn regex_literal(text: &str) -> String {
    let escape = |letter: char| {
        let special = "\\^$.|?*+()[]{}".contains(letter);
        special.then_some('\\').into_iter().chain([letter])
    };
    text.chars().flat_map(escape).collect()
}

struct Writer<'a> {
    descriptors: &'a Descriptors,
    /// Messages that are referred to and not yet described.
    wanted: Vec<MessageDescriptor>,
    /// Those that are referred to at all.
    named: BTreeSet<String>,
}

impl Writer<'_> {
    fn operation(&mut self, binding: &Binding, template: &Template) -> Value {
        let method = binding.method();
        let pool = &self.descriptors.pool;
        let (input, output) =
            (pool.get_message_by_name(&method.input), pool.get_message_by_name(&method.output));
        let (Some(input), Some(output), Some(rule)) = (input, output, binding.rule()) else {
            return Value::Null;
        };
        let mut parameters = self.path_parameters(template, &input);
        let mut operation = json!({
            "tags": [method.service],
            "operationId": format!("{}.{}", method.service, method.name),
        });
        if !method.comment.is_empty() {
            operation["description"] = method.comment.as_str().into();
        }
        let body = match &rule.body {
            RuleBody::None => None,
            RuleBody::Whole => Some(self.message(&input)),
            RuleBody::Field(name) => input.get_field_by_name(name).map(|field| self.field(&field)),
        };
        if let Some(schema) = body {
            operation["requestBody"] =
                json!({ "content": content(schema, method.client_streaming) });
        }
        if rule.body != RuleBody::Whole {
            let mut besides: Vec<&str> = template.variables.iter().map(|v| &*v.field).collect();
            if let RuleBody::Field(name) = &rule.body {
                besides.push(name);
            }
            self.query_parameters("", &input, &besides, &mut Vec::new(), &mut parameters);
        }
        operation["parameters"] = parameters.into();
        let answer =
            match rule.response_body.as_ref().and_then(|name| output.get_field_by_name(name)) {
                Some(field) => self.field(&field),
                None => self.message(&output),
            };
        operation["responses"] = json!({
            "200": { "description": "OK", "content": content(answer, method.server_streaming) },
        });
        operation
    }

    fn path_parameters(&mut self, template: &Template, input: &MessageDescriptor) -> Vec<Value> {
        let mut parameters = Vec::new();
        for (at, segment) in template.segments.iter().enumerate() {
            let variable = template.variables.iter().find(|v| (v.start..v.end).contains(&at));
            let (name, schema) = match (variable, segment) {
                (Some(variable), _) if variable.start == at => {
                    let schema = match pattern(template, variable) {
                        Some(pattern) => json!({ "type": "string", "pattern": pattern }),
                        None => leaf(input, &variable.field)
                            .map_or(json!({ "type": "string" }), |field| self.field(&field)),
                    };
                    (variable.field.clone(), schema)
                }
                (None, Segment::One | Segment::Rest) => (unnamed(at), json!({ "type": "string" })),
                _ => continue,
            };
            parameters
                .push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        parameters
    }

    /// Every field that a text can set and nothing else does; a message that contains itself is
    /// followed once.
    fn query_parameters(
        &mut self,
        prefix: &str,
        message: &MessageDescriptor,
        besides: &[&str],
        around: &mut Vec<String>,
        parameters: &mut Vec<Value>,
    ) {
        if around.iter().any(|name| name == message.full_name()) {
            return;
        }
        around.push(message.full_name().to_owned());
        for field in in_order(message) {
            let original = format!("{prefix}{}", field.name());
            if field.is_map() || besides.contains(&&*original) {
                continue;
            }
            let name = format!("{prefix}{}", field.json_name());
            match field.kind() {
                Kind::Message(inner) if !has_text(&inner) => {
                    if !field.is_list() && well_known(&inner).is_none() {
                        let prefix = format!("{name}.");
                        self.query_parameters(&prefix, &inner, besides, around, parameters);
                    }
                }
                _ => {
                    let mut parameter =
                        json!({ "name": name, "in": "query", "schema": self.field(&field) });
                    let comment = comment_of(&field);
                    if !comment.is_empty() {
                        parameter["description"] = comment.into();
                    }
                    parameters.push(parameter);
                }
            }
        }
        around.pop();
    }

    /// Describes what is referred to, and what that refers to.
    fn schemas(&mut self) -> Map<String, Value> {
        let mut schemas = Map::new();
        while let Some(message) = self.wanted.pop() {
            let mut properties = Map::new();
            for field in in_order(&message) {
                let mut schema = self.field(&field);
                let comment = comment_of(&field);
                if !comment.is_empty() {
                    schema["description"] = comment.into();
                }
                properties.insert(field.json_name().to_owned(), schema);
            }
            let schema = json!({ "type": "object", "properties": properties });
            schemas.insert(message.full_name().to_owned(), schema);
        }
        schemas
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.kind(&entry.map_entry_value_field().kind());
                json!({ "type": "object", "additionalProperties": value })
            }
            kind if field.is_list() => json!({ "type": "array", "items": self.kind(&kind) }),
            kind => self.kind(&kind),
        }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double | Kind::Float => json!({
                "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }],
            }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64" })
            }
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(of) if of.full_name() == "google.protobuf.NullValue" => {
                json!({ "type": "null" })
            }
            Kind::Enum(of) => {
                let names: Vec<_> = of.values().map(|value| value.name().to_owned()).collect();
                json!({ "type": "string", "enum": names })
            }
            Kind::Message(message) => self.message(message),
        }
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        if let Some(wrapped) = wrapped(message) {
            return json!({ "anyOf": [self.kind(&wrapped), { "type": "null" }] });
        }
        if self.named.insert(message.full_name().to_owned()) {
            self.wanted.push(message.clone());
        }
        json!({ "$ref": format!("#/components/schemas/{}", message.full_name()) })
    }
}

/// One text, or one after the other with a line each.
fn content(schema: Value, streaming: bool) -> Value {
    let media = if streaming { "application/x-ndjson" } else { "application/json" };
    json!({ media: { "schema": schema } })
}

/// The field at the end of a path of names.
fn leaf(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (first, rest) =
        path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let field = message.get_field_by_name(first)?;
    match rest {
        None => Some(field),
        Some(rest) => leaf(field.kind().as_message()?, rest),
    }
}

fn in_order(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(|field| field.path().to_vec());
    fields
}

/// Whether a text in the path or the query can be the message.
fn has_text(message: &MessageDescriptor) -> bool {
    let texts =
        ["google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"];
    texts.contains(&message.full_name()) || wrapped(message).is_some()
}

fn wrapped(message: &MessageDescriptor) -> Option<Kind> {
    let short = message.full_name().strip_prefix("google.protobuf.")?;
    let wrapper = short.ends_with("Value") && !matches!(short, "Value" | "ListValue");
    wrapper.then(|| message.get_field(1)).flatten().map(|field| field.kind())
}

/// The schema of a well-known type that is not an object of its fields.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    let short = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match short {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$" }),
        "FieldMask" => json!({ "type": "string" }),
        "Struct" => json!({ "type": "object" }),
        "ListValue" => json!({ "type": "array" }),
        "Value" => json!({}),
        "Empty" => json!({ "type": "object", "maxProperties": 0 }),
        "Any" => json!({
            "type": "object",
            "properties": { "@type": { "type": "string" } },
            "required": ["@type"],
        }),
        _ => return None,
    })
}
