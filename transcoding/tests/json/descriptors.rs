//! Where descriptors come from, what is told of them, and what is wrong with bad ones.

use prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};
use transcoding::{Descriptors, Options};

use crate::support::WORLD;

fn file(name: &str, fields: Vec<FieldDescriptorProto>) -> FileDescriptorProto {
    let message = DescriptorProto { name: Some("M".into()), field: fields, ..Default::default() };
    FileDescriptorProto {
        name: Some(name.into()),
        package: Some("p".into()),
        syntax: Some("proto3".into()),
        message_type: vec![message],
        ..Default::default()
    }
}

fn field(name: &str, number: i32, of: Type, type_name: Option<&str>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(of.into()),
        type_name: type_name.map(str::to_owned),
        ..Default::default()
    }
}

#[test]
fn services_methods_and_fields_are_told_with_their_comments() {
    let [service] = WORLD.descriptors.services() else { panic!("one service") };
    assert_eq!(
        (&*service.name, &*service.comment),
        ("t.T", "Each method answers what it is given.")
    );
    let method = WORLD.descriptors.method("/t.T/Tree").unwrap();
    assert_eq!(
        (&*method.input, method.client_streaming, method.server_streaming),
        ("t.Tree", false, false)
    );
    assert!(
        WORLD.descriptors.method("t.T/Nope").is_none() && WORLD.descriptors.method("t.T").is_none()
    );
    let told = |message: &str| {
        let fields = WORLD.descriptors.fields(message).unwrap();
        fields
            .iter()
            .map(|f| format!("{} {} {}", f.kind, f.json_name, f.comment))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told("t.Tree"),
        [
            "string name What it is called.",
            "t.Tree left ",
            "t.Tree right ",
            "repeated t.Tree rest "
        ]
    );
    assert_eq!(told("t.Maps")[3], "map<uint64, t.Tree> trees ");
}

#[test]
fn files_of_reflection_may_come_in_any_order_twice_and_without_what_is_bundled() {
    let proto = r#"
        syntax = "proto3";
        package t;
        import "google/api/annotations.proto";
        import "google/protobuf/timestamp.proto";
        service T { rpc Get(A) returns (A) { option (google.api.http) = { get: "/a/{name}" }; } }
        message A { string name = 1; google.protobuf.Timestamp time = 2; }
    "#;
    let own = encoded(proto);
    let descriptors = Descriptors::from_files([&own, &own]).unwrap();
    let method = descriptors.method("t.T/Get").unwrap();
    assert_eq!(method.rules[0].to_string(), "GET /a/{name}", "the option is kept");
    let imported = file("b.proto", vec![]).encode_to_vec();
    let importing =
        FileDescriptorProto { dependency: vec!["b.proto".into()], ..file("a.proto", vec![]) };
    let importing = FileDescriptorProto { package: Some("q".into()), ..importing };
    Descriptors::from_files([importing.encode_to_vec(), imported]).unwrap();
}

