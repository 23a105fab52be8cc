//! google.api.http: each form in the comment of google/api/http.proto, and what conflicts.

use transcoding::{Descriptors, Options, Request, Rules, openapi};

use crate::support::compiled;

/// The services of that comment, and one for each form that it only tells of.
const MESSAGING: &str = r#"
    syntax = "proto3";
    package t;
    import "google/api/annotations.proto";
    service Messaging {
      rpc GetMessage(GetMessageRequest) returns (Message) {
        option (google.api.http) = {
          get: "/v1/messages/{message_id}"
          additional_bindings { get: "/v1/users/{user_id}/messages/{message_id}" }
        };
      }
      rpc GetByName(GetByNameRequest) returns (Message) {
        option (google.api.http) = { get: "/v1/by-name/{name=messages/*}" };
      }
      rpc UpdateMessage(UpdateRequest) returns (Message) {
        option (google.api.http) = { patch: "/v1/messages/{message_id}" body: "message" };
      }
      rpc PutMessage(Message) returns (Message) {
        option (google.api.http) = { put: "/v1/messages/{message_id}" body: "*" response_body: "text" };
      }
      rpc Cancel(GetByNameRequest) returns (Message) {
        option (google.api.http) = { post: "/v1/{name=messages/*}:cancel" body: "*" };
      }
      rpc Everything(GetByNameRequest) returns (Message) {
        option (google.api.http) = { get: "/v2/{name=**}" };
      }
      rpc Undelete(GetByNameRequest) returns (Message) {
        option (google.api.http) = { post: "/v2/{name=trees/**}:undelete" };
      }
      rpc Search(SearchRequest) returns (Message) {
        option (google.api.http) = {
          custom { kind: "SEARCH" path: "/v3/search" }
          additional_bindings { custom { kind: "*" path: "/v3/any/*" } }
          additional_bindings { get: "/v3/search/{sub.name}/{sub.count}" }
          additional_bindings { get: "/v3/a b/*/c" }
        };
      }
      rpc Answers(GetByNameRequest) returns (SearchRequest) {
        option (google.api.http) = { get: "/v4/answers" response_body: "ids"
          additional_bindings { get: "/v4/answers/sub" response_body: "sub" } };
      }
    }
    message GetMessageRequest { string message_id = 1; string user_id = 2; int64 revision = 3; Sub sub = 4; message Sub { string subfield = 1; } }
    message GetByNameRequest { string name = 1; }
    message UpdateRequest { string message_id = 1; Message message = 2; bool validate = 3; }
    message Message { string message_id = 1; string text = 2; }
    message SearchRequest { Sub sub = 1; repeated int32 ids = 2; message Sub { string name = 1; int32 count = 2; } }
"#;

fn rules(descriptors: &Descriptors) -> Rules {
    let rules = Rules::new(descriptors, |_| true);
    assert_eq!(rules.refused(), []);
    rules
}

/// The method that a request is for, and its message printed by the method's own input.
fn served(method: &str, target: &str, body: &str) -> String {
    let descriptors = compiled(MESSAGING);
    let rules = rules(&descriptors);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some(found) = rules.find(method, path) else { return "nothing".to_owned() };
    let request = Request { body: body.as_bytes(), captures: &found.captures, query };
    match found.binding.request(&request, &Options::default()) {
        Ok(wire) => format!("{} {wire:?}", found.binding.method().name),
        Err(violation) => violation.to_string(),
    }
}

