//! Bad input: each a violation with its place, or broken with its field, and never a panic.

use transcoding::{Limits, Options, Place, Request};

use crate::support::{WORLD, read};

#[test]
fn a_violation_tells_line_column_and_field() {
    for (message, json, expected) in [
        ("Scalars", "{\n  \"int32\": \"x\"\n}", "line 2, column 12, field int32: is not a number"),
        ("Scalars", "{\"int32\": 1.5}", "line 1, column 11, field int32: is not a whole number"),
        (
            "Scalars",
            "{\"uint32\": 4294967296}",
            "line 1, column 12, field uint32: does not fit in 32 bits without a sign",
        ),
        ("Scalars", "{\"int64\": 1e30}", "line 1, column 11, field int64: is out of range"),
        ("Scalars", "{\"é\": 1}", "line 1, column 2: has no field `é`"),
        (
            "Scalars",
            "{\"string\": \"é\", \"bytes\": \"*\"}",
            "line 1, column 26, field bytes: is not base64",
        ),
        (
            "Scalars",
            "{\"bool\": 0}",
            "line 1, column 10, field bool: is neither `true` nor `false`",
        ),
        (
            "Scalars",
            "{\"colour\": \"MAUVE\"}",
            "line 1, column 12, field colour: has no value `MAUVE`",
        ),
        (
            "Scalars",
            "{\"colour\": {}}",
            "line 1, column 12, field colour: is neither a name nor a number",
        ),
        (
            "Scalars",
            "{\"int32\": 1, \"int32\": 2}",
            "line 1, column 14, field int32: is there twice",
        ),
        (
            "Scalars",
            "{\"string\": \"\\ud800\"}",
            "line 1, column 13, field string: a string has half of a surrogate pair",
        ),
        ("Scalars", "[]", "line 1, column 1: is not an object"),
        (
            "Scalars",
            "{\"int32\": 1",
            "line 1, column 12: the text is not JSON: it ends in the middle",
        ),
        (
            "Scalars",
            "{\"int32\": 1} x",
            "line 1, column 14: the text is not JSON: there is something after its end",
        ),
        (
            "Scalars",
            "{\"int32\" 1}",
            "line 1, column 10: the text is not JSON: a member has no value",
        ),
        (
            "Scalars",
            "{int32: 1}",
            "line 1, column 2: the text is not JSON: a member has no name in quotes",
        ),
        (
            "Scalars",
            "{\"int32\": 1,}",
            "line 1, column 13: the text is not JSON: a member has no name in quotes",
        ),
        (
            "Scalars",
            "{\"string\": nul}",
            "line 1, column 12, field string: the text is not JSON: there is an unknown word",
        ),
        (
            "Lists",
            "{\"packed\": [1, 2, \"x\"]}",
            "line 1, column 19, field packed[2]: is not a number",
        ),
        ("Lists", "{\"packed\": {}}", "line 1, column 12, field packed: is not an array"),
        (
            "Lists",
            "{\"packed\": [1, null]}",
            "line 1, column 16, field packed[1]: is null, which no element of a list can be",
        ),
        (
            "Lists",
            "{\"trees\": [{}, {\"left\": {\"name\": 1}}]}",
            "line 1, column 34, field trees[1].left.name: is not a string",
        ),
        (
            "Maps",
            "{\"trees\": {\"7\": {\"name\": 1}}}",
            "line 1, column 26, field trees[\"7\"].name: is not a string",
        ),
        (
            "Maps",
            "{\"trees\": {\"x\": {}}}",
            "line 1, column 12, field trees[\"x\"]: has a key that is not a number",
        ),
        (
            "Maps",
            "{\"strings\": {\"a\": null}}",
            "line 1, column 19, field strings[\"a\"]: is null, which no value of a map can be",
        ),
        (
            "Known",
            "{\"time\": \"now\"}",
            "line 1, column 10, field time: is not a time such as `2026-11-28T05:00:00Z`",
        ),
        (
            "Known",
            "{\"struct\": {\"a\": [1, x]}}",
            "line 1, column 22, field struct[\"a\"][1]: has no value",
        ),
        (
            "Known",
            "{\"any\": {\"a\": 1}}",
            "line 1, column 9, field any: has no member `@type`, which says what is in it",
        ),
        (
            "Known",
            "{\"any\": {\"@type\": \"x/t.Tree\", \"left\": 1}}",
            "line 1, column 39, field any.left: is not an object",
        ),
    ] {
        assert_eq!(WORLD.refused(message, json).to_string(), expected, "{json}");
    }
}

