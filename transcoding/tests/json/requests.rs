//! Path and query that set fields, in a method that has no rule.

use transcoding::{Binding, Capture, Options, Place, Request, Unknown, Violation};

use crate::support::{WORLD, World};

fn request(
    binding: &Binding,
    captures: &[(&'static str, &'static str)],
    query: &str,
) -> Result<Vec<u8>, Violation> {
    let captures: Vec<_> = captures
        .iter()
        .map(|(field, text)| Capture { field: (*field).into(), text: (*text).into() })
        .collect();
    let request = Request { body: b"", captures: &captures, query };
    binding.request(&request, &Options::default()).map(|wire| wire.to_vec())
}

/// What a query sets, printed.
fn set(message: &str, query: &str) -> String {
    match request(&WORLD.binding(message), &[], query) {
        Ok(wire) => WORLD.print(message, &wire, &Options::default()),
        Err(violation) => violation.to_string(),
    }
}

#[test]
fn a_parameter_of_every_type_sets_its_field() {
    let cases = [
        (
            "Scalars",
            "double=1e3&float=NaN&int32=-1&int64=-1",
            r#"{"double":1000.0,"float":"NaN","int32":-1,"int64":"-1"}"#,
        ),
        (
            "Scalars",
            "uint32=1&uint64=1&sint32=-1&sint64=-1",
            r#"{"uint32":1,"uint64":"1","sint32":-1,"sint64":"-1"}"#,
        ),
        (
            "Scalars",
            "fixed32=1&fixed64=1&sfixed32=-1&sfixed64=-1",
            r#"{"fixed32":1,"fixed64":"1","sfixed32":-1,"sfixed64":"-1"}"#,
        ),
        (
            "Scalars",
            "bool=true&string=a+b%26%C3%A9&bytes=AQ&colour=CRIMSON",
            r#"{"bool":true,"string":"a b&é","bytes":"AQ==","colour":"RED"}"#,
        ),
        ("Scalars", "colour=-3&&string=", r#"{"colour":"NEGATIVE"}"#),
        (
            "Lists",
            "packed=1&packed=2&strings=a&strings=&colours=RED",
            r#"{"packed":[1,2],"strings":["a",""],"colours":["RED"]}"#,
        ),
        (
            "Known",
            "time=2026-11-28T05:00:00Z&duration=1s&mask=aB,c",
            r#"{"time":"2026-11-28T05:00:00Z","duration":"1s","mask":"aB,c"}"#,
        ),
        ("Wrapped", "int32=0&string=a&list=1&list=2", r#"{"int32":0,"string":"a","list":[1,2]}"#),
        ("Tree", "left.right.name=x&left.name=y", r#"{"left":{"name":"y","right":{"name":"x"}}}"#),
        ("Named", "snake_case_name=a&@other=b", r#"{"snakeCaseName":"a","@other":"b"}"#),
        ("Choice", "number=0", r#"{"number":0}"#),
    ];
    for (message, query, expected) in cases {
        assert_eq!(set(message, query), expected, "{query}");
    }
}

#[test]
fn a_parameter_that_does_not_fit_is_a_violation_with_its_field() {
    for (message, query, expected) in [
        ("Scalars", "nope=1", "query, field nope: is no field of the message"),
        ("Scalars", "int32=x", "query, field int32: is not a number"),
        ("Scalars", "int32=2147483648", "query, field int32: does not fit in 32 bits"),
        ("Scalars", "uint64=-1", "query, field uint64: does not fit in 64 bits without a sign"),
        ("Scalars", "bool=1", "query, field bool: is neither `true` nor `false`"),
        ("Scalars", "bytes=A", "query, field bytes: is not base64"),
        ("Scalars", "colour=MAUVE", "query, field colour: has no value `MAUVE`"),
        ("Scalars", "string=%FF", "query, field string: is not UTF-8"),
        ("Scalars", "int32=1&int32=2", "query, field int32: is given twice, and is not a list"),
        (
            "Tree",
            "left.left=1",
            "query, field left.left: is a message: name one of its fields, or put it in the body",
        ),
        ("Tree", "name.x=1", "query, field name.x: is a field of something that has no fields"),
        (
            "Tree",
            "rest.name=1",
            "query, field rest.name: is a field of something that has no fields",
        ),
        (
            "Known",
            "time.seconds=1",
            "query, field time.seconds: is a field of a well-known type: give that as a whole",
        ),
        ("Known", "time=now", "query, field time: is not a time such as `2026-11-28T05:00:00Z`"),
        (
            "Known",
            "struct=1",
            "query, field struct: is a message: name one of its fields, or put it in the body",
        ),
        ("Maps", "strings=1", "query, field strings: is a map: it can stand in the body only"),
        (
            "Choice",
            "text=a&number=1",
            "query, field number: is of the oneof `choice`, of which another field is set",
        ),
        (
            "Choice",
            "text=a&tree.name=b",
            "query, field tree.name: is of the oneof `choice`, of which another field is set",
        ),
    ] {
        assert_eq!(set(message, query), expected, "{query}");
    }
    let ignore = Options { unknown: Unknown::Ignore, ..Options::default() };
    let ignored = Request { query: "nope=1&int32=1", ..Request::default() };
    assert_eq!(&WORLD.binding("Scalars").request(&ignored, &ignore).unwrap()[..], b"\x18\x01");
}

#[test]
fn the_path_sets_fields_and_the_query_cannot_set_them_again() {
    let binding = WORLD.binding("Tree");
    assert_eq!(
        request(&binding, &[("name", "a"), ("left.name", "b")], "right.name=c").unwrap(),
        b"\x0a\x01a\x12\x03\x0a\x01b\x1a\x03\x0a\x01c"
    );
    let violation = request(&binding, &[("name", "a")], "name=b").unwrap_err();
    assert_eq!(
        violation.to_string(),
        "query, field name: is set by the path, and cannot stand in the query too"
    );
    let violation = request(&binding, &[("nope", "a")], "").unwrap_err();
    assert_eq!((violation.place, &*violation.field), (Place::Path, "nope"));
    let violation = request(&WORLD.binding("Scalars"), &[("int32", "x")], "").unwrap_err();
    assert_eq!(violation.to_string(), "path, field int32: is not a number");
}

#[test]
fn a_parameter_wins_over_the_body_and_merges_into_its_messages() {
    let request = Request {
        body: br#"{"name":"a","left":{"name":"b","right":{}}}"#,
        captures: &[Capture { field: "name".into(), text: "c".into() }],
        query: "left.name=d&rest=",
    };
    let violation = WORLD.binding("Tree").request(&request, &Options::default()).unwrap_err();
    assert_eq!(violation.field, "rest");
    let request = Request { query: "left.name=d", ..request };
    let wire = WORLD.binding("Tree").request(&request, &Options::default()).unwrap();
    let printed = WORLD.print("Tree", &wire, &Options::default());
    assert_eq!(printed, r#"{"name":"c","left":{"name":"d","right":{}}}"#);
}

#[test]
fn a_parameter_reaches_into_a_group() {
    let world = World::new(
        r#"
        syntax = "proto2";
        package t;
        service T { rpc Old(Old) returns (Old); }
        message Old { optional group Grouped = 5 { optional int32 inner = 1; } }
    "#,
    );
    let wire = request(&world.binding("Old"), &[], "grouped.inner=7").unwrap();
    assert_eq!(wire, b"\x2b\x08\x07\x2c");
}
