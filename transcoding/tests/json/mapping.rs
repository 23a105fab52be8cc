//! The rows of the JSON mapping (https://protobuf.dev/programming-guides/json/), each a test.
//!
//! docs/grpc-mapping.md names these tests.

use prost_reflect::DynamicMessage;
use transcoding::{Enums, Names, Options, Unknown};

use crate::support::{WORLD, World, read};

/// What is read comes back as what is expected, and the reference reads the same.
fn check(message: &str, cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        assert_eq!(WORLD.round(message, json), *expected, "{message}: {json}");
    }
}

/// The same, where the reference is known to err; docs/decisions/0010-transcoding-plan.md says how.
fn check_alone(message: &str, cases: &[(&str, &str)]) {
    let options = Options::default();
    for (json, expected) in cases {
        let wire = read(&WORLD.binding(message), json, &options).unwrap();
        assert_eq!(WORLD.print(message, &wire, &options), *expected, "{message}: {json}");
    }
}

fn check_refused(message: &str, cases: &[&str]) {
    for json in cases {
        WORLD.refused(message, json);
    }
}

#[test]
fn int32_and_its_kin_are_numbers_and_are_read_from_strings_too() {
    for field in ["int32", "sint32", "sfixed32"] {
        let json = |value: &str| format!("{{\"{field}\":{value}}}");
        for value in ["-2147483648", "2147483647", "-1", "1"] {
            check("Scalars", &[(&json(value), &json(value))]);
            check("Scalars", &[(&json(&format!("\"{value}\"")), &json(value))]);
        }
        check("Scalars", &[(&json("1e2"), &json("100")), (&json("100.0"), &json("100"))]);
        check_alone("Scalars", &[(&json("\"1e2\""), &json("100"))]);
        check_refused(
            "Scalars",
            &[
                &json("2147483648"),
                &json("-2147483649"),
                &json("0.5"),
                &json("\"\""),
                &json("\"x\""),
                &json("\"+1\""),
                &json("\" 1\""),
                &json("\"01\""),
                &json("01"),
                &json("true"),
                &json("{}"),
            ],
        );
    }
    for field in ["uint32", "fixed32"] {
        let json = |value: &str| format!("{{\"{field}\":{value}}}");
        check("Scalars", &[(&json("4294967295"), &json("4294967295"))]);
        check_refused("Scalars", &[&json("4294967296"), &json("-1"), &json("\"-1\"")]);
    }
}

#[test]
fn int64_and_its_kin_are_strings_and_are_read_from_numbers_too() {
    for field in ["int64", "sint64", "sfixed64"] {
        let json = |value: &str| format!("{{\"{field}\":{value}}}");
        for value in ["-9223372036854775808", "9223372036854775807", "-1", "1"] {
            check("Scalars", &[(&json(&format!("\"{value}\"")), &json(&format!("\"{value}\"")))]);
            check("Scalars", &[(&json(value), &json(&format!("\"{value}\"")))]);
        }
        check_refused("Scalars", &[&json("9223372036854775808"), &json("1.5"), &json("null1")]);
        // The reference rounds to a double on the way.
        check_alone(
            "Scalars",
            &[(&json("9223372036854775807.0"), &json("\"9223372036854775807\""))],
        );
        check_refused("Scalars", &[&json("9223372036854775808.0")]);
    }
    for field in ["uint64", "fixed64"] {
        let json = |value: &str| format!("{{\"{field}\":{value}}}");
        check("Scalars", &[(&json("18446744073709551615"), &json("\"18446744073709551615\""))]);
        check_refused("Scalars", &[&json("18446744073709551616"), &json("-1")]);
    }
}

