//! Plans against the reference, over random descriptors and random messages: equal or refused by both.
//!
//! What is random is drawn from a list of bytes, one for each choice, so that proptest makes what
//! fails smaller by making the list smaller.

use std::fmt::Write as _;

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FieldOptions, FileDescriptorProto, MessageOptions, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use transcoding::{Binding, Descriptors, Enums, Names, Options, Unknown};

use crate::support::{
    misread_as_map, read, reference_decode, reference_print, reference_read, settled,
};

proptest! {
    #![proptest_config(ProptestConfig {
        // More of them by PROPTEST_CASES.
        cases: ProptestConfig::default().cases.max(1_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn json_is_read_as_the_reference_reads_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut choices = Choices::new(bytes);
        let world = Random::new(&mut choices);
        let options = world.options(&mut choices);
        let json = world.json(&mut choices);
        world.read_both(&json, &options);
    }

    #[test]
    fn damaged_json_is_read_or_refused_as_by_the_reference(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut choices = Choices::new(bytes);
        let world = Random::new(&mut choices);
        let options = world.options(&mut choices);
        let mut json = world.json(&mut choices).into_bytes();
        for _ in 0..=choices.below(3) {
            let at = choices.below(json.len());
            match choices.below(3) {
                0 => { json.remove(at); }
                1 => json.insert(at, b"{}[]:,\"\\nt10-e.\x01 "[choices.below(17)]),
                _ => json.truncate(at.max(1)),
            }
            // Nothing at all is an empty message for us, and no text for the reference.
            if json.trim_ascii().is_empty() {
                json.push(b'{');
            }
        }
        if let Ok(json) = String::from_utf8(json) {
            world.read_both(&json, &options);
        }
    }

    #[test]
    fn a_message_is_printed_as_the_reference_prints_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut choices = Choices::new(bytes);
        let world = Random::new(&mut choices);
        let options = world.options(&mut choices);
        // Two messages, one after the other, are one: with its fields out of order, twice, in pieces.
        let mut wire = world.wire(&mut choices);
        wire.extend(world.wire(&mut choices));
        world.print_both(&wire, &options);
    }

    #[test]
    fn damaged_messages_are_printed_or_refused_as_by_the_reference(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut choices = Choices::new(bytes);
        let world = Random::new(&mut choices);
        let options = world.options(&mut choices);
        let mut wire = world.wire(&mut choices);
        for _ in 0..=choices.below(2) {
            if wire.is_empty() {
                break;
            }
            let at = choices.below(wire.len());
            match choices.below(3) {
                0 => { wire.remove(at); }
                1 => wire[at] = choices.next(),
                _ => wire.truncate(at),
            }
        }
        world.print_both(&wire, &options);
    }
}

/// Bytes that decide; zero when there are no more of them.
struct Choices {
    bytes: std::vec::IntoIter<u8>,
}

impl Choices {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter() }
    }

    fn next(&mut self) -> u8 {
        self.bytes.next().unwrap_or(0)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::from(self.next()) % most.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// One in as many; never when the bytes are used up.
    fn one_in(&mut self, many: u8) -> bool {
        self.next() % many == many - 1
    }
}