/// The bytes of t.proto as a server with reflection has them.
fn encoded(proto: &str) -> Vec<u8> {
    struct Source(String);
    impl protox::file::FileResolver for Source {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            let bundled = |text| protox::file::File::from_source(name, text);
            match name {
                "t.proto" => bundled(&self.0),
                "google/api/annotations.proto" => {
                    bundled(include_str!("../../src/bundled/annotations.proto"))
                }
                "google/api/http.proto" => bundled(include_str!("../../src/bundled/http.proto")),
                _ => protox::file::GoogleFileResolver::new().open_file(name),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Source(proto.to_owned()));
    compiler.open_file("t.proto").unwrap();
    compiler.descriptor_pool().get_file_by_name("t.proto").unwrap().encode_to_vec()
}

#[test]
fn broken_or_conflicting_descriptors_are_refused_by_file_and_element() {
    let refused = |file: Vec<FileDescriptorProto>| {
        Descriptors::from_set(&FileDescriptorSet { file }.encode_to_vec()).unwrap_err().to_string()
    };
    for (files, expected) in [
        (
            vec![file("a.proto", vec![field("x", 1, Type::Message, Some(".p.Nope"))])],
            "a.proto: p.M.x: name '.p.Nope' is not defined",
        ),
        (
            vec![file(
                "a.proto",
                vec![field("x", 1, Type::String, None), field("y", 1, Type::String, None)],
            )],
            "a.proto: p.M.y: ",
        ),
        (
            vec![file("a.proto", vec![]), file("b.proto", vec![])],
            "b.proto: p.M: name 'p.M' is already defined in file 'a.proto'",
        ),
        (
            vec![FileDescriptorProto {
                dependency: vec!["x.proto".into()],
                ..file("a.proto", vec![])
            }],
            "a.proto: p: imported file 'x.proto' has not been added",
        ),
        (vec![file("a.proto", vec![field("x", 0, Type::String, None)])], "a.proto: p.M.x: "),
    ] {
        let told = refused(files);
        assert!(told.starts_with(expected), "{told}");
    }
    assert!(
        Descriptors::from_set(b"\xff")
            .unwrap_err()
            .to_string()
            .starts_with("is not a FileDescriptorSet")
    );
    assert!(
        Descriptors::from_files([b"\xff"])
            .unwrap_err()
            .to_string()
            .starts_with("is not a FileDescriptorProto")
    );
    let (one, other) =
        (file("a.proto", vec![]), file("a.proto", vec![field("x", 1, Type::String, None)]));
    let told = Descriptors::from_files([one.encode_to_vec(), other.encode_to_vec()]).unwrap_err();
    assert_eq!(told.to_string(), "a.proto: is there twice, with different content");
}

#[test]
fn a_proto_that_does_not_compile_tells_file_line_and_column() {
    let told = |text: &'static str| {
        let source = move |name: &str| Ok((name == "a.proto").then(|| text.to_owned()));
        Descriptors::compile(["a.proto"], source).unwrap_err().to_string()
    };
    let syntax = told("syntax = \"proto3\";\nmessage M {\n  strin x = ;\n}");
    assert!(syntax.starts_with("a.proto:3:13"), "{syntax}");
    let name = told("syntax = \"proto3\";\nmessage M {\n  Nope x = 1;\n}");
    assert!(name.starts_with("a.proto:3:3") && name.contains("Nope"), "{name}");
    let import = told("syntax = \"proto3\";\nimport \"b.proto\";");
    assert!(import.contains("a.proto") && import.contains("b.proto"), "{import}");
    let missing = Descriptors::compile(["c.proto"], |_| Ok(None)).unwrap_err().to_string();
    assert_eq!(missing, "c.proto: there is no such file");
    let locked = Descriptors::compile(["d.proto"], |name| match name {
        "d.proto" => Ok(Some("import \"e.proto\";".to_owned())),
        name => Err(format!("{name} is locked away")),
    });
    assert_eq!(locked.unwrap_err().to_string(), "e.proto is locked away");
}

#[test]
fn a_status_is_told_with_its_details_where_their_types_are_known() {
    // code 5, message "gone", and an ErrorInfo, a Tree, and something unknown
    let detail = |url: &str, value: &[u8]| {
        let mut any = vec![0x0a, u8::try_from(url.len()).unwrap()];
        any.extend(url.as_bytes());
        any.extend([0x12, u8::try_from(value.len()).unwrap()]);
        any.extend(value);
        let mut field = vec![0x1a, u8::try_from(any.len()).unwrap()];
        field.extend(any);
        field
    };
    let mut wire = b"\x08\x05\x12\x04gone".to_vec();
    wire.extend(detail("type.googleapis.com/google.rpc.ErrorInfo", b"\x0a\x01R\x12\x01d"));
    wire.extend(detail("type.googleapis.com/t.Tree", b"\x0a\x01x"));
    wire.extend(detail("type.googleapis.com/a.B", b"\x01\x02"));
    let told = WORLD.descriptors.status(&wire, &Options::default()).unwrap();
    assert_eq!(
        String::from_utf8(told).unwrap(),
        concat!(
            r#"{"code":5,"message":"gone","details":["#,
            r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"d"},"#,
            r#"{"@type":"type.googleapis.com/t.Tree","name":"x"},"#,
            r#"{"@type":"type.googleapis.com/a.B","value":"AQI="}]}"#
        )
    );
    assert!(WORLD.descriptors.status(b"\x12\x05x", &Options::default()).is_err());
}