#[test]
fn floats_are_numbers_and_nan_and_the_infinities_are_strings() {
    check(
        "Scalars",
        &[
            (r#"{"double":1.5}"#, r#"{"double":1.5}"#),
            (r#"{"double":"-1.5e10"}"#, r#"{"double":-15000000000.0}"#),
            (r#"{"double":1}"#, r#"{"double":1.0}"#),
            (r#"{"float":0.25}"#, r#"{"float":0.25}"#),
            (
                r#"{"double":"Infinity","float":"-Infinity"}"#,
                r#"{"double":"Infinity","float":"-Infinity"}"#,
            ),
        ],
    );
    check_alone(
        "Scalars",
        &[
            (r#"{"double":"NaN","float":"NaN"}"#, r#"{"double":"NaN","float":"NaN"}"#),
            // The largest float is printed as a number that is above it as a double.
            (r#"{"float":3.4028235e38}"#, r#"{"float":3.4028235e+38}"#),
            (r#"{"double":-0.0}"#, r#"{"double":-0.0}"#),
        ],
    );
    check_refused(
        "Scalars",
        &[
            r#"{"double":NaN}"#,
            r#"{"double":"inf"}"#,
            r#"{"double":"nan"}"#,
            r#"{"double":1e400}"#,
            r#"{"float":1e39}"#,
            r#"{"double":"1,5"}"#,
            r#"{"double":".5"}"#,
            r#"{"double":""}"#,
        ],
    );
}

#[test]
fn bool_is_true_or_false_and_nothing_else() {
    check("Scalars", &[(r#"{"bool":true}"#, r#"{"bool":true}"#), (r#"{"bool":false}"#, "{}")]);
    check_refused("Scalars", &[r#"{"bool":"true"}"#, r#"{"bool":1}"#, r#"{"bool":truely}"#]);
}

#[test]
fn string_is_unicode_with_whole_surrogate_pairs() {
    check(
        "Scalars",
        &[
            (r#"{"string":"aé\u00e9\ud83d\ude00\n\"\\\/"}"#, "{\"string\":\"aéé😀\\n\\\"\\\\/\"}"),
            (r#"{"string":"\u0000"}"#, r#"{"string":"\u0000"}"#),
        ],
    );
    check_refused(
        "Scalars",
        &[r#"{"string":"\ud83d"}"#, r#"{"string":"\ude00"}"#, r#"{"string":1}"#],
    );
}

#[test]
fn bytes_are_base64_in_either_alphabet_with_padding_or_without() {
    for text in ["-_-_", "+/+/"] {
        check("Scalars", &[(&format!("{{\"bytes\":\"{text}\"}}"), r#"{"bytes":"+/+/"}"#)]);
    }
    for text in ["AQ==", "AQ", "AR"] {
        check("Scalars", &[(&format!("{{\"bytes\":\"{text}\"}}"), r#"{"bytes":"AQ=="}"#)]);
    }
    check_refused(
        "Scalars",
        &[r#"{"bytes":"-+AA"}"#, r#"{"bytes":"A"}"#, r#"{"bytes":"A A="}"#, r#"{"bytes":[1]}"#],
    );
}

#[test]
fn an_enum_is_read_by_name_alias_or_number_and_printed_by_its_first_name() {
    check(
        "Scalars",
        &[
            (r#"{"colour":"RED"}"#, r#"{"colour":"RED"}"#),
            (r#"{"colour":"CRIMSON"}"#, r#"{"colour":"RED"}"#),
            (r#"{"colour":-3}"#, r#"{"colour":"NEGATIVE"}"#),
            (r#"{"colour":77}"#, r#"{"colour":77}"#),
            (r#"{"colour":"UNKNOWN"}"#, "{}"),
        ],
    );
    check_refused(
        "Scalars",
        &[
            r#"{"colour":"red"}"#,
            r#"{"colour":"1"}"#,
            r#"{"colour":2147483648}"#,
            r#"{"colour":1.5}"#,
        ],
    );
    let numbers = Options { enums: Enums::Numbers, ..Options::default() };
    assert_eq!(
        WORLD.print("Scalars", &WORLD.read("Scalars", r#"{"colour":"RED"}"#), &numbers),
        r#"{"colour":1}"#
    );
}

#[test]
fn a_list_is_an_array_and_null_is_an_empty_one() {
    let all = r#"{"packed":[1,-1,0],"unpacked":[0,300],"strings":["","a"],"colours":["RED",5],"trees":[{},{"name":"x"}]}"#;
    check("Lists", &[(all, all), (r#"{"packed":null,"strings":[],"trees":null}"#, "{}")]);
    check("Lists", &[(r#"{"values":[null,1,"a",[],{}]}"#, r#"{"values":[null,1.0,"a",[],{}]}"#)]);
    check_alone(
        "Lists",
        &[
            (r#"{"nulls":[null,"NULL_VALUE"]}"#, r#"{"nulls":[null,null]}"#),
            // The reference panics at these.
            (r#"{"values":null,"nulls":null}"#, "{}"),
        ],
    );
    check_refused(
        "Lists",
        &[r#"{"packed":[1,null]}"#, r#"{"packed":1}"#, r#"{"trees":[null]}"#, r#"{"packed":[1,]}"#],
    );
}

#[test]
fn a_map_is_an_object_whose_names_are_the_keys() {
    check(
        "Maps",
        &[
            (r#"{"strings":{"":"","a":"b"}}"#, r#"{"strings":{"":"","a":"b"}}"#),
            (r#"{"numbers":{"-1":"2"}}"#, r#"{"numbers":{"-1":"2"}}"#),
            (r#"{"flags":{"true":"RED"}}"#, r#"{"flags":{"true":"RED"}}"#),
            (
                r#"{"trees":{"18446744073709551615":{"name":"x"}}}"#,
                r#"{"trees":{"18446744073709551615":{"name":"x"}}}"#,
            ),
            (r#"{"values":{"a":null}}"#, r#"{"values":{"a":null}}"#),
            (r#"{"blobs":{"0":"AQ=="}}"#, r#"{"blobs":{"0":"AQ=="}}"#),
            (r#"{"strings":{"a":"1","a":"2"}}"#, r#"{"strings":{"a":"2"}}"#),
            (r#"{"strings":{},"numbers":null}"#, "{}"),
        ],
    );
    check_refused(
        "Maps",
        &[
            r#"{"strings":{"a":null}}"#,
            r#"{"numbers":{"x":1}}"#,
            r#"{"numbers":{"2147483648":1}}"#,
            r#"{"flags":{"1":"RED"}}"#,
            r#"{"strings":[]}"#,
            r#"{"trees":{"1":null}}"#,
            r#"{"strings":{"a"}}"#,
        ],
    );
}

#[test]
fn a_oneof_has_one_member_and_null_is_none_of_them() {
    check(
        "Choice",
        &[
            (r#"{"text":""}"#, r#"{"text":""}"#),
            (r#"{"number":0}"#, r#"{"number":0}"#),
            (r#"{"tree":{},"yes":false}"#, r#"{"tree":{},"yes":false}"#),
            (r#"{"text":null,"number":1}"#, r#"{"number":1}"#),
            (r#"{"nothing":null}"#, r#"{"nothing":null}"#),
        ],
    );
    let violation = WORLD.refused("Choice", r#"{"text":"a","number":1}"#);
    assert_eq!(
        violation.to_string(),
        "line 1, column 13, field number: is of the oneof `choice`, of which another field is set"
    );
}

#[test]
fn an_optional_field_that_is_there_is_kept_even_if_it_is_zero() {
    let all = r#"{"number":0,"text":"","colour":"UNKNOWN","tree":{}}"#;
    check(
        "Present",
        &[(all, all), ("{}", "{}"), (r#"{"implicit":0}"#, "{}"), (r#"{"number":null}"#, "{}")],
    );
}

#[test]
fn a_field_is_read_by_either_name_and_printed_by_the_one_that_is_wanted() {
    let printed = r#"{"snakeCaseName":"a","@other":"b","swapped":"c"}"#;
    check(
        "Named",
        &[(printed, printed), (r#"{"snake_case_name":"a","other":"b","taken":"c"}"#, printed)],
    );
    let original = Options { names: Names::Original, ..Options::default() };
    let wire = WORLD.read("Named", printed);
    assert_eq!(
        WORLD.print("Named", &wire, &original),
        r#"{"snake_case_name":"a","other":"b","taken":"c"}"#
    );
    check_refused(
        "Named",
        &[r#"{"snakeCaseName":"a","snake_case_name":"b"}"#, r#"{"SnakeCaseName":"a"}"#],
    );
}

#[test]
fn defaults_are_printed_where_that_is_wanted_and_nothing_tells_them_from_absence() {
    let options = Options { defaults: true, ..Options::default() };
    assert_eq!(WORLD.print("Present", &[], &options), r#"{"implicit":0}"#);
    assert_eq!(WORLD.print("Choice", &[], &options), "{}");
    assert_eq!(
        WORLD.print("Lists", &[], &options),
        r#"{"packed":[],"unpacked":[],"strings":[],"colours":[],"trees":[],"values":[],"nulls":[],"doubles":[]}"#
    );
    assert_eq!(
        WORLD.print("Scalars", b"\x18\x01", &options),
        r#"{"double":0.0,"float":0.0,"int32":1,"int64":"0","uint32":0,"uint64":"0","sint32":0,"sint64":"0","fixed32":0,"fixed64":"0","sfixed32":0,"sfixed64":"0","bool":false,"string":"","bytes":"","colour":"UNKNOWN"}"#
    );
}

#[test]
fn unknown_fields_and_enum_values_are_refused_or_ignored() {
    let json = r#"{"int32":1,"nope":{"a":[1,{"b":null}]},"colour":"MAUVE"}"#;
    assert_eq!(WORLD.refused("Scalars", json).problem, "has no field `nope`");
    assert_eq!(WORLD.refused("Scalars", r#"{"colour":"MAUVE"}"#).problem, "has no value `MAUVE`");
    let ignore = Options { unknown: Unknown::Ignore, ..Options::default() };
    assert_eq!(read(&WORLD.binding("Scalars"), json, &ignore).unwrap(), b"\x18\x01");
    let list = r#"{"colours":["MAUVE"]}"#;
    assert_eq!(read(&WORLD.binding("Lists"), list, &ignore).unwrap(), b"");
    let map = r#"{"flags":{"true":"MAUVE","false":"RED"}}"#;
    assert_eq!(read(&WORLD.binding("Maps"), map, &ignore).unwrap(), b"\x1a\x04\x08\x00\x10\x01");
    // What is ignored still has to be JSON.
    assert!(read(&WORLD.binding("Scalars"), r#"{"nope":[1,}"#, &ignore).is_err());
    // On the wire, fields that nobody knows are what a newer service sends.
    assert_eq!(
        WORLD.print(
            "Scalars",
            b"\x18\x01\xf8\x7f\x01\xf3\x7f\x08\x01\xf4\x7f",
            &Options::default()
        ),
        r#"{"int32":1}"#
    );
}

#[test]
fn timestamp_and_duration_are_texts() {
    check(
        "Known",
        &[
            (r#"{"time":"2026-11-28T05:00:00Z"}"#, r#"{"time":"2026-11-28T05:00:00Z"}"#),
            (
                r#"{"time":"2026-11-28T06:30:00.12+01:30"}"#,
                r#"{"time":"2026-11-28T05:00:00.120Z"}"#,
            ),
            (r#"{"duration":"1.5s"}"#, r#"{"duration":"1.500s"}"#),
            (r#"{"duration":"-3s"}"#, r#"{"duration":"-3s"}"#),
        ],
    );
    check_refused(
        "Known",
        &[r#"{"time":"yesterday"}"#, r#"{"time":1}"#, r#"{"duration":"1m"}"#, r#"{"duration":1}"#],
    );
}

#[test]
fn struct_value_and_list_are_json_itself() {
    let all =
        r#"{"struct":{"a":[1.0,null,true,{"b":"c"}],"d":{}},"value":[[],{}],"list":["x",null]}"#;
    check(
        "Known",
        &[
            (all, all),
            (r#"{"value":null}"#, r#"{"value":null}"#),
            (r#"{"value":false}"#, r#"{"value":false}"#),
            (r#"{"struct":{},"list":[]}"#, r#"{"struct":{},"list":[]}"#),
            (r#"{"struct":null,"list":null}"#, "{}"),
        ],
    );
    check_refused(
        "Known",
        &[r#"{"struct":[]}"#, r#"{"list":{}}"#, r#"{"value":NaN}"#, r#"{"value":1e999}"#],
    );
}

#[test]
fn any_has_its_type_beside_its_fields_or_a_value() {
    let tree = r#"{"any":{"@type":"type.googleapis.com/t.Tree","name":"x"}}"#;
    let time = r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#;
    let nested = r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"type.googleapis.com/t.Tree"}}}"#;
    check(
        "Known",
        &[
            (tree, tree),
            (time, time),
            (nested, nested),
            (r#"{"any":{"name":"x","@type":"type.googleapis.com/t.Tree"}}"#, tree),
            (
                r#"{"any":{"value":"1s","@type":"type.googleapis.com/google.protobuf.Duration"}}"#,
                time,
            ),
        ],
    );
    // An empty Any is empty; the types of error details are known without being imported.
    check_alone(
        "Known",
        &[
            (r#"{"any":{}}"#, r#"{"any":{}}"#),
            (
                r#"{"any":{"@type":"x/google.rpc.ErrorInfo","reason":"R"}}"#,
                r#"{"any":{"@type":"x/google.rpc.ErrorInfo","reason":"R"}}"#,
            ),
        ],
    );
    check_refused(
        "Known",
        &[
            r#"{"any":{"name":"x"}}"#,
            r#"{"any":{"@type":"t.Tree"}}"#,
            r#"{"any":{"@type":"x/t.Nope"}}"#,
            r#"{"any":{"@type":1}}"#,
            r#"{"any":{"@type":"x/google.protobuf.Duration"}}"#,
            r#"{"any":{"@type":"x/t.Tree","nope":1}}"#,
            r#"{"any":"x"}"#,
            r#"{"any":{"@type":"x/google.protobuf.Duration","value":"1s","value":"1s"}}"#,
        ],
    );
}

#[test]
fn field_mask_is_a_text_of_camel_case_paths() {
    check(
        "Known",
        &[
            (r#"{"mask":"userName,a.bC"}"#, r#"{"mask":"userName,a.bC"}"#),
            (r#"{"mask":""}"#, r#"{"mask":""}"#),
        ],
    );
    check_refused("Known", &[r#"{"mask":"user_name"}"#, r#"{"mask":["a"]}"#]);
    let lost = WORLD.binding("Known").response(b"\x3a\x04\x0a\x02_A", &Options::default());
    assert_eq!(lost.unwrap_err().field, "mask");
}

#[test]
fn empty_is_an_empty_object_and_null_value_is_null() {
    check(
        "Known",
        &[
            (r#"{"empty":{}}"#, r#"{"empty":{}}"#),
            (r#"{"null":null}"#, "{}"),
            (r#"{"null":"NULL_VALUE"}"#, "{}"),
        ],
    );
    check_refused("Known", &[r#"{"empty":{"a":1}}"#, r#"{"empty":[]}"#]);
}

#[test]
fn a_wrapper_is_what_it_wraps_and_null_is_its_absence() {
    let all = r#"{"double":1.5,"float":0.5,"int64":"-1","uint64":"1","int32":-1,"uint32":1,"bool":true,"string":"a","bytes":"AQ==","list":[0,1]}"#;
    let zero = r#"{"double":0.0,"float":0.0,"int64":"0","uint64":"0","int32":0,"uint32":0,"bool":false,"string":"","bytes":""}"#;
    check("Wrapped", &[(all, all), (zero, zero), (r#"{"int32":null,"string":null}"#, "{}")]);
    check_alone(
        "Wrapped",
        &[(r#"{"float":"NaN","double":"-Infinity"}"#, r#"{"double":"-Infinity","float":"NaN"}"#)],
    );
    check_refused("Wrapped", &[r#"{"int32":{"value":1}}"#, r#"{"list":[null]}"#]);
}

#[test]
fn a_message_in_pieces_and_out_of_order_is_what_the_reference_takes_it_for() {
    let options = Options::default();
    for wire in [
        &b"\x10\x02\x08\x01"[..], // fields in reverse
        b"\x08\x01\x08\x02",      // the last scalar wins
        b"\x1a\x01a\x22\x01b",    // the last member of a oneof wins
        b"\x22\x01b\x1a\x01a",
        b"\x28\x01\x08\x01\x28\x02",         // a list in pieces
        b"\x2a\x02\x01\x02\x28\x03\x2a\x00", // packed, not packed, and empty
        b"\x2a\x00",
        b"\xc2\x3e\x03\x0a\x01a\x08\x01\xc2\x3e\x06\x12\x04\x0a\x02xy", // a message in pieces
        b"\xfa\xff\xff\xff\x0f\x05\x0a\x01a\x10\x01\xfa\xff\xff\xff\x0f\x05\x0a\x01a\x10\x02", // a key twice
        b"\xfa\xff\xff\xff\x0f\x00", // an entry without key and value
        b"\xfa\xff\xff\xff\x0f\x05\x10\x02\x0a\x01z", // the value before the key
    ] {
        let theirs = DynamicMessage::decode(WORLD.descriptor("Wide"), wire).unwrap();
        let theirs = crate::support::reference_print(&theirs, &options).unwrap();
        let ours: serde_json::Value =
            serde_json::from_str(&WORLD.print("Wide", wire, &options)).unwrap();
        assert_eq!(ours, theirs, "{wire:?}");
    }
}

const PROTO2: &str = r#"
    syntax = "proto2";
    package t;
    service T { rpc Old(Old) returns (Old); }
    message Old {
      optional int32 number = 1 [default = 7];
      required string text = 2;
      repeated int32 list = 3;
      repeated int32 packed = 4 [packed = true];
      optional group Grouped = 5 { optional int32 inner = 1; optional Old old = 2; }
      repeated group Many = 6 { optional int32 inner = 1; }
      extensions 100 to 200;
    }
    extend Old { optional string extra = 100; repeated Old more = 101; }
"#;

#[test]
fn proto2_has_presence_groups_and_extensions() {
    let world = World::new(PROTO2);
    for json in [
        "{}",
        r#"{"number":0,"text":""}"#,
        r#"{"list":[0,300],"packed":[0,300]}"#,
        r#"{"grouped":{"inner":1,"old":{"text":"x"}},"many":[{},{"inner":2}]}"#,
        r#"{"[t.extra]":"x","[t.more]":[{"number":1},{}]}"#,
    ] {
        assert_eq!(world.round("Old", json), json);
    }
    // Members of another message's extension are no fields here.
    world.refused("Old", r#"{"extra":"x"}"#);
    assert_eq!(world.read("Old", r#"{"many":[{}]}"#), b"\x33\x34");
}
