//! `gusset check` and the files that services are described by.

use std::fs;

use crate::support::{grpc::Server, read, shell, tonic::Tonic};

/// What `check` says of a configuration with these descriptors; `files` lie beside it.
fn check(descriptors: &str, files: &[(&str, &str)]) -> (Option<i32>, String) {
    let upstream = format!("url: http://127.0.0.1:1\n    descriptors: {descriptors}");
    check_with(&[], &upstream, "ledger", files)
}

/// What `check` says with these arguments of an upstream and of a route that leads to it.
fn check_with(
    arguments: &[&str],
    upstream: &str,
    to: &str,
    files: &[(&str, &str)],
) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let text = format!(
        "version: 1\nupstreams:\n  ledger:\n    kind: grpc\n    {upstream}\nroutes:\n  \
         - {{ name: rules, match: {{ prefix: /v1 }}, to: {to} }}\n"
    );
    fs::write(folder.path().join("gateway.yaml"), text).unwrap();
    let arguments = [&["check", "-c", "gateway.yaml"], arguments].concat();
    let ran = shell::gusset_in(folder.path(), &arguments, &[]);
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

const MISSPELT: &str = "ledger/ledger.v1.Ledger/Transfr";

#[test]
fn a_method_that_the_files_do_not_have_is_refused_with_the_nearest_that_they_have() {
    let (ledger, events) = (read("tests/grpc/ledger.proto"), read("tests/grpc/cloudevents.proto"));
    let files = [("ledger.proto", &*ledger), ("cloudevents.proto", &events)];
    let upstream = "url: http://127.0.0.1:1\n    descriptors: { proto: [ledger.proto] }";
    let (code, said) = check_with(&[], upstream, MISSPELT, &files);
    assert_eq!(code, Some(1), "{said}");
    let expected = "gateway.yaml:8:48: routes[0].to: the descriptors of `ledger` have no method \
                    `ledger.v1.Ledger/Transfr`; did you mean `ledger.v1.Ledger/Transfer`?";
    assert!(said.starts_with(expected), "{said}");
    let (code, said) = check_with(&[], upstream, "ledger/ledger.v1.Ledger/Transfer", &files);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_method_that_the_server_does_not_have_is_told_by_a_live_check() {
    let server = Tonic::start();
    let (code, said) = check_with(&[], &server.written(), MISSPELT, &[]);
    assert_eq!(code, Some(0), "nobody is asked: {said}");
    let (code, said) = check_with(&["--live"], &server.written(), MISSPELT, &[]);
    assert_eq!(code, Some(2), "{said}");
    let expected = "ledger (grpc) ledger.v1.Ledger/Transfr: failed: there is no such method; \
                    did you mean `ledger.v1.Ledger/Transfer`?";
    assert!(said.contains(expected), "{said}");
    let right = "ledger/ledger.v1.Ledger/Transfer";
    let (code, said) = check_with(&["--live"], &server.written(), right, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ledger (grpc) methods: 10 are known"), "{said}");
}

#[test]
fn an_import_that_is_there_and_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder.proto")).unwrap();
    fs::write(folder.path().join("latin1.proto"), b"// caf\xe9\n").unwrap();
    let include = folder.path().display();
    for (import, expected) in [
        ("folder.proto", "folder.proto cannot be read: Is a directory"),
        ("latin1.proto", "latin1.proto: is not UTF-8"),
        ("none.proto", "a.proto:2:1: import 'none.proto' not found"),
    ] {
        let text = format!("syntax = \"proto3\";\nimport \"{import}\";\n");
        let descriptors = format!("{{ proto: [a.proto], include: [., \"{include}\"] }}");
        let (code, said) = check(&descriptors, &[("a.proto", &text)]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}