const SCALARS: [Type; 15] = [
    Type::Int32,
    Type::String,
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

const WELL_KNOWN: [(&str, &str); 17] = [
    ("timestamp", "Timestamp"),
    ("duration", "Duration"),
    ("struct", "Struct"),
    ("struct", "Value"),
    ("struct", "ListValue"),
    ("field_mask", "FieldMask"),
    ("any", "Any"),
    ("empty", "Empty"),
    ("wrappers", "DoubleValue"),
    ("wrappers", "FloatValue"),
    ("wrappers", "Int64Value"),
    ("wrappers", "UInt64Value"),
    ("wrappers", "Int32Value"),
    ("wrappers", "UInt32Value"),
    ("wrappers", "BoolValue"),
    ("wrappers", "StringValue"),
    ("wrappers", "BytesValue"),
];

/// Random descriptors, for us and for the reference.
struct Random {
    binding: Binding,
    message: MessageDescriptor,
}

impl Random {
    fn new(choices: &mut Choices) -> Self {
        let proto2 = choices.one_in(4);
        let count = 1 + choices.below(3);
        let messages = (0..count).map(|index| message(choices, index, count, proto2)).collect();
        let values = [("ZERO", 0), ("ONE", 1), ("ALSO_ONE", 1), ("MINUS", -7)];
        let value = |(name, number): (&str, i32)| EnumValueDescriptorProto {
            name: Some(name.into()),
            number: Some(number),
            ..Default::default()
        };
        let method = MethodDescriptorProto {
            name: Some("Call".into()),
            input_type: Some(".r.M0".into()),
            output_type: Some(".r.M0".into()),
            ..Default::default()
        };
        let files = ["timestamp", "duration", "struct", "field_mask", "any", "empty", "wrappers"];
        let file = FileDescriptorProto {
            name: Some("r.proto".into()),
            package: Some("r".into()),
            syntax: Some(if proto2 { "proto2" } else { "proto3" }.into()),
            dependency: files.iter().map(|file| format!("google/protobuf/{file}.proto")).collect(),
            message_type: messages,
            enum_type: vec![EnumDescriptorProto {
                name: Some("E".into()),
                value: values.into_iter().map(value).collect(),
                options: Some(prost_reflect::prost_types::EnumOptions {
                    allow_alias: Some(true),
                    ..Default::default()
                }),
                ..Default::default()
            }],
            service: vec![ServiceDescriptorProto {
                name: Some("S".into()),
                method: vec![method],
                ..Default::default()
            }],
            ..Default::default()
        };
        let descriptors = Descriptors::from_files([file.encode_to_vec()]).unwrap();
        let mut pool = DescriptorPool::global();
        pool.add_file_descriptor_proto(file).unwrap();
        let method = descriptors.method("r.S/Call").unwrap();
        Self {
            binding: Binding::of_method(&descriptors, method),
            message: pool.get_message_by_name("r.M0").unwrap(),
        }
    }

    fn options(&self, choices: &mut Choices) -> Options {
        Options {
            names: choices.of(&[Names::Json, Names::Original]),
            enums: choices.of(&[Enums::Names, Enums::Numbers]),
            defaults: choices.one_in(2),
            unknown: if choices.one_in(4) { Unknown::Ignore } else { Unknown::Refuse },
            ..Options::default()
        }
    }

    fn json(&self, choices: &mut Choices) -> String {
        let mut out = String::new();
        object(choices, &self.message, 0, &mut out);
        out
    }

    /// A valid message by way of JSON that the reference takes.
    fn wire(&self, choices: &mut Choices) -> Vec<u8> {
        let json = self.json(choices);
        let message = reference_read(&self.message, &json, &Options::default());
        message.map(|message| message.encode_to_vec()).unwrap_or_default()
    }

    fn read_both(&self, json: &str, options: &Options) {
        let theirs = reference_read(&self.message, json, options);
        match (read(&self.binding, json, options), theirs) {
            (Ok(ours), Ok(theirs)) => {
                let ours = reference_decode(&self.message, &ours).unwrap();
                assert!(same(&ours, &settled(&theirs)), "{json}");
            }
            (Err(_), Err(_)) => {}
            (Err(violation), Ok(_)) => {
                assert!(is_stricter(&violation.problem), "{json}\n{violation}");
            }
            (Ok(_), Err(problem)) => assert!(is_laxer(json, &problem), "{json}\n{problem}"),
        }
    }

    fn print_both(&self, wire: &[u8], options: &Options) {
        if misread_as_map(&self.message, wire) {
            return;
        }
        let decoded = reference_decode(&self.message, wire);
        let theirs = decoded.and_then(|message| reference_print(&message, options));
        match (self.binding.response(wire, options), theirs) {
            (Ok(ours), Ok(theirs)) => {
                let mut ours: serde_json::Value = serde_json::from_slice(&ours).unwrap();
                let mut theirs = theirs;
                if ours != theirs {
                    without_negative_zero(&mut ours);
                    without_negative_zero(&mut theirs);
                }
                assert_eq!(ours, theirs, "{wire:?}");
            }
            (Err(_), Err(_)) => {}
            (Err(broken), Ok(_)) => assert!(is_stricter(&broken.problem), "{wire:?}\n{broken}"),
            (Ok(ours), Err(problem)) => assert!(
                is_laxer(&String::from_utf8_lossy(&ours), &problem),
                "{wire:?}\n{problem}\n{}",
                String::from_utf8_lossy(&ours)
            ),
        }
    }
}

/// Whether two messages say the same; what is in an Any is compared as what it is.
fn same(ours: &DynamicMessage, theirs: &DynamicMessage) -> bool {
    let print = |message| reference_print(message, &Options::default());
    ours == theirs
        || matches!((print(ours), print(theirs)), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// Takes out members that are -0, which the reference takes for the default and leaves out, although
/// only +0 is no bit set.
fn without_negative_zero(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(members) => {
            members
                .retain(|_, value| value.as_f64().is_none_or(|n| n != 0.0 || n.is_sign_positive()));
            members.values_mut().for_each(without_negative_zero);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(without_negative_zero),
        _ => {}
    }
}

/// Where we refuse what the reference takes; docs/decisions/0010-transcoding-plan.md has the reasons.
fn is_stricter(problem: &str) -> bool {
    [
        // It takes the last of two.
        "is there twice",
        // It normalizes a time that nobody may send.
        "is a time out of range",
        "is a duration out of range",
        "is a duration whose seconds and nanoseconds differ in sign",
        // It reads `+1`, `01`, `inf` and `.5` in strings, as Rust does.
        "is not a number",
        "has a key that is not a number",
        // It reads durations and times in more ways than the mapping has.
        "is not a duration such as `1.5s`",
        "is not a time such as `2026-11-28T05:00:00Z`",
        // It rounds to a double, which may end within the range.
        "does not fit in 64 bits",
        "does not fit in 64 bits without a sign",
        // It reads a fraction as a double, which may be too short for it.
        "is not a whole number",
    ]
    .contains(&problem)
}

/// Where we take what the reference refuses.
fn is_laxer(json: &str, problem: &str) -> bool {
    // `1e2` in a string is a number by the mapping.
    (problem.contains("invalid digit") && json.contains(['e', 'E', '.']))
        // So is `1e0` without quotes, also where an enum's number is meant.
        || problem.contains("expected a string or integer")
        // So is the largest float, which it prints and does not read.
        || problem.contains("float value out of range")
        // An Any without anything in it is printed and read as an empty object.
        || problem.contains("expected '@type' field")
        || problem.contains("unsupported type url")
        // What is ignored in an Empty.
        || problem.contains("unexpected value in map")
}

fn message(choices: &mut Choices, index: usize, count: usize, proto2: bool) -> DescriptorProto {
    let name = format!("M{index}");
    let mut proto = DescriptorProto { name: Some(name.clone()), ..Default::default() };
    let fields = choices.below(8);
    let numbers = [3, 1, 2, 16, 5, 1000, 4, 536_870_911];
    for (at, number) in numbers.into_iter().enumerate().take(fields) {
        let mut field = FieldDescriptorProto {
            name: Some(format!("{}_{at}", choices.of(&["plain", "two_words", "x"]))),
            number: Some(number),
            label: Some(Label::Optional.into()),
            ..Default::default()
        };
        of_some_type(choices, &mut field, count);
        match choices.below(6) {
            0 | 1 => {}
            2 | 3 => {
                field.label = Some(Label::Repeated.into());
                let packable =
                    !matches!(field.r#type(), Type::String | Type::Bytes | Type::Message);
                if packable && choices.one_in(3) {
                    field.options =
                        Some(FieldOptions { packed: Some(proto2), ..Default::default() });
                }
            }
            4 => {
                if choices.one_in(2) && !proto2 {
                    // `optional` of proto3: a oneof of its own, which has to come last.
                    field.proto3_optional = Some(true);
                } else {
                    field.oneof_index = Some(0);
                }
            }
            _ => {
                let entry = entry(choices, &format!("{}Entry", camel(field.name())), &field);
                field.r#type = Some(Type::Message.into());
                field.type_name = Some(format!(".r.{name}.{}", entry.name()));
                field.label = Some(Label::Repeated.into());
                proto.nested_type.push(entry);
            }
        }
        proto.field.push(field);
    }
    if proto.field.iter().any(|field| field.oneof_index.is_some()) {
        proto
            .oneof_decl
            .push(OneofDescriptorProto { name: Some("choice".into()), ..Default::default() });
    }
    for field in proto.field.iter_mut().filter(|field| field.proto3_optional()) {
        field.oneof_index = i32::try_from(proto.oneof_decl.len()).ok();
        let name = Some(format!("_{}", field.name()));
        proto.oneof_decl.push(OneofDescriptorProto { name, ..Default::default() });
    }
    proto
}

fn of_some_type(choices: &mut Choices, field: &mut FieldDescriptorProto, count: usize) {
    let (of, name) = match choices.below(8) {
        0..=3 => (choices.of(&SCALARS), None),
        4 => (Type::Enum, Some(".r.E".to_owned())),
        5 => (Type::Message, Some(format!(".r.M{}", choices.below(count)))),
        6 => (Type::Message, Some(format!(".google.protobuf.{}", choices.of(&WELL_KNOWN).1))),
        _ => (Type::Enum, Some(".google.protobuf.NullValue".to_owned())),
    };
    field.r#type = Some(of.into());
    field.type_name = name;
}

fn entry(choices: &mut Choices, name: &str, value: &FieldDescriptorProto) -> DescriptorProto {
    let keys = [
        Type::String,
        Type::Int32,
        Type::Int64,
        Type::Uint32,
        Type::Uint64,
        Type::Sint32,
        Type::Sint64,
        Type::Fixed32,
        Type::Fixed64,
        Type::Sfixed32,
        Type::Sfixed64,
        Type::Bool,
    ];
    let field = |name: &str, number, of: Type, type_name| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(of.into()),
        type_name,
        ..Default::default()
    };
    DescriptorProto {
        name: Some(name.into()),
        field: vec![
            field("key", 1, choices.of(&keys), None),
            field("value", 2, value.r#type(), value.type_name.clone()),
        ],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

/// The name of a map's entry by the field's name.
fn camel(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(part).collect()
}

const DEPTH_MAX: usize = 4;

fn object(choices: &mut Choices, message: &MessageDescriptor, depth: usize, out: &mut String) {
    out.push('{');
    members(choices, message, depth, out);
    out.push('}');
}

fn members(choices: &mut Choices, message: &MessageDescriptor, depth: usize, out: &mut String) {
    for field in message.fields() {
        if choices.one_in(3) || (depth > DEPTH_MAX && matches!(field.kind(), Kind::Message(_))) {
            continue;
        }
        // Members of one oneof are refused by both, so not always both are there.
        if field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()) && choices.one_in(2)
        {
            continue;
        }
        separate(out);
        let name = if choices.one_in(3) { field.name() } else { field.json_name() };
        write!(out, "\"{name}\":").unwrap();
        value(choices, &field, depth, out);
    }
    if choices.one_in(40) {
        separate(out);
        out.push_str("\"nobody\":{\"a\":[1,null]}");
    }
}

fn separate(out: &mut String) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
}

fn value(choices: &mut Choices, field: &FieldDescriptor, depth: usize, out: &mut String) {
    // At null for a list of those that are null themselves the reference panics.
    let null = match field.kind() {
        Kind::Message(of) => of.full_name() == "google.protobuf.Value",
        Kind::Enum(of) => of.full_name() == "google.protobuf.NullValue",
        _ => false,
    };
    if choices.one_in(12) && !(null && field.is_list()) {
        out.push_str("null");
    } else if field.is_map() {
        let entry = field.kind();
        let entry = entry.as_message().unwrap();
        out.push('{');
        for at in 0..choices.below(4) {
            separate(out);
            match entry.map_entry_key_field().kind() {
                Kind::String => write!(out, "\"{}\":", choices.of(&["", "a", "b\\n", "é"])),
                Kind::Bool => write!(out, "\"{}\":", at % 2 == 0),
                _ if choices.one_in(20) => {
                    write!(out, "\"{}\":", choices.of(&["-1", "4294967296", "x"]))
                }
                _ => write!(out, "\"{}\":", choices.below(3)),
            }
            .unwrap();
            single(choices, &entry.map_entry_value_field().kind(), depth + 1, out);
        }
        out.push('}');
    } else if field.is_list() {
        out.push('[');
        for _ in 0..choices.below(5) {
            separate(out);
            single(choices, &field.kind(), depth + 1, out);
        }
        out.push(']');
    } else {
        single(choices, &field.kind(), depth, out);
    }
}

const SMALL: [&str; 8] = ["0", "1", "\"2\"", "127", "128", "300", "1e3", "65536.0"];
const BAD: [&str; 10] = [
    "-1",
    "{}",
    "[]",
    "true",
    "\"x\"",
    "1.5",
    "4294967296",
    "18446744073709551616",
    "null",
    "1e400",
];

fn single(choices: &mut Choices, kind: &Kind, depth: usize, out: &mut String) {
    // A value of another type, now and then.
    if choices.one_in(40) {
        out.push_str(choices.of(&BAD));
        return;
    }
    let text = match kind {
        Kind::Double | Kind::Float => {
            choices.of(&["0", "1.5", "-2", "\"3.25\"", "1e10", "\"Infinity\"", "0.125"])
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 if choices.one_in(2) => {
            choices.of(&["-1", "2147483647", "-2147483648", "\"-7\""])
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 if choices.one_in(2) => {
            choices.of(&["-1", "\"9223372036854775807\"", "-9223372036854775808", "\"-7\""])
        }
        Kind::Uint64 | Kind::Fixed64 if choices.one_in(2) => "\"18446744073709551615\"",
        Kind::Bool => choices.of(&["true", "false"]),
        Kind::String => choices.of(&[
            "\"\"",
            "\"a\"",
            "\"\\\"\\\\\\n\\u0001\"",
            "\"\\ud83d\\ude00é\"",
            "\"a string of more than eight bytes\"",
        ]),
        Kind::Bytes => choices.of(&["\"\"", "\"AQ==\"", "\"-_8\"", "\"+/8=\"", "\"AAECAwQF\""]),
        Kind::Enum(of) if of.full_name() == "google.protobuf.NullValue" => {
            choices.of(&["null", "\"NULL_VALUE\""])
        }
        Kind::Enum(_) => {
            choices.of(&["\"ZERO\"", "\"ONE\"", "\"ALSO_ONE\"", "-7", "99", "\"NOBODY\""])
        }
        Kind::Message(message) => return of_message(choices, message, depth, out),
        _ => choices.of(&SMALL),
    };
    out.push_str(text);
}

fn of_message(choices: &mut Choices, message: &MessageDescriptor, depth: usize, out: &mut String) {
    let text = match message.full_name().strip_prefix("google.protobuf.").unwrap_or_default() {
        "Timestamp" => choices.of(&[
            "\"1970-01-01T00:00:00Z\"",
            "\"2026-11-28T05:06:07.089Z\"",
            "\"1969-12-31T23:59:59.000001+01:00\"",
        ]),
        "Duration" => choices.of(&["\"0s\"", "\"1.5s\"", "\"-0.000001s\"", "\"315576000000s\""]),
        "FieldMask" => choices.of(&["\"\"", "\"aB,c.dE\""]),
        "Struct" => choices.of(&["{}", "{\"a\":1,\"b\":[null,{}],\"a\":2}"]),
        "Value" => choices.of(&["null", "1", "\"a\"", "true", "[1,[],{}]", "{\"a\":{\"b\":null}}"]),
        "ListValue" => choices.of(&["[]", "[null,1,\"a\",[true]]"]),
        "Empty" => "{}",
        "Any" => return any_of(choices, message, depth, out),
        "DoubleValue" | "FloatValue" => choices.of(&["0", "1.5", "\"-2\""]),
        "BoolValue" => choices.of(&["true", "false"]),
        "StringValue" => choices.of(&["\"\"", "\"a\""]),
        "BytesValue" => choices.of(&["\"\"", "\"AQ==\""]),
        "Int32Value" | "Int64Value" | "UInt32Value" | "UInt64Value" => choices.of(&SMALL),
        _ if depth > DEPTH_MAX => "{}",
        _ => return object(choices, message, depth + 1, out),
    };
    out.push_str(text);
}

fn any_of(choices: &mut Choices, any: &MessageDescriptor, depth: usize, out: &mut String) {
    let pool = any.parent_pool();
    let url = "type.googleapis.com/";
    if choices.one_in(2) {
        let of = pool
            .get_message_by_name(&format!("google.protobuf.{}", choices.of(&WELL_KNOWN).1))
            .unwrap();
        write!(out, "{{\"@type\":\"{url}{}\",\"value\":", of.full_name()).unwrap();
        if depth > DEPTH_MAX && of.full_name().ends_with("Any") {
            out.push_str("null");
        } else {
            of_message(choices, &of, depth + 1, out);
        }
        out.push('}');
        return;
    }
    let of = pool.get_message_by_name("r.M0").unwrap();
    write!(out, "{{\"@type\":\"{url}r.M0\"").unwrap();
    if depth <= DEPTH_MAX {
        members(choices, &of, depth + 1, out);
    }
    out.push('}');
}