#[test]
fn the_examples_of_http_proto_become_their_messages() {
    for (method, target, body, expected) in [
        // `GET /v1/messages/123456` and with a query
        ("GET", "/v1/messages/123456", "", r#"GetMessage b"\n\x06123456""#),
        (
            "GET",
            "/v1/messages/123456?revision=2&sub.subfield=foo",
            "",
            r#"GetMessage b"\n\x06123456\x18\x02\"\x05\n\x03foo""#,
        ),
        // an additional binding
        ("GET", "/v1/users/me/messages/1", "", r#"GetMessage b"\x12\x02me\n\x011""#),
        // a variable of more than one segment
        ("GET", "/v1/by-name/messages/1", "", r#"GetByName b"\n\nmessages/1""#),
        // `body: "message"`, and a field that is in neither is in the query
        (
            "PATCH",
            "/v1/messages/1?validate=true",
            r#"{"text":"Hi!"}"#,
            r#"UpdateMessage b"\x12\x05\x12\x03Hi!\n\x011\x18\x01""#,
        ),
        // `body: "*"`: the path wins over the body
        (
            "PUT",
            "/v1/messages/1",
            r#"{"text":"a","messageId":"2"}"#,
            r#"PutMessage b"\x12\x01a\n\x012\n\x011""#,
        ),
        // a verb
        ("POST", "/v1/messages/1:cancel", "", r#"Cancel b"\n\nmessages/1""#),
        ("POST", "/v2/trees/a/b:undelete", "", r#"Undelete b"\n\ttrees/a/b""#),
        // `**` is none or more
        ("GET", "/v2/a/b/c", "", r#"Everything b"\n\x05a/b/c""#),
        ("GET", "/v2", "", r#"Everything b"\n\0""#),
        ("GET", "/v2/a:b", "", r#"Everything b"\n\x03a:b""#),
        // custom methods, any method, nested fields, literals with escapes
        ("SEARCH", "/v3/search?ids=1&ids=2", "", r#"Search b"\x10\x01\x10\x02""#),
        ("LOCK", "/v3/any/thing", "", r#"Search b"""#),
        ("GET", "/v3/search/x/7", "", r#"Search b"\n\x03\n\x01x\n\x02\x10\x07""#),
        ("GET", "/v3/a%20b/x/c", "", r#"Search b"""#),
    ] {
        assert_eq!(served(method, target, body), expected, "{method} {target}");
    }
}

#[test]
fn what_no_template_fits_is_served_by_none() {
    for (method, path) in [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "v1/messages/1"),
        ("GET", "/v1/messages"),
        ("GET", "/v1/messages/"),
        ("GET", "/v1/messages/1/"),
        ("DELETE", "/v1/messages/1"),
        ("POST", "/v1/messages/1:undo"),
        ("search", "/v3/search"),
        ("GET", "/v1/messages/%FF"),
    ] {
        assert_eq!(served(method, path, ""), "nothing", "{method} {path}");
    }
}

#[test]
fn a_variable_is_decoded_and_a_slash_in_one_of_several_segments_is_kept() {
    assert_eq!(
        served("GET", "/v1/users/a%2Fb%20c/messages/%C3%A9", ""),
        r#"GetMessage b"\x12\x05a/b c\n\x02\xc3\xa9""#
    );
    assert_eq!(
        served("GET", "/v2/a%2Fb/c%20d", ""),
        r#"Everything b"\n\x09a%2Fb/c d""#.replace("x09", "t")
    );
}

#[test]
fn the_more_exact_template_is_preferred() {
    let descriptors = compiled(
        r#"
        syntax = "proto3";
        package t;
        import "google/api/annotations.proto";
        service T {
          rpc Rest(A) returns (A) { option (google.api.http) = { get: "/{a=**}" }; }
          rpc One(A) returns (A) { option (google.api.http) = { get: "/x/{a}" }; }
          rpc Deep(A) returns (A) { option (google.api.http) = { get: "/x/{a=*/y}" }; }
          rpc Literal(A) returns (A) { option (google.api.http) = { get: "/x/me" }; }
          rpc Verb(A) returns (A) { option (google.api.http) = { get: "/x/{a}:go" }; }
          rpc Any(A) returns (A) { option (google.api.http) = { custom { kind: "*" path: "/x/me" } }; }
        }
        message A { string a = 1; }
    "#,
    );
    let rules = rules(&descriptors);
    for (method, path, expected) in [
        ("GET", "/x/me", "Literal"),
        ("POST", "/x/me", "Any"),
        ("GET", "/x/you", "One"),
        ("GET", "/x/me/y", "Deep"),
        ("GET", "/x/me/z", "Rest"),
        ("GET", "/x/you:go", "Verb"),
        ("GET", "/x/you:stop", "One"),
        ("GET", "/", "Rest"),
    ] {
        let found = rules.find(method, path).unwrap();
        assert_eq!(found.binding.method().name, expected, "{method} {path}");
    }
    assert_eq!(rules.allowed("/x/me"), ["*", "GET"]);
    assert_eq!(rules.bindings().len(), 6);
}

#[test]
fn a_rule_that_conflicts_or_fits_no_field_is_kept_out_with_its_reason() {
    let descriptors = compiled(
        r#"
        syntax = "proto3";
        package t;
        import "google/api/annotations.proto";
        service T {
          rpc First(A) returns (A) { option (google.api.http) = { get: "/x/{a}" }; }
          rpc Same(A) returns (A) { option (google.api.http) = { get: "/x/{b=*}" }; }
          rpc OtherVerb(A) returns (A) { option (google.api.http) = { get: "/x/{b=*}:go" }; }
          rpc NoField(A) returns (A) { option (google.api.http) = { get: "/y/{nope}" }; }
          rpc List(A) returns (A) { option (google.api.http) = { get: "/y/{list}" }; }
          rpc Message(A) returns (A) { option (google.api.http) = { get: "/y/{c}" }; }
          rpc Body(A) returns (A) { option (google.api.http) = { post: "/z" body: "nope" }; }
          rpc Answer(A) returns (A) { option (google.api.http) = { post: "/z" response_body: "nope" }; }
          rpc Template(A) returns (A) { option (google.api.http) = { get: "y" }; }
          rpc NoPath(A) returns (A) { option (google.api.http) = { body: "*" }; }
        }
        message A { string a = 1; string b = 2; A c = 3; repeated string list = 4; }
    "#,
    );
    let rules = Rules::new(&descriptors, |_| true);
    let refused: Vec<_> = rules.refused().iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "/t.T/Same: `GET /x/{b=*}` matches the same requests as `GET /x/{a}` of /t.T/First",
            "/t.T/NoField: `GET /y/{nope}` has the variable `nope`, which is no field of t.A",
            "/t.T/List: `GET /y/{list}` has the variable `list`, which is a list",
            "/t.T/Message: `GET /y/{c}` has the variable `c`, which is a message: name one of its fields, or put it in the body",
            "/t.T/Body: `POST /z` has the body `nope`, which is no field of t.A",
            "/t.T/Answer: `POST /z` has the response_body `nope`, which is no field of t.A",
            "/t.T/Template: `GET y` does not start with `/`",
            "/t.T/NoPath: has a google.api.http without a path",
        ]
    );
    assert_eq!(rules.bindings().len(), 2);
    assert_eq!(Rules::new(&descriptors, |service| service.name != "t.T").bindings().len(), 0);
}

#[test]
fn the_body_of_an_answer_can_be_one_field_of_it() {
    let descriptors = compiled(MESSAGING);
    let rules = rules(&descriptors);
    let answer = |method: &str, path: &str, wire: &[u8]| {
        let found = rules.find(method, path).unwrap();
        let answer = found.binding.response(wire, &Options::default()).unwrap();
        String::from_utf8(answer.to_vec()).unwrap()
    };
    assert_eq!(answer("PUT", "/v1/messages/1", b"\x0a\x01x\x12\x02hi"), r#""hi""#);
    assert_eq!(answer("PUT", "/v1/messages/1", b""), r#""""#);
    assert_eq!(answer("GET", "/v4/answers", b"\x12\x02\x01\x02\x10\x03"), "[1,2,3]");
    assert_eq!(answer("GET", "/v4/answers", b""), "[]");
    assert_eq!(
        answer("GET", "/v4/answers/sub", b"\x0a\x03\x0a\x01x\x0a\x02\x10\x07"),
        r#"{"name":"x","count":7}"#
    );
    assert_eq!(answer("GET", "/v4/answers/sub", b""), "null");
}

#[test]
fn the_openapi_document_has_a_path_for_each_rule_and_a_schema_for_each_message() {
    let descriptors = compiled(MESSAGING);
    let document = openapi(&descriptors, &rules(&descriptors), "messaging");
    assert_eq!(document["openapi"], "3.1.0");
    let get = &document["paths"]["/v1/users/{user_id}/messages/{message_id}"]["get"];
    assert_eq!(get["tags"][0], "t.Messaging");
    let parameters: Vec<_> = get["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| format!("{} {}", p["in"], p["name"]))
        .collect();
    assert_eq!(
        parameters,
        [
            r#""path" "user_id""#,
            r#""path" "message_id""#,
            r#""query" "revision""#,
            r#""query" "sub.subfield""#,
        ]
    );
    let patch = &document["paths"]["/v1/messages/{message_id}"]["patch"];
    assert_eq!(
        patch["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/t.Message"
    );
    let cancel = &document["paths"]["/v1/{name}:cancel"]["post"];
    assert_eq!(cancel["parameters"][0]["schema"]["pattern"], "^messages/[^/]+$");
    let answers = &document["paths"]["/v4/answers"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    assert_eq!(answers["items"]["type"], "integer");
    let schema = &document["components"]["schemas"]["t.GetMessageRequest"]["properties"];
    assert!(schema.is_null(), "only what is referred to is described");
    let schema = &document["components"]["schemas"]["t.Message"]["properties"];
    assert_eq!(schema["messageId"]["type"], "string");
}
