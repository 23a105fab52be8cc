//! `gusset check` and the files that services are described by.

use std::fs;

use crate::support::{grpc::Server, read, shell};

/// What `check` says of a configuration with these descriptors; `files` lie beside it.
fn check(descriptors: &str, files: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let text = format!(
        "version: 1\nupstreams:\n  ledger:\n    kind: grpc\n    url: http://127.0.0.1:1\n    \
         descriptors: {descriptors}\nroutes:\n  - {{ name: rules, match: {{ prefix: /v1 }}, to: ledger }}\n"
    );
    fs::write(folder.path().join("gateway.yaml"), text).unwrap();
    let ran = shell::gusset_in(folder.path(), &["check", "-c", "gateway.yaml"], &[]);
    (ran.code, ran.out)
}

#[test]
fn descriptors_that_are_right_are_right() {
    let (ledger, events) = (read("tests/grpc/ledger.proto"), read("tests/grpc/cloudevents.proto"));
    let files = [("ledger.proto", &*ledger), ("cloudevents.proto", &events)];
    assert_eq!(check("{ proto: [ledger.proto] }", &files).0, Some(0));
    let Some(server) = Server::start() else { return };
    let file = format!("{{ file: {} }}", server.descriptors().display());
    let (code, said) = check(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn descriptors_that_are_broken_or_contradict_themselves_are_refused_at_their_place() {
    for (descriptors, files, expected) in [
        ("{ file: none.binpb }", &[][..], "gateway.yaml:6:26: upstreams.ledger.descriptors.file: "),
        (
            "{ file: odd.binpb }",
            &[("odd.binpb", "no descriptors")],
            "gateway.yaml:6:26: upstreams.ledger.descriptors.file: odd.binpb: is not a FileDescriptorSet",
        ),
        (
            "{ proto: [a.proto] }",
            &[("a.proto", "syntax = \"proto3\";\nmessage A {\n  Nothing b = 1;\n}\n")],
            "gateway.yaml:6:27: upstreams.ledger.descriptors.proto: a.proto:3:3: ",
        ),
        (
            "{ proto: [a.proto] }",
            &[("a.proto", "syntax = \"proto3\";\nmessage A {}\nmessage A {}\n")],
            "gateway.yaml:6:27: upstreams.ledger.descriptors.proto: a.proto:3:9: ",
        ),
        (
            "{ proto: [a.proto] }",
            &[("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n")],
            "gateway.yaml:6:27: upstreams.ledger.descriptors.proto: ",
        ),
    ] {
        let (code, said) = check(descriptors, files);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}

#[test]
fn a_rule_that_is_not_served_is_told() {
    const PROTO: &str = r#"
        syntax = "proto3";
        import "google/api/annotations.proto";
        service A {
          rpc B(M) returns (M) { option (google.api.http) = { get: "/v1/a" }; }
          rpc C(M) returns (M) { option (google.api.http) = { get: "/v1/a" }; }
        }
        message M {}
    "#;
    let (code, said) = check("{ proto: [a.proto] }", &[("a.proto", PROTO)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: gateway.yaml:6:18: upstreams.ledger.descriptors: /A/C"),
        "{said}"
    );
}