#[test]
fn a_body_that_is_not_utf_8_is_refused_where_it_is_not() {
    for (message, body, expected) in [
        (
            "Scalars",
            &b"{\"string\":\n\"a\xff\"}"[..],
            "line 2, column 3, field string: the text is not UTF-8",
        ),
        // Half of a letter, an escape before it, and a letter before that.
        (
            "Scalars",
            b"{\"string\":\"\xc3\xa9\\n\xc3\"}",
            "line 1, column 15, field string: the text is not UTF-8",
        ),
        (
            "Lists",
            b"{\"trees\":[{},{\"left\":{\"name\":\"\xff\"}}]}",
            "line 1, column 31, field trees[1].left.name: the text is not UTF-8",
        ),
        (
            "Maps",
            b"{\"strings\":{\"a\":\"b\xff\"}}",
            "line 1, column 19, field strings[\"a\"]: the text is not UTF-8",
        ),
        ("Scalars", b"{\"int32\":1\xff}", "line 1, column 11: the text is not UTF-8"),
        ("Scalars", b"{\"a\xff\":1}", "line 1, column 4: the text is not UTF-8"),
        ("Scalars", b"{}\xff", "line 1, column 3: the text is not UTF-8"),
        ("Scalars", b"\xff", "line 1, column 1: the text is not UTF-8"),
        // What is wrong before it comes first.
        (
            "Scalars",
            b"{\"int32\":true,\"string\":\"\xff\"}",
            "line 1, column 10, field int32: is not a number",
        ),
    ] {
        let request = Request { body, ..Request::default() };
        let refused = WORLD.binding(message).request(&request, &Options::default());
        assert_eq!(refused.unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_nests_too_deep_is_refused_on_either_way() {
    let deep = |inner: usize| {
        format!("{}{}", "{\"left\":".repeat(inner), "{}".to_owned() + &"}".repeat(inner))
    };
    let options = Options::default();
    assert!(read(&WORLD.binding("Tree"), &deep(99), &options).is_ok());
    let violation = WORLD.refused("Tree", &deep(100));
    assert_eq!(violation.problem, "is nested deeper than 100");
    for (message, open) in [
        ("Tree", "{\"left\":"),
        ("Tree", "{\"rest\":["),
        ("Known", "{\"value\":["),
        ("Known", "{\"list\":["),
        ("Known", "{\"struct\":{\"a\":"),
        ("Known", "{\"any\":{\"a\":["),
        ("Scalars", "{\"nope\":["),
    ] {
        let open = open.to_owned() + &"[".repeat(1_000_000);
        WORLD.refused(message, &open);
        WORLD.refused(message, &open.replace('[', "{\"left\":"));
        WORLD.refused(message, &open.replace('[', "{\"a\":"));
    }
    // The same from the other side: messages within messages, and groups that nobody knows.
    let mut wire = Vec::new();
    for _ in 0..200 {
        let mut around = vec![0x12];
        prost::encoding::encode_varint(wire.len() as u64, &mut around);
        around.extend_from_slice(&wire);
        wire = around;
    }
    let broken = WORLD.binding("Tree").response(&wire, &options).unwrap_err();
    assert_eq!(broken.problem, "is nested deeper than 100");
    let broken = WORLD.binding("Tree").response(&[0x7b; 1_000_000], &options).unwrap_err();
    assert_eq!(broken.problem, "has groups nested too deep");
}

#[test]
fn an_any_within_an_any_is_not_looked_through_again_and_again() {
    let kind = "\"@type\":\"x/google.protobuf.Any\"";
    let mut json = "{\"@type\":\"x/t.Tree\"}".to_owned();
    for _ in 0..60 {
        json = format!("{{\"value\":{json},{kind}}}");
    }
    let violation = WORLD.refused("Known", &format!("{{\"any\":{json}}}"));
    assert!(violation.problem.contains("put that first"), "{violation}");
    let mut json = "{\"@type\":\"x/t.Tree\"}".to_owned();
    for _ in 0..60 {
        json = format!("{{{kind},\"value\":{json}}}");
    }
    assert!(
        read(&WORLD.binding("Known"), &format!("{{\"any\":{json}}}"), &Options::default()).is_ok()
    );
}

#[test]
fn a_message_that_grows_too_large_is_refused_on_the_way() {
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    for (message, json) in [
        ("Lists", format!("{{\"packed\":[{}1]}}", "1,".repeat(2000))),
        ("Lists", format!("{{\"trees\":[{}{{}}]}}", "{},".repeat(2000))),
        ("Scalars", format!("{{\"string\":\"{}\"}}", "x".repeat(2000))),
        ("Known", format!("{{\"list\":[{}null]}}", "null,".repeat(2000))),
        ("Known", format!("{{\"struct\":{{{}\"x\":1}}}}", "\"y\":1,".repeat(2000))),
        ("Maps", format!("{{\"strings\":{{{}\"x\":\"\"}}}}", "\"y\":\"\",".repeat(2000))),
    ] {
        let violation = read(&WORLD.binding(message), &json, &options).unwrap_err();
        assert_eq!(violation.problem, "the message has more than 1000 bytes", "{message}");
    }
    let query = format!("string={}", "x".repeat(2000));
    let request = Request { query: &query, ..Request::default() };
    assert!(WORLD.binding("Scalars").request(&request, &options).is_err());
}

#[test]
fn a_text_that_grows_too_large_is_broken() {
    let limits = Limits { json_bytes: 10_000, ..Limits::default() };
    let options = Options { defaults: true, limits, ..Options::default() };
    // Two bytes of each become thirty.
    let broken = WORLD.binding("Lists").response(&[0x2a, 0].repeat(10_000), &options).unwrap_err();
    assert_eq!(broken.problem, "the text has more than 10000 bytes");
}

#[test]
fn a_message_that_is_broken_tells_its_field() {
    for (message, wire, expected) in [
        (
            "Scalars",
            &b"\x1a\x01\x01"[..],
            "field int32: stands on the wire as another type than the descriptors say",
        ),
        ("Scalars", b"\x72\x01\xff", "field string: is a string that is not UTF-8"),
        ("Scalars", b"\x72\x05a", "ends in the middle of a value"),
        ("Scalars", b"\x18", "ends in the middle of a value"),
        ("Scalars", b"\x00", "has a tag that no field can have"),
        ("Scalars", b"\x1f", "has a tag that no field can have"),
        ("Scalars", b"\x1c", "has a group that does not end"),
        (
            "Scalars",
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "has a number of more than 64 bits",
        ),
        (
            "Tree",
            b"\x12\x05\x12\x03\x0a\x01\xff",
            "field left.left.name: is a string that is not UTF-8",
        ),
        (
            "Tree",
            b"\x22\x00\x22\x03\x0a\x01\xff",
            "field rest[1].name: is a string that is not UTF-8",
        ),
        ("Lists", b"\x0a\x01\x80", "field packed: ends in the middle of a value"),
        (
            "Maps",
            b"\x0a\x06\x0a\x01k\x12\x01\xff",
            "field strings[\"k\"]: is a string that is not UTF-8",
        ),
        ("Known", b"\x0a\x07\x08\x80\xe8\x9d\xfe\xff\x7f", "field time: is a time out of range"),
        ("Known", b"\x12\x04\x08\x01\x10\x80", "field duration: ends in the middle of a value"),
        (
            "Known",
            b"\x22\x09\x11\0\0\0\0\0\0\xf0\x7f",
            "field value: is a value that is not a finite number, which JSON does not have",
        ),
        (
            "Known",
            b"\x32\x05\x0a\x03x/y",
            "field any: has the type `x/y`, which the descriptors do not have",
        ),
    ] {
        let broken =
            WORLD.binding(message).response(wire, &Options::default()).expect_err(expected);
        assert_eq!(broken.to_string(), expected, "{wire:?}");
    }
}

#[test]
fn a_body_where_none_is_wanted_is_refused() {
    let descriptors = crate::support::compiled(
        r#"
        syntax = "proto3";
        package t;
        import "google/api/annotations.proto";
        service T { rpc Get(A) returns (A) { option (google.api.http) = { get: "/a" }; } }
        message A { string a = 1; }
    "#,
    );
    let rules = transcoding::Rules::new(&descriptors, |_| true);
    let found = rules.find("GET", "/a").unwrap();
    let request =
        |body| found.binding.request(&Request { body, ..Request::default() }, &Options::default());
    assert!(request(b" \r\n").is_ok());
    assert_eq!(request(b"{}").unwrap_err().place, Place::Body { line: 1, column: 1 });
}
